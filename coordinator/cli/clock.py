"""Time, waiting and fresh request ids: the only module of the command line that takes them out of the air."""

import datetime
import re
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


def clock_time_typed(typed: str, now: datetime.datetime) -> datetime.datetime:
    """A time to come, in UTC, as people type it: 22:30, 2027-01-31T22:30, the same with a zone, or +2h. ValueError with a sentence."""
    later = re.fullmatch(r"\+(\d{1,6})([smhd])", typed)
    if later:
        return now + datetime.timedelta(seconds=int(later[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[later[2]])
    local = now.astimezone()
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}", typed):
            at = datetime.datetime.combine(local.date(), datetime.time.fromisoformat(typed.zfill(5)))
            if at.astimezone() <= local:
                at += datetime.timedelta(days=1)
        else:
            at = datetime.datetime.fromisoformat(typed)
        return at.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{typed!r} is no time: write 22:30, 2027-01-31T22:30, 2027-01-31T22:30Z or +2h") from None


def new_request_id() -> str:
    """A UUID4 for a call that changes something, so that repeating it is harmless."""
    import uuid

    return str(uuid.uuid4())
