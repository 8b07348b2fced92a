"""Time, waiting and fresh request ids: the only module of the command line that takes them out of the air."""

import datetime
import time
from typing import Protocol


class Clock(Protocol):
    """What the command line knows of time."""

    def now(self) -> datetime.datetime:
        """The time in UTC, for showing ages."""

    def elapsed(self) -> float:
        """Seconds that only ever grow, for deadlines."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime.datetime:
        """The time in UTC."""
        return datetime.datetime.now(datetime.UTC)

    def elapsed(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)


def new_request_id() -> str:
    """A UUID4 for a call that changes something, so that repeating it is harmless."""
    import uuid

    return str(uuid.uuid4())
