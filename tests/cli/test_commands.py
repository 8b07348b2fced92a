"""The commands that set up and look: what they ask of the coordinator, and what they show."""

import json
import uuid

import pytest

from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import fleet_pb2 as fleet
from hookline.v1 import resources_pb2 as resources
from tests.cli.conftest import Operator
from tests.cli.coordinator import FakeCoordinator, at, target


def test_an_application_is_made_listed_shown_and_removed(operator: Operator) -> None:
    made = operator.types("app", "create", "shop")
    assert (made.exit_code, made.stdout) == (0, "application shop is made\n")
    assert "hookline group create shop" in made.stderr
    assert operator.types("app", "list").stdout.splitlines() == ["APPLICATION  CREATED", "shop         2026-11-23 12:00:00 (5m ago)"]
    assert "groups       none yet" in operator.types("app", "show", "shop").stdout
    assert operator.types("app", "delete", "shop").stdout == "application shop is removed\n"
    assert operator.types("app", "list", "--output", "json").stdout == "[]\n"


def test_a_call_that_changes_something_carries_a_fresh_request_id(operator: Operator, coordinator: FakeCoordinator) -> None:
    operator.types("app", "create", "shop")
    operator.types("app", "create", "shop")
    first, second = (uuid.UUID(request.request_id) for request in coordinator.requests("CreateApplication"))
    assert first.version == 4
    assert first != second


@pytest.mark.parametrize(
    "typed,key,value,kind",
    [
        ("role=web", "role", "web", "KEY_AND_VALUE"),
        ("role=a=b", "role", "a=b", "KEY_AND_VALUE"),
        ("canary", "canary", "", "KEY_ONLY"),
        ("=web", "", "web", "VALUE_ONLY"),
    ],
)
def test_a_group_chooses_its_hosts_by_tag_filters(
    operator: Operator, coordinator: FakeCoordinator, typed: str, key: str, value: str, kind: str
) -> None:
    made = operator.types("group", "create", "shop", "production", "--tag", typed, "--auto-rollback", "failure")
    assert made.exit_code == 0
    group = coordinator.groups["shop", "production"]
    assert group.tag_filters[0] == resources.TagFilter(key=key, value=value, type=resources.TagFilterType.Value(f"TAG_FILTER_TYPE_{kind}"))
    assert group.auto_rollback_configuration.enabled
    assert list(group.auto_rollback_configuration.events) == [resources.AUTO_ROLLBACK_EVENT_DEPLOYMENT_FAILURE]
    assert f" {typed} " in operator.types("group", "list", "shop").stdout
    shown = json.loads(operator.types("group", "show", "shop", "production", "--output", "json").stdout)
    assert shown["tag_filters"] == [{"key": key, "value": value, "type": kind}]
    assert shown["auto_rollback_configuration"] == {"enabled": True, "events": ["DEPLOYMENT_FAILURE"]}


def test_a_group_without_a_tag_is_refused_before_anything_is_asked(operator: Operator, coordinator: FakeCoordinator) -> None:
    refused = operator.types("group", "create", "shop", "production")
    assert refused.exit_code == 2
    assert "say at least one --tag" in refused.stderr
    assert coordinator.calls == []


def test_tag_sets_are_typed_with_commas_and_shown_as_typed(operator: Operator, coordinator: FakeCoordinator) -> None:
    operator.types("group", "create", "shop", "west", "--tag-set", "role=web,role=api", "--tag-set", "region")
    (request,) = coordinator.requests("CreateDeploymentGroup")
    typed = [[(one.key, one.value) for one in each.tag_filters] for each in request.deployment_group.tag_sets]
    assert typed == [[("role", "web"), ("role", "api")], [("region", "")]]
    operator.types("group", "update", "shop", "west", "--tag-set", "role=web")
    assert list(coordinator.requests("UpdateDeploymentGroup")[0].update_mask.paths) == ["tag_sets"]


def test_changing_a_group_names_only_what_was_said(operator: Operator, coordinator: FakeCoordinator) -> None:
    operator.types("group", "update", "shop", "production", "--config", "CodeDeployDefault.AllAtOnce")
    operator.types("group", "update", "shop", "production", "--auto-rollback", "none", "--tag", "a=b")
    first, second = coordinator.requests("UpdateDeploymentGroup")
    assert list(first.update_mask.paths) == ["deployment_config_name"]
    assert list(second.update_mask.paths) == ["tag_filters", "auto_rollback_configuration"]
    assert not second.deployment_group.auto_rollback_configuration.enabled
    operator.types("group", "update", "shop", "production", "--require-signature", "--no-require-approval")
    changed = operator.coordinator.requests("UpdateDeploymentGroup")[-1]
    assert list(changed.update_mask.paths) == ["require_signature", "require_approval"]
    assert (changed.deployment_group.require_signature, changed.deployment_group.require_approval) == (True, False)
    assert operator.types("group", "update", "shop", "production").exit_code == 2


@pytest.mark.parametrize(
    "typed, action, wait, budget",
    [
        ("wait", resources.OFFLINE_ACTION_WAIT, 0, 0),
        ("wait:10m", resources.OFFLINE_ACTION_WAIT, 600, 0),
        ("WAIT:2h:3", resources.OFFLINE_ACTION_WAIT, 7200, 3),
        ("skip", resources.OFFLINE_ACTION_SKIP, 0, None),
        ("skip:3", resources.OFFLINE_ACTION_SKIP, 0, 3),
        ("fail", resources.OFFLINE_ACTION_FAIL, 0, None),
    ],
)
def test_what_is_done_about_offline_hosts_is_typed_in_a_word(
    operator: Operator, coordinator: FakeCoordinator, typed: str, action: int, wait: int, budget: int | None
) -> None:
    assert operator.types("group", "update", "shop", "production", "--offline", typed).exit_code == 0
    (request,) = coordinator.requests("UpdateDeploymentGroup")
    policy = request.deployment_group.offline_policy
    assert list(request.update_mask.paths) == ["offline_policy"]
    assert (policy.action, policy.wait.seconds, policy.budget if policy.HasField("budget") else None) == (action, wait, budget)


@pytest.mark.parametrize("typed", ["later", "wait:10", "skip:", "fail:1", "wait:5m:x"])
def test_a_policy_for_offline_hosts_that_nobody_can_read_is_refused(operator: Operator, typed: str) -> None:
    refused = operator.types("group", "update", "shop", "production", "--offline", typed)
    assert (refused.exit_code, "write wait:10m" in refused.stderr) == (2, True)


def test_what_the_coordinator_may_do_for_a_group_is_typed_as_a_whole(operator: Operator, coordinator: FakeCoordinator) -> None:
    bounds = ("--may", "source=coordinator", "--may", "source=s3://b/*", "--may", "hosts=5", "--may", "config=half", "--may", "rollback=no")
    operator.types("group", "update", "shop", "production", *bounds)
    operator.types("group", "update", "shop", "production", "--may", "anything")
    bound, free = coordinator.requests("UpdateDeploymentGroup")
    assert list(bound.update_mask.paths) == list(free.update_mask.paths) == ["service_role"]
    role = bound.deployment_group.service_role
    assert (list(role.sources), role.max_hosts, list(role.deployment_config_names)) == (["coordinator", "s3://b/*"], 5, ["half"])
    assert role.no_automatic_rollback
    assert free.deployment_group.service_role == type(role)()
    for wrong in ("hosts=0", "hosts=all", "rollback=yes", "source=", "everything"):
        assert operator.types("group", "update", "shop", "production", "--may", wrong).exit_code == 2


@pytest.mark.parametrize("typed", ["HOST_COUNT:2", "host_count:2", "type=HOST_COUNT,value=2"])
def test_a_config_says_how_many_hosts_stay_healthy(operator: Operator, coordinator: FakeCoordinator, typed: str) -> None:
    assert operator.types("config", "create", "two", "--minimum-healthy-hosts", typed).exit_code == 0
    assert operator.types("config", "list").stdout.splitlines()[1].split() == ["two", "HOST_COUNT:2", "-"]
    shown = json.loads(operator.types("--output", "json", "config", "show", "two").stdout)
    assert shown["minimum_healthy_hosts"] == {"type": "HOST_COUNT", "value": 2}


@pytest.mark.parametrize("typed", ["2", "HOST_COUNT:-1", "FLEET_PERCENT:100", "PERCENT:5", "HOST_COUNT:"])
def test_a_minimum_that_cannot_be_read_is_refused(operator: Operator, coordinator: FakeCoordinator, typed: str) -> None:
    refused = operator.types("config", "create", "two", "--minimum-healthy-hosts", typed)
    assert refused.exit_code == 2
    assert coordinator.calls == []


def test_the_predefined_configs_are_listed_as_such(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.configs["x"] = catalog.DeploymentConfig(deployment_config_name="CodeDeployDefault.AllAtOnce", predefined=True)
    assert "predefined" in operator.types("config", "list").stdout


def test_a_list_of_several_pages_is_shown_whole(operator: Operator, coordinator: FakeCoordinator) -> None:
    for number in range(2500):
        coordinator.hosts[f"web-{number:04}"] = fleet.Host(name=f"web-{number:04}", status=resources.HOST_STATUS_CONNECTED)
    assert len(operator.types("hosts").stdout.splitlines()) == 2501
    assert [request.page_token for request in coordinator.requests("ListHosts")] == ["", "1000", "2000"]


def test_a_long_list_is_cut_with_a_remark(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.history = [deployments.HistoryEntry(history_id=number, entry="Succeeded", time=at(0)) for number in range(60)]
    shown = operator.types("history")
    assert len(shown.stdout.splitlines()) == 51
    assert "--limit 0" in shown.stderr
    assert len(json.loads(operator.types("history", "--limit", "0", "--output", "json").stdout)) == 60


def test_history_is_asked_for_by_what_was_said(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.history = [
        deployments.HistoryEntry(
            time=at(61),
            application_name="shop",
            deployment_group_name="production",
            deployment_id="d-AAAAAAAA1",
            host_name="web-1",
            entry="Failed",
            because="report 17",
            principal="local",
            message="ValidateService",
        )
    ]
    shown = operator.types("history", "--app", "shop", "--group", "production", "--host", "web-1")
    line = shown.stdout.splitlines()[1].split("  ")
    assert line == ["2026-11-23 12:01:01", "shop/production", "d-AAAAAAAA1", "web-1", "Failed", "report 17", "local", "ValidateService"]
    (request,) = coordinator.requests("ListHistory")
    assert (request.application_name, request.deployment_group_name, request.host) == ("shop", "production", "web-1")
    assert operator.types("history", "--group", "production").exit_code == 2


def test_a_host_is_shown_with_its_tags_and_what_it_holds(operator: Operator, coordinator: FakeCoordinator) -> None:
    holding = fleet.HostHolding(
        application_name="shop",
        deployment_group_name="production",
        installed_revision_id="r-2",
        deployed_revision_id="r-1",
        instance_health=resources.INSTANCE_HEALTH_UNHEALTHY,
        revision_health=resources.REVISION_HEALTH_OLD,
    )
    coordinator.hosts["web-1"] = fleet.Host(
        host_id="ab" * 16, name="web-1", status=resources.HOST_STATUS_CONNECTED, tags={"role": "web", "az": "b"}, holdings=[holding]
    )
    assert "az=b role=web" in operator.types("hosts").stdout
    shown = operator.types("hosts", "web-1").stdout
    assert "shop/production r-1 (installed: r-2) Unhealthy, Old" in shown
    assert json.loads(operator.types("hosts", "web-1", "--output", "json").stdout)["tags"] == {"az": "b", "role": "web"}


def test_tags_are_set_and_removed_on_several_hosts(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.hosts = {name: fleet.Host(name=name) for name in ("web-1", "web-2")}
    assert operator.types("tag", "add", "web-1", "web-2", "role=web", "stage=a=b").exit_code == 0
    assert dict(coordinator.hosts["web-2"].tags) == {"role": "web", "stage": "a=b"}
    assert operator.types("tag", "remove", "web-1", "--key", "stage").stdout.splitlines()[1].split() == ["web-1", "role=web"]
    assert operator.types("tag", "add", "role=web").exit_code == 2
    assert operator.types("tag", "add", "web-1").exit_code == 2
    assert operator.types("host", "remove", "web-1").stdout == "host web-1 is forgotten\n"


@pytest.mark.parametrize(
    "words,place",
    [
        (["--http", "https://a.example/b.tgz", "--sha256", "ab" * 32], {"http": {"url": "https://a.example/b.tgz"}, "sha256": "ab" * 32}),
        (["--file", "/srv/shop", "--bundle-type", "directory"], {"file": {"path": "/srv/shop"}, "bundle_type": "directory"}),
        (["--s3", "s3://bucket/a/b.zip"], {"s3": {"bucket": "bucket", "key": "a/b.zip", "version": "", "e_tag": ""}}),
        (
            ["--s3", "s3://bucket/b.zip", "--s3-version", "v", "--s3-etag", "e"],
            {"s3": {"bucket": "bucket", "key": "b.zip", "version": "v", "e_tag": "e"}},
        ),
        (["--github", "example/shop@" + "0f" * 20], {"github": {"repository": "example/shop", "commit_id": "0f" * 20}}),
    ],
)
def test_a_bundle_that_lies_elsewhere_is_registered(operator: Operator, words: list[str], place: dict[str, object]) -> None:
    made = operator.types("register", "shop", *words, "--output", "json")
    assert made.exit_code == 0
    assert json.loads(made.stdout)["location"] == {"bundle_type": "", "sha256": "", **place}
    assert operator.types("register", "shop", *words).stdout == "r-00000000000000aa\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--http", "https://a.example/b.tgz"],
        ["--http", "https://a.example/b.tgz", "--sha256", "abc"],
        ["--http", "https://a.example/b.tgz", "--file", "/x"],
        ["--s3", "s3://bucket"],
        ["--github", "example/shop@main"],
    ],
)
def test_a_place_that_cannot_be_meant_is_refused(operator: Operator, coordinator: FakeCoordinator, words: list[str]) -> None:
    assert operator.types("register", "shop", *words).exit_code == 2
    assert coordinator.calls == []


def test_status_shows_what_runs_and_the_last_of_each_group(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.applications["shop"] = catalog.Application(application_name="shop")
    running = deployments.Deployment(
        deployment_id="d-AAAAAAAA1",
        application_name="shop",
        deployment_group_name="production",
        revision_id="r-1",
        status=resources.DEPLOYMENT_STATUS_IN_PROGRESS,
        deployment_overview=deployments.DeploymentOverview(succeeded=2, pending=3),
        create_time=at(0),
        created_by="local",
    )
    coordinator.deployments = [running]
    last = catalog.LastDeployment(
        deployment_id="d-AAAAAAAA0", status=resources.DEPLOYMENT_STATUS_FAILED, revision_id="r-0", create_time=at(0)
    )
    coordinator.groups["shop", "staging"] = catalog.DeploymentGroup(
        application_name="shop", deployment_group_name="staging", last_attempted_deployment=last
    )
    shown = operator.types("status")
    assert shown.stdout.splitlines() == [
        "Running now",
        "DEPLOYMENT   GROUP            REVISION  STATUS      HOSTS                      CREATED                       MADE",
        "d-AAAAAAAA1  shop/production  r-1       InProgress  5: 2 Succeeded, 3 Pending  2026-11-23 12:00:00 (5m ago)  by local",
        "",
        "The last deployment of each group",
        "GROUP         STATUS  DEPLOYMENT   REVISION  CREATED",
        "shop/staging  Failed  d-AAAAAAAA0  r-0       2026-11-23 12:00:00 (5m ago)",
    ]
    spelt = json.loads(operator.types("status", "--output", "json").stdout)
    assert [spelt["running"][0]["status"], spelt["groups"][0]["last_attempted_deployment"]["status"]] == ["InProgress", "Failed"]
    assert operator.types("status", "d-AAAAAAAA1").stderr == "Next: hookline follow d-AAAAAAAA1\n"


def test_a_failed_deployment_says_why_and_which_hosts(operator: Operator, coordinator: FakeCoordinator) -> None:
    failed = broken_target()
    coordinator.targets = [failed, target("web-1", resources.TARGET_STATUS_SUCCEEDED, *[3] * 7)]
    coordinator.deployments = [
        deployments.Deployment(
            deployment_id="d-AAAAAAAA1",
            application_name="shop",
            deployment_group_name="production",
            status=resources.DEPLOYMENT_STATUS_FAILED,
            error_information=deployments.ErrorInformation(
                code=resources.DEPLOYMENT_ERROR_CODE_HEALTH_CONSTRAINTS, message="too many failed"
            ),
            deployment_overview=deployments.DeploymentOverview(succeeded=1, failed=1),
            rollback_info=deployments.RollbackInfo(rollback_deployment_id="d-AAAAAAAA2"),
        )
    ]
    shown = operator.types("status", "d-AAAAAAAA1").stdout
    assert "HEALTH_CONSTRAINTS: too many failed" in shown
    assert "  web-2  ValidateService ScriptFailed: scripts/check.sh: exit code 1" in shown
    assert "rolled back by  d-AAAAAAAA2" in shown


def test_targets_as_json_are_an_array_with_statuses_as_codedeploy_spells_them(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.targets = [broken_target(), target("web-1", resources.TARGET_STATUS_SUCCEEDED, *[3] * 7)]
    shown = json.loads(operator.types("targets", "d-AAAAAAAA1", "--output", "json").stdout)
    assert [(each["host_name"], each["status"]) for each in shown] == [("web-2", "Failed"), ("web-1", "Succeeded")]
    events = shown[0]["lifecycle_events"]
    assert [event["lifecycle_event"] for event in events] == [
        "ApplicationStop",
        "DownloadBundle",
        "BeforeInstall",
        "Install",
        "AfterInstall",
        "ApplicationStart",
        "ValidateService",
    ]
    assert events[0] == {
        "lifecycle_event": "ApplicationStop",
        "status": "Succeeded",
        "start_time": "2026-11-23T12:00:00Z",
        "end_time": "2026-11-23T12:00:01Z",
    }
    assert events[6]["diagnostics"] == {
        "error_code": "ScriptFailed",
        "script_name": "scripts/check.sh",
        "message": "exit code 1",
        "log_tail": "curl: (7)\n",
    }
    assert len(json.loads(operator.types("targets", "d-AAAAAAAA1", "--status", "failed", "--output", "json").stdout)) == 1
    assert operator.types("targets", "d-AAAAAAAA1").stdout.splitlines()[1].split()[:3] == ["web-2", "Failed", "ValidateService"]


def test_a_target_is_shown_with_its_events_and_the_end_of_its_log(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.targets = [broken_target()]
    shown = operator.types("target", "d-AAAAAAAA1", "web-2").stdout
    assert "ValidateService   Failed" in shown
    assert shown.endswith("\nThe last output of ValidateService:\n  | curl: (7)\n")


def broken_target() -> deployments.Target:
    """A target whose ValidateService failed."""
    broken = target("web-2", resources.TARGET_STATUS_FAILED, *[3] * 6, 4)
    broken.lifecycle_events[6].diagnostics.CopyFrom(
        resources.Diagnostics(
            error_code=resources.LIFECYCLE_ERROR_CODE_SCRIPT_FAILED,
            script_name="scripts/check.sh",
            message="exit code 1",
            log_tail="curl: (7)\n",
        )
    )
    return broken
