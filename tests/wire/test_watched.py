"""A deployment whose alarms are seen, over the real engine and store: it waits, goes on, stops, and whoever follows it learns of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coordinator.core.facts import AlarmSeen
from coordinator.core.model import AlarmStatus, GroupId
from hookline.v1 import alarms_pb2 as alarms
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import resources_pb2 as resources
from tests.wire.test_alarms import an_alarm, configured, watching
from tests.wire.test_on_sqlite import RealWorld, hosts_of, real, told_to_the_end

KINDS = ("AlarmStatus", "Baking", "Stopping")


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[RealWorld]:
    async with real(tmp_path) as world:
        yield world


async def watched(world: RealWorld) -> str:
    """An application whose group watches HighErrors; a revision of it."""
    revision = await world.shop()
    await world.alarms.CreateAlarm(alarms.CreateAlarmRequest(alarm=an_alarm()))
    await configured(world, watching("HighErrors"))
    await hosts_of(world, "h1", "h2")
    return revision


async def see(world: RealWorld, status: AlarmStatus, sample: str) -> None:
    """Somebody looks at the alarm of shop/web."""
    request = catalog.GetDeploymentGroupRequest(application_name="shop", deployment_group_name="web")
    group_id = (await world.catalog.GetDeploymentGroup(request)).deployment_group.deployment_group_id
    clock = world.obedient.clock
    world.real.inbox.put(
        AlarmSeen(
            at=clock.now(), elapsed=clock.elapsed(), group_id=GroupId(group_id), alarm_name="HighErrors", status=status, sample=sample
        )
    )


async def test_a_deployment_begins_once_its_alarm_is_seen_and_tells_so(sqlite: RealWorld) -> None:
    made = await sqlite.deploy(await watched(sqlite))
    assert made.status == resources.DEPLOYMENT_STATUS_QUEUED
    await see(sqlite, AlarmStatus.OK, "0.01 is not > 0.05")
    told = await told_to_the_end(sqlite, made.deployment_id)
    ends = [message.deployment for message in told if message.HasField("deployment")]
    assert ends[-1].status == resources.DEPLOYMENT_STATUS_SUCCEEDED
    request = deployments.ListHistoryRequest(deployment_id=made.deployment_id, entries=KINDS)
    (entry,) = (await sqlite.deployments.ListHistory(request)).entries
    assert (entry.entry, entry.because, entry.message) == ("AlarmStatus", "alarm HighErrors", "UNKNOWN -> OK: 0.01 is not > 0.05")


async def test_who_follows_a_deployment_is_told_to_look_when_nothing_changed_but_an_alarm(sqlite: RealWorld) -> None:
    revision = await watched(sqlite)
    sqlite.obedient.obey = False
    made = await sqlite.deploy(revision)
    await see(sqlite, AlarmStatus.OK, "0.01 is not > 0.05")
    messages = aiter(sqlite.deployments.WatchDeployment(deployments.WatchDeploymentRequest(deployment_id=made.deployment_id)))
    async for message in messages:
        if message.deployment.status == resources.DEPLOYMENT_STATUS_IN_PROGRESS:
            break
    async for message in messages:
        if message.HasField("bookmark"):
            break
    await see(sqlite, AlarmStatus.UNKNOWN, "cannot ask Prometheus: connection refused")
    async for message in messages:
        if message.HasField("deployment"):
            break
    assert message.deployment.status == resources.DEPLOYMENT_STATUS_IN_PROGRESS
    request = deployments.ListHistoryRequest(deployment_id=made.deployment_id, entries=KINDS, page_size=1)
    (entry,) = (await sqlite.deployments.ListHistory(request)).entries
    assert entry.message == "OK -> UNKNOWN: cannot ask Prometheus: connection refused"


async def test_an_active_alarm_stops_a_deployment_and_its_group_may_go_without(sqlite: RealWorld) -> None:
    revision = await watched(sqlite)
    stopped = await sqlite.deploy(revision)
    await see(sqlite, AlarmStatus.ALARM, "0.31 > 0.05")
    told = await told_to_the_end(sqlite, stopped.deployment_id)
    error = [message.deployment for message in told if message.HasField("deployment")][-1].error_information
    assert (error.code, error.message) == (resources.DEPLOYMENT_ERROR_CODE_ALARM_ACTIVE, "alarm HighErrors is active: 0.31 > 0.05")
    other = await sqlite.deploy(revision, override_alarm_configuration=resources.AlarmConfiguration())
    told = await told_to_the_end(sqlite, other.deployment_id)
    assert [one.deployment for one in told if one.HasField("deployment")][-1].status == resources.DEPLOYMENT_STATUS_SUCCEEDED
