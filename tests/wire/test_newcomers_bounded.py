"""Newcomers where a group takes the word of a second person, and has bounds, and so has a host: over the real engine and store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coordinator.adapters.clock import SystemClock
from coordinator.adapters.ids import RandomIds
from coordinator.core.facts import ApprovalGiven
from coordinator.core.model import DeploymentId, HostId
from coordinator.service.rollouts.newcomers import NewcomerService
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import fleet_pb2 as fleet
from hookline.v1 import resources_pb2 as resources
from tests.wire.test_on_sqlite import RealWorld, hosts_of, real, told_to_the_end

AUTO = resources.DEPLOYMENT_CREATOR_CODE_DEPLOY_AUTO_UPDATE


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RealWorld]:
    """A group of one host, on which a first deployment has succeeded before anything was bounded."""
    async with real(tmp_path) as made:
        revision = await made.shop()
        await hosts_of(made, "h1")
        await told_to_the_end(made, (await made.deploy(revision)).deployment_id)
        await look(made)
        assert await brought(made) == []
        yield made


async def look(world: RealWorld) -> None:
    """Let the coordinator look at whoever has come, and what it does about that come to its end."""
    service = NewcomerService(world.store, world.store, world.real, inbox=world.real, clock=SystemClock(), ids=RandomIds())
    before = len(await brought(world))
    await service.look(world.real.come)
    for one in (await brought(world))[: -before or None]:
        await told_to_the_end(world, one.deployment_id)


async def brought(world: RealWorld) -> list[deployments.Deployment]:
    """What the coordinator has deployed by itself, the newest first."""
    request = deployments.ListDeploymentsRequest(application_name="shop", deployment_group_name="web", page_size=100)
    return [one for one in (await world.deployments.ListDeployments(request)).deployments if one.creator == AUTO]


async def change(world: RealWorld, path: str, **group: object) -> None:
    """Change the group."""
    said = catalog.DeploymentGroup(application_name="shop", deployment_group_name="web", **group)  # type: ignore[arg-type]  # the tests say what
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=said)
    request.update_mask.paths.append(path)
    await world.catalog.UpdateDeploymentGroup(request)


async def has(world: RealWorld, host: str) -> list[str]:
    """The revisions that a host has."""
    return [one.deployed_revision_id for one in (await world.fleet.GetHost(fleet.GetHostRequest(host=host))).host.holdings]


async def test_a_newcomer_gets_what_has_succeeded_without_the_word_of_a_second_person(world: RealWorld) -> None:
    await change(world, "require_approval", require_approval=True)
    await hosts_of(world, "h1", "h2")
    await look(world)
    (one,) = await brought(world)
    assert (one.status, one.require_approval) == (resources.DEPLOYMENT_STATUS_SUCCEEDED, False)
    assert await has(world, "h2") == await has(world, "h1")


async def test_a_newcomer_gets_what_has_succeeded_beside_what_nobody_has_approved(world: RealWorld) -> None:
    await change(world, "require_approval", require_approval=True)
    waiting = await world.deploy(await world.push_other())
    assert waiting.status == resources.DEPLOYMENT_STATUS_CREATED
    await hosts_of(world, "h1", "h2")
    await look(world)
    (beside,) = await brought(world)
    assert (beside.status, await has(world, "h2")) == (resources.DEPLOYMENT_STATUS_SUCCEEDED, await has(world, "h1"))
    found = await world.deployments.GetDeployment(deployments.GetDeploymentRequest(deployment_id=waiting.deployment_id))
    assert found.deployment.status == resources.DEPLOYMENT_STATUS_CREATED
    await world.deployments.StopDeployment(deployments.StopDeploymentRequest(deployment_id=waiting.deployment_id))
    await told_to_the_end(world, waiting.deployment_id)
    await look(world)
    assert await has(world, "h2") == await has(world, "h1")
    assert (await brought(world))[0].revision_id != waiting.revision_id


async def test_a_newcomer_catches_up_with_what_was_approved_meanwhile(world: RealWorld) -> None:
    await change(world, "require_approval", require_approval=True)
    waiting = await world.deploy(await world.push_other())
    await hosts_of(world, "h1", "h2")
    await look(world)
    approved = ApprovalGiven(
        at=1, elapsed=1, deployment_id=DeploymentId(waiting.deployment_id), approved_by="operator:eve", reason="looks right"
    )
    await world.real.ask(approved)
    await told_to_the_end(world, waiting.deployment_id)
    await look(world)
    assert await has(world, "h2") == await has(world, "h1") == [waiting.revision_id]


@pytest.mark.parametrize("role", [{"sources": ["s3://bundles/*"]}, {"deployment_config_names": ["CodeDeployDefault.OneAtATime"]}])
async def test_a_role_that_was_narrowed_keeps_newcomers_waiting_until_it_is_widened(
    world: RealWorld, role: dict[str, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    await change(world, "service_role", service_role=catalog.ServiceRole(**role))  # type: ignore[arg-type]  # the parameters say what
    await hosts_of(world, "h1", "h2")
    await look(world)
    assert (await brought(world), await has(world, "h2")) == ([], [])
    assert "newcomers wait: the group's service role lets the coordinator deploy with" in caplog.text
    await change(world, "service_role", service_role=catalog.ServiceRole())
    await retagged(world, "h2")
    await look(world)
    assert await has(world, "h2") == await has(world, "h1")


async def test_whoever_narrows_a_role_is_told_what_it_has_against_what_succeeded_last(world: RealWorld) -> None:
    said = catalog.DeploymentGroup(application_name="shop", deployment_group_name="web")
    said.service_role.sources.append("s3://bundles/*")
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=said)
    request.update_mask.paths.append("service_role")
    notice = (await world.catalog.UpdateDeploymentGroup(request)).notice
    assert "which succeeded last, comes from coordinator, and the service role allows s3://bundles/*: a rollback goes back to it" in notice
    asked = catalog.GetDeploymentGroupRequest(application_name="shop", deployment_group_name="web")
    assert (await world.catalog.GetDeploymentGroup(asked)).notice == notice
    await change(world, "service_role", service_role=catalog.ServiceRole(sources=["coordinator"]))
    assert (await world.catalog.GetDeploymentGroup(asked)).notice == ""


async def test_more_newcomers_at_once_than_the_role_allows_wait_and_one_alone_does_not(world: RealWorld) -> None:
    await change(world, "service_role", service_role=catalog.ServiceRole(max_hosts=1))
    await hosts_of(world, "h1", "h2", "h3")
    await look(world)
    assert await brought(world) == []
    await retagged(world, "h2")
    await look(world)
    assert await has(world, "h2") == await has(world, "h1")


async def test_a_newcomer_with_a_profile_of_its_own_waits_until_that_allows_what_the_group_has(world: RealWorld) -> None:
    await hosts_of(world, "h1", "h2")
    await world.fleet.SetInstanceProfile(fleet.SetInstanceProfileRequest(host="h2", sources=["s3://bundles/*"]))
    await look(world)
    assert await brought(world) == []
    await world.fleet.SetInstanceProfile(fleet.SetInstanceProfileRequest(host="h2", sources=["coordinator"]))
    await look(world)
    assert await has(world, "h2") == await has(world, "h1")


async def test_a_newcomer_that_may_not_read_it_holds_up_no_other_and_does_not_get_it_with_one_that_comes_later(world: RealWorld) -> None:
    await hosts_of(world, "h1", "h2", "h3")
    await world.fleet.SetInstanceProfile(fleet.SetInstanceProfileRequest(host="h2", sources=["s3://bundles/*"]))
    await look(world)
    assert (await has(world, "h3"), await has(world, "h2")) == (await has(world, "h1"), [])
    await hosts_of(world, "h4")
    while HostId("id-h4") not in world.real.come:
        await world.fleet.ListHosts(fleet.ListHostsRequest())
    world.real.come.discard(HostId("id-h2"))
    await look(world)
    assert (await has(world, "h4"), await has(world, "h2")) == (await has(world, "h1"), [])


async def retagged(world: RealWorld, host: str) -> None:
    """A host is looked at again when it is given tags."""
    await world.fleet.AddTags(fleet.AddTagsRequest(hosts=[host], tags={"looked": "at"}))
