"""Deploying and following: plain lines, JSON lines, disconnects, rollbacks, detaching."""

import json
import os
import signal
import subprocess
import sys

import grpc
import pytest

from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import resources_pb2 as resources
from tests.cli.conftest import Operator
from tests.cli.coordinator import FakeCoordinator, Refused, at, target

CREATED, IN_PROGRESS = resources.DEPLOYMENT_STATUS_CREATED, resources.DEPLOYMENT_STATUS_IN_PROGRESS
SUCCEEDED, FAILED = resources.DEPLOYMENT_STATUS_SUCCEEDED, resources.DEPLOYMENT_STATUS_FAILED
Watched = deployments.WatchDeploymentResponse


def deployment(
    status: resources.DeploymentStatus.ValueType,
    deployment_id: str = "d-AAAAAAAA1",
    revision: str = "r-1",
    rollback: str = "",
    **counts: int,
) -> deployments.Deployment:
    ended = status in (SUCCEEDED, FAILED)
    return deployments.Deployment(
        deployment_id=deployment_id,
        application_name="shop",
        deployment_group_name="production",
        revision_id=revision,
        deployment_config_name="CodeDeployDefault.OneAtATime",
        status=status,
        created_by="local",
        create_time=at(0),
        start_time=at(1) if status != CREATED else None,
        complete_time=at(42) if ended else None,
        deployment_overview=deployments.DeploymentOverview(**counts),
        rollback_info=deployments.RollbackInfo(rollback_deployment_id=rollback),
    )


def about(of: deployments.Deployment, token: str = "") -> Watched:
    return Watched(deployment=of, resume_token=token)


def targets(*of: deployments.Target, token: str = "") -> Watched:
    return Watched(targets=deployments.WatchedTargets(targets=of), resume_token=token)


def bookmark(token: str = "", *, complete: bool = False) -> Watched:
    return Watched(bookmark=deployments.WatchBookmark(complete=complete), resume_token=token)


def broken(name: str) -> deployments.Target:
    failed = target(name, resources.TARGET_STATUS_FAILED, *[3] * 6, 4)
    failed.lifecycle_events[6].diagnostics.CopyFrom(
        resources.Diagnostics(
            error_code=resources.LIFECYCLE_ERROR_CODE_SCRIPT_FAILED,
            script_name="check.sh",
            message="exit code 7",
            log_tail="asking\n\x1b[31mno answer\x1b[0m\n",
        )
    )
    return failed


def test_a_deployment_is_told_line_by_line_as_it_happens(operator: Operator, coordinator: FakeCoordinator) -> None:
    pending = target("web-1", resources.TARGET_STATUS_PENDING)
    stopping = target("web-1", resources.TARGET_STATUS_IN_PROGRESS, 2, start_time=at(1))
    stopped = target("web-1", resources.TARGET_STATUS_IN_PROGRESS, 3, 2, start_time=at(1))
    done = target("web-1", resources.TARGET_STATUS_SUCCEEDED, 3, 3, start_time=at(1), end_time=at(9))
    coordinator.watches = [
        [
            about(deployment(CREATED, pending=1)),
            targets(pending),
            bookmark("1"),
            about(deployment(IN_PROGRESS, in_progress=1)),
            targets(stopping),
            targets(stopped),
            targets(done),
            about(deployment(SUCCEEDED, succeeded=1)),
            bookmark("2", complete=True),
        ]
    ]
    shown = operator.types("deploy", "shop", "production", "--revision", "r-1", "--follow")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        "12:00:00 d-AAAAAAAA1  Created  shop/production  r-1  CodeDeployDefault.OneAtATime  by local",
        "12:00:01 d-AAAAAAAA1  InProgress",
        "12:00:01 web-1        InProgress",
        "12:00:00 web-1        ApplicationStop  InProgress",
        "12:00:01 web-1        ApplicationStop  Succeeded",
        "12:00:01 web-1        DownloadBundle  InProgress",
        "12:00:02 web-1        DownloadBundle  Succeeded",
        "12:00:09 web-1        Succeeded",
        "12:00:42 d-AAAAAAAA1  Succeeded  1 of 1 hosts succeeded (42s)",
    ]


def test_a_failure_is_shown_with_its_diagnostics_and_ends_with_exit_code_1(operator: Operator, coordinator: FakeCoordinator) -> None:
    skipped = target("web-2", resources.TARGET_STATUS_SKIPPED, *[5] * 7)
    coordinator.deployments = [deployment(FAILED)]
    coordinator.watches = [
        [about(deployment(FAILED, failed=1, skipped=1)), targets(broken("web-1"), skipped), bookmark("1", complete=True)]
    ]
    shown = operator.types("follow", "d-AAAAAAAA1")
    assert shown.exit_code == 1
    assert "12:00:07 web-1        ValidateService  Failed  ScriptFailed: check.sh: exit code 7" in shown.stdout
    assert "                      | asking\n" in shown.stdout
    assert "                      | no answer\n" in shown.stdout
    assert "web-2        Skipped\n" in shown.stdout
    assert "web-2        ApplicationStop" not in shown.stdout


def test_the_rollback_of_a_failed_deployment_is_followed_too(operator: Operator, coordinator: FakeCoordinator) -> None:
    rollback = deployment(SUCCEEDED, "d-AAAAAAAA2", succeeded=1)
    rollback.rollback_info.rollback_triggering_deployment_id = "d-AAAAAAAA1"
    coordinator.watches = [
        [about(deployment(FAILED, rollback="d-AAAAAAAA2", failed=1)), bookmark("1", complete=True)],
        [about(rollback), bookmark("1", complete=True)],
    ]
    shown = operator.types("deploy", "shop", "production", "--revision", "r-2", "--follow")
    assert shown.exit_code == 1
    assert "d-AAAAAAAA1 is rolled back by d-AAAAAAAA2: following that one now" in shown.stderr
    assert "12:00:42 d-AAAAAAAA2  Succeeded  1 of 1 hosts succeeded (42s)" in shown.stdout
    assert [request.deployment_id for request in coordinator.requests("WatchDeployment")] == ["d-AAAAAAAA1", "d-AAAAAAAA2"]


def test_following_goes_on_where_it_broke_off(operator: Operator, coordinator: FakeCoordinator) -> None:
    away = Refused(grpc.StatusCode.UNAVAILABLE, "going away")
    coordinator.watches = [
        [about(deployment(IN_PROGRESS)), bookmark("token-1"), away],
        [away],
        [targets(target("web-1", resources.TARGET_STATUS_SUCCEEDED, 3), token="token-2")],
        [about(deployment(SUCCEEDED, succeeded=1)), bookmark("token-3", complete=True)],
    ]
    shown = operator.types("deploy", "shop", "production", "--revision", "r-1", "--follow")
    assert shown.exit_code == 0
    assert [request.resume_token for request in coordinator.requests("WatchDeployment")] == ["", "token-1", "token-1", "token-2"]
    assert shown.stderr.count("reconnecting...") == 2
    assert operator.clock.waits == [0.1, 0.2, 0.1]


def test_a_token_that_is_too_old_begins_with_a_snapshot_again(operator: Operator, coordinator: FakeCoordinator) -> None:
    done = target("web-1", resources.TARGET_STATUS_SUCCEEDED, 3)
    coordinator.watches = [
        [about(deployment(IN_PROGRESS)), targets(done), bookmark("old"), Refused(grpc.StatusCode.UNAVAILABLE, "")],
        [Refused(grpc.StatusCode.OUT_OF_RANGE, "the token is too old")],
        [about(deployment(SUCCEEDED, succeeded=1)), targets(done), bookmark("new", complete=True)],
    ]
    shown = operator.types("deploy", "shop", "production", "--revision", "r-1", "--follow")
    assert shown.exit_code == 0
    assert [request.resume_token for request in coordinator.requests("WatchDeployment")] == ["", "old", ""]
    assert shown.stdout.count("web-1        Succeeded") == 1


def test_following_gives_up_when_the_coordinator_stays_away(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.watches = [[Refused(grpc.StatusCode.UNAVAILABLE, "away")] for _ in range(400)]
    shown = operator.types("deploy", "shop", "production", "--revision", "r-1", "--follow")
    assert shown.exit_code == 3
    assert sum(operator.clock.waits) >= 300


def test_ctrl_c_detaches_and_says_that_the_deployment_goes_on(operator: Operator, coordinator: FakeCoordinator) -> None:
    operator.clock.interrupt = True
    coordinator.watches = [[about(deployment(IN_PROGRESS)), Refused(grpc.StatusCode.UNAVAILABLE, "away")]]
    shown = operator.types("deploy", "shop", "production", "--revision", "r-1", "--follow")
    assert shown.exit_code == 130
    assert "d-AAAAAAAA1 goes on without you" in shown.stderr
    assert "hookline follow d-AAAAAAAA1" in shown.stderr
    assert "hookline stop d-AAAAAAAA1" in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.e2e
def test_ctrl_c_on_the_real_program_detaches(coordinator: FakeCoordinator) -> None:
    coordinator.deployments = [deployment(IN_PROGRESS)]
    coordinator.watches = [[about(deployment(IN_PROGRESS)), bookmark("1")]]
    coordinator.watches.extend([bookmark("1")] for _ in range(200))
    program = [
        sys.executable,
        "-c",
        "from coordinator.cli.main import main; main()",
        "--coordinator",
        coordinator.address,
        "--insecure",
        "follow",
        "d-AAAAAAAA1",
    ]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths}
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as follower:
        assert follower.stdout is not None
        assert "InProgress" in follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        _, said = follower.communicate(timeout=20)
    assert follower.returncode == 130
    assert "detached: d-AAAAAAAA1 goes on without you" in said
    assert "Traceback" not in said


def test_following_as_json_prints_an_object_a_line(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.watches = [
        [about(deployment(IN_PROGRESS)), targets(broken("web-1")), about(deployment(FAILED, failed=1)), bookmark("1", complete=True)]
    ]
    shown = operator.types("deploy", "shop", "production", "--revision", "r-1", "--follow", "--output", "json")
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [next(iter(line)) for line in lines] == ["deployment", "target", "deployment"]
    assert lines[0]["deployment"]["deployment_id"] == "d-AAAAAAAA1"
    assert lines[1]["target"]["lifecycle_events"][6]["diagnostics"]["error_code"] == "ScriptFailed"
    assert lines[2]["deployment"]["deployment_overview"] == {"pending": 0, "in_progress": 0, "succeeded": 0, "failed": 1, "skipped": 0}
    assert shown.exit_code == 1


def test_following_an_ended_deployment_as_json_ends_with_the_deployment_too(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.deployments = [deployment(SUCCEEDED)]
    coordinator.watches = [[about(deployment(SUCCEEDED, succeeded=1)), targets(broken("web-1")), bookmark("1", complete=True)]]
    shown = operator.types("follow", "d-AAAAAAAA1", "--output", "json")
    assert [next(iter(json.loads(line))) for line in shown.stdout.splitlines()] == ["deployment", "target", "deployment"]


def test_the_outcome_of_a_deployment_that_had_ended_comes_after_its_targets(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.deployments = [deployment(SUCCEEDED)]
    ended = target("web-1", resources.TARGET_STATUS_SUCCEEDED, *[3] * 7, start_time=at(1), end_time=at(9))
    coordinator.watches = [[about(deployment(SUCCEEDED, succeeded=1)), targets(ended), bookmark("9", complete=True)]]
    lines = operator.types("follow", "d-AAAAAAAA1").stdout.splitlines()
    assert lines[0].startswith("12:00:00 d-AAAAAAAA1  Created  shop/production  r-1")
    assert lines[-2:] == ["12:00:09 web-1        Succeeded", "12:00:42 d-AAAAAAAA1  Succeeded  1 of 1 hosts succeeded (42s)"]


def test_deploy_prints_the_id_alone_and_passes_on_what_was_said(operator: Operator, coordinator: FakeCoordinator) -> None:
    words = ["--config", "half", "--description", "why", "--auto-rollback", "none", "--file-exists-behavior", "overwrite"]
    words.append("--ignore-application-stop-failures")
    shown = operator.types("deploy", "shop", "production", "--revision", "r-1", *words)
    assert shown.stdout == "d-AAAAAAAA1\n"
    assert shown.stderr == "Next: hookline follow d-AAAAAAAA1\n"
    (request,) = coordinator.requests("CreateDeployment")
    assert (request.revision_id, request.deployment_config_name, request.description) == ("r-1", "half", "why")
    assert request.file_exists_behavior == resources.FILE_EXISTS_BEHAVIOR_OVERWRITE
    assert request.ignore_application_stop_failures
    assert request.HasField("auto_rollback_configuration")
    assert not request.auto_rollback_configuration.enabled
    assert json.loads(operator.types("deploy", "shop", "production", "--revision", "r-1", "--output", "json").stdout)["status"] == "Created"


@pytest.mark.parametrize("typed, said", [((), None), (("--rollback-config", "Fast"), "Fast"), (("--rollback-config", "same"), "")])
def test_deploy_says_by_which_config_to_roll_back_or_leaves_it_to_the_group(
    operator: Operator, coordinator: FakeCoordinator, typed: tuple[str, ...], said: str | None
) -> None:
    operator.types("deploy", "shop", "production", "--revision", "r-1", *typed)
    (request,) = coordinator.requests("CreateDeployment")
    assert request.HasField("rollback_deployment_config_name") is (said is not None)
    assert request.rollback_deployment_config_name == (said or "")


def test_a_deployment_that_cannot_go_on_from_the_start_is_told_so_at_once(operator: Operator, coordinator: FakeCoordinator) -> None:
    over = deployment(FAILED, failed=1, skipped=2)
    over.error_information.message = "cannot go on: 1 of 3 hosts failed (web-3)"
    coordinator.made = over
    shown = operator.types("deploy", "shop", "production", "--revision", "r-1")
    assert shown.stdout == "d-AAAAAAAA1\n"
    assert "It has ended Failed: 0 of 3 hosts succeeded. cannot go on: 1 of 3 hosts failed (web-3)" in shown.stderr


def test_without_auto_rollback_the_group_decides(operator: Operator, coordinator: FakeCoordinator) -> None:
    operator.types("deploy", "shop", "production", "--revision", "r-1")
    assert not coordinator.requests("CreateDeployment")[0].HasField("auto_rollback_configuration")


def test_stop_says_whether_to_roll_back_only_when_it_was_typed(operator: Operator, coordinator: FakeCoordinator) -> None:
    operator.types("stop", "d-AAAAAAAA1")
    operator.types("stop", "d-AAAAAAAA1", "--rollback")
    operator.types("stop", "d-AAAAAAAA1", "--no-rollback")
    asked = coordinator.requests("StopDeployment")
    assert [one.HasField("auto_rollback_enabled") for one in asked] == [False, True, True]
    assert [one.auto_rollback_enabled for one in asked] == [False, True, False]


def test_a_rollback_on_what_never_comes_is_refused(operator: Operator) -> None:
    shown = operator.types("group", "update", "shop", "production", "--auto-rollback", "sometimes")
    assert "cannot read 'sometimes'" in " ".join(shown.stderr.split())


def test_a_rollback_on_all_events(operator: Operator, coordinator: FakeCoordinator) -> None:
    operator.types("deploy", "shop", "production", "--revision", "r-1", "--auto-rollback", "failure,stop,alarm")
    wanted = coordinator.requests("CreateDeployment")[0].auto_rollback_configuration
    events = resources.AutoRollbackEvent.values()[1:]
    assert (wanted.enabled, list(wanted.events)) == (True, events)


def test_who_follows_a_deployment_is_told_whose_word_it_waits_for(operator: Operator, coordinator: FakeCoordinator) -> None:
    waits, runs, ended = deployment(CREATED, pending=1), deployment(IN_PROGRESS, in_progress=1), deployment(SUCCEEDED, succeeded=1)
    for one in (waits, runs, ended):
        one.require_approval = True
    runs.approved_by = ended.approved_by = "operator:eve"
    coordinator.deployments = [waits]
    coordinator.watches = [[about(waits), bookmark(), about(runs), about(ended), bookmark(complete=True)]]
    shown = operator.types("deploy", "shop", "production", "--revision", "r-1", "--follow").stdout
    assert "waits for somebody other than local: hookline approve d-AAAAAAAA1" in shown
    assert shown.index("hookline approve") < shown.index("InProgress") < shown.index("succeeded")
    assert "hookline approve d-AAAAAAAA1" in operator.types("status", "d-AAAAAAAA1").stdout


def test_somebody_else_approves(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.deployments = [deployment(CREATED)]
    said = operator.types("approve", "d-AAAAAAAA1", "--reason", "seen in staging")
    assert said.stdout == "d-AAAAAAAA1 is approved\n"
    (request,) = coordinator.requests("ApproveDeployment")
    assert (request.deployment_id, request.reason) == ("d-AAAAAAAA1", "seen in staging")
    assert json.loads(operator.types("approve", "d-AAAAAAAA1", "--output", "json").stdout)["approved_by"] == "operator:eve"


def test_stop_says_how_it_stands(operator: Operator, coordinator: FakeCoordinator) -> None:
    shown = operator.types("stop", "d-AAAAAAAA1", "--reason", "wrong one")
    assert shown.stdout == "d-AAAAAAAA1 is stopping: 2 hosts finish their running event\n"
    assert coordinator.requests("StopDeployment")[0].reason == "wrong one"


@pytest.mark.parametrize(
    "typed, said, then",
    [
        ((), "its hosts keep what they have", ""),
        (("--rollback",), "d-BBBBBBBB2 rolls back to revision r-0", "Next: hookline follow d-BBBBBBBB2\n"),
    ],
)
def test_stop_ends_the_watch_after_a_success_and_takes_it_back_where_it_is_typed(
    operator: Operator, coordinator: FakeCoordinator, typed: tuple[str, ...], said: str, then: str
) -> None:
    watched = deployment(SUCCEEDED, succeeded=2)
    watched.watched = True
    coordinator.deployments = [watched]
    shown = operator.types("stop", "d-AAAAAAAA1", *typed)
    assert shown.stdout == f"d-AAAAAAAA1 has succeeded: its alarms are not watched any more; {said}\n"
    assert (shown.stderr, shown.exit_code) == (then, 0)


@pytest.mark.parametrize(
    "past,revision,why",
    [
        ([(FAILED, "r-3"), (SUCCEEDED, "r-2"), (SUCCEEDED, "r-1")], "r-2", ""),
        ([(FAILED, "r-2"), (FAILED, "r-3"), (SUCCEEDED, "r-2")], "r-2", ""),
        ([(SUCCEEDED, "r-2"), (SUCCEEDED, "r-2"), (FAILED, "r-3"), (SUCCEEDED, "r-1")], "r-1", ""),
        ([(SUCCEEDED, "r-2"), (FAILED, "r-1")], "", "r-2 is the only revision that ever succeeded there"),
        ([(FAILED, "r-1")], "", "none of its deployments has succeeded yet"),
        ([], "", "it has no deployment yet"),
    ],
)
def test_rollback_deploys_the_last_good_revision(
    operator: Operator,
    coordinator: FakeCoordinator,
    past: list[tuple[resources.DeploymentStatus.ValueType, str]],
    revision: str,
    why: str,
) -> None:
    given_past(coordinator, past)
    shown = operator.types("rollback", "shop", "production")
    asked = coordinator.requests("CreateDeployment")
    assert [(one.revision_id, one.update_outdated_instances_only) for one in asked] == ([(revision, True)] if revision else [])
    assert shown.exit_code == (1 if why else 0)
    assert why in shown.stderr


def given_past(coordinator: FakeCoordinator, past: list[tuple[resources.DeploymentStatus.ValueType, str]]) -> None:
    """The deployments of shop/production, the newest first; the first that succeeded did so on the whole group."""
    coordinator.deployments = [deployment(status, f"d-AAAAAAAA{9 - index}", of) for index, (status, of) in enumerate(past)]
    last = next((catalog.LastDeployment(revision_id=of) for status, of in past if status == SUCCEEDED), None)
    coordinator.groups["shop", "production"] = catalog.DeploymentGroup(last_successful_deployment=last)
    if past:
        coordinator.groups["shop", "production"].last_attempted_deployment.deployment_id = coordinator.deployments[0].deployment_id
    for _, revision in past:
        coordinator.revisions[revision] = catalog.Revision(application_name="shop", revision_id=revision)


@pytest.mark.parametrize("option", ["--canary", "--canary-bake", "--canary-gate"])
def test_a_rollback_with_canaries_is_refused_and_says_how_to_go_in_stages(
    operator: Operator, coordinator: FakeCoordinator, option: str
) -> None:
    given_past(coordinator, [(FAILED, "r-2"), (SUCCEEDED, "r-1")])
    shown = operator.types("rollback", "shop", "production", option, "x")
    assert (shown.exit_code, coordinator.requests("CreateDeployment")) == (2, [])
    said = " ".join(shown.stderr.split())
    assert f"cannot roll back with {option}: a rollback has no canaries" in said
    assert "hookline deploy APP GROUP --revision REVISION --outdated-only" in said


def test_a_rollback_by_hand_goes_by_the_groups_config_for_rollbacks(operator: Operator, coordinator: FakeCoordinator) -> None:
    given_past(coordinator, [(FAILED, "r-2"), (SUCCEEDED, "r-1")])
    operator.types("rollback", "shop", "production")
    coordinator.groups["shop", "production"].rollback_deployment_config_name = "Fast"
    operator.types("rollback", "shop", "production")
    assert [one.deployment_config_name for one in coordinator.requests("CreateDeployment")] == ["", "Fast"]


def test_what_a_part_of_the_group_tried_is_taken_back(operator: Operator, coordinator: FakeCoordinator) -> None:
    given_past(coordinator, [(SUCCEEDED, "r-3"), (SUCCEEDED, "r-2")])
    coordinator.groups["shop", "production"].last_successful_deployment.revision_id = "r-2"
    assert operator.types("rollback", "shop", "production").exit_code == 0
    assert coordinator.requests("CreateDeployment")[0].revision_id == "r-2"


def test_what_waits_for_its_turn_is_taken_off_before_a_rollback_and_what_has_a_start_time_stays(
    operator: Operator, coordinator: FakeCoordinator
) -> None:
    given_past(coordinator, [(SUCCEEDED, "r-2"), (SUCCEEDED, "r-1")])
    waiting, later = (deployment(resources.DEPLOYMENT_STATUS_QUEUED, one, "r-3") for one in ("d-AAAAAAAAW", "d-AAAAAAAAL"))
    waiting.queue_place.position, later.queue_place.position = 1, 2
    later.scheduled_time.FromJsonString("2027-02-01T22:30:00Z")
    coordinator.deployments[:0] = [later, waiting]
    shown = operator.types("rollback", "shop", "production")
    assert [one.deployment_id for one in coordinator.requests("StopDeployment")] == ["d-AAAAAAAAW"]
    assert [one.revision_id for one in coordinator.requests("CreateDeployment")] == ["r-1"]
    assert "d-AAAAAAAAW has waited for its turn and is taken off" in shown.stderr
    assert "it stays: hookline stop d-AAAAAAAAL" in shown.stderr


def test_a_running_deployment_is_stopped_and_rolled_back_in_one_go(operator: Operator, coordinator: FakeCoordinator) -> None:
    given_past(coordinator, [(IN_PROGRESS, "r-3"), (SUCCEEDED, "r-2")])
    coordinator.deployments[0].previous_revision_id = "r-2"
    shown = operator.types("rollback", "shop", "production")
    assert (shown.exit_code, shown.stdout) == (0, "d-AAAAAAAA9\n")
    (asked,) = coordinator.requests("StopDeployment")
    assert (asked.deployment_id, asked.auto_rollback_enabled) == ("d-AAAAAAAA9", True)
    assert coordinator.requests("CreateDeployment") == []


def test_following_a_rollback_succeeds_when_the_rollback_does(operator: Operator, coordinator: FakeCoordinator) -> None:
    given_past(coordinator, [(IN_PROGRESS, "r-3"), (SUCCEEDED, "r-2")])
    coordinator.deployments[0].previous_revision_id = "r-2"
    back = deployment(SUCCEEDED, "d-AAAAAAAA2", succeeded=1)
    for ending, code in ((back, 0), (deployment(FAILED, "d-AAAAAAAA2", failed=1), 1)):
        coordinator.deployments[0].status = IN_PROGRESS
        stopped = deployment(FAILED, "d-AAAAAAAA9", rollback="d-AAAAAAAA2", failed=1)
        coordinator.watches = [[about(stopped), bookmark("1", complete=True)], [about(ending), bookmark("1", complete=True)]]
        assert operator.types("rollback", "shop", "production", "--follow").exit_code == code


def test_a_running_deployment_makes_room_for_a_rollback_to_another_revision(operator: Operator, coordinator: FakeCoordinator) -> None:
    given_past(coordinator, [(IN_PROGRESS, "r-3"), (SUCCEEDED, "r-2"), (SUCCEEDED, "r-1")])
    coordinator.deployments[0].previous_revision_id = "r-2"
    assert operator.types("rollback", "shop", "production", "--to", "r-1").exit_code == 0
    (stop,), (made,) = coordinator.requests("StopDeployment"), coordinator.requests("CreateDeployment")
    assert (stop.auto_rollback_enabled, made.revision_id, made.update_outdated_instances_only) == (False, "r-1", True)


def test_nothing_is_stopped_for_a_revision_that_is_not_there(operator: Operator, coordinator: FakeCoordinator) -> None:
    given_past(coordinator, [(IN_PROGRESS, "r-3"), (SUCCEEDED, "r-2")])
    assert operator.types("rollback", "shop", "production", "--to", "r-9").exit_code == 1
    assert coordinator.requests("StopDeployment") == []


@pytest.mark.parametrize(
    "previous,rolls_back,why",
    [
        ("", "", "nothing has succeeded there before; end it with: hookline stop d-AAAAAAAA9"),
        ("r-3", "", "which is also what succeeded last; say --to REVISION"),
        ("r-2", "d-AAAAAAAA8", "is doing that already"),
    ],
)
def test_a_running_deployment_that_cannot_be_rolled_back_is_left_alone(
    operator: Operator, coordinator: FakeCoordinator, previous: str, rolls_back: str, why: str
) -> None:
    given_past(coordinator, [(IN_PROGRESS, "r-3"), (SUCCEEDED, "r-2")])
    coordinator.deployments[0].previous_revision_id = previous
    coordinator.deployments[0].rollback_info.rollback_triggering_deployment_id = rolls_back
    shown = operator.types("rollback", "shop", "production")
    assert (shown.exit_code, why in shown.stderr) == (1, True), shown.stderr
    assert coordinator.requests("StopDeployment") == []
