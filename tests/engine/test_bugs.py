"""What the store can never take: the group that is to blame stands still, the others go on; and nothing unstored is told."""

import asyncio

import pytest

from coordinator.core.errors import InstanceInUse, Unavailable
from coordinator.core.facts import DeploymentRequested, HostRemovalRequested, Report, ReportsReceived, StreamEnded
from coordinator.core.lifecycle import EventStatus, LifecycleEvent
from coordinator.core.model import DeploymentId, GroupId, HostId, InstructionId, Snapshot
from coordinator.core.orders import Changes
from coordinator.engine.loop import Engine
from coordinator.engine.ports import StoreBroken
from coordinator.metrics import Metrics
from coordinator.wire import agents as wire
from hookline.v1 import agent_pb2 as pb
from tests.engine.test_loop import PatientClock, SilentAgents
from tests.store.memory import MemoryStore
from tests.store.things import API, NOW, WEB, plan

HOSTS = {WEB: HostId("1" * 32), API: HostId("2" * 32)}
IDS = {WEB: DeploymentId("d-1"), API: DeploymentId("d-2")}


class PickyStore(MemoryStore):
    """Cannot take what has to do with some deployments, or with hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.deployments_it_hates: set[DeploymentId] = set()
        self.hates_hosts = False

    async def commit(self, changes: Changes) -> int:
        await self.rehearse(changes)
        return await super().commit(changes)

    async def rehearse(self, changes: Changes) -> None:
        if {one.deployment_id for one in changes.targets} & self.deployments_it_hates or (self.hates_hosts and changes.hosts):
            raise StoreBroken("cannot store what was decided: IntegrityError")


class Two:
    """An engine with a deployment in each of two groups, each to a host of its own."""

    def __init__(self) -> None:
        self.store, self.agents = PickyStore(), SilentAgents()
        self.engine = Engine(store=self.store, agents=self.agents, clock=PatientClock(), metrics=Metrics())

    async def begin(self) -> None:
        await self.engine.started.wait()
        for number, (group_id, host_id) in enumerate(HOSTS.items(), start=1):
            hello = pb.Hello(host_id=host_id, name=f"h{number}", journal_id="j")
            self.engine.inbox.put(wire.hello(hello, stream=number, at=NOW, elapsed=NOW))
            await self.deploy(group_id)

    async def deploy(self, group_id: GroupId, deployment_id: str = "") -> None:
        hosts = (Snapshot(host_id=HOSTS[group_id], name="h"),)
        wanted = plan(deployment_id or IDS[group_id], group_id, outdated_only=False, require_approval=False)
        await self.engine.ask(DeploymentRequested(at=NOW, elapsed=NOW, plan=wanted, hosts=hosts))

    async def remove(self, host_id: HostId) -> None:
        await self.engine.ask(HostRemovalRequested(at=NOW, elapsed=NOW, host_id=host_id, requested_by="ada"))

    def report(self, group_id: GroupId, seq: int) -> None:
        host_id = HOSTS[group_id]
        instruction_id = InstructionId(f"{IDS[group_id]}/{host_id}/0/1")
        report = Report(seq, instruction_id, LifecycleEvent.AfterAllowTraffic, EventStatus.Succeeded, NOW)
        self.engine.inbox.put(ReportsReceived(NOW, NOW, list(HOSTS).index(group_id) + 1, host_id, (report,)))


async def test_a_group_whose_facts_can_never_be_stored_stands_still_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    it = Two()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(it.engine.run())
        await it.begin()
        it.store.deployments_it_hates = {IDS[WEB]}
        before = it.engine.committed
        it.report(WEB, 1)
        it.report(API, 7)
        await it.engine.beyond(before)
        assert it.agents.acknowledged == [7]
        assert not it.engine.live(IDS[API])
        assert it.engine.live(IDS[WEB])
        with pytest.raises(Unavailable, match="it is parked after an internal error"):
            await it.deploy(WEB, "d-3")
        await it.deploy(API, "d-4")
        running.cancel()
    assert f"group parked: what it decides cannot be stored; restart the coordinator to try again group={WEB}" in caplog.text
    assert str(API) not in caplog.text.partition("group parked")[2].splitlines()[0]


async def test_when_no_group_is_to_blame_the_coordinator_ends_and_has_acknowledged_nothing() -> None:
    it = Two()
    running = asyncio.create_task(it.engine.run())
    async with asyncio.timeout(30):
        await it.begin()
        it.store.hates_hosts = True
        it.report(API, 7)
        it.engine.inbox.put(wire.hello(pb.Hello(host_id="3" * 32, name="h3", journal_id="j"), stream=3, at=NOW, elapsed=NOW))
        with pytest.raises(StoreBroken):
            await running
    assert it.agents.acknowledged == []


async def test_a_host_that_a_parked_group_waits_for_is_not_removed() -> None:
    it = Two()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(it.engine.run())
        await it.begin()
        it.store.deployments_it_hates = {IDS[WEB]}
        it.report(WEB, 1)
        for stream, host_id in enumerate(HOSTS.values(), start=1):
            it.engine.inbox.put(StreamEnded(at=NOW, elapsed=NOW, stream=stream, host_id=host_id, silent_since=NOW))
        with pytest.raises(InstanceInUse, match="cannot remove host h1: a deployment waits for it"):
            await it.remove(HOSTS[WEB])
        running.cancel()
