"""One table of deployments that cannot be: what was asked for, in which world, and what is answered. Nothing is made."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from coordinator.core.lifecycle import IN_PLACE
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as pb
from hookline.v1 import resources_pb2 as resources
from tests.wire.world import INVALID, NOT_FOUND, PRECONDITION, World, refused

MISSING = "r-0123456789abcdef"
YEAR_2001 = Timestamp(seconds=1_000_000_000)
YEAR_2100 = Timestamp(seconds=4_102_444_800)
HALF = resources.MinimumHealthyHosts(type=resources.MINIMUM_HEALTHY_HOSTS_TYPE_FLEET_PERCENT, value=50)
NEARLY_ALL = resources.MinimumHealthyHosts(type=resources.MINIMUM_HEALTHY_HOSTS_TYPE_FLEET_PERCENT, value=99)
THREE = resources.MinimumHealthyHosts(type=resources.MINIMUM_HEALTHY_HOSTS_TYPE_HOST_COUNT, value=3)


async def three(world: World) -> str:
    """Three hosts and a revision."""
    world.hosts.join("other", role="db")
    return await world.shop("h1", "h2", "h3")


async def nobody(world: World) -> str:
    """A group in which nobody is."""
    return await world.shop()


async def deployed(world: World) -> str:
    """Three hosts that have the revision."""
    revision = await three(world)
    await world.deploy(revision)
    for host in ("h1", "h2", "h3"):
        world.report(host, IN_PLACE[-1])
    return revision


def with_config(minimum: resources.MinimumHealthyHosts = HALF, **shape: Any) -> Callable[[World], Awaitable[str]]:
    """Three hosts, and a config "mine"."""

    async def prepare(world: World) -> str:
        request = catalog.CreateDeploymentConfigRequest(deployment_config_name="mine", minimum_healthy_hosts=minimum, **shape)
        await world.catalog.CreateDeploymentConfig(request)
        return await three(world)

    return prepare


async def rolls_back_too_slowly(world: World) -> str:
    """Three hosts, and a config for rollbacks that keeps them all."""
    revision = await with_config(NEARLY_ALL)(world)
    group = catalog.DeploymentGroup(application_name="shop", deployment_group_name="web", rollback_deployment_config_name="mine")
    mask = FieldMask(paths=["rollback_deployment_config_name"])
    await world.catalog.UpdateDeploymentGroup(catalog.UpdateDeploymentGroupRequest(deployment_group=group, update_mask=mask))
    return revision


async def group_is_gone(world: World) -> str:
    """A group that has a history, and was deleted."""
    revision = await deployed(world)
    request = catalog.DeleteDeploymentGroupRequest(application_name="shop", deployment_group_name="web")
    await world.catalog.DeleteDeploymentGroup(request)
    return revision


MINE = {"deployment_config_name": "mine"}
RESTART = {"deployment_mode": pb.DEPLOYMENT_MODE_RESTART}
A_THIRD = resources.RolloutStep(percent=30, gate=resources.Gate(approvers=["nobody-here"]))
NO_ALARM = resources.AlarmConfiguration(enabled=True, alarms=["Nope"])
LONG = "x" * 257

# fmt: off
ROWS: list[tuple[str, Any, dict[str, Any], grpc.StatusCode, str, str]] = [
    # what, in which world, what is asked for; the status, the field, and what the sentence has
    ("application", three, {"application_name": "shopp"}, NOT_FOUND, "", "cannot find application shopp"),
    ("group", three, {"deployment_group_name": "wb"}, NOT_FOUND, "", "cannot find deployment group wb"),
    ("deleted group", group_is_gone, {}, NOT_FOUND, "", "cannot find deployment group web"),
    ("revision", three, {"revision_id": MISSING}, NOT_FOUND, "", f"cannot find revision {MISSING}"),
    ("config", three, {"deployment_config_name": "Nope"}, NOT_FOUND, "", "cannot find deployment config Nope"),
    ("back config", three, {"rollback_deployment_config_name": "Nope"},
     NOT_FOUND, "rollback_deployment_config_name", "by deployment config Nope"),
    ("host", three, {"hosts": ["h9"]}, NOT_FOUND, "", "cannot find host h9"),
    ("other's host", three, {"hosts": ["other"]}, INVALID, "hosts", "other"),
    ("canary", three, {"canaries": resources.Canaries(hosts=["h9"])}, INVALID, "canaries.hosts", "h9"),
    ("alarm", three, {"override_alarm_configuration": NO_ALARM}, INVALID, "alarms", "there is no alarm Nope"),
    ("past", three, {"start_time": YEAR_2001}, INVALID, "start_time", "leave start_time out"),
    ("far future", three, {"start_time": YEAR_2100}, INVALID, "start_time", "30 days ahead is the most"),
    ("description", three, {"description": LONG}, INVALID, "description", "256"),
    ("file behavior", three, {"file_exists_behavior": 9}, INVALID, "file_exists_behavior", "9"),
    ("bake", three, {"override_alarm_configuration": resources.AlarmConfiguration(bake_time=Duration(seconds=-1))},
     INVALID, "override_alarm_configuration.bake_time", "0 to 7 days"),
    ("restart of", deployed, RESTART, INVALID, "revision_id", "leave it out"),
    ("first restart", three, {**RESTART, "revision_id": ""}, PRECONDITION, "", "nothing has succeeded there; deploy"),
    ("nobody", nobody, {}, PRECONDITION, "", "tag hosts, or change the filters"),
    ("% of nobody", nobody, {"deployment_config_name": "CodeDeployDefault.HalfAtATime"},
     PRECONDITION, "", "no host matches its tag filters"),
    ("all have it", deployed, {"update_outdated_instances_only": True}, PRECONDITION, "", "do not ask for outdated hosts only"),
    ("no room", with_config(THREE), MINE, PRECONDITION, "", "use a config with a lower minimum"),
    ("no room in %", with_config(NEARLY_ALL), MINE, PRECONDITION, "", "keeps 3 of 3 hosts healthy"),
    ("no way back", rolls_back_too_slowly, {}, PRECONDITION, "", "another config for rollbacks"),
    ("no way back 2", with_config(NEARLY_ALL), {"rollback_deployment_config_name": "mine"}, PRECONDITION, "", "none to roll back"),
    ("nobody's gate", with_config(steps=[A_THIRD]), MINE, PRECONDITION, "deployment_config_name", "grant somebody the role"),
    ("no canary", with_config(canaries=resources.Canaries(tag_filters=[resources.TagFilter(key="canary")])), MINE,
     PRECONDITION, "", "name other canaries"),
    ("no zone", with_config(zonal_config=resources.ZonalConfig(zone_tag="zoe")), MINE,
     PRECONDITION, "", "none of its hosts has a zone by zoe"),
]
# fmt: on


@pytest.mark.parametrize("validate_only", [False, True], ids=["", "validate only"])
@pytest.mark.parametrize("prepare, asked, code, field, sentence", [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
async def test_a_deployment_that_cannot_be_is_refused_with_what_to_do(
    world: World, prepare: Any, asked: dict[str, Any], code: grpc.StatusCode, field: str, sentence: str, validate_only: bool
) -> None:
    revision = await prepare(world)
    before, instructed = len(world.engine.told), len(world.engine.instructed)
    request: dict[str, Any] = {"application_name": "shop", "deployment_group_name": "web", "revision_id": revision} | asked
    no = await refused(world.deployments.CreateDeployment(pb.CreateDeploymentRequest(**request, validate_only=validate_only)))
    assert (no.code, no.fields) == (code, [field] if field else []), no.message
    assert no.message.startswith("cannot ")
    assert sentence in no.message
    assert (len(world.engine.told), len(world.engine.instructed)) == (before, instructed)
    assert all(group.deployment is None and not group.waiting for group in world.engine.groups.values())


async def test_a_deleted_group_keeps_its_history(world: World) -> None:
    await group_is_gone(world)
    (told,) = (await world.deployments.ListDeployments(pb.ListDeploymentsRequest())).deployments
    assert (told.deployment_group_name, told.status) == ("web", resources.DEPLOYMENT_STATUS_SUCCEEDED)
    entries = (await world.deployments.ListHistory(pb.ListHistoryRequest(application_name="shop"))).entries
    assert "Succeeded" in [one.entry for one in entries]


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            {"tag_sets": [resources.TagFilterList(tag_filters=[resources.TagFilter(key="role")])]},
            "cannot find hosts by tag_filters and by tag_sets: give one of them",
        ),
        (
            {
                "tag_filters": [],
                "tag_sets": [resources.TagFilterList(tag_filters=[resources.TagFilter(key="role", value=role)]) for role in ("web", "api")],
            },
            "no host",
        ),
    ],
    ids=["filters and sets", "sets that no host can match"],
)
async def test_filters_that_contradict_each_other_are_refused(world: World, change: dict[str, Any], sentence: str) -> None:
    await world.shop()
    group = {"application_name": "shop", "deployment_group_name": "db", "tag_filters": [resources.TagFilter(key="role")]} | change
    no = await refused(
        world.catalog.CreateDeploymentGroup(catalog.CreateDeploymentGroupRequest(deployment_group=catalog.DeploymentGroup(**group)))
    )
    assert no.code is INVALID
    assert sentence in no.message
