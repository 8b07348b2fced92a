"""How the engine has alarms watched, and what it does with what was seen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from coordinator.core.facts import AlarmSeen, DeploymentRequested
from coordinator.core.lifecycle import DeploymentErrorCode, DeploymentStatus, TargetStatus
from coordinator.core.model import (
    AlarmStatus,
    AutoRollbackEvent,
    DeploymentId,
    FileExistsBehavior,
    Group,
    GroupId,
    HostId,
    Member,
    Snapshot,
    Success,
)
from coordinator.core.orders import WatchAlarms
from coordinator.engine.loop import Engine
from coordinator.metrics import Metrics
from tests.engine.test_loop import HOST, PatientClock, SilentAgents
from tests.store.memory import MemoryStore
from tests.store.things import ALARMS, NOW, R1, R2, WEB, created, deployment, target, watched


class Eyes:
    """Remembers what was to be watched."""

    def __init__(self) -> None:
        self.orders: list[WatchAlarms] = []

    def watch(self, order: WatchAlarms) -> None:
        self.orders.append(order)


@asynccontextmanager
async def running(store: MemoryStore) -> AsyncIterator[tuple[Engine, Eyes]]:
    eyes = Eyes()
    engine = Engine(store=store, agents=SilentAgents(), clock=PatientClock(), metrics=Metrics(), alarms=eyes)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(engine.run())
        await engine.started.wait()
        yield engine, eyes
        task.cancel()


async def deploy(engine: Engine) -> None:
    await engine.ask(DeploymentRequested(at=NOW, elapsed=NOW, plan=watched("d-1"), hosts=(Snapshot(host_id=HOST, name="h1"),)))


async def see(engine: Engine, status: AlarmStatus, group_id: GroupId = WEB, name: str = ALARMS[0].name) -> None:
    before = engine.committed
    engine.inbox.put(AlarmSeen(at=NOW, elapsed=NOW, group_id=group_id, alarm_name=name, status=status, sample="seen"))
    async with asyncio.timeout(30):
        await engine.beyond(before)


async def test_alarms_are_watched_while_a_deployment_is_live_and_one_that_is_active_ends_it() -> None:
    store = MemoryStore()
    async with running(store) as (engine, eyes):
        await deploy(engine)
        assert eyes.orders == [WatchAlarms(WEB, ALARMS, NOW)]
        await see(engine, AlarmStatus.ALARM)
        ended = store.deployments[DeploymentId("d-1")]
        assert ended.status is DeploymentStatus.Stopped
        assert ended.error is not None
        assert ended.error.code is DeploymentErrorCode.ALARM_ACTIVE
        assert eyes.orders[1:] == [WatchAlarms(WEB, (), NOW)]


async def test_a_coordinator_that_comes_back_watches_again() -> None:
    store = MemoryStore()
    async with running(store) as (engine, _):
        await deploy(engine)
        await see(engine, AlarmStatus.OK)
    async with running(store) as (engine, eyes):
        assert eyes.orders == [WatchAlarms(WEB, ALARMS, NOW)]
        await see(engine, AlarmStatus.ALARM)
        assert store.deployments[DeploymentId("d-1")].status is DeploymentStatus.Stopped


async def test_a_coordinator_that_comes_back_watches_what_had_succeeded_and_rolls_back_what_regresses_then() -> None:
    store = MemoryStore()
    before = Success(deployment_id=DeploymentId("d-0"), revision=R1, file_exists_behavior=FileExistsBehavior.DISALLOW)
    events = frozenset({AutoRollbackEvent.DEPLOYMENT_STOP_ON_ALARM})
    late = replace(
        watched("d-1"), auto_rollback=events, revision=R2, last_successful=before, rolls_back=None, rollback_id=DeploymentId("d-2")
    )
    done = deployment(late, "h1", status=DeploymentStatus.Succeeded, stopping=None, watched_from=600, completed_at=NOW + 7)
    done.targets[HostId("id-h1")] = target("d-1", "h1", status=TargetStatus.Succeeded)
    changes = created(done)
    changes.groups[WEB] = Group(group_id=WEB, watched=done)
    changes.members[WEB, HostId("id-h1")] = Member(host_id=HostId("id-h1"))
    await store.commit(changes)
    async with running(store) as (engine, eyes):
        assert eyes.orders == [WatchAlarms(WEB, ALARMS, NOW + 7)]
        await see(engine, AlarmStatus.ALARM)
        assert eyes.orders[1:] == [WatchAlarms(WEB, (), NOW)]
        assert store.deployments[DeploymentId("d-1")].rollback_deployment_id == "d-2"
        assert store.deployments[DeploymentId("d-2")].plan.rolls_back == "d-1"
        assert engine.live(DeploymentId("d-2"))
    async with running(store) as (_, eyes):
        assert eyes.orders == []


async def test_what_was_seen_for_a_group_that_is_not_live_is_nothing() -> None:
    async with running(MemoryStore()) as (engine, _):
        engine.inbox.put(AlarmSeen(at=NOW, elapsed=NOW, group_id=GroupId("gone"), alarm_name="A", status=AlarmStatus.ALARM, sample="seen"))
        await deploy(engine)
        assert engine.live(DeploymentId("d-1"))
