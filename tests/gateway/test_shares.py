"""Whose turn it is where more comes than can be taken: one deployment whose hosts flood holds up no other, and nothing is wasted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from coordinator.core.model import DeploymentId
from coordinator.gateway.pace import Shares

FLOOD, OTHER = DeploymentId("d-FLOOD0000"), DeploymentId("d-OTHER0000")
PER_SECOND, BURST = 100, 10


class QuickClock:
    """Time passes where somebody waits for it."""

    def __init__(self) -> None:
        self.at = 0

    def now(self) -> int:
        return self.at

    def elapsed(self) -> int:
        return self.at

    async def sleep(self, milliseconds: int) -> None:
        self.at += milliseconds
        await asyncio.sleep(0)


@asynccontextmanager
async def shared(clock: QuickClock) -> AsyncIterator[Shares]:
    made = Shares(clock, per_second=PER_SECOND, burst=BURST)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()


async def test_as_much_is_taken_as_the_pace_allows_whoever_sends_it() -> None:
    clock = QuickClock()
    async with shared(clock) as shares:
        await asyncio.gather(*(shares.spend(FLOOD) for _ in range(10 * PER_SECOND)))
        assert 9_000 < clock.at < 11_000


async def test_a_burst_waits_for_nobody() -> None:
    clock = QuickClock()
    async with shared(clock) as shares:
        for _ in range(BURST):
            await shares.spend(FLOOD)
        assert clock.at == 0


async def test_a_deployment_that_floods_holds_up_no_other() -> None:
    clock = QuickClock()
    async with shared(clock) as shares:
        taken: list[DeploymentId] = []

        async def one(deployment_id: DeploymentId) -> None:
            await shares.spend(deployment_id)
            taken.append(deployment_id)

        flood = [asyncio.create_task(one(FLOOD)) for _ in range(1_000)]
        await asyncio.sleep(0)
        began = clock.at
        for _ in range(5):
            await one(OTHER)
        assert clock.at - began < 5 * 100
        assert taken.count(OTHER) == 5
        assert taken.count(FLOOD) < 100
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)


async def test_who_has_gone_while_they_waited_takes_no_turn() -> None:
    clock = QuickClock()
    async with shared(clock) as shares:
        gone = [asyncio.create_task(shares.spend(FLOOD)) for _ in range(1_000)]
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        began = clock.at
        await shares.spend(OTHER)
        assert clock.at - began < 1_000
