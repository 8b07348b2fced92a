"""Starts the supervisor as `python -I -S .../agent/supervisor/__main__.py`, without site-packages and without an installed project."""

import os
import sys

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from agent.supervisor.program import main

    main()
