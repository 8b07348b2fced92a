"""What a running agent leaves in its data directory for `hookline-agent status`: who runs, and how it stands with its coordinator.

Not forced to the disk: it is true only while the process lives that it names.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("hookline.agent")

FILE_NAME = "presence.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """A running agent. `why` says why it is not connected; times are milliseconds since 1970."""

    pid: int
    version: str
    host: str
    coordinator: str
    root_prefix: str
    started_at: int
    connected: bool = False
    since: int
    why: str = "it has not answered yet"


def write(directory: Path, presence: Presence) -> None:
    """Leaves it; where it cannot be written the agent goes on without, and says so."""
    new = directory / f"{FILE_NAME}.new"
    try:
        new.write_text(json.dumps(dataclasses.asdict(presence)))
        new.rename(directory / FILE_NAME)
    except OSError as error:
        log.warning("presence not written path=%s why=%r", new, error.strerror)


def read(directory: Path) -> Presence | None:
    """What the last agent left; None when there is nothing to be understood."""
    try:
        return Presence(**json.loads((directory / FILE_NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None
