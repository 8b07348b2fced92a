"""The engine's loop over a store in memory: what it reads, what it keeps, and what it does while the store cannot write."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest

from coordinator.core.errors import DeployError, StorageFull
from coordinator.core.facts import DeploymentRequested, Report, ReportsReceived, StopRequested
from coordinator.core.lifecycle import EventStatus, InstructionStatus, LifecycleEvent
from coordinator.core.model import DeploymentId, Group, GroupId, HostId, InstructionId, Session, Snapshot
from coordinator.core.orders import Cancel, Instruction
from coordinator.engine.inbox import ROOM, Inbox
from coordinator.engine.loop import GATHER, Engine
from coordinator.metrics import Metrics
from coordinator.wire import agents as wire
from hookline.v1 import agent_pb2 as pb
from tests.store.memory import MemoryStore
from tests.store.things import NOW, WEB, FixedClock, known, plan

HOST = HostId("0" * 32)


class PatientClock(FixedClock):
    """Goes on whenever somebody waits, and lets the others go on too."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = lambda: None
        """What happens while somebody waits."""

    async def sleep(self, milliseconds: int) -> None:
        self.meanwhile()
        await super().sleep(milliseconds)
        await asyncio.sleep(0)


class WatchedStore(MemoryStore):
    """Remembers which groups were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[GroupId] = []
        self.asked: list[Mapping[tuple[GroupId, HostId], int]] = []

    async def group(self, group_id: GroupId) -> Group:
        self.read.append(group_id)
        return await super().group(group_id)

    async def behind(self, epochs: Mapping[tuple[GroupId, HostId], int]) -> list[GroupId]:
        """This one knows no group but WEB."""
        self.asked.append(epochs)
        return [group_id for group_id in await super().behind(epochs) if group_id == WEB]


class SilentAgents:
    """Remembers who was welcomed and what was acknowledged."""

    def __init__(self) -> None:
        self.welcomed: list[HostId] = []
        self.acknowledged: list[int] = []
        self.cancelled: list[Cancel] = []

    def welcome(self, session: Session, *, busy: bool) -> None:
        self.welcomed.append(session.host_id)

    def refuse(self, stream: int, error: DeployError) -> None:
        raise error

    def instruct(self, instruction: Instruction) -> None:
        return

    def cancel(self, cancel: Cancel) -> None:
        self.cancelled.append(cancel)

    def acknowledge(self, host_id: HostId, acked_seq: int) -> None:
        self.acknowledged.append(acked_seq)

    def settle(self, host_id: HostId) -> None:
        return


class Running:
    """An engine that runs."""

    def __init__(self) -> None:
        self.store, self.agents, self.clock = WatchedStore(), SilentAgents(), PatientClock()
        self.engine = Engine(store=self.store, agents=self.agents, clock=self.clock, metrics=Metrics())

    def hello(self, *epochs: pb.TargetEpoch, last_seq: int = 0) -> None:
        """The host opens a stream, its first."""
        message = pb.Hello(host_id=HOST, name="h1", journal_id="j", last_seq=last_seq, target_epochs=epochs)
        self.engine.inbox.put(wire.hello(message, stream=1, at=NOW, elapsed=NOW))

    def report(self, *reports: Report) -> None:
        """Reports come on that stream."""
        self.engine.inbox.put(ReportsReceived(NOW, NOW, 1, HOST, reports))

    async def deploy(self) -> None:
        """Deploy to the host."""
        hosts = (Snapshot(host_id=HOST, name="h1"),)
        await self.engine.ask(
            DeploymentRequested(at=NOW, elapsed=NOW, plan=plan("d-1", outdated_only=False, require_approval=False), hosts=hosts)
        )

    async def turned(self) -> None:
        """Let it take what there is, and finish."""
        before = self.engine.committed
        async with asyncio.timeout(30):
            await self.engine.beyond(before)


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    made = Running()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(made.engine.run())
        await made.engine.started.wait()
        yield made
        task.cancel()


def of_event(seq: int, event: LifecycleEvent, status: EventStatus) -> Report:
    return Report(seq, InstructionId(f"d-1/{HOST}/0/1"), event, status, NOW)


async def test_groups_that_a_host_names_are_read_only_when_it_knows_more_of_them_than_the_store() -> None:
    async with running() as it:
        it.hello(*(pb.TargetEpoch(deployment_group_id=f"g-{number}", target_epoch=9) for number in range(1_000)))
        await it.turned()
        assert len(it.store.asked) == 1
        assert it.store.read == []
        it.hello(pb.TargetEpoch(deployment_group_id=WEB, target_epoch=9))
        await it.turned()
        assert it.store.read == [WEB]
        assert it.store.members[WEB, HOST].target_epoch == 9


async def test_a_group_is_read_again_for_its_next_deployment_and_not_kept_in_between() -> None:
    async with running() as it:
        it.hello()
        await it.turned()
        await it.deploy()
        assert it.engine.live(DeploymentId("d-1"))
        it.report(of_event(1, LifecycleEvent.AfterAllowTraffic, EventStatus.Succeeded))
        await it.turned()
        assert not it.engine.live(DeploymentId("d-1"))
        hosts = (Snapshot(host_id=HOST, name="h1"),)
        await it.engine.ask(
            DeploymentRequested(at=NOW, elapsed=NOW, plan=plan("d-2", outdated_only=False, require_approval=False), hosts=hosts)
        )
        assert it.store.read == [WEB, WEB]


async def test_an_event_that_the_deployment_does_not_have_says_nothing_of_how_far_it_has_come() -> None:
    async with running() as it:
        it.hello()
        await it.turned()
        await it.deploy()
        it.report(of_event(1, LifecycleEvent.AllowTraffic, EventStatus.Failed), of_event(2, LifecycleEvent.Install, EventStatus.Succeeded))
        await it.turned()
        assert it.engine.live(DeploymentId("d-1"))
        assert it.store.deployments[DeploymentId("d-1")].targets[HOST].event is LifecycleEvent.Install


async def test_reports_that_begin_after_the_cursor_are_taken_although_the_first_commit_fails() -> None:
    async with running() as it:
        it.hello()
        await it.turned()
        fail = [True]

        async def interrupt(where: str) -> None:
            if where == "before" and fail.pop():
                raise StorageFull("cannot store this: the disk is full")

        fail.insert(0, False)
        it.store.interrupt = interrupt
        it.report(Report(7, InstructionId("d-9/h/0/1"), None, EventStatus.Pending, NOW, InstructionStatus.Waiting))
        await it.turned()
        assert it.agents.acknowledged == [7]


async def test_what_waits_for_a_store_that_cannot_write_takes_up_room() -> None:
    inbox = Inbox()
    for _ in range(ROOM - 1):
        inbox.put(ReportsReceived(NOW, NOW, 1, HOST, ()))
    inbox.hold(len(inbox.take()))
    inbox.put(ReportsReceived(NOW, NOW, 1, HOST, ()))
    inbox.take()
    await inbox.room()
    inbox.hold(ROOM)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await inbox.room()
    inbox.hold(0)
    await inbox.room()


async def test_a_deployment_that_is_stopped_twice_is_stopped_once() -> None:
    async with running() as it:
        it.store.hosts.update(known("h1").hosts)
        it.hello()
        await it.turned()
        await it.deploy()
        for _ in range(2):
            await it.engine.ask(StopRequested(at=NOW, elapsed=NOW, deployment_id=DeploymentId("d-1"), requested_by="ada", reason="enough"))
        assert len(it.agents.cancelled) == 1


async def test_of_a_burst_of_reports_the_first_go_at_once_and_the_others_go_together() -> None:
    async with running() as it:
        it.hello()
        await it.turned()
        it.clock.at += GATHER
        began, commits = it.clock.at, it.engine.committed

        def others_come() -> None:
            for seq in (4, 5):
                it.report(of_event(seq, LifecycleEvent.Install, EventStatus.InProgress))

        it.clock.meanwhile = others_come
        for seq in (1, 2):
            it.report(of_event(seq, LifecycleEvent.DownloadBundle, EventStatus.InProgress))
        await it.turned()
        assert it.clock.at == began
        it.report(of_event(3, LifecycleEvent.DownloadBundle, EventStatus.Succeeded))
        await it.turned()
        assert (it.clock.at, it.engine.committed) == (began + GATHER, commits + 2)
        assert it.agents.acknowledged == [2, 5]


async def test_what_a_lone_host_reports_goes_at_once() -> None:
    async with running() as it:
        it.hello()
        await it.turned()
        began = it.clock.at
        for seq in (1, 2, 3):
            it.report(of_event(seq, LifecycleEvent.Install, EventStatus.InProgress))
            await it.turned()
        assert it.clock.at == began


async def test_an_operator_does_not_wait_for_a_burst_of_reports() -> None:
    async with running() as it:
        it.store.hosts.update(known("h1").hosts)
        it.hello()
        await it.turned()
        began = it.clock.at
        for seq in (1, 2):
            it.report(of_event(seq, LifecycleEvent.Install, EventStatus.InProgress))
        await it.turned()
        it.report(of_event(3, LifecycleEvent.Install, EventStatus.InProgress))
        await it.deploy()
        assert it.clock.at == began


async def test_a_cursor_of_a_lost_journal_is_not_stored_for_the_new_one() -> None:
    async with running() as it:
        it.hello()
        await it.turned()
        it.report(of_event(1, LifecycleEvent.Install, EventStatus.InProgress), of_event(2, LifecycleEvent.Install, EventStatus.Succeeded))
        message = pb.Hello(host_id=HOST, name="h1", journal_id="another", last_seq=0)
        it.engine.inbox.put(wire.hello(message, stream=2, at=NOW, elapsed=NOW))
        await it.turned()
        stored = it.store.hosts[HOST]
        assert (stored.journal_id, stored.acked_seq) == ("another", 0)
