"""Deployments, targets and the history, as a client sees them."""

from dataclasses import replace

from coordinator.core.lifecycle import IN_PLACE, EventStatus, LifecycleErrorCode, LifecycleEvent
from coordinator.core.model import HostStatus
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import resources_pb2 as resources
from tests.wire.world import INVALID, NOT_FOUND, PRECONDITION, World, refused

ONE = "11111111-1111-4111-8111-111111111111"


async def get(world: World, deployment_id: str) -> deployments.Deployment:
    return (await world.deployments.GetDeployment(deployments.GetDeploymentRequest(deployment_id=deployment_id))).deployment


async def test_a_deployment_freezes_what_was_asked_for(world: World) -> None:
    revision = await world.shop("h1", "h2")
    made = await world.deploy(
        revision,
        description="why",
        deployment_config_name="CodeDeployDefault.HalfAtATime",
        file_exists_behavior=resources.FILE_EXISTS_BEHAVIOR_RETAIN,
        auto_rollback_configuration=resources.AutoRollbackConfiguration(
            enabled=True, events=[resources.AUTO_ROLLBACK_EVENT_DEPLOYMENT_FAILURE]
        ),
    )
    assert (made.application_name, made.deployment_group_name, made.revision_id) == ("shop", "web", revision)
    assert (made.created_by, made.creator, made.description) == ("local", resources.DEPLOYMENT_CREATOR_USER, "why")
    assert made.deployment_config_name == "CodeDeployDefault.HalfAtATime"
    assert made.minimum_healthy_hosts.type == resources.MINIMUM_HEALTHY_HOSTS_TYPE_FLEET_PERCENT
    assert made.minimum_healthy_hosts.value == 50
    assert made.auto_rollback_configuration.enabled
    assert made.file_exists_behavior == resources.FILE_EXISTS_BEHAVIOR_RETAIN
    assert made.status == resources.DEPLOYMENT_STATUS_IN_PROGRESS
    assert made.create_time.ToMilliseconds() == world.clock.now()
    assert not made.HasField("complete_time")
    assert not made.HasField("rollback_info")
    assert await get(world, made.deployment_id) == made


async def test_a_deployment_takes_the_rules_of_its_group(world: World) -> None:
    made = await world.deploy(await world.shop("h1", config="CodeDeployDefault.HalfAtATime"))
    assert made.deployment_config_name == "CodeDeployDefault.HalfAtATime"
    assert not made.auto_rollback_configuration.enabled


async def test_lost_hosts_are_told_to_the_core_as_lost(world: World) -> None:
    revision = await world.shop("h1", "h2")
    world.hosts.known["h2"] = replace(world.hosts.known["h2"], status=HostStatus.Lost)
    made = await world.deploy(revision)
    (group,) = world.engine.groups.values()
    assert {host_id: member.lost for host_id, member in group.members.items()} == {"id-h1": False, "id-h2": True}
    assert made.deployment_overview.in_progress + made.deployment_overview.pending == 2


async def test_a_repeat_with_the_same_request_id_makes_no_second_deployment(world: World) -> None:
    revision = await world.shop("h1")
    first = await world.deploy(revision, request_id=ONE)
    assert await world.deploy(revision, request_id=ONE) == first
    for event in IN_PLACE:
        world.report("h1", event)
    again = await world.deploy(revision, request_id=ONE)
    assert (again.deployment_id, again.status) == (first.deployment_id, resources.DEPLOYMENT_STATUS_SUCCEEDED)
    assert len(world.engine.past) == 1


async def test_two_calls_without_a_request_id_are_two_calls(world: World) -> None:
    revision = await world.shop("h1")
    for _ in range(2):
        await world.deploy(revision)
        for event in IN_PLACE:
            world.report("h1", event)
    assert len(world.engine.past) == 2
    page = await world.deployments.ListDeployments(deployments.ListDeploymentsRequest(application_name="shop"))
    assert [one.deployment_id for one in page.deployments] == list(reversed(world.engine.past))


async def test_the_same_request_id_with_another_body_is_refused(world: World) -> None:
    revision = await world.shop("h1")
    await world.deploy(revision, request_id=ONE)
    no = await refused(world.deploy(revision, request_id=ONE, description="other"))
    assert (no.code, no.reason, no.fields) == (INVALID, "REQUEST_ID_REUSED", ["request_id"])


async def test_a_stop_is_pending_while_a_host_still_runs(world: World) -> None:
    made = await world.deploy(await world.shop("h1"))
    stop = deployments.StopDeploymentRequest(deployment_id=made.deployment_id, reason="oops", request_id=ONE)
    first = await world.deployments.StopDeployment(stop)
    assert (first.status, first.deployment.status) == (deployments.STOP_STATUS_PENDING, resources.DEPLOYMENT_STATUS_IN_PROGRESS)
    assert first.deployment.error_information.code == resources.DEPLOYMENT_ERROR_CODE_MANUAL_STOP
    assert "oops" in first.deployment.error_information.message
    again = await world.deployments.StopDeployment(stop)
    assert again.status == deployments.STOP_STATUS_PENDING
    for event in IN_PLACE:
        world.report("h1", event)
    done = await world.deployments.StopDeployment(stop)
    assert done.status == deployments.STOP_STATUS_SUCCEEDED


async def test_what_has_ended_cannot_be_stopped(world: World) -> None:
    made = await world.deploy(await world.shop("h1"))
    for event in IN_PLACE:
        world.report("h1", event)
    no = await refused(world.deployments.StopDeployment(deployments.StopDeploymentRequest(deployment_id=made.deployment_id)))
    assert (no.code, no.reason) == (PRECONDITION, "DEPLOYMENT_ALREADY_COMPLETED")
    assert dict(no.info.metadata) == {"deployment_id": made.deployment_id}


async def test_a_deployment_that_nobody_made_is_not_found(world: World) -> None:
    missing = "d-ABCDEFGHI"
    for call in (
        get(world, missing),
        world.deployments.StopDeployment(deployments.StopDeploymentRequest(deployment_id=missing)),
        world.deployments.ListTargets(deployments.ListTargetsRequest(deployment_id=missing)),
        world.deployments.GetTarget(deployments.GetTargetRequest(deployment_id=missing, host="h1")),
        world.deployments.WatchDeployment(deployments.WatchDeploymentRequest(deployment_id=missing)).read(),
    ):
        no = await refused(call)
        assert (no.code, no.reason) == (NOT_FOUND, "DEPLOYMENT_DOES_NOT_EXIST")


async def test_a_target_shows_its_events_and_why_one_failed(world: World) -> None:
    made = await world.deploy(await world.shop("h1", "h2"))
    world.report("h2", LifecycleEvent.ApplicationStop)
    world.report(
        "h2",
        LifecycleEvent.DownloadBundle,
        EventStatus.Failed,
        error_code=LifecycleErrorCode.ScriptFailed,
        script_name="a.sh",
        message="it broke",
        log_tail="boom",
    )
    ask = deployments.GetTargetRequest
    target = (await world.deployments.GetTarget(ask(deployment_id=made.deployment_id, host="h2"))).target
    assert (await world.deployments.GetTarget(ask(deployment_id=made.deployment_id, host="id-h2"))).target == target
    assert (target.host_name, target.status) == ("h2", resources.TARGET_STATUS_FAILED)
    assert [one.status for one in target.lifecycle_events[:3]] == [
        resources.LIFECYCLE_EVENT_STATUS_SUCCEEDED,
        resources.LIFECYCLE_EVENT_STATUS_FAILED,
        resources.LIFECYCLE_EVENT_STATUS_SKIPPED,
    ]
    diagnostics = target.lifecycle_events[1].diagnostics
    assert (diagnostics.script_name, diagnostics.message, diagnostics.log_tail) == ("a.sh", "it broke", "boom")
    assert diagnostics.error_code == resources.LIFECYCLE_ERROR_CODE_SCRIPT_FAILED
    assert not target.lifecycle_events[0].HasField("diagnostics")
    failed = await world.deployments.ListTargets(
        deployments.ListTargetsRequest(deployment_id=made.deployment_id, statuses=[resources.TARGET_STATUS_FAILED])
    )
    assert list(failed.targets) == [target]
    assert (await get(world, made.deployment_id)).deployment_overview.failed == 1
    no = await refused(world.deployments.GetTarget(deployments.GetTargetRequest(deployment_id=made.deployment_id, host="h9")))
    assert (no.code, no.reason) == (NOT_FOUND, "DEPLOYMENT_TARGET_DOES_NOT_EXIST")


async def test_a_rollback_and_what_it_rolls_back_are_linked(world: World) -> None:
    revision = await world.shop("h1")
    await world.deploy(revision)
    for event in IN_PLACE:
        world.report("h1", event)
    second = await world.push_other()
    rollback = resources.AutoRollbackConfiguration(enabled=True, events=[resources.AUTO_ROLLBACK_EVENT_DEPLOYMENT_FAILURE])
    bad = await world.deploy(second, auto_rollback_configuration=rollback)
    world.report("h1", LifecycleEvent.ApplicationStop, EventStatus.Failed)
    bad = await get(world, bad.deployment_id)
    assert (bad.status, bad.previous_revision_id) == (resources.DEPLOYMENT_STATUS_FAILED, revision)
    assert bad.error_information.message
    back = await get(world, bad.rollback_info.rollback_deployment_id)
    assert back.rollback_info.rollback_triggering_deployment_id == bad.deployment_id
    assert (back.creator, back.revision_id) == (resources.DEPLOYMENT_CREATOR_CODE_DEPLOY_ROLLBACK, revision)


async def test_ignored_failures_are_told_to_the_host_and_shown(world: World) -> None:
    made = await world.deploy(await world.shop("h1"), ignore_application_stop_failures=True)
    assert made.ignore_application_stop_failures
    world.report("h1", LifecycleEvent.ApplicationStop, EventStatus.Failed)
    for event in IN_PLACE[1:]:
        world.report("h1", event)
    assert (await get(world, made.deployment_id)).status == resources.DEPLOYMENT_STATUS_SUCCEEDED


async def test_a_stop_may_say_that_there_is_to_be_a_rollback(world: World) -> None:
    revision = await world.shop("h1")
    await world.deploy(revision)
    for event in IN_PLACE:
        world.report("h1", event)
    bad = await world.deploy(await world.push_other())
    stop = deployments.StopDeploymentRequest(deployment_id=bad.deployment_id, auto_rollback_enabled=True, request_id=ONE)
    assert (await world.deployments.StopDeployment(stop)).status == deployments.STOP_STATUS_PENDING
    world.report("h1", LifecycleEvent.ApplicationStop, EventStatus.Failed)
    done = await world.deployments.StopDeployment(stop)
    assert done.status == deployments.STOP_STATUS_SUCCEEDED
    assert done.deployment.status == resources.DEPLOYMENT_STATUS_STOPPED
    assert done.status_message.endswith(f"{done.deployment.rollback_info.rollback_deployment_id} rolls back to revision {revision}")
    assert (await get(world, done.deployment.rollback_info.rollback_deployment_id)).revision_id == revision


async def test_the_history_says_what_happened_newest_first(world: World) -> None:
    made = await world.deploy(await world.shop("h1"))
    request = deployments.ListHistoryRequest(application_name="shop", deployment_group_name="web", deployment_id=made.deployment_id)
    entries = list((await world.deployments.ListHistory(request)).entries)
    assert [one.entry for one in entries][-2:] == ["Queued", "Created"]
    assert entries[-1].principal == "local"
    assert entries[-1].because == "CreateDeployment"
    assert entries[-1].time.ToMilliseconds() == made.create_time.ToMilliseconds()
    assert [one.history_id for one in entries] == sorted((one.history_id for one in entries), reverse=True)
    page = await world.deployments.ListHistory(deployments.ListHistoryRequest(page_size=1))
    rest = await world.deployments.ListHistory(deployments.ListHistoryRequest(page_size=100, page_token=page.next_page_token))
    assert [*page.entries, *rest.entries] == entries


async def test_a_status_that_is_none_is_refused(world: World) -> None:
    request = deployments.ListDeploymentsRequest()
    request.statuses.append(99)  # type: ignore[arg-type]  # a client of another time
    no = await refused(world.deployments.ListDeployments(request))
    assert (no.code, no.fields) == (INVALID, ["statuses"])


async def test_a_deployment_goes_only_to_the_hosts_that_are_named(world: World) -> None:
    revision = await world.shop("h1", "h2", "h3")
    made = await world.deploy(revision, hosts=["h2", "id-h3", "h2"])
    listed = await world.deployments.ListTargets(deployments.ListTargetsRequest(deployment_id=made.deployment_id))
    assert [one.host_name for one in listed.targets] == ["h2", "h3"]


async def test_a_deployment_goes_only_to_hosts_that_do_not_have_the_revision(world: World) -> None:
    revision = await world.shop("h1")
    await world.deploy(revision)
    for event in IN_PLACE:
        world.report("h1", event)
    world.hosts.join("h2", role="web")
    made = await world.deploy(revision, update_outdated_instances_only=True)
    assert made.update_outdated_instances_only
    listed = await world.deployments.ListTargets(deployments.ListTargetsRequest(deployment_id=made.deployment_id))
    assert [(one.host_name, one.instance_health, one.revision_health) for one in listed.targets] == [
        ("h2", resources.INSTANCE_HEALTH_UNHEALTHY, resources.REVISION_HEALTH_UNKNOWN)
    ]
