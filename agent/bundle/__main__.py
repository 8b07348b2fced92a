"""Starts the unpacking process as `python -m agent.bundle AGENT_PID`."""

from agent.bundle.program import main

if __name__ == "__main__":
    main()
