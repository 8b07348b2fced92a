"""Who follows a deployment sees everything once, goes on where it left off, and is told when nothing follows."""

import base64
from collections.abc import AsyncIterator

import pytest

from coordinator.core.lifecycle import IN_PLACE, EventStatus, LifecycleEvent
from coordinator.core.model import DeploymentId
from coordinator.service import watch
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import resources_pb2 as resources
from tests.wire.world import INVALID, World, refused

Told = deployments.WatchDeploymentResponse


def follow(world: World, deployment_id: str, token: str = "") -> AsyncIterator[Told]:
    request = deployments.WatchDeploymentRequest(deployment_id=deployment_id, resume_token=token)
    return aiter(world.deployments.WatchDeployment(request))


async def up_to_bookmark(messages: AsyncIterator[Told]) -> list[Told]:
    """Everything until a bookmark, which is last."""
    seen = []
    async for message in messages:
        seen.append(message)
        if message.WhichOneof("message") == "bookmark":
            return seen
    raise AssertionError("it ended without a bookmark")


def statuses(seen: list[Told]) -> dict[str, int]:
    """The last status that was told of each host."""
    return {one.host_name: one.status for message in seen for one in message.targets.targets}


def finish(world: World, *hosts: str) -> None:
    for host in hosts:
        for event in IN_PLACE:
            world.report(host, event)


async def test_it_begins_with_everything_and_a_bookmark(world: World) -> None:
    made = await world.deploy(await world.shop("h1", "h2"))
    seen = await up_to_bookmark(follow(world, made.deployment_id))
    assert [message.WhichOneof("message") for message in seen] == ["deployment", "targets", "bookmark"]
    assert seen[0].deployment == made
    assert [one.host_name for one in seen[1].targets.targets] == ["h1", "h2"]
    assert [bool(message.resume_token) for message in seen] == [False, False, True]
    assert not seen[-1].bookmark.complete


async def test_a_large_snapshot_comes_in_pieces(world: World) -> None:
    made = await world.deploy(await world.shop(*(f"h{number:03}" for number in range(450))))
    seen = await up_to_bookmark(follow(world, made.deployment_id))
    assert [len(message.targets.targets) for message in seen[1:-1]] == [200, 200, 50]
    assert len(statuses(seen)) == 450


async def test_changes_are_told_as_they_are_committed_until_the_end(world: World) -> None:
    made = await world.deploy(await world.shop("h1", "h2"))
    messages = follow(world, made.deployment_id)
    await up_to_bookmark(messages)
    finish(world, "h2")
    seen = await up_to_bookmark(messages)
    assert statuses(seen) == {"h2": resources.TARGET_STATUS_SUCCEEDED}
    assert seen[-2].deployment.deployment_overview.succeeded == 1
    finish(world, "h1")
    rest = [message async for message in messages]
    assert statuses(rest) == {"h1": resources.TARGET_STATUS_SUCCEEDED}
    assert rest[-2].deployment.status == resources.DEPLOYMENT_STATUS_SUCCEEDED
    assert rest[-1].bookmark.complete


async def test_a_resumed_watch_tells_only_what_changed_since(world: World) -> None:
    made = await world.deploy(await world.shop("h1", "h2", "h3"))
    token = (await up_to_bookmark(follow(world, made.deployment_id)))[-1].resume_token
    finish(world, "h2")
    seen = await up_to_bookmark(follow(world, made.deployment_id, token))
    assert [message.WhichOneof("message") for message in seen] == ["deployment", "targets", "bookmark"]
    assert statuses(seen) == {"h2": resources.TARGET_STATUS_SUCCEEDED}
    seen = await up_to_bookmark(follow(world, made.deployment_id, seen[-1].resume_token))
    assert statuses(seen) == {}


async def test_what_changed_in_one_commit_can_only_be_resumed_whole(world: World) -> None:
    hosts = [f"h{number:03}" for number in range(250)]
    made = await world.deploy(await world.shop(*hosts))
    token = (await up_to_bookmark(follow(world, made.deployment_id)))[-1].resume_token
    stop = deployments.StopDeploymentRequest(deployment_id=made.deployment_id)
    await world.deployments.StopDeployment(stop)  # stores a Cancel for every host in one commit
    seen = await up_to_bookmark(follow(world, made.deployment_id, token))
    pieces = [message for message in seen if message.WhichOneof("message") == "targets"]
    assert [len(piece.targets.targets) for piece in pieces] == [200, 50]
    assert [bool(piece.resume_token) for piece in pieces] == [False, True]


async def test_nothing_is_lost_when_the_store_tells_less_at_once_than_it_may(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await world.deploy(await world.shop(*(f"h{number}" for number in range(9))))
    token = (await up_to_bookmark(follow(world, made.deployment_id)))[-1].resume_token
    monkeypatch.setattr(watch, "READ", 5)
    for host in ("h1", "h2", "h3"):
        world.report(host, LifecycleEvent.ApplicationStop)
    await world.deployments.StopDeployment(deployments.StopDeploymentRequest(deployment_id=made.deployment_id))  # all in one commit
    world.report("h1", LifecycleEvent.DownloadBundle)
    seen = await up_to_bookmark(follow(world, made.deployment_id, token))
    assert statuses(seen).keys() == {f"h{number}" for number in range(9)}


async def test_a_deployment_that_has_ended_is_told_whole_and_then_the_watch_ends(world: World) -> None:
    made = await world.deploy(await world.shop("h1"))
    finish(world, "h1")
    seen = [message async for message in follow(world, made.deployment_id)]
    assert statuses(seen) == {"h1": resources.TARGET_STATUS_SUCCEEDED}
    assert seen[-1].bookmark.complete
    again = [message async for message in follow(world, made.deployment_id, seen[-1].resume_token)]
    assert [message.WhichOneof("message") for message in again] == ["deployment", "bookmark"]
    assert again[-1].bookmark.complete


async def test_a_failed_deployment_names_its_rollback_at_the_end(world: World) -> None:
    await world.deploy(await world.shop("h1"))
    finish(world, "h1")
    rollback = resources.AutoRollbackConfiguration(enabled=True, events=[resources.AUTO_ROLLBACK_EVENT_DEPLOYMENT_FAILURE])
    bad = await world.deploy(await world.push_other(), auto_rollback_configuration=rollback)
    messages = follow(world, bad.deployment_id)
    await up_to_bookmark(messages)
    world.report("h1", LifecycleEvent.ApplicationStop, EventStatus.Failed)
    rest = [message async for message in messages]
    assert rest[-2].deployment.rollback_info.rollback_deployment_id in world.engine.past
    assert rest[-1].bookmark.complete


async def test_a_token_of_another_deployment_is_refused(world: World) -> None:
    made = await world.deploy(await world.shop("h1"))
    token = (await up_to_bookmark(follow(world, made.deployment_id)))[-1].resume_token
    for wrong in (("d-000000000", token), (made.deployment_id, "nonsense")):
        no = await refused(anext(follow(world, *wrong)))
        assert (no.code, no.fields) == (INVALID, ["resume_token"])


@pytest.mark.parametrize("number", ["9" * 20, "9" * 5_000, "-1", "1.0", "٣"])
async def test_a_token_with_a_number_that_none_can_have_is_refused(world: World, number: str) -> None:
    made = await world.deploy(await world.shop("h1"))
    binding = base64.urlsafe_b64decode((await up_to_bookmark(follow(world, made.deployment_id)))[-1].resume_token)[:8]
    forged = base64.urlsafe_b64encode(binding + number.encode()).decode()
    no = await refused(anext(follow(world, made.deployment_id, forged)))
    assert (no.code, no.fields) == (INVALID, ["resume_token"])


async def test_a_token_from_a_future_that_was_lost_begins_anew(world: World) -> None:
    made = await world.deploy(await world.shop("h1"))
    token = (await up_to_bookmark(follow(world, made.deployment_id)))[-1].resume_token
    world.engine.past[DeploymentId(made.deployment_id)].commit -= 1  # the database was restored from a backup
    seen = await up_to_bookmark(follow(world, made.deployment_id, token))
    assert len(statuses(seen)) == 1


async def test_a_watcher_reads_at_most_five_times_a_second_whatever_is_committed(world: World) -> None:
    made = await world.deploy(await world.shop("h1", "h2"))
    messages = follow(world, made.deployment_id)
    await up_to_bookmark(messages)
    reads, began = world.engine.reads, world.clock.now()
    for event in IN_PLACE[:-1]:
        for status in (EventStatus.InProgress, EventStatus.Succeeded):
            world.report("h1", event, status)
            await up_to_bookmark(messages)
    looks = (world.engine.reads - reads) / 2  # the deployment and its changes
    assert looks <= (world.clock.now() - began) / watch.PAUSE + 1


async def test_a_bookmark_comes_now_and_then_when_only_others_change(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await world.deploy(await world.shop("h1"))
    monkeypatch.setattr(watch, "BOOKMARK", 50)
    messages = follow(world, made.deployment_id)
    first = (await up_to_bookmark(messages))[-1]
    second = await up_to_bookmark(messages)
    assert second == [first]
