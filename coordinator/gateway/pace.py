"""How fast something may come, and whose turn it is: who is ahead of it is made to wait, and nothing is lost."""

import asyncio
import math
from collections import deque
from typing import Final

from coordinator.core.model import DeploymentId
from coordinator.engine.ports import Clock

NAP: Final = 10
"""Milliseconds that are worth waiting."""

Waiting = deque[asyncio.Future[None]]

NOBODYS: Final = DeploymentId("")
"""What is of no deployment that anybody has looked up yet."""


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


class Shares:
    """So many a second of all together, and of those that wait one of each deployment: one whose hosts flood holds up no other."""

    def __init__(self, clock: Clock, *, per_second: int, burst: int) -> None:
        """Nobody waits."""
        self._clock = clock
        self._pace = Pace(clock, per_second=per_second, burst=burst)
        self._waiting: dict[DeploymentId, Waiting] = {}
        self._news = asyncio.Event()
        self._napping = False

    async def run(self) -> None:
        """Serve those that wait, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                turn = self._next()
                if turn.done():  # who waited has gone
                    continue
                turn.set_result(None)
                await self._spend()

    async def spend(self, deployment_id: DeploymentId) -> None:
        """Wait for a turn; while there is room, nobody does."""
        if not self._waiting and not self._napping:
            owed = self._pace.owed(1, self._clock.elapsed())
            if not owed:
                return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(deployment_id, deque()).append(turn)
        self._news.set()
        await turn

    def _next(self) -> "asyncio.Future[None]":
        """The first of the deployment whose turn it is, which comes last then."""
        deployment_id = next(iter(self._waiting))
        waiting = self._waiting.pop(deployment_id)
        turn = waiting.popleft()
        if waiting:
            self._waiting[deployment_id] = waiting
        return turn

    async def _spend(self) -> None:
        self._napping = True
        try:
            await self._pace.spend(1)
        finally:
            self._napping = False
