"""`hookline plan` and `simulate`: what is asked of the coordinator, and what is shown."""

import json
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import foresight_pb2 as foresight
from hookline.v1 import resources_pb2 as resources
from tests.cli.conftest import Operator
from tests.cli.coordinator import FakeCoordinator, at

R1, R2 = "r-1111111111111111", "r-2222222222222222"
PLAN = ("plan", "shop", "web", R2)
UNKNOWN = "nobody knows how long events take here: no deployment of the group has got so far, so each is taken for 5s"
SIMULATE = ("simulate", "shop", "web", R2)


def seconds(of: float) -> Duration:
    return Duration(seconds=int(of), nanos=int(of % 1 * 1e9))


def made(**more: Any) -> deployments.Deployment:
    said: dict[str, Any] = {
        "application_name": "shop",
        "deployment_group_name": "web",
        "revision_id": R2,
        "previous_revision_id": R1,
        "deployment_config_name": "CodeDeployDefault.OneAtATime",
        "minimum_healthy_hosts": resources.MinimumHealthyHosts(type=resources.MINIMUM_HEALTHY_HOSTS_TYPE_MOST_CONCURRENCY, value=1),
    }
    return deployments.Deployment(**(said | more))


def foreseen(**more: Any) -> foresight.Foresight:
    said: dict[str, Any] = {
        "waves": [
            foresight.Wave(at=seconds(0), hosts=["web-1"], healthy_hosts=2),
            foresight.Wave(at=seconds(35), hosts=["web-2"], healthy_hosts=2),
            foresight.Wave(at=seconds(70), hosts=["web-3"], healthy_hosts=2),
        ],
        "healthy_hosts": [foresight.HealthyHosts(at=seconds(0), hosts=2), foresight.HealthyHosts(at=seconds(105), hosts=3)],
        "hosts": 3,
        "minimum": 2,
        "floor": 2,
        "fewest_healthy": 2,
        "end": seconds(105),
    }
    return foresight.Foresight(**(said | more))


def planned(**more: Any) -> foresight.PlanDeploymentResponse:
    said: dict[str, Any] = {
        "deployment": made(),
        "foresight": foreseen(),
        "rollback": foresight.PlannedRollback(revision_id=R1, auto_rollback_configuration=resources.AutoRollbackConfiguration()),
        "earliest_end": seconds(60),
        "latest_end": seconds(300),
    }
    return foresight.PlanDeploymentResponse(**(said | more))


def test_a_plan_is_shown_as_waves_and_sentences(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.planned = planned(offline_hosts=["web-3"])
    shown = operator.types(*PLAN)
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        f"shop/web: {R2} over {R1}, CodeDeployDefault.OneAtATime (keeps all but 1 healthy)",
        "",
        "WAVE  AT      BEGIN  HEALTHY  HOSTS",
        "1     0s      1      2 of 3   web-1",
        "2     35s     1      2 of 3   web-2",
        "3     1m 10s  1      2 of 3   web-3",
        "",
        f"ends after 1m 45s (between 1m and 5m); {UNKNOWN}",
        "fewest healthy hosts: 2 of 3, at 0s; 2 must stay healthy",
        "offline now: web-3",
        f"rollback: to {R1}, never by itself",
    ]
    assert shown.stderr == f"Next: hookline deploy shop web --revision {R2}, with the same options\n"
    (request,) = coordinator.requests("PlanDeployment")
    assert (request.deployment.application_name, request.deployment.revision_id) == ("shop", R2)


def test_a_plan_takes_the_options_of_deploy(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.planned = planned()
    operator.types(*PLAN, "--config", "Slow", "--host", "web-1", "--outdated-only", "--auto-rollback", "failure", "--description", "x")
    (request,) = coordinator.requests("PlanDeployment")
    asked = request.deployment
    assert (asked.deployment_config_name, list(asked.hosts), asked.update_outdated_instances_only) == ("Slow", ["web-1"], True)
    assert asked.auto_rollback_configuration.enabled


def test_a_plan_says_by_which_config_it_would_be_rolled_back(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.planned = planned()
    coordinator.planned.deployment.rollback_deployment_config_name = "Fast"
    shown = operator.types(*PLAN, "--rollback-config", "Fast")
    assert coordinator.requests("PlanDeployment")[0].deployment.rollback_deployment_config_name == "Fast"
    assert shown.stdout.splitlines()[-1] == f"rollback: to {R1} with Fast, never by itself"


def test_without_a_revision_the_newest_is_planned(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.planned = planned()
    refused = operator.types("plan", "shop", "web")
    assert (refused.exit_code, "shop has none; push one first" in refused.stderr) == (2, True)
    coordinator.revisions[R2] = catalog.Revision(application_name="shop", revision_id=R2)
    shown = operator.types("plan", "shop", "web")
    assert f"Revision {R2} is the newest of shop." in shown.stderr
    assert coordinator.requests("PlanDeployment")[-1].deployment.revision_id == R2
    assert operator.types(*PLAN, "--revision", R1).exit_code == 2


def test_every_refusal_is_shown_and_ends_with_one(operator: Operator, coordinator: FakeCoordinator) -> None:
    refusals = [foresight.Refusal(code="A", message="cannot deploy: one"), foresight.Refusal(code="B", message="cannot deploy: two")]
    coordinator.planned = foresight.PlanDeploymentResponse(refusals=refusals)
    shown = operator.types(*PLAN)
    assert (shown.exit_code, shown.stdout) == (1, "refused: cannot deploy: one\nrefused: cannot deploy: two\n")
    assert shown.stderr == ""


def test_a_plan_that_would_fail_says_why_and_offers_no_next_step(operator: Operator, coordinator: FakeCoordinator) -> None:
    why = deployments.ErrorInformation(message="cannot go on: 1 of 3 hosts failed (web-3)")
    told = foreseen(waves=[], status=resources.DEPLOYMENT_STATUS_FAILED, error_information=why)
    coordinator.planned = planned(foresight=told, offline_hosts=["web-3"])
    shown = operator.types("plan", "shop", "web", R2)
    assert shown.exit_code == 1
    assert "it would end Failed: cannot go on: 1 of 3 hosts failed (web-3)\noffline now: web-3\n" in shown.stdout
    assert "Next:" not in shown.stderr


def test_many_waves_and_many_hosts_are_counted(operator: Operator, coordinator: FakeCoordinator) -> None:
    waves = [foresight.Wave(at=seconds(number), hosts=[f"h{number}-{one}" for one in range(9)], healthy_hosts=9) for number in range(30)]
    coordinator.planned = planned(foresight=foreseen(waves=waves, healthy_hosts=[foresight.HealthyHosts(at=seconds(4.5), hosts=1)]))
    shown = operator.types(*PLAN).stdout
    assert "h0-0, h0-1, h0-2, h0-3, h0-4 and 4 more" in shown
    assert "5     4s   9      1 of 3" in shown
    assert "... and 10 waves more; --all shows them" in shown
    assert "h29-0" in operator.types(*PLAN, "--all").stdout


def test_a_plan_as_json_is_the_message(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.planned = planned()
    told = json.loads(operator.types(*PLAN, "--output", "json").stdout)
    assert [one["hosts"] for one in told["foresight"]["waves"]] == [["web-1"], ["web-2"], ["web-3"]]
    assert told["deployment"]["revision_id"] == R2


def entry(after: int, what: str, host: str = "", message: str = "", because: str = "") -> deployments.HistoryEntry:
    return deployments.HistoryEntry(time=at(after), deployment_id="foreseen", entry=what, host_name=host, message=message, because=because)


def test_a_story_is_told_and_folded(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.simulated = foresight.SimulateDeploymentResponse(
        deployments=[
            made(
                deployment_id="foreseen",
                status=resources.DEPLOYMENT_STATUS_FAILED,
                error_information=deployments.ErrorInformation(message="cannot go on: 1 of 3 hosts failed"),
                rollback_info=deployments.RollbackInfo(rollback_message="foreseen-rollback rolls back to revision r-1"),
            )
        ],
        entries=[
            entry(0, "Created", because="CreateDeployment"),
            entry(0, "InProgress", "web-1", because="CreateDeployment"),
            entry(0, "InProgress", "web-2", because="CreateDeployment"),
            entry(65, "Failed", "web-1", "Install failed: foreseen to fail", "report 4"),
        ],
        entries_left_out=7,
        foresight=foreseen(fewest_healthy=1, gates=["waits for approval by somebody other than ann"], known_targets=12),
    )
    shown = operator.types(*SIMULATE)
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert lines[2:7] == [
        "      0s  foreseen            Created         (CreateDeployment)",
        "      0s  foreseen            InProgress      web-1, web-2  (CreateDeployment)",
        "   1m 5s  foreseen            Failed          web-1  Install failed: foreseen to fail",
        "... and 7 entries about single hosts more",
        "",
    ]
    assert "foreseen ends Failed: cannot go on: 1 of 3 hosts failed; foreseen-rollback rolls back to revision r-1" in lines
    assert "the floor held: no healthy host began below it; what is missing has failed or was lost" in lines
    assert "gate: waits for approval by somebody other than ann; it is taken for passed at once" in lines
    assert "times are those that events took on 12 hosts" in shown.stdout


def test_what_goes_wrong_is_asked_for(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.simulated = foresight.SimulateDeploymentResponse(deployments=[made()], foresight=foreseen())
    faults = ("--fail", "host=web-1@Install", "--fail", "p=3%", "--lose", "host=web-2@10m", "--lose", "p=1.5", "--back-after", "2m")
    operator.types(*SIMULATE, *faults, "--alarm-at", "20m", "--alarm-name", "HighErrors", "--stop-at", "1h", "--seed", "7")
    (request,) = coordinator.requests("SimulateDeployment")
    assert [(one.host, one.lifecycle_event) for one in request.failing_hosts] == [("web-1", resources.LIFECYCLE_EVENT_INSTALL)]
    assert [(one.host, one.at.seconds) for one in request.lost_hosts] == [("web-2", 600)]
    assert (request.failing_percent, request.lost_percent, request.back_after.seconds) == (3, 1.5, 120)
    assert [(one.alarm_name, one.at.seconds) for one in request.firing_alarms] == [("HighErrors", 1200)]
    assert (request.stop_at.seconds, request.seed) == (3600, 7)


@pytest.mark.parametrize(
    "typed, why",
    [
        (("--fail", "web-1"), "write host=NAME, or p=3%"),
        (("--fail", "host=web-1@Sleep"), "write a lifecycle event such as host=web-1@Install"),
        (("--lose", "host=web-1@soon"), "write a length of time"),
        (("--alarm-name", "A"), "say --alarm-at TIME too"),
        (("--alarm-at", "-5m"), "write a length of time"),
        (("--seed", "-1"), "-1 is not in the range"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anybody_is_asked(
    operator: Operator, coordinator: FakeCoordinator, typed: tuple[str, ...], why: str
) -> None:
    shown = operator.types(*SIMULATE, *typed)
    assert (shown.exit_code, why in shown.stderr) == (2, True), shown.stderr
    assert not coordinator.requests("SimulateDeployment")


def test_a_broken_floor_is_shouted(operator: Operator, coordinator: FakeCoordinator) -> None:
    broken = foreseen(floor_broken=["web-1"], fewest_healthy=1)
    coordinator.simulated = foresight.SimulateDeploymentResponse(deployments=[made()], foresight=broken)
    assert "THE FLOOR WAS BROKEN: web-1 began although too few stayed healthy" in operator.types(*SIMULATE).stdout


def test_a_deployment_and_a_host_are_explained(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.explained = foresight.Explanation(
        sentence="web-3 waits: 2 in progress take every place there is (2)",
        reason="WindowFull",
        until=at(420),
        application_name="shop",
        deployment_group_name="web",
    )
    said = "web-3 waits: 2 in progress take every place there is (2), until 12:07:00 at most (2m from now) (shop/web)\n"
    assert operator.types("explain", "d-8A1B2C3D4", "--host", "web-3").stdout == said
    (request,) = coordinator.requests("ExplainDeployment")
    assert (request.deployment_id, request.host) == ("d-8A1B2C3D4", "web-3")
    assert operator.types("explain", "web-3").stdout == said
    assert coordinator.requests("ExplainHost")[0].host == "web-3"
    assert json.loads(operator.types("explain", "web-3", "--output", "json").stdout)[0]["reason"] == "WindowFull"
    assert json.loads(operator.types("explain", "d-8A1B2C3D4", "--output", "json").stdout)["until"] == "2026-11-23T12:07:00Z"
    assert operator.types("explain", "web-3", "--host", "web-4").exit_code == 2
    coordinator.explained.until.CopyFrom(at(86_400))
    assert ", until 2026-11-24 12:00:00 at most (23h from now) (shop/web)\n" in operator.types("explain", "d-8A1B2C3D4").stdout
