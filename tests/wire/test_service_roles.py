"""A group's service role, over the wire: what it bounds is refused to everybody, and it is changed as a whole."""

import grpc
import pytest

from coordinator.core.lifecycle import IN_PLACE
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import fleet_pb2 as fleet
from hookline.v1 import resources_pb2 as resources
from tests.wire.world import World, refused

PRECONDITION, INVALID = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT
ONE = "11111111-1111-4111-8111-111111111111"
FAILURE = resources.AutoRollbackConfiguration(enabled=True, events=[resources.AUTO_ROLLBACK_EVENT_DEPLOYMENT_FAILURE])


async def bound(world: World, **role: object) -> catalog.DeploymentGroup:
    group = catalog.DeploymentGroup(application_name="shop", deployment_group_name="web", service_role=catalog.ServiceRole(**role))  # type: ignore[arg-type]  # the tests say what
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=group)
    request.update_mask.paths.append("service_role")
    changed: catalog.UpdateDeploymentGroupResponse = await world.catalog.UpdateDeploymentGroup(request)
    return changed.deployment_group


@pytest.mark.parametrize(
    "role, why",
    [
        ({"sources": ["s3://bundles/*"]}, "comes from coordinator"),
        ({"max_hosts": 1}, "to at most 1 of its hosts, and these are 2"),
        ({"deployment_config_names": ["CodeDeployDefault.OneAtATime"]}, "not with CodeDeployDefault.AllAtOnce"),
    ],
)
async def test_what_a_service_role_bounds_is_refused_and_nothing_is_made(world: World, role: dict[str, object], why: str) -> None:
    revision = await world.shop("h1", "h2")
    await bound(world, **role)
    no = await refused(world.deploy(revision))
    assert (no.code, why in no.message) == (PRECONDITION, True)
    assert world.engine.past == {}
    assert (await bound(world)).service_role == catalog.ServiceRole()
    assert (await world.deploy(revision)).deployment_id


async def test_named_hosts_are_counted_and_not_the_whole_group(world: World) -> None:
    revision = await world.shop("h1", "h2")
    await bound(world, max_hosts=1)
    assert (await world.deploy(revision, hosts=["h1"])).deployment_overview.in_progress == 1


async def test_a_role_without_automatic_rollback_takes_it_from_the_group_and_refuses_it_to_callers(world: World) -> None:
    revision = await world.shop("h1")
    group = catalog.DeploymentGroup(application_name="shop", deployment_group_name="web", auto_rollback_configuration=FAILURE)
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=group)
    request.update_mask.paths.append("auto_rollback_configuration")
    await world.catalog.UpdateDeploymentGroup(request)
    await bound(world, no_automatic_rollback=True)
    no = await refused(world.deploy(revision, auto_rollback_configuration=FAILURE))
    assert (no.code, "without automatic rollback" in no.message) == (PRECONDITION, True)
    made: deployments.Deployment = await world.deploy(revision)
    assert not made.auto_rollback_configuration.enabled


async def test_a_changed_role_has_the_groups_newcomers_looked_at_again(world: World) -> None:
    await world.shop("h1")
    assert world.revised == []
    await bound(world, max_hosts=9)
    assert world.revised == [("shop", "web")]


@pytest.mark.parametrize(
    "role, field",
    [
        ({"sources": ["https://*"]}, "deployment_group.service_role.sources"),
        ({"sources": ["coordinator"] * 51}, "deployment_group.service_role.sources"),
        ({"max_hosts": -1}, "deployment_group.service_role.max_hosts"),
        ({"deployment_config_names": ["no config"]}, "deployment_group.service_role.deployment_config_names"),
    ],
)
async def test_a_role_that_cannot_be_is_refused_by_its_field(world: World, role: dict[str, object], field: str) -> None:
    await world.shop("h1")
    no = await refused(bound(world, **role))
    assert (no.code, no.fields) == (INVALID, [field])


async def profile(world: World, host: str, *sources: str, request_id: str = "") -> fleet.Host:
    request = fleet.SetInstanceProfileRequest(host=host, sources=sources, request_id=request_id)
    changed: fleet.SetInstanceProfileResponse = await world.fleet.SetInstanceProfile(request)
    return changed.host


async def test_a_host_gets_nothing_that_its_instance_profile_does_not_let_it_read(world: World) -> None:
    revision = await world.shop("h1", "h2")
    for _ in range(2):  # the second is a repeat
        assert list((await profile(world, "h2", "s3://Bundles/shop/*", request_id=ONE)).sources) == ["s3://Bundles/shop/*"]
    no = await refused(world.deploy(revision))
    assert (no.code, "to h2: by their instance profiles they may not read it from coordinator" in no.message) == (PRECONDITION, True)
    assert world.engine.past == {}
    made: deployments.Deployment = await world.deploy(revision, hosts=["h1"])
    await world.deployments.StopDeployment(deployments.StopDeploymentRequest(deployment_id=made.deployment_id))
    for event in IN_PLACE:
        world.report("h1", event)
    assert list((await profile(world, "id-h2", "coordinator")).sources) == ["coordinator"]
    assert (await world.deploy(revision)).deployment_id


async def test_a_profile_that_cannot_be_is_refused(world: World) -> None:
    await world.shop("h1")
    no = await refused(profile(world, "h1", "https://*"))
    assert (no.code, no.fields) == (INVALID, ["sources"])
    assert (await refused(profile(world, "h9", "coordinator"))).code is grpc.StatusCode.NOT_FOUND
