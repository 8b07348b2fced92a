"""The supervisor's clock: a process of its own has no other place to ask.

Deadlines use the time since boot, which goes on while a machine sleeps and which nobody can set; wall time is for display only.
"""

import time


def elapsed_ms() -> int:
    """Milliseconds since boot."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wall_ms() -> int:
    """Milliseconds since 1970, for display."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME) // 1_000_000


def stamp(wall: int) -> str:
    """Wall time as the lines of a log begin with it: `2026-01-31 12:59:00`, in the time zone of the host."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall // 1000))
