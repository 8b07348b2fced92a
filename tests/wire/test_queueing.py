"""What waits for its turn, or for the time at which it is to start, as a client sees it: over the real engine and the real store."""

import datetime
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as pb
from hookline.v1 import foresight_pb2 as foresight
from hookline.v1 import resources_pb2 as resources
from tests.wire.test_on_sqlite import RealWorld, hosts_of, real
from tests.wire.world import INVALID, PRECONDITION, refused

HOUR = 3_600_000


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[RealWorld]:
    async with real(tmp_path) as world:
        world.obedient.obey = False
        yield world


async def shop(world: RealWorld, queueing: resources.Queueing.ValueType) -> str:
    """A group with two hosts; a revision, which somebody deploys later."""
    revision = await world.shop()
    await queue(world, queueing)
    await hosts_of(world, "h1", "h2")
    return revision


async def queue(world: RealWorld, queueing: resources.Queueing.ValueType) -> None:
    """What the group does about a second deployment."""
    group = catalog.DeploymentGroup(application_name="shop", deployment_group_name="web", queueing=queueing)
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=group, update_mask=FieldMask(paths=["queueing"]))
    changed = (await world.catalog.UpdateDeploymentGroup(request)).deployment_group
    assert changed.queueing == queueing


def time(milliseconds: int) -> Timestamp:
    found = Timestamp()
    found.FromMilliseconds(milliseconds)
    return found


async def get(world: RealWorld, deployment_id: str) -> pb.Deployment:
    return (await world.deployments.GetDeployment(pb.GetDeploymentRequest(deployment_id=deployment_id))).deployment


async def explained(world: RealWorld, deployment_id: str) -> foresight.Explanation:
    request = foresight.ExplainDeploymentRequest(deployment_id=deployment_id)
    return (await world.foresight.ExplainDeployment(request)).explanation


def place(of: pb.Deployment) -> tuple[int, str] | None:
    return (of.queue_place.position, of.queue_place.behind_deployment_id) if of.HasField("queue_place") else None


async def test_deployments_wait_in_the_order_in_which_they_were_asked_for(sqlite: RealWorld) -> None:
    revision = await shop(sqlite, resources.QUEUEING_QUEUE)
    live, second, third = [await sqlite.deploy(revision) for _ in range(3)]
    assert (place(live), place(second), place(third)) == (None, (1, live.deployment_id), (2, second.deployment_id))
    assert second.status == third.status == resources.DEPLOYMENT_STATUS_QUEUED
    assert not second.deployment_overview.pending  # it gets its hosts when its turn has come
    why = await explained(sqlite, third.deployment_id)
    assert why.reason == "Queue"
    assert why.sentence == f"{third.deployment_id} waits for its turn: {live.deployment_id} and 1 more of its group come before it"
    await sqlite.deployments.StopDeployment(pb.StopDeploymentRequest(deployment_id=second.deployment_id))
    assert (await get(sqlite, second.deployment_id)).status == resources.DEPLOYMENT_STATUS_STOPPED
    assert place(await get(sqlite, third.deployment_id)) == (1, live.deployment_id)
    told = (await sqlite.deployments.ListHistory(pb.ListHistoryRequest(entries=["Waiting"]))).entries
    assert [one.message for one in told] == [f"waits behind {second.deployment_id}", f"waits behind {live.deployment_id}"]


@pytest.mark.parametrize("wish", ["Pause", "Resume", "Promote", "Retry", "Skip"])
async def test_of_what_waits_nothing_can_be_wished_but_its_end(sqlite: RealWorld, wish: str) -> None:
    revision = await shop(sqlite, resources.QUEUEING_QUEUE)
    await sqlite.deploy(revision)
    waiting = (await sqlite.deploy(revision)).deployment_id
    name = f"{wish}Targets" if wish in ("Retry", "Skip") else f"{wish}Deployment"
    hosts = {"hosts": ["h1"]} if wish in ("Retry", "Skip") else {}
    no = await refused(getattr(sqlite.deployments, name)(getattr(pb, f"{name}Request")(deployment_id=waiting, **hosts)))
    assert (no.code, no.reason) == (PRECONDITION, "INVALID_OPERATION")
    assert "it waits for its turn, and has no hosts yet; wait until it has begun, or stop it" in no.message
    no = await refused(sqlite.deployments.ApproveDeployment(pb.ApproveDeploymentRequest(deployment_id=waiting)))
    assert "it needs no approval, it begins by itself when its turn has come" in no.message


async def test_the_newest_replaces_those_that_wait_and_never_what_has_begun(sqlite: RealWorld) -> None:
    revision = await shop(sqlite, resources.QUEUEING_SUPERSEDE)
    live, second, third = [await sqlite.deploy(revision) for _ in range(3)]
    assert (await get(sqlite, live.deployment_id)).status == resources.DEPLOYMENT_STATUS_IN_PROGRESS
    replaced = await get(sqlite, second.deployment_id)
    assert (replaced.status, replaced.error_information.code) == (
        resources.DEPLOYMENT_STATUS_STOPPED,
        resources.DEPLOYMENT_ERROR_CODE_MANUAL_STOP,
    )
    assert replaced.error_information.message == f"superseded by {third.deployment_id}, which deploys revision {revision}"
    assert place(await get(sqlite, third.deployment_id)) == (1, live.deployment_id)
    listed = (await sqlite.deployments.ListDeployments(pb.ListDeploymentsRequest())).deployments
    assert [(one.deployment_id, place(one)) for one in listed] == [
        (third.deployment_id, (1, live.deployment_id)),
        (second.deployment_id, None),
        (live.deployment_id, None),
    ]


async def test_no_more_than_ten_wait(sqlite: RealWorld) -> None:
    revision = await shop(sqlite, resources.QUEUEING_QUEUE)
    for _ in range(11):
        await sqlite.deploy(revision)
    no = await refused(sqlite.deploy(revision))
    assert (no.code, no.reason) == (PRECONDITION, "DEPLOYMENT_LIMIT_EXCEEDED")
    assert "10 deployments of it wait already" in no.message
    assert "stop some of them" in no.message


async def test_a_start_time_is_kept_shown_and_read_by_sql(sqlite: RealWorld) -> None:
    revision = await shop(sqlite, resources.QUEUEING_REFUSE)
    start = sqlite.obedient.clock.now() + HOUR
    made = await sqlite.deploy(revision, start_time=time(start))
    assert (made.status, made.scheduled_time, place(made)) == (resources.DEPLOYMENT_STATUS_QUEUED, time(start), (1, ""))
    why = await explained(sqlite, made.deployment_id)
    assert (why.reason, why.sentence) == ("Schedule", f"{made.deployment_id} waits for the time at which it is to start")
    assert abs(why.until.ToMilliseconds() - start) < 60_000
    with sqlite3.connect(sqlite.directory / "hookline.db") as db:
        status, scheduled_at = db.execute("SELECT status, scheduled_at FROM v_deployments").fetchone()
    assert (status, datetime.datetime.fromisoformat(scheduled_at)) == (
        "Queued",
        datetime.datetime.fromtimestamp(start / 1000, datetime.UTC),
    )
    # Until then the group is free: what begins now goes first, and what was accepted waits for its end, also in a group that refuses.
    other = await sqlite.deploy(revision)
    assert (await get(sqlite, other.deployment_id)).status == resources.DEPLOYMENT_STATUS_IN_PROGRESS
    assert place(await get(sqlite, made.deployment_id)) == (1, other.deployment_id)


@pytest.mark.parametrize(
    "ahead, sentence",
    [
        (-60_000, "cannot start a deployment in the past; leave start_time out to start it now"),
        (31 * 24 * HOUR, "cannot start a deployment so late: 30 days ahead is the most"),
    ],
)
async def test_a_start_time_that_cannot_be_meant_is_refused(sqlite: RealWorld, ahead: int, sentence: str) -> None:
    revision = await shop(sqlite, resources.QUEUEING_QUEUE)
    more: dict[str, Any] = {"start_time": time(sqlite.obedient.clock.now() + ahead)}
    for also in ({}, {"validate_only": True}):
        no = await refused(sqlite.deploy(revision, **more, **also))
        assert (no.code, no.fields, no.message) == (INVALID, ["start_time"], sentence)
    assert not (await sqlite.deployments.ListDeployments(pb.ListDeploymentsRequest())).deployments


async def test_a_queueing_that_nobody_knows_is_refused(sqlite: RealWorld) -> None:
    await shop(sqlite, resources.QUEUEING_QUEUE)
    no = await refused(queue(sqlite, 9))  # type: ignore[arg-type]  # what a newer client might say
    assert (no.code, no.fields) == (INVALID, ["deployment_group.queueing"])


async def test_a_group_for_which_something_waits_is_not_deleted(sqlite: RealWorld) -> None:
    revision = await shop(sqlite, resources.QUEUEING_QUEUE)
    made = await sqlite.deploy(revision, start_time=time(sqlite.obedient.clock.now() + HOUR))
    gone = catalog.DeleteDeploymentGroupRequest(application_name="shop", deployment_group_name="web")
    no = await refused(sqlite.catalog.DeleteDeploymentGroup(gone))
    assert no.code is PRECONDITION
    assert f"deployments wait for their turn ({made.deployment_id}); stop them" in no.message
