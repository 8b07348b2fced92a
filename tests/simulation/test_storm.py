"""All hosts of a large fleet come back, to the real gateway and in virtual time: how many at a time, who is first, when all are there.

What is counted are Hellos by the moment at which they were made: the same seed gives the same ones on any machine.
"""

import asyncio
import random
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import median

import pytest

from coordinator.core.model import GroupId, HostId, HostStatus, MinimumHealthyHosts, MinimumHealthyHostsType
from tests.simulation.alarms import Sky
from tests.simulation.coordinator import Coordinator, Parts
from tests.simulation.host import Host, Surroundings
from tests.simulation.network import Latency, Link
from tests.simulation.operators import DeploymentGroup, Operators
from tests.simulation.store import SimulatedStore
from tests.simulation.supervisors import Habits
from tests.simulation.timeloop import VirtualLoop, run
from tests.simulation.witness import Witness

A_SECOND = 300
"""Hosts that may come back in a second, by the spread that Welcome tells them (coordinator/core/session.py)."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LONG = Habits(shortest=900.0, longest=1_000.0, fails=0.0, hangs=0.0)
"""What is deployed runs for longer than any of this takes."""

Story = Callable[["Fleet"], Awaitable[None]]


@dataclass
class Fleet:
    """A coordinator and its hosts, some of which have work in flight."""

    loop: VirtualLoop
    hosts: int
    busy: int
    asked: list[tuple[float, str]] = field(default_factory=list)
    """When each stream was opened, and whose it was; in their order."""

    def __post_init__(self) -> None:
        chance = random.Random(self.hosts)
        self.witness = Witness(self.loop)
        self.store = SimulatedStore(chance, self.witness)
        sky = Sky(random.Random(self.hosts), self.store, clear=True)
        self.coordinator = Coordinator(self.loop, chance, self.witness, self.store, Parts(), sky)
        around = Surroundings(
            loop=self.loop,
            chance=chance,
            witness=self.witness,
            latency=Latency(chance, usual=0.002, worst=0.05),
            habits=LONG,
            retained=1_000,
            serve=self._serve,
            overheard=self.coordinator.overheard,
        )
        self.members = [Host(name=f"h{number}", host_id=f"{number:032x}", around=around) for number in range(self.hosts)]
        self.at_work = {host.host_id for host in self.members[: self.busy]}
        group = DeploymentGroup(
            group_id=GroupId("g"),
            hosts=[HostId(host_id) for host_id in sorted(self.at_work)],
            minimum=MinimumHealthyHosts(type=MinimumHealthyHostsType.HOST_COUNT, value=0),
            rolls_back=False,
            revisions=["r1"],
        )
        self.coordinator.hosts_of = {group.group_id: group.hosts}.get
        self._operators = Operators(self.coordinator, chance, [group])
        self._group = group

    async def gather(self) -> None:
        """Everybody connects, and those who are to be busy begin."""
        self.coordinator.start()
        for number, host in enumerate(self.members):
            self.loop.call_later(number / A_SECOND, host.start)
        await self.all_are_there()
        if self.busy:
            await self._operators.deploy_to_all(self._group)
        self.coordinator.kill()  # those who came first were told the spread of a small fleet
        self.coordinator.start()
        await self.all_are_there()
        await asyncio.sleep(2)
        self.asked.clear()

    async def all_are_there(self) -> None:
        """Until every host has a stream."""
        while self.coordinator.life is None or len(self.coordinator.life.streams) < self.hosts:  # noqa: ASYNC110  virtual time
            await asyncio.sleep(0.05)

    def came(self, since: float) -> tuple[list[float], list[float]]:
        """How long after that moment the busy hosts and the others were welcomed, sorted."""
        times = {host_id: at - since for host_id, at in self.coordinator.welcomed.items() if at >= since}
        assert len(times) == self.hosts
        return (
            sorted(at for host_id, at in times.items() if host_id in self.at_work),
            sorted(at for host_id, at in times.items() if host_id not in self.at_work),
        )

    def most_in(self, seconds: float, *, since: float = 0.0) -> int:
        """The most streams that were opened within so many seconds."""
        times = [at for at, _ in self.asked if at >= since]
        return max((bisect_left(times, at + seconds) - number for number, at in enumerate(times)), default=0)

    def nobody_was_lost(self) -> None:
        """No host counts as lost, and no promise was broken."""
        assert not self.witness.broken
        assert not [host for host in self.store.hosts.values() if host.status is HostStatus.Lost]

    def _serve(self, link: Link) -> asyncio.Task[None] | None:
        self.asked.append((self.loop.time(), link.host_id))
        return self.coordinator.serve(link)


def tell(story: Story, *, hosts: int, busy: int = 0) -> Fleet:
    """Let a story happen to a fleet that has been connected for a while."""
    made: list[Fleet] = []

    async def live(loop: VirtualLoop) -> None:
        fleet = Fleet(loop, hosts, busy)
        made.append(fleet)
        await fleet.gather()
        await story(fleet)
        await fleet.all_are_there()
        fleet.nobody_was_lost()
        for host in fleet.members:
            host.kill()
        fleet.coordinator.kill()

    run(live)
    return made[0]


@pytest.mark.parametrize("hosts", [1_000, 3_000])
def test_after_a_crash_hosts_come_back_spread_out_and_those_with_work_in_flight_first(
    hosts: int, record_property: Callable[[str, object], None]
) -> None:
    async def crash(fleet: Fleet) -> None:
        began = fleet.loop.time()
        fleet.coordinator.kill()
        await asyncio.sleep(0.5)
        fleet.coordinator.start()
        ready = fleet.loop.time()
        await fleet.all_are_there()
        busy, others = fleet.came(ready)
        spread = hosts / A_SECOND
        record_property("all back after", others[-1])
        assert others[-1] <= 2 * spread + 1  # those that came too early have waited twice
        assert busy[-1] <= max(1.0, 0.1 * spread) + 0.2
        assert busy[-1] < median(others)
        assert fleet.most_in(1.0, since=began) <= 1.5 * A_SECOND + 3 * len(busy)
        assert fleet.most_in(1.0, since=ready + 1.5) <= 1.5 * A_SECOND
        assert len(fleet.asked) <= 1.5 * hosts  # attempts in vain are few

    tell(crash, hosts=hosts, busy=hosts // 20)


def test_a_coordinator_that_stops_in_order_is_left_alone_until_it_is_back() -> None:
    async def stop(fleet: Fleet) -> None:
        life = fleet.coordinator.life
        assert life is not None
        asked_at = fleet.loop.time()
        life.streams.drain_all(1_000, "the coordinator stops")
        await asyncio.sleep(0.2)
        fleet.coordinator.kill()
        await asyncio.sleep(0.7)
        fleet.coordinator.start()
        await fleet.all_are_there()
        busy, others = fleet.came(asked_at)
        assert fleet.asked[0][0] - asked_at >= 1.0  # nobody has knocked at a closed door
        assert len(fleet.asked) == fleet.hosts
        assert busy[-1] <= 1.0 + 0.1 * fleet.hosts / A_SECOND + 0.2
        assert others[-1] <= 1.0 + fleet.hosts / A_SECOND + 0.2
        assert fleet.most_in(1.0) <= 1.5 * A_SECOND + len(busy)

    tell(stop, hosts=1_000, busy=50)


def test_a_coordinator_that_stays_away_is_asked_ever_more_rarely_and_everybody_finds_it_again() -> None:
    async def stay_away(fleet: Fleet) -> None:
        fleet.coordinator.kill()
        began = fleet.loop.time()
        await asyncio.sleep(600)
        late = [host_id for at, host_id in fleet.asked if at >= began + 300]
        idle = fleet.hosts - fleet.busy
        assert sum(host_id not in fleet.at_work for host_id in late) <= 1.2 * idle * 300 / 30  # every 30 s, on the average
        fleet.coordinator.start()
        ready = fleet.loop.time()
        await fleet.all_are_there()
        busy, others = fleet.came(ready)
        assert busy[-1] <= 1.5
        assert others[-1] <= 61
        assert fleet.most_in(1.0, since=ready) <= 1.5 * A_SECOND

    tell(stay_away, hosts=200, busy=10)
