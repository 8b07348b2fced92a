"""How fast something may come: who is ahead of it is made to wait, and nothing is lost."""

import math
from typing import Final

from coordinator.engine.ports import Clock

NAP: Final = 10
"""Milliseconds that are worth waiting."""


class Pace:
    """So much a second, and a burst."""

    def __init__(self, clock: Clock, *, per_second: int, burst: int) -> None:
        """Nothing was spent yet."""
        self._clock = clock
        self._per_second = per_second
        self._allowance = burst * 1_000 / per_second
        self._paid_until = 0.0

    async def spend(self, amount: int) -> None:
        """Wait until it is this amount's turn."""
        owed = self.owed(amount, self._clock.elapsed())
        if owed:
            await self._clock.sleep(owed)

    def owed(self, amount: int, now: int) -> int:
        """Milliseconds to wait until it is this amount's turn; 0: it is, as it is for nearly all."""
        self._paid_until = max(self._paid_until, now) + amount * 1_000 / self._per_second
        ahead = self._paid_until - now - self._allowance
        return math.ceil(ahead) if ahead > NAP else 0

    @property
    def fresh(self) -> bool:
        """Whether everything that was spent is made up for."""
        return self._paid_until <= self._clock.elapsed()
