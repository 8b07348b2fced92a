"""Alarms on the command line: what is asked of the coordinator, and what is shown; what groups and deployments say about theirs."""

import json
from collections.abc import Iterator

import grpc
import pytest

from hookline.v1 import alarms_pb2 as alarms
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import resources_pb2 as resources
from tests.cli.conftest import Operator
from tests.cli.coordinator import FakeCoordinator, Refused, at
from tests.cli.test_follow import Watched, about, bookmark, deployment, given_past

HIGH = ("alarm", "create", "HighErrors", "--promql", "rate(errors[1m])", "--above", "0.05")


def test_an_alarm_is_made_listed_shown_and_removed(operator: Operator, coordinator: FakeCoordinator) -> None:
    made = operator.types(*HIGH, "--for", "30s", "--interval", "10s", "--no-data", "ok")
    assert made.stdout == "alarm HighErrors is made: rate(errors[1m]) > 0.05 for 30s\n"
    assert "hookline alarm test HighErrors" in made.stderr
    (request,) = coordinator.requests("CreateAlarm")
    assert (request.alarm.interval.seconds, request.alarm.no_data, request.alarm.on_error) == (10, alarms.ALARM_STATUS_OK, 0)
    assert len(request.request_id) == 36
    assert operator.types("alarm", "list").stdout.splitlines()[1] == "HighErrors  10s    OK       -         rate(errors[1m]) > 0.05 for 30s"
    assert "active while     rate(errors[1m]) > 0.05 for 30s" in operator.types("alarm", "show", "HighErrors").stdout
    shown = json.loads(operator.types("alarm", "show", "HighErrors", "--output", "json").stdout)
    assert (shown["expression"]["comparison"], shown["expression"]["threshold"], shown["no_data"]) == ("GREATER", 0.05, "OK")
    assert operator.types("alarm", "delete", "HighErrors").stdout == "alarm HighErrors is removed\n"
    assert "hookline alarm create" in operator.types("alarm", "list").stderr
    assert "hookline alarm list" in operator.types("alarm", "show", "HighErrors").stderr


@pytest.mark.parametrize(
    "typed, shown",
    [
        (("--promql", "up", "--below", "1", "--several", "all"), "up < 1 (all series)"),
        (("--promql", "up", "--at-least", "-2.5", "--for", "1500ms"), "up >= -2.5 for 1.5s"),
        (("--promql", "up", "--at-most", "1"), "up <= 1"),
        (("--alert", "ShopDown", "--label", "job=shop", "--label", "env="), 'alert ShopDown{env="",job="shop"}'),
        (("--alert", "ShopDown"), "alert ShopDown"),
        (("--alertmanager", "severity=page", "--alertmanager", "team=shop"), 'Alertmanager {severity="page",team="shop"}'),
    ],
)
def test_every_kind_of_alarm_can_be_typed(operator: Operator, typed: tuple[str, ...], shown: str) -> None:
    assert operator.types("alarm", "create", "A", *typed).stdout == f"alarm A is made: {shown}\n"


@pytest.mark.parametrize(
    "typed, why",
    [
        ((), "say one of --promql"),
        (("--promql", "up", "--alert", "A"), "say one of --promql"),
        (("--promql", "up"), "say one of --above"),
        (("--promql", "up", "--above", "1", "--below", "2"), "cannot compare twice"),
        (("--alert", "A", "--above", "1"), "several things at once"),
        (("--alertmanager", "a=b", "--label", "c=d"), "several things at once"),
        (("--alert", "A", "--label", "job"), "write a label as NAME=VALUE"),
        (("--promql", "up", "--above", "1", "--for", "soon"), "write a length of time"),
        (("--promql", "up", "--above", "1", "--no-data", "fine"), "--no-data"),
    ],
)
def test_an_alarm_that_makes_no_sense_is_refused_before_anything_is_asked(
    operator: Operator, coordinator: FakeCoordinator, typed: tuple[str, ...], why: str
) -> None:
    refused = operator.types("alarm", "create", "A", *typed)
    assert (refused.exit_code, coordinator.calls) == (2, [])
    assert why in " ".join(refused.stderr.split())


def test_changing_an_alarm_names_only_what_was_said(operator: Operator, coordinator: FakeCoordinator) -> None:
    for typed in (("--above", "0.1"), ("--for", "0", "--no-data", "alarm"), ("--alert", "ShopErrors"), ("--alertmanager", "a=b")):
        assert operator.types("alarm", "update", "HighErrors", *typed).exit_code == 0
    assert [list(request.update_mask.paths) for request in coordinator.requests("UpdateAlarm")] == [
        ["expression.comparison", "expression.threshold"],
        ["expression.for_duration", "no_data"],
        ["prometheus_alert.alert_name"],
        ["alertmanager_alert.labels"],
    ]
    assert operator.types("alarm", "update", "HighErrors").exit_code == 2


@pytest.mark.parametrize("status, code", [("OK", 0), ("ALARM", 1), ("UNKNOWN", 1)])
def test_an_alarm_is_tried_and_scripts_learn_how_it_is(operator: Operator, coordinator: FakeCoordinator, status: str, code: int) -> None:
    coordinator.seen.status = alarms.AlarmStatus.Value(f"ALARM_STATUS_{status}")
    seen = operator.types("alarm", "test", "HighErrors")
    assert (seen.stdout, seen.exit_code) == (f"HighErrors is {status}: 0.01 is not > 0.05\n", code)
    assert json.loads(operator.types("alarm", "test", "HighErrors", "--output", "json").stdout)["status"] == status


def test_a_group_is_told_which_alarms_its_deployments_watch(operator: Operator, coordinator: FakeCoordinator) -> None:
    made = operator.types("group", "create", "shop", "production", "--tag", "role=web", "--alarm", "A", "--alarm", "B", "--bake", "10m")
    group = coordinator.groups["shop", "production"]
    assert (group.alarm_configuration.enabled, list(group.alarm_configuration.alarms)) == (True, ["A", "B"])
    assert "with --auto-rollback alarm they go back" in made.stderr
    shown = operator.types("group", "show", "shop", "production").stdout
    assert "alarms             A, B; bake 10m\n" in shown
    for typed in (
        ("--alarm", "C"),
        ("--no-alarms",),
        ("--alarms",),
        ("--bake", "0"),
        ("--ignore-poll-alarm-failure",),
        ("--watch-for", "4h"),
        ("--if-active", "refuse"),
        ("--alarm", "none"),
    ):
        assert operator.types("group", "update", "shop", "production", *typed).exit_code == 0
    asked = [
        (list(one.update_mask.paths), one.deployment_group.alarm_configuration) for one in coordinator.requests("UpdateDeploymentGroup")
    ]
    assert [[path.removeprefix("alarm_configuration.") for path in paths] for paths, _ in asked] == [
        ["enabled", "alarms"],
        ["enabled"],
        ["enabled"],
        ["bake_time"],
        ["ignore_poll_alarm_failure"],
        ["watch_after_success"],
        ["refuse_while_active"],
        ["enabled", "alarms", "bake_time", "watch_after_success"],
    ]
    assert [said.enabled for _, said in asked] == [True, False, True, False, False, False, False, False]
    assert [said.refuse_while_active for _, said in asked] == [False] * 6 + [True, False]
    assert operator.types("group", "update", "shop", "production", "--alarm", "A", "--no-alarms").exit_code == 2


def test_a_rollback_on_alarms_that_nobody_watches_is_remarked(operator: Operator, coordinator: FakeCoordinator) -> None:
    made = operator.types("group", "create", "shop", "production", "--tag", "role=web", "--auto-rollback", "alarm")
    assert "No alarm is watched, so none will roll a deployment back" in made.stderr
    coordinator.groups["shop", "production"].alarm_configuration.alarms.append("A")
    shown = operator.types("group", "show", "shop", "production").stdout
    assert "none are watched (kept: A)" in shown
    assert "No alarm is watched" in shown
    changed = operator.types("group", "update", "shop", "production", "--config", "x")
    assert changed.stderr == ""


@pytest.mark.parametrize(
    "typed, enabled, names, seconds",
    [
        (("--bake", "1h"), True, ["A"], 3600),
        (("--alarm", "B"), True, ["B"], 60),
        (("--no-alarms",), False, ["A"], 60),
        (("--alarm", "none"), False, [], 0),
        (("--if-active", "refuse"), True, ["A"], 60),
    ],
)
def test_what_a_deployment_does_not_say_about_alarms_is_as_its_group_has_it(
    operator: Operator, coordinator: FakeCoordinator, typed: tuple[str, ...], enabled: bool, names: list[str], seconds: int
) -> None:
    operator.types("group", "create", "shop", "production", "--tag", "role=web", "--alarm", "A", "--bake", "60s")
    operator.types("deploy", "shop", "production", "--revision", "r-1")
    operator.types("deploy", "shop", "production", "--revision", "r-1", *typed)
    plain, said = coordinator.requests("CreateDeployment")
    assert not plain.HasField("override_alarm_configuration")
    override = said.override_alarm_configuration
    assert (override.enabled, list(override.alarms), override.bake_time.seconds) == (enabled, names, seconds)


@pytest.mark.parametrize("typed", [("--bake", "10m"), ("--ignore-poll-alarm-failure",)])
def test_how_to_watch_alarms_is_refused_where_none_are_watched(
    operator: Operator, coordinator: FakeCoordinator, typed: tuple[str, ...]
) -> None:
    coordinator.groups["shop", "production"] = catalog.DeploymentGroup()
    refused = operator.types("deploy", "shop", "production", "--revision", "r-1", *typed)
    assert (refused.exit_code, coordinator.requests("CreateDeployment")) == (2, [])
    assert "name some with --alarm NAME" in " ".join(refused.stderr.split())


def test_the_way_back_may_go_without_alarms(operator: Operator, coordinator: FakeCoordinator) -> None:
    given_past(coordinator, [(resources.DEPLOYMENT_STATUS_FAILED, "r-2"), (resources.DEPLOYMENT_STATUS_SUCCEEDED, "r-1")])
    coordinator.groups["shop", "production"].alarm_configuration.enabled = True
    assert "--no-alarms watches none" in operator.types("rollback", "shop", "production").stderr
    assert "--no-alarms" not in operator.types("rollback", "shop", "production", "--no-alarms").stderr
    plain, said = coordinator.requests("CreateDeployment")
    assert (plain.HasField("override_alarm_configuration"), said.HasField("override_alarm_configuration")) == (False, True)
    assert not said.override_alarm_configuration.enabled


def entry(number: int, kind: str, message: str, because: str = "report 14") -> deployments.HistoryEntry:
    return deployments.HistoryEntry(
        history_id=number, time=at(number), deployment_id="d-AAAAAAAA1", entry=kind, because=because, message=message
    )


SEEN = entry(1, "AlarmStatus", "UNKNOWN -> OK: 0.01 is not > 0.05", "alarm A")
NEVER = entry(1, "AlarmStatus", "UNKNOWN -> UNKNOWN: no data", "alarm A")
LOST = entry(9, "AlarmStatus", "OK -> UNKNOWN: cannot ask Prometheus: connection refused", "alarm A")
BLIND = entry(70, "Blind", "goes on blind: for 60 s nobody could say whether these alarms are active: A")
BAKING = entry(90, "Baking", "every host has ended; the alarms are watched for 600 s more")
ACTIVE = entry(95, "AlarmStatus", "OK -> ALARM: 0.31 > 0.05", "alarm A")


def watching(status: resources.DeploymentStatus.ValueType = resources.DEPLOYMENT_STATUS_IN_PROGRESS) -> deployments.Deployment:
    made = deployment(status, in_progress=1)
    made.alarm_configuration.enabled = True
    made.alarm_configuration.alarms.append("A")
    made.alarm_configuration.bake_time.seconds = 600
    return made


@pytest.mark.parametrize(
    "told, waits, shown",
    [
        ([], "until somebody sees A: no further host begins, and after a minute it stops", "A UNKNOWN: nobody has looked at it yet"),
        ([SEEN], "", "A OK since 12:00:01: 0.01 is not > 0.05"),
        ([NEVER], "until somebody sees A: no further host begins", "A UNKNOWN since 12:00:01: no data"),
        (
            [LOST, SEEN],
            "until somebody sees A: no further host begins",
            "A UNKNOWN since 12:00:09: cannot ask Prometheus: connection refused",
        ),
        ([BLIND, LOST, SEEN], "", "A UNKNOWN since"),
        ([BAKING, SEEN], "every host has ended; its alarms are watched until 12:11:30", "A OK"),
        ([ACTIVE, SEEN], "", "A ALARM since 12:01:35: 0.31 > 0.05"),
    ],
)
def test_status_says_what_a_deployment_waits_for(
    operator: Operator, coordinator: FakeCoordinator, told: list[deployments.HistoryEntry], waits: str, shown: str
) -> None:
    coordinator.deployments, coordinator.history = [watching()], [entry(200, "Stopping", "x"), *told]
    seen = operator.types("status", "d-AAAAAAAA1").stdout
    assert f"alarms      {shown}" in seen
    assert f"waits       {waits}" in seen if waits else "waits" not in seen
    assert set(coordinator.requests("ListHistory")[0].entries) > {"AlarmStatus", "Blind", "Baking", "Analysed"}


def test_status_asks_for_no_alarms_where_none_are_watched(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.deployments = [deployment(resources.DEPLOYMENT_STATUS_IN_PROGRESS)]
    assert "alarms" not in operator.types("status", "d-AAAAAAAA1").stdout
    assert coordinator.requests("ListHistory") == []


def followed(coordinator: FakeCoordinator) -> None:
    """A deployment that is followed while its alarms are seen."""
    coordinator.deployments = [watching()]
    coordinator.history = [ACTIVE, BAKING, SEEN]
    stopped = watching(resources.DEPLOYMENT_STATUS_FAILED)
    coordinator.watches = [[about(watching()), bookmark(), Watched(deployment=stopped), bookmark(complete=True)]]


def test_following_tells_what_is_seen_of_the_alarms_once(operator: Operator, coordinator: FakeCoordinator) -> None:
    followed(coordinator)
    lines = operator.types("follow", "d-AAAAAAAA1").stdout.splitlines()
    assert lines[1:4] == [
        "12:00:01 d-AAAAAAAA1  alarm A  UNKNOWN -> OK: 0.01 is not > 0.05",
        "12:01:30 d-AAAAAAAA1  Baking  every host has ended; the alarms are watched for 600 s more",
        "12:01:35 d-AAAAAAAA1  alarm A  OK -> ALARM: 0.31 > 0.05",
    ]
    assert sum("Baking" in line for line in lines) == 1
    assert len(coordinator.requests("ListHistory")) == 2


def test_an_alarm_that_nobody_has_seen_before_and_nobody_sees_now_is_said_plainly(operator: Operator, coordinator: FakeCoordinator) -> None:
    followed(coordinator)
    coordinator.history = [NEVER]
    assert "12:00:01 d-AAAAAAAA1  alarm A  UNKNOWN: no data\n" in operator.types("follow", "d-AAAAAAAA1").stdout


class Away(list[deployments.HistoryEntry]):
    """A history that cannot be read now."""

    def __iter__(self) -> Iterator[deployments.HistoryEntry]:
        raise Refused(grpc.StatusCode.UNAVAILABLE, "restarting")


def test_a_coordinator_that_is_away_when_the_alarms_are_asked_for_is_waited_for(operator: Operator, coordinator: FakeCoordinator) -> None:
    followed(coordinator)
    coordinator.history = Away()
    lines = operator.types("follow", "d-AAAAAAAA1").stdout.splitlines()
    assert lines[-1].startswith("12:00:42 d-AAAAAAAA1  Failed")


def test_following_as_json_tells_the_entries_of_the_history(operator: Operator, coordinator: FakeCoordinator) -> None:
    followed(coordinator)
    shown = [json.loads(line) for line in operator.types("follow", "d-AAAAAAAA1", "--output", "json").stdout.splitlines()]
    assert [one["entry"]["history_id"] for one in shown if "entry" in one] == [1, 90, 95]
    assert "deployment" in shown[-1]
