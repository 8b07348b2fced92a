"""Who is served next where more comes than can be taken: each deployment in its turn, so that one whose hosts flood holds up no other."""

import asyncio
from collections import deque
from typing import Final

from coordinator.core.model import DeploymentId
from coordinator.engine.ports import Clock
from coordinator.gateway.pace import Pace

Waiting = deque[asyncio.Future[None]]

NOBODYS: Final = DeploymentId("")
"""What is of no deployment that anybody has looked up yet."""


class Shares:
    """So many a second of all together, and of those that wait one of each deployment after the other."""

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
