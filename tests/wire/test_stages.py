"""Shapes of rollouts, and what may be wished of live ones, as a client sees them."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from coordinator.core.lifecycle import IN_PLACE, EventStatus
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as pb
from hookline.v1 import resources_pb2 as resources
from tests.wire.world import INVALID, PRECONDITION, World, refused

ONE = "11111111-1111-4111-8111-111111111111"
NONE = resources.MinimumHealthyHosts(type=resources.MINIMUM_HEALTHY_HOSTS_TYPE_HOST_COUNT, value=0)
MINUTE = Duration(seconds=60)
ANYBODY = resources.Gate(approvers=["role:approver"])
ANNA = resources.Gate(approvers=["anna"], timeout=Duration(seconds=3600))
CANARY = resources.Canaries(tag_filters=[resources.TagFilter(key="canary")], bake_time=MINUTE)


def step(size: int, **more: Any) -> resources.RolloutStep:
    return resources.RolloutStep(percent=size, **more)


async def config(world: World, name: str = "Careful", **shape: Any) -> catalog.DeploymentConfig:
    request = catalog.CreateDeploymentConfigRequest(deployment_config_name=name, minimum_healthy_hosts=NONE, **shape)
    return (await world.catalog.CreateDeploymentConfig(request)).deployment_config


async def get(world: World, deployment_id: str) -> pb.Deployment:
    return (await world.deployments.GetDeployment(pb.GetDeploymentRequest(deployment_id=deployment_id))).deployment


async def test_a_config_keeps_its_shape(world: World) -> None:
    minute_and_gate = step(50, bake_time=MINUTE, gate=ANYBODY)
    made = await config(world, canaries=CANARY, steps=[resources.RolloutStep(hosts=1), minute_and_gate, step(100)])
    assert (made.canaries.tag_filters[0].key, made.canaries.bake_time) == ("canary", MINUTE)
    assert [(one.hosts, one.percent) for one in made.steps] == [(1, 0), (0, 50), (0, 100)]
    assert made.steps[1].gate.timeout.seconds == 86_400
    zonal = (await config(world, "Zonal", zonal_config=resources.ZonalConfig(monitor_duration_in_seconds=60))).zonal_config
    assert (zonal.zone_tag, zonal.monitor_duration_in_seconds, zonal.minimum_healthy_hosts_per_zone.value) == ("fact:zone", 60, 0)


@pytest.mark.parametrize(
    "shape, field, why",
    [
        ({"steps": [step(50), step(25)]}, "steps[1]", "each has to be greater"),
        ({"steps": [step(101)]}, "steps[0].percent", "1 to 100"),
        ({"steps": [step(50), resources.RolloutStep(hosts=9)]}, "steps[1]", "after counts"),
        ({"steps": [resources.RolloutStep()]}, "steps[0]", "hosts or percent"),
        ({"steps": [step(50, bake_time=Duration(seconds=-1))]}, "steps[0].bake_time", "0 to 7 days"),
        ({"steps": [step(50, gate=resources.Gate())]}, "steps[0].gate.approvers", "0 approvers"),
        ({"steps": [step(50, gate=resources.Gate(approvers=["no body"]))]}, "steps[0].gate.approvers", "no body"),
        ({"canaries": resources.Canaries(hosts=["h1"])}, "canaries.hosts", "for any group"),
        ({"canaries": resources.Canaries()}, "canaries.tag_filters", "who the canaries are"),
        ({"steps": [step(50)], "zonal_config": resources.ZonalConfig()}, "zonal_config", "steps or zonal_config"),
        (
            {
                "zonal_config": resources.ZonalConfig(
                    minimum_healthy_hosts_per_zone=resources.MinimumHealthyHosts(
                        type=resources.MINIMUM_HEALTHY_HOSTS_TYPE_FLEET_PERCENT, value=100
                    )
                )
            },
            "zonal_config.minimum_healthy_hosts_per_zone.value",
            "0 to 99",
        ),
    ],
)
async def test_a_shape_that_makes_no_sense_is_refused(world: World, shape: dict[str, Any], field: str, why: str) -> None:
    no = await refused(config(world, **shape))
    assert (no.code, no.fields) == (INVALID, [field])
    assert why in no.message


async def test_a_deployment_says_in_which_stage_it_is_and_what_it_waits_for(world: World) -> None:
    await config(world, canaries=CANARY, steps=[step(50, gate=ANYBODY)])
    revision = await world.shop("h1", "h2", "h3", "h4", config="Careful")
    world.hosts.join("h3", role="web", canary="")
    made = await world.deploy(revision)
    assert [(one.name, one.status) for one in made.stages] == [
        ("canaries", pb.STAGE_STATUS_IN_PROGRESS),
        ("50 %", pb.STAGE_STATUS_PENDING),
        ("the rest", pb.STAGE_STATUS_PENDING),
    ]
    assert made.waiting.waiting_for == pb.WAITING_FOR_HOSTS
    world.report("h3", IN_PLACE[-1])
    baking = (await get(world, made.deployment_id)).waiting
    assert (baking.waiting_for, baking.stage) == (pb.WAITING_FOR_BAKE, 0)
    assert baking.until_time.ToMilliseconds() == world.clock.now() + 60_000
    asked = pb.PromoteDeploymentRequest(deployment_id=made.deployment_id, reason="seen enough")
    now = (await world.deployments.PromoteDeployment(asked)).deployment
    assert [one.overview.in_progress for one in now.stages] == [0, 1, 0]
    world.report("h1", IN_PLACE[-1])
    waits = (await get(world, made.deployment_id)).waiting
    assert waits.waiting_for == pb.WAITING_FOR_GATE
    assert waits.message == 'any approver has to approve stage "50 %" within 24 h'
    approval = pb.ApproveDeploymentRequest(deployment_id=made.deployment_id)
    passed = (await world.deployments.ApproveDeployment(approval)).deployment
    assert (passed.stages[1].passed_by, passed.stages[1].status) == ("local", pb.STAGE_STATUS_OVER)
    target = pb.GetTargetRequest(deployment_id=made.deployment_id, host="h4")
    assert (await world.deployments.GetTarget(target)).target.stage == 2


async def test_canaries_that_are_named_take_the_place_of_the_configs(world: World) -> None:
    await config(world, canaries=CANARY)
    revision = await world.shop("h1", "h2", config="Careful")
    no = await refused(world.deploy(revision))
    assert no.code is PRECONDITION
    assert "none of its canaries" in no.message
    no = await refused(world.deploy(revision, canaries=resources.Canaries(hosts=["h9"])))
    assert (no.code, no.fields) == (INVALID, ["canaries.hosts"])
    made = await world.deploy(revision, canaries=resources.Canaries(hosts=["h2"]))
    assert [one.host_id for one in world.engine.instructed] == ["id-h2"]
    assert [one.name for one in made.stages] == ["canaries", "the rest"]


async def test_a_gate_that_nobody_could_pass_is_refused_at_once(world: World) -> None:
    await config(world, steps=[step(50, gate=ANNA)])
    revision = await world.shop("h1", "h2", config="Careful")
    no = await refused(world.deploy(revision))
    assert no.code is PRECONDITION
    assert 'nobody could pass the gate after the step "50 %": it is for anna' in no.message
    world.grounds.approvers = ("anna",)
    assert (await world.deploy(revision)).stages[0].gate.approvers == ["anna"]


async def test_what_fails_can_be_tried_again_and_what_waits_left_out(world: World) -> None:
    await config(world, steps=[step(33, bake_time=MINUTE)])
    revision = await world.shop("h1", "h2", "h3", config="Careful")
    made = await world.deploy(revision)
    wish = {"deployment_id": made.deployment_id}
    paused = pb.PauseDeploymentRequest(**wish, reason="lunch", request_id=ONE)
    for _ in range(2):
        now = (await world.deployments.PauseDeployment(paused)).deployment
        assert (now.waiting.waiting_for, now.waiting.message) == (pb.WAITING_FOR_RESUMPTION, "local has paused it: lunch")
    world.report("h1", IN_PLACE[0], EventStatus.Failed)
    no = await refused(world.deployments.RetryTargets(pb.RetryTargetsRequest(**wish, hosts=["h3"])))
    assert "it has not ended" in no.message
    await world.deployments.RetryTargets(pb.RetryTargetsRequest(**wish, hosts=["h1"]))
    await world.deployments.SkipTargets(pb.SkipTargetsRequest(**wish, hosts=["h3"], reason="its disk"))
    assert (await refused(world.deployments.SkipTargets(pb.SkipTargetsRequest(**wish)))).fields == ["hosts"]
    await world.deployments.ResumeDeployment(pb.ResumeDeploymentRequest(**wish))
    found = (await world.deployments.GetTarget(pb.GetTargetRequest(**wish, host="h1"))).target
    assert (found.attempt, found.status) == (2, resources.TARGET_STATUS_IN_PROGRESS)
    left = (await world.deployments.GetTarget(pb.GetTargetRequest(**wish, host="h3"))).target
    assert (left.status, left.message) == (resources.TARGET_STATUS_SKIPPED, "left out by local: its disk")
    world.report("h1", IN_PLACE[-1])
    assert (await get(world, made.deployment_id)).waiting.waiting_for == pb.WAITING_FOR_BAKE
