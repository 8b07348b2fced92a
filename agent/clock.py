"""The agent's clock and its chance: the one place that asks the operating system for either."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Protocol


class Clock(Protocol):
    """Time and chance as the agent needs them; a simulation brings its own."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, to be shown to people; decides nothing."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Lets time pass."""
        ...

    def chance(self) -> float:
        """A number in [0, 1)."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 by the host's clock."""
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Waits on the event loop."""
        await asyncio.sleep(seconds)

    def chance(self) -> float:
        """A number in [0, 1), different for every agent."""
        return random.random()
