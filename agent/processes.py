"""The command lines of the agent's own processes: the one place that knows whether there is an interpreter to start.

A supervisor starts as `python -I -S ...`, which takes 8 ms. A self-contained executable (`sys.frozen`) has no interpreter to
name and starts itself, with a subcommand that `agent/app.py` knows and does not tell of.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from agent import supervisor

if TYPE_CHECKING:
    from pathlib import Path

EXECUTABLE: str | None = sys.executable if getattr(sys, "frozen", False) else None
"""The agent as a self-contained executable; None: it runs from an interpreter."""


def supervisor_command(records: Path, *, executable: str | None = EXECUTABLE) -> tuple[str, ...]:
    """Starts a supervisor that keeps its records there."""
    if executable is not None:
        return (executable, "supervisor", str(records))
    return (sys.executable, "-I", "-S", "-X", "utf8", os.path.join(*supervisor.__path__, "__main__.py"), str(records))


def unpacker_command(*, executable: str | None = EXECUTABLE) -> tuple[str, ...]:
    """Starts the process that downloads and installs; the agent's pid is to follow."""
    return (sys.executable, "-P", "-m", "agent.bundle") if executable is None else (executable, "unpacker")


def key_maker_command(*, executable: str | None = EXECUTABLE) -> tuple[str, ...]:
    """Starts the process that makes a key, or reads a certificate, and ends."""
    return (sys.executable, "-P", "-m", "agent.identity") if executable is None else (executable, "key-maker")
