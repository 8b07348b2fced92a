"""What would happen, as a client is told it."""

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from coordinator.core.foresight.durations import Durations, quantiles
from coordinator.core.lifecycle import IN_PLACE, EventStatus, LifecycleEvent
from coordinator.core.model import Alarm, AlertmanagerAlert, HostStatus
from coordinator.service.records import CatalogAlarm
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import foresight_pb2 as foresight
from hookline.v1 import resources_pb2 as resources
from tests.wire.world import INVALID, NOT_FOUND, PRECONDITION, World, refused

ONE_AT_A_TIME = "CodeDeployDefault.OneAtATime"
ON_FAILURE = resources.AutoRollbackConfiguration(enabled=True, events=[resources.AUTO_ROLLBACK_EVENT_DEPLOYMENT_FAILURE])
ON_ALARM = resources.AutoRollbackConfiguration(enabled=True, events=[resources.AUTO_ROLLBACK_EVENT_DEPLOYMENT_STOP_ON_ALARM])


def asked(revision: str, **more: Any) -> deployments.CreateDeploymentRequest:
    return deployments.CreateDeploymentRequest(application_name="shop", deployment_group_name="web", revision_id=revision, **more)


async def plan(world: World, revision: str, **more: Any) -> foresight.PlanDeploymentResponse:
    return await world.foresight.PlanDeployment(foresight.PlanDeploymentRequest(deployment=asked(revision, **more)))


async def simulate(world: World, revision: str, faults: dict[str, Any] | None = None, **more: Any) -> foresight.SimulateDeploymentResponse:
    request = foresight.SimulateDeploymentRequest(deployment=asked(revision, **more), **(faults or {}))
    return await world.foresight.SimulateDeployment(request)


def seconds(of: Duration) -> float:
    return of.ToMilliseconds() / 1000


async def succeeded(world: World, *hosts: str, config: str = ONE_AT_A_TIME) -> str:
    """A group on which a first revision has succeeded everywhere; the id of a second one."""
    revision = await world.shop(*hosts, config=config)
    await world.deploy(revision, deployment_config_name="CodeDeployDefault.AllAtOnce")
    for host in hosts:
        for event in IN_PLACE:
            world.report(host, event)
    return await world.push_other()


async def test_a_plan_tells_who_begins_when_and_who_stays_healthy(world: World) -> None:
    planned = await plan(world, await succeeded(world, "h1", "h2", "h3"))
    told = planned.foresight
    assert [(seconds(one.at), list(one.hosts), one.healthy_hosts) for one in told.waves] == [
        (0, ["h1"], 2),
        (35, ["h2"], 2),
        (70, ["h3"], 2),
    ]
    assert (told.hosts, told.minimum, told.floor, told.fewest_healthy, list(told.floor_broken)) == (3, 2, 2, 2, [])
    assert (seconds(told.end), told.known_targets) == (105, 0)
    assert not planned.refusals
    assert planned.deployment.status == resources.DEPLOYMENT_STATUS_IN_PROGRESS
    assert planned.deployment.deployment_id == ""
    assert len(world.engine.past) == 1


async def test_a_plan_takes_as_long_as_the_events_took_before(world: World) -> None:
    world.engine.known = Durations(quantiles={event: quantiles([1_000, 2_000, 9_000]) for event in IN_PLACE}, targets=3)
    planned = await plan(world, await world.shop("h1"))
    assert (seconds(planned.earliest_end), seconds(planned.foresight.end), seconds(planned.latest_end)) == (7, 14, 14)
    assert planned.foresight.known_targets == 3


async def test_a_plan_says_what_a_rollback_could_do(world: World) -> None:
    first = await world.shop("h1")
    assert (await plan(world, first)).rollback.message.startswith("cannot roll back: no deployment of this group had succeeded before")
    await world.deploy(first)
    for event in IN_PLACE:
        world.report("h1", event)
    planned = await plan(world, await world.push_other(), auto_rollback_configuration=ON_FAILURE)
    assert (planned.rollback.revision_id, planned.rollback.message) == (first, "")
    assert planned.rollback.auto_rollback_configuration == ON_FAILURE
    assert "is also the one that succeeded last" in (await plan(world, first)).rollback.message


async def test_a_plan_names_every_rule_that_refuses(world: World) -> None:
    revision = await world.shop("h1", "h2")
    (group,) = world.catalog_rows.grouped.values()
    world.catalog_rows.grouped["shop", "web"] = replace(group, require_signature=True)
    world.hosts.known["h2"] = replace(world.hosts.known["h2"], sources=("https://elsewhere/*",))
    planned = await plan(world, revision)
    assert [one.code for one in planned.refusals] == ["InvalidOperationException", "InvalidOperationException"]
    assert "requires signatures" in planned.refusals[0].message
    assert "instance profiles" in planned.refusals[1].message
    assert [list(one.hosts) for one in planned.foresight.waves] == [["h1", "h2"]]


async def test_a_plan_beside_a_live_deployment_goes_on_as_if_that_had_ended(world: World) -> None:
    revision = await world.shop("h1", "h2")
    live = await world.deploy(revision)
    planned = await plan(world, revision)
    (refusal,) = planned.refusals
    assert (refusal.code, live.deployment_id in refusal.message) == ("DeploymentLimitExceededException", True)
    assert planned.foresight.waves
    assert world.engine.past[next(iter(world.engine.past))].deployment.status.name == "InProgress"


async def test_a_plan_for_an_empty_group_says_so(world: World) -> None:
    planned = await plan(world, await world.shop())
    assert [one.code for one in planned.refusals] == ["NoInstancesException"]
    assert "no host matches its tag filters" in planned.refusals[0].message
    assert not planned.HasField("foresight")
    assert not planned.HasField("deployment")


async def test_a_plan_names_the_hosts_that_are_offline(world: World) -> None:
    revision = await world.shop("h1", "h2")
    world.hosts.known["h2"] = replace(world.hosts.known["h2"], status=HostStatus.Lost)
    planned = await plan(world, revision, deployment_config_name=ONE_AT_A_TIME)
    assert list(planned.offline_hosts) == ["h2"]
    assert [list(one.hosts) for one in planned.foresight.waves] == [["h1"], ["h2"]]
    assert seconds(planned.foresight.end) == 335
    assert planned.foresight.status == resources.DEPLOYMENT_STATUS_SUCCEEDED


async def test_a_plan_that_would_fail_says_so_and_why(world: World) -> None:
    revision = await succeeded(world, "h1", "h2")
    world.hosts.known["h2"] = replace(world.hosts.known["h2"], status=HostStatus.Lost)
    group = catalog.DeploymentGroup(
        application_name="shop", deployment_group_name="web", offline_policy=resources.OfflinePolicy(action=resources.OFFLINE_ACTION_FAIL)
    )
    await world.catalog.UpdateDeploymentGroup(
        catalog.UpdateDeploymentGroupRequest(deployment_group=group, update_mask=FieldMask(paths=["offline_policy"]))
    )
    planned = await plan(world, revision, deployment_config_name=ONE_AT_A_TIME)
    assert not planned.refusals
    assert not planned.foresight.waves
    assert planned.foresight.status == resources.DEPLOYMENT_STATUS_FAILED
    assert "cannot go on: 1 of 2 hosts failed (h2)" in planned.foresight.error_information.message
    assert planned.foresight.fewest_healthy == 1
    assert [one.hosts for one in planned.foresight.healthy_hosts] == [1]


async def test_an_approval_is_named_and_passed_at_once(world: World) -> None:
    revision = await world.shop("h1")
    (group,) = world.catalog_rows.grouped.values()
    world.catalog_rows.grouped["shop", "web"] = replace(group, require_approval=True)
    planned = await plan(world, revision)
    assert list(planned.foresight.gates) == ["waits for approval by somebody other than local"]
    assert planned.deployment.status == resources.DEPLOYMENT_STATUS_CREATED
    assert seconds(planned.foresight.end) == 35


async def test_what_is_only_validated_is_answered_and_not_made(world: World) -> None:
    revision = await world.shop("h1", "h2")
    made = await world.deploy(revision, validate_only=True, description="why", request_id="11111111-1111-4111-8111-111111111111")
    assert (made.deployment_id, made.description, made.revision_id) == ("", "why", revision)
    assert (made.deployment_overview.in_progress, made.status) == (2, resources.DEPLOYMENT_STATUS_IN_PROGRESS)
    assert not world.engine.past
    assert not world.engine.told
    live = await world.deploy(revision, request_id="11111111-1111-4111-8111-111111111111")
    assert live.deployment_id
    no = await refused(world.deploy(revision, validate_only=True))
    assert (no.code, no.reason) == (PRECONDITION, "DEPLOYMENT_LIMIT_EXCEEDED")
    no = await refused(world.deploy("r-1", validate_only=True))
    assert (no.code, no.fields) == (INVALID, ["revision_id"])


async def test_a_host_that_fails_is_told_with_the_rollback(world: World) -> None:
    revision = await succeeded(world, "h1", "h2", "h3")
    failing = [foresight.FailingHost(host="h2", lifecycle_event=resources.LIFECYCLE_EVENT_INSTALL)]
    told = await simulate(world, revision, {"failing_hosts": failing}, auto_rollback_configuration=ON_FAILURE)
    failed, rollback = told.deployments
    assert (failed.status, rollback.status) == (resources.DEPLOYMENT_STATUS_FAILED, resources.DEPLOYMENT_STATUS_SUCCEEDED)
    assert rollback.rollback_info.rollback_triggering_deployment_id == failed.deployment_id == "foreseen"
    assert [list(one.hosts) for one in told.foresight.waves if one.rollback] == [["h2"], ["h1"]]
    assert not told.foresight.floor_broken
    said = [(one.entry, one.host_name, one.message) for one in told.entries]
    assert ("Failed", "h2", "Install failed: foreseen to fail") in said
    assert said[-1] == ("Succeeded", "", "")
    assert told.entries[0].time.ToMilliseconds() == world.clock.now()


async def test_an_alarm_stops_and_rolls_back(world: World) -> None:
    revision = await succeeded(world, "h1", "h2", "h3")
    alarm = Alarm(name="HighErrors", source=AlertmanagerAlert(labels={"alertname": "HighErrors"}))
    world.catalog_rows.alarms["HighErrors"] = CatalogAlarm(alarm=alarm, created_at=0, updated_at=0)
    watched = resources.AlarmConfiguration(enabled=True, alarms=["HighErrors"])
    firing = {"firing_alarms": [foresight.FiringAlarm(at=Duration(seconds=40))]}
    told = await simulate(world, revision, firing, override_alarm_configuration=watched, auto_rollback_configuration=ON_ALARM)
    assert [one.status for one in told.deployments] == [
        resources.DEPLOYMENT_STATUS_STOPPED,
        resources.DEPLOYMENT_STATUS_SUCCEEDED,
    ]
    assert "alarm HighErrors is active" in told.deployments[0].error_information.message
    strange = {"firing_alarms": [foresight.FiringAlarm(alarm_name="Other", at=Duration(seconds=40))]}
    no = await refused(simulate(world, revision, strange, override_alarm_configuration=watched))
    assert (no.code, no.message) == (
        INVALID,
        "cannot let alarm Other fire: the deployment does not watch it; it watches HighErrors",
    )


async def test_the_same_seed_is_the_same_world(world: World) -> None:
    world.engine.known = Durations(quantiles={event: quantiles(range(1_000, 60_000, 100)) for event in IN_PLACE}, targets=590)
    revision = await succeeded(world, *(f"h{number:02}" for number in range(20)), config="CodeDeployDefault.HalfAtATime")
    chance = {"failing_percent": 20.0, "lost_percent": 10.0, "back_after": Duration(seconds=600)}
    first = await simulate(world, revision, {**chance, "seed": 7})
    assert await simulate(world, revision, {**chance, "seed": 7}) == first
    assert await simulate(world, revision, {**chance, "seed": 8}) != first
    assert not first.foresight.floor_broken


async def test_a_stop_and_a_lost_host_that_comes_back(world: World) -> None:
    revision = await succeeded(world, "h1", "h2", "h3")
    faults = {
        "lost_hosts": [foresight.LostHost(host="h3", at=Duration(seconds=1))],
        "back_after": Duration(seconds=5),
        "stop_at": Duration(seconds=40),
    }
    told = await simulate(world, revision, faults)
    assert [one.status for one in told.deployments] == [resources.DEPLOYMENT_STATUS_STOPPED]
    assert [(one.entry, one.host_name) for one in told.entries if one.host_name == "h3"][:2] == [
        ("HostLost", "h3"),
        ("HostConnected", "h3"),
    ]
    assert told.deployments[0].error_information.message == "stopped by local: foreseen"


# fmt: off
@pytest.mark.parametrize("faults, field, sentence", [
    ({"failing_percent": 300.0}, "failing_percent", "cannot let 300 % of the hosts fail: it is a number from 0 to 100"),
    ({"failing_percent": float("nan")}, "failing_percent", "cannot let nan % of the hosts fail: it is a number from 0 to 100"),
    ({"lost_percent": -1.0}, "lost_percent", "cannot let -1 % of the hosts be lost: it is a number from 0 to 100"),
    ({"stop_at": Duration(seconds=-5)}, "stop_at", "cannot look at -5 s: times count from the creation of the deployment, from 0 on"),
    ({"back_after": Duration(seconds=10**9)}, "back_after", "cannot look further ahead than 366 days"),
    ({"firing_alarms": [foresight.FiringAlarm(at=Duration(seconds=1))]}, "firing_alarms",
     "cannot let an alarm fire: the deployment watches none; name some for it, or for its group"),
    ({"failing_hosts": [foresight.FailingHost(host="h1", lifecycle_event=resources.LIFECYCLE_EVENT_BLOCK_TRAFFIC)]}, "failing_hosts",
     f"cannot let BlockTraffic fail: the deployment has no such event; it has {', '.join(event.name for event in IN_PLACE)}"),
    ({"failing_hosts": [foresight.FailingHost(host="db-1")]}, "host", "cannot let db-1 fail or be lost: it is not among the hosts of web"),
])
# fmt: on
async def test_what_makes_no_sense_is_refused(world: World, faults: dict[str, Any], field: str, sentence: str) -> None:
    revision = await world.shop("h1")
    world.hosts.join("db-1", role="db")
    no = await refused(simulate(world, revision, faults))
    assert (no.code, no.fields, no.message) == (INVALID, [field], sentence)


async def test_what_nobody_knows_cannot_fail(world: World) -> None:
    no = await refused(simulate(world, await world.shop("h1"), {"failing_hosts": [foresight.FailingHost(host="h9")]}))
    assert (no.code, no.message) == (NOT_FOUND, "cannot find host h9")


async def test_what_would_be_refused_is_not_simulated(world: World) -> None:
    no = await refused(simulate(world, await world.shop()))
    assert (no.code, no.reason) == (PRECONDITION, "NO_INSTANCES")


def test_quantiles_are_read_between_their_bounds() -> None:
    durations = Durations(quantiles={LifecycleEvent.Install: quantiles(range(0, 1_001))})
    assert [durations.of(LifecycleEvent.Install, part) for part in (0, 0.25, 0.5, 0.999, 1)] == [0, 250, 500, 999, 1_000]
    assert durations.of(LifecycleEvent.ApplicationStop, 0.5) == 5_000
    assert quantiles([]) == ()


async def explain(world: World, deployment_id: str, host: str = "") -> foresight.Explanation:
    request = foresight.ExplainDeploymentRequest(deployment_id=deployment_id, host=host)
    return (await world.foresight.ExplainDeployment(request)).explanation


async def test_a_live_deployment_says_whom_it_waits_for(world: World) -> None:
    made = await world.deploy(await succeeded(world, "h1", "h2", "h3"))
    whole = await explain(world, made.deployment_id)
    assert (whole.reason, whole.application_name, whole.deployment_group_name) == ("WindowFull", "shop", "web")
    assert whole.sentence == f"{made.deployment_id} deploys to h1; 2 wait: 1 in progress takes every place there is (1)"
    assert (await explain(world, made.deployment_id, "h1")).sentence == "h1 has been sent its instruction and has not answered yet"
    until = (await explain(world, made.deployment_id, "h1")).until
    assert until.ToMilliseconds() == world.clock.now() + 300_000
    assert (await explain(world, made.deployment_id, "h3")).sentence == "h3 waits: 1 in progress takes every place there is (1)"
    world.report("h1", LifecycleEvent.Install, EventStatus.InProgress)
    running = (await world.foresight.ExplainHost(foresight.ExplainHostRequest(host="h1"))).explanations
    assert [(one.sentence, one.reason, one.host_name) for one in running] == [("h1 runs Install", "Event", "h1")]


async def test_what_has_ended_says_how(world: World) -> None:
    revision = await world.shop("h1")
    made = await world.deploy(revision)
    for event in IN_PLACE:
        world.report("h1", event)
    assert (await explain(world, made.deployment_id)).sentence == f"{made.deployment_id} has ended Succeeded"
    assert (await explain(world, made.deployment_id, "h1")).sentence == f"h1 has ended Succeeded in {made.deployment_id}"
    idle = (await world.foresight.ExplainHost(foresight.ExplainHostRequest(host="h1"))).explanations
    assert [one.sentence for one in idle] == ["h1 is Connected and has no part in a live deployment"]
    assert (await refused(explain(world, "d-000000000"))).code is NOT_FOUND
    assert (await refused(explain(world, made.deployment_id, "h9"))).code is NOT_FOUND
    assert (await refused(world.foresight.ExplainHost(foresight.ExplainHostRequest(host="h9")))).code is NOT_FOUND
