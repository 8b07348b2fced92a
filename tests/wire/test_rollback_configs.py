"""By which config a deployment is rolled back: the group's, another one that it names, or its own."""

import pytest

from coordinator.core.lifecycle import IN_PLACE, EventStatus, LifecycleEvent
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as pb
from hookline.v1 import foresight_pb2 as foresight
from hookline.v1 import resources_pb2 as resources
from tests.wire.test_service_roles import bound
from tests.wire.world import NOT_FOUND, PRECONDITION, World, refused

ONE_AT_A_TIME, HALF, ALL = (f"CodeDeployDefault.{name}" for name in ("OneAtATime", "HalfAtATime", "AllAtOnce"))
HOSTS = ("h1", "h2", "h3", "h4")


async def back_by(world: World, name: str) -> None:
    """The group's deployments are rolled back by this config."""
    group = catalog.DeploymentGroup(application_name="shop", deployment_group_name="web", rollback_deployment_config_name=name)
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=group)
    request.update_mask.paths.append("rollback_deployment_config_name")
    await world.catalog.UpdateDeploymentGroup(request)


async def succeeded(world: World) -> str:
    """A first revision has succeeded on four hosts; the id of a second one."""
    await world.deploy(await world.shop(*HOSTS))
    for host in HOSTS:
        for event in IN_PLACE:
            world.report(host, event)
    return await world.push_other()


@pytest.mark.parametrize("named, frozen", [(None, HALF), ("", ""), (ALL, ALL)])
async def test_a_deployment_says_by_which_config_it_is_rolled_back_or_leaves_it_to_its_group(
    world: World, named: str | None, frozen: str
) -> None:
    revision = await succeeded(world)
    await back_by(world, HALF)
    made = await world.deploy(revision, deployment_config_name=ONE_AT_A_TIME, rollback_deployment_config_name=named)
    assert made.rollback_deployment_config_name == frozen
    await back_by(world, "")
    for event in IN_PLACE:
        world.report("h1", event)
    stop = pb.StopDeploymentRequest(deployment_id=made.deployment_id, auto_rollback_enabled=True)
    await world.deployments.StopDeployment(stop)
    world.report("h2", LifecycleEvent.ApplicationStop, EventStatus.Failed)
    stopped = (await world.deployments.GetDeployment(pb.GetDeploymentRequest(deployment_id=made.deployment_id))).deployment
    asked = pb.GetDeploymentRequest(deployment_id=stopped.rollback_info.rollback_deployment_id)
    back = (await world.deployments.GetDeployment(asked)).deployment
    assert back.deployment_config_name == (frozen or ONE_AT_A_TIME)
    assert back.deployment_overview.in_progress == (1 if back.deployment_config_name == ONE_AT_A_TIME else 2)


async def test_a_rollback_config_that_does_not_exist_is_refused_and_nothing_is_made(world: World) -> None:
    revision = await succeeded(world)
    for validate in (False, True):
        no = await refused(world.deploy(revision, rollback_deployment_config_name="Nothing", validate_only=validate))
        assert (no.code, no.reason, no.fields) == (
            NOT_FOUND,
            "DEPLOYMENT_CONFIG_DOES_NOT_EXIST",
            ["rollback_deployment_config_name"],
        )
        assert no.message == "cannot roll back by deployment config Nothing: there is none of that name"
    assert len(world.engine.past) == 1


async def test_one_that_would_leave_nobody_to_roll_back_is_refused_before_anything_begins(world: World) -> None:
    revision = await succeeded(world)
    every = resources.MinimumHealthyHosts(type=resources.MINIMUM_HEALTHY_HOSTS_TYPE_HOST_COUNT, value=4)
    request = catalog.CreateDeploymentConfigRequest(deployment_config_name="Everybody", minimum_healthy_hosts=every)
    await world.catalog.CreateDeploymentConfig(request)
    no = await refused(world.deploy(revision, rollback_deployment_config_name="Everybody"))
    assert (no.code, "leaves none to roll back" in no.message, "name another config for rollbacks" in no.message) == (
        PRECONDITION,
        True,
        True,
    )
    await back_by(world, "Everybody")
    assert (await world.deploy(revision, rollback_deployment_config_name="", validate_only=True)).rollback_deployment_config_name == ""


async def test_a_service_role_bounds_it_too(world: World) -> None:
    revision = await succeeded(world)
    await bound(world, deployment_config_names=[ALL])
    no = await refused(world.deploy(revision, rollback_deployment_config_name=HALF))
    assert (no.code, f"and not roll back with {HALF}" in no.message) == (PRECONDITION, True)


async def test_what_is_foreseen_goes_back_by_it(world: World) -> None:
    revision = await succeeded(world)
    failure = resources.AutoRollbackConfiguration(enabled=True, events=[resources.AUTO_ROLLBACK_EVENT_DEPLOYMENT_FAILURE])
    asked = pb.CreateDeploymentRequest(
        application_name="shop",
        deployment_group_name="web",
        revision_id=revision,
        deployment_config_name=ONE_AT_A_TIME,
        rollback_deployment_config_name=ALL,
        auto_rollback_configuration=failure,
    )
    planned = await world.foresight.PlanDeployment(foresight.PlanDeploymentRequest(deployment=asked))
    assert planned.deployment.rollback_deployment_config_name == ALL
    failing = [foresight.FailingHost(host="h2")]
    told = await world.foresight.SimulateDeployment(foresight.SimulateDeploymentRequest(deployment=asked, failing_hosts=failing))
    assert [list(one.hosts) for one in told.foresight.waves if one.rollback] == [["h2", "h1"]]
