"""Starts the key-making process as `python -m agent.identity`."""

from agent.identity.program import main

if __name__ == "__main__":
    main()
