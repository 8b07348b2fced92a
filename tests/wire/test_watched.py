"""A deployment whose alarms are seen, over the real engine and store: it waits, goes on, stops, and whoever follows it learns of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from coordinator.core.facts import AlarmSeen
from coordinator.core.model import AlarmStatus, GroupId
from hookline.v1 import alarms_pb2 as alarms
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import fleet_pb2 as fleet
from hookline.v1 import resources_pb2 as resources
from tests.wire.test_alarms import an_alarm, configured, watching
from tests.wire.test_on_sqlite import RealWorld, hosts_of, real, told_to_the_end
from tests.wire.world import PRECONDITION, bundle_of, refused

ONE = "11111111-1111-4111-8111-111111111111"
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


async def succeeded(world: RealWorld, revision: str) -> deployments.Deployment:
    """A deployment that has ended well, and is watched if its group wants that."""
    made = await world.deploy(revision)
    await see(world, AlarmStatus.OK, "0.01 is not > 0.05")
    await told_to_the_end(world, made.deployment_id)
    now = await shown(world, made.deployment_id)
    assert now.status == resources.DEPLOYMENT_STATUS_SUCCEEDED
    return now


async def shown(world: RealWorld, deployment_id: str) -> deployments.Deployment:
    """A deployment as it is now."""
    return (await world.deployments.GetDeployment(deployments.GetDeploymentRequest(deployment_id=deployment_id))).deployment


async def watched_still(world: RealWorld) -> tuple[str, deployments.Deployment]:
    """A revision, and the deployment that put another one in its place, has succeeded, and is watched for an hour."""
    before = await watched(world)
    await succeeded(world, before)
    await configured(world, watching("HighErrors", watch_after_success=Duration(seconds=3600)))
    deployment = await succeeded(world, (await world.push(bundle_of("appspec.yml", "more"))).revision_id)
    assert deployment.watched
    return before, deployment


async def carried(world: RealWorld) -> set[str]:
    """What the hosts of shop/web carry."""
    hosts = (await world.fleet.ListHosts(fleet.ListHostsRequest())).hosts
    shown = [(await world.fleet.GetHost(fleet.GetHostRequest(host=one.name))).host for one in hosts]
    return {holding.deployed_revision_id for host in shown for holding in host.holdings}


async def last_successful(world: RealWorld) -> str:
    """The deployment that shop/web goes back to."""
    request = catalog.GetDeploymentGroupRequest(application_name="shop", deployment_group_name="web")
    return (await world.catalog.GetDeploymentGroup(request)).deployment_group.last_successful_deployment.deployment_id


async def test_who_stops_a_deployment_that_is_watched_ends_the_watch_and_no_more(sqlite: RealWorld) -> None:
    _, deployment = await watched_still(sqlite)
    request = deployments.StopDeploymentRequest(deployment_id=deployment.deployment_id, reason="seen enough", request_id=ONE)
    first = await sqlite.deployments.StopDeployment(request)
    assert first.status == deployments.STOP_STATUS_SUCCEEDED
    assert await sqlite.deployments.StopDeployment(request) == first
    await see(sqlite, AlarmStatus.ALARM, "0.31 > 0.05")
    now = await shown(sqlite, deployment.deployment_id)
    assert (now.status, now.watched, now.rollback_info.rollback_deployment_id) == (resources.DEPLOYMENT_STATUS_SUCCEEDED, False, "")
    entries = deployments.ListHistoryRequest(deployment_id=deployment.deployment_id, entries=["Watched", "Regressed"])
    (entry,) = (await sqlite.deployments.ListHistory(entries)).entries
    assert (entry.entry, entry.because) == ("Watched", "StopDeployment")
    assert "seen enough" in entry.message
    assert await carried(sqlite) == {deployment.revision_id}
    again = deployments.StopDeploymentRequest(deployment_id=deployment.deployment_id, auto_rollback_enabled=True)
    no = await refused(sqlite.deployments.StopDeployment(again))
    assert (no.code, no.reason) == (PRECONDITION, "DEPLOYMENT_ALREADY_COMPLETED")


async def test_who_stops_a_deployment_that_is_watched_may_have_it_rolled_back(sqlite: RealWorld) -> None:
    before, deployment = await watched_still(sqlite)
    request = deployments.StopDeploymentRequest(deployment_id=deployment.deployment_id, request_id=ONE, auto_rollback_enabled=True)
    first = await sqlite.deployments.StopDeployment(request)
    back = (await shown(sqlite, deployment.deployment_id)).rollback_info.rollback_deployment_id
    await told_to_the_end(sqlite, back)
    rollback = await shown(sqlite, back)
    assert (rollback.status, rollback.revision_id) == (resources.DEPLOYMENT_STATUS_SUCCEEDED, before)
    assert rollback.rollback_info.rollback_triggering_deployment_id == deployment.deployment_id
    assert await carried(sqlite) == {before}
    now = await shown(sqlite, deployment.deployment_id)
    assert (now.status, now.watched) == (resources.DEPLOYMENT_STATUS_SUCCEEDED, False)
    assert await sqlite.deployments.StopDeployment(request) == first
    everything = (await sqlite.deployments.ListDeployments(deployments.ListDeploymentsRequest())).deployments
    assert len(everything) == 3
    assert await last_successful(sqlite) != deployment.deployment_id
