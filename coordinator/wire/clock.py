"""How the coordinator tells its time beside an answer, so that a host can compare its own."""

from typing import Final

KEY: Final = "hookline-time-ms"
"""Of initial metadata."""


def time_told(now: int) -> tuple[tuple[str, str], ...]:
    """The initial metadata that tell the time, in milliseconds since 1970."""
    return ((KEY, str(now)),)
