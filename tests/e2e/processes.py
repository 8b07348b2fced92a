"""The processes of this machine, as a test looks for its own, and what one that has ended has said."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Said:
    """What a command of `hookline` printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output, read as JSON: whatever the command prints."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Its standard output, read as one JSON value a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def left_in(directory: Path) -> list[tuple[int, str]]:
    """The processes that have a directory in their command line or environment."""
    wanted = f"{directory}/".encode()
    found = []
    for pid, words in processes():
        if pid == os.getpid():
            continue
        with suppress(OSError):
            if wanted in words or wanted in (Path("/proc") / str(pid) / "environ").read_bytes():
                found.append((pid, words.replace(b"\0", b" ").decode(errors="replace")))
    return found


def processes() -> Iterator[tuple[int, bytes]]:
    """Every process with its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                if words:
                    yield int(entry.name), words
