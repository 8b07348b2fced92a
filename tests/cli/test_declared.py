"""What is declared in files: applied, exported, refused."""

import json
from pathlib import Path

import grpc
import pytest
import yaml
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from coordinator.cli.declared import files, reading, writing
from coordinator.cli.declared.kinds import Declared, DeclaredAlarm, DeclaredGroup
from hookline.v1 import alarms_pb2 as alarms
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import resources_pb2 as resources
from tests.cli.conftest import Operator
from tests.cli.coordinator import FakeCoordinator, Refused, at

SHOP = """\
# The shop, and what it needs.
kind: Application
application_name: shop
---
kind: DeploymentGroup
application_name: shop
deployment_group_name: production
tag_filters:
- {key: role, value: web}      # its type goes without saying
- key: canary
deployment_config_name: slow
auto_rollback_configuration:
  enabled: true
  events: [DEPLOYMENT_STOP_ON_ALARM, DEPLOYMENT_FAILURE]
alarm_configuration: {enabled: true, alarms: [HighErrors], bake_time: 10m}
---
kind: DeploymentConfig
deployment_config_name: slow
minimum_healthy_hosts:
  type: FLEET_PERCENT
  value: 90
---
kind: Alarm
alarm_name: HighErrors
expression:
  expression: 'sum(rate(errors[1m])) # of all'
  comparison: GREATER
  threshold: 5e-2
  for_duration: 30s
"""


def stored(coordinator: FakeCoordinator) -> None:
    """As the coordinator keeps what SHOP declares: complete, and with what it sets itself."""
    for group in coordinator.groups.values():
        group.deployment_group_id, group.create_time.seconds = "g-1", at(0).seconds
        group.service_role.SetInParent()
    for alarm in coordinator.alarms.values():
        alarm.create_time.CopyFrom(at(0))
        alarm.interval.seconds = 5


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP)
    return path


def changing(coordinator: FakeCoordinator) -> list[str]:
    """The methods that were called to change something."""
    return [call.method for call in coordinator.calls if not call.method.startswith("List")]


def test_what_is_declared_is_made_in_the_order_that_it_takes(operator: Operator, coordinator: FakeCoordinator, shop: Path) -> None:
    done = operator.types("apply", "-f", str(shop))
    assert done.exit_code == 0, done.stderr
    assert changing(coordinator) == ["CreateAlarm", "CreateDeploymentConfig", "CreateApplication", "CreateDeploymentGroup"]
    assert done.stdout.splitlines()[-1] == "4 created, 0 as declared"
    group = coordinator.groups["shop", "production"]
    assert [(one.key, one.value, one.type) for one in group.tag_filters] == [
        ("role", "web", resources.TAG_FILTER_TYPE_KEY_AND_VALUE),
        ("canary", "", resources.TAG_FILTER_TYPE_KEY_ONLY),
    ]
    assert (group.alarm_configuration.bake_time.seconds, list(group.alarm_configuration.alarms)) == (600, ["HighErrors"])
    assert coordinator.alarms["HighErrors"].expression.expression == "sum(rate(errors[1m])) # of all"


def test_applied_again_it_changes_nothing(operator: Operator, coordinator: FakeCoordinator, shop: Path) -> None:
    operator.types("apply", "-f", str(shop))
    stored(coordinator)
    coordinator.calls.clear()
    for words in ((), ("--dry-run",), ("--prune", "all")):
        again = operator.types("apply", "-f", str(shop), *words)
        assert (again.exit_code, again.stdout) == (0, "4 as declared\n")
    assert changing(coordinator) == []


def test_a_dry_run_shows_the_difference_and_changes_nothing(operator: Operator, coordinator: FakeCoordinator, shop: Path) -> None:
    operator.types("apply", "-f", str(shop))
    stored(coordinator)
    shop.write_text(SHOP.replace("5e-2", "0.1").replace("- key: canary\n", "").replace("slow\nauto", "CodeDeployDefault.AllAtOnce\nauto"))
    coordinator.configs["CodeDeployDefault.AllAtOnce"] = catalog.DeploymentConfig(
        deployment_config_name="CodeDeployDefault.AllAtOnce", predefined=True
    )
    coordinator.calls.clear()
    dry = operator.types("apply", "-f", str(shop), "--dry-run")
    assert (dry.exit_code, changing(coordinator)) == (4, [])
    assert dry.stdout == (
        "update Alarm HighErrors\n"
        "    expression:\n"
        '      expression: "sum(rate(errors[1m])) # of all"\n'
        "      comparison: GREATER\n"
        "  -   threshold: 0.05\n"
        "  +   threshold: 0.1\n"
        "      for_duration: 30s\n"
        "      several: ANY\n"
        "update DeploymentGroup shop/production\n"
        "    tag_filters:\n"
        "      - key: role\n"
        "        value: web\n"
        "        type: KEY_AND_VALUE\n"
        "  -   - key: canary\n"
        "  -     type: KEY_ONLY\n"
        "  - deployment_config_name: slow\n"
        "  + deployment_config_name: CodeDeployDefault.AllAtOnce\n"
        "2 to update, 2 as declared\n"
    )
    assert operator.types("apply", "-f", str(shop)).exit_code == 0
    (alarm,), (group,) = coordinator.requests("UpdateAlarm"), coordinator.requests("UpdateDeploymentGroup")
    assert list(alarm.update_mask.paths) == ["expression"]
    assert list(group.update_mask.paths) == ["deployment_config_name", "tag_filters"]


def test_a_change_of_kind_names_what_takes_the_place_of_the_other(operator: Operator, coordinator: FakeCoordinator, shop: Path) -> None:
    operator.types("apply", "-f", str(shop))
    coordinator.configs["CodeDeployDefault.OneAtATime"] = catalog.DeploymentConfig(deployment_config_name="CodeDeployDefault.OneAtATime")
    text = SHOP.partition("tag_filters")[0] + "tag_sets:\n- tag_filters: [{key: role}]\n---\n" + "---\n".join(SHOP.split("---\n")[2:])
    shop.write_text(text.partition("expression:")[0] + "alertmanager_alert: {labels: {severity: page}}\n")
    assert operator.types("apply", "-f", str(shop)).exit_code == 0
    (alarm,), (group,) = coordinator.requests("UpdateAlarm"), coordinator.requests("UpdateDeploymentGroup")
    assert list(alarm.update_mask.paths) == ["alertmanager_alert"]
    assert "tag_sets" in group.update_mask.paths
    assert "tag_filters" not in group.update_mask.paths


def given_more(coordinator: FakeCoordinator) -> None:
    """What no file declares."""
    for name in ("mail", "shop"):
        coordinator.applications[name] = catalog.Application(application_name=name)
        coordinator.groups[name, "old"] = catalog.DeploymentGroup(
            application_name=name,
            deployment_group_name="old",
            tag_filters=[resources.TagFilter(key="old")],
            alarm_configuration=resources.AlarmConfiguration(alarms=["Old"]),
        )
    coordinator.alarms["Old"] = alarms.Alarm(alarm_name="Old", alertmanager_alert=alarms.AlertmanagerAlert(labels={"a": "b"}))
    for name in ("CodeDeployDefault.OneAtATime", "spare"):
        coordinator.configs[name] = catalog.DeploymentConfig(deployment_config_name=name)


def test_nothing_is_deleted_unless_it_is_said(operator: Operator, coordinator: FakeCoordinator, shop: Path) -> None:
    given_more(coordinator)
    kept = operator.types("apply", "-f", str(shop))
    assert (kept.exit_code, set(coordinator.groups)) == (0, {("mail", "old"), ("shop", "old"), ("shop", "production")})
    assert "No file declares, and stays: Alarm Old, DeploymentConfig spare, Application mail, " in kept.stderr
    assert not any(method.startswith("Delete") for method in changing(coordinator))


def test_prune_lists_what_goes_first_and_spares_groups_of_others(operator: Operator, coordinator: FakeCoordinator, shop: Path) -> None:
    given_more(coordinator)
    pruned = operator.types("apply", "-f", str(shop), "--prune", "DeploymentGroup", "--prune", "DeploymentConfig")
    assert pruned.stdout.splitlines()[0] == "goes, because no file declares it: DeploymentGroup shop/old, DeploymentConfig spare"
    assert (set(coordinator.groups), set(coordinator.configs)) == (
        {("mail", "old"), ("shop", "production")},
        {"CodeDeployDefault.OneAtATime", "slow"},
    )


def test_prune_all_leaves_what_is_declared(operator: Operator, coordinator: FakeCoordinator, shop: Path) -> None:
    given_more(coordinator)
    assert operator.types("apply", "-f", str(shop), "--prune", "all", "--dry-run").exit_code == 4
    assert changing(coordinator) == []
    assert operator.types("apply", "-f", str(shop), "--prune", "all").exit_code == 0
    assert [method for method in changing(coordinator) if method.startswith("Delete")] == [
        *["DeleteDeploymentGroup"] * 2,
        "DeleteApplication",
        "DeleteDeploymentConfig",
        "DeleteAlarm",
    ]
    assert (set(coordinator.groups), set(coordinator.applications)) == ({("shop", "production")}, {"shop"})


def test_what_a_group_names_that_stays_is_not_deleted(operator: Operator, coordinator: FakeCoordinator, shop: Path) -> None:
    given_more(coordinator)
    refused = operator.types("apply", "-f", str(shop), "--prune", "Alarm")
    assert (refused.exit_code, changing(coordinator)) == (1, [])
    assert "cannot delete Alarm Old: DeploymentGroup mail/old names it" in refused.stderr


class Reluctant(FakeCoordinator):
    """Makes no applications."""

    def CreateApplication(self, request: catalog.CreateApplicationRequest) -> Message:
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, "vera may not make applications")


def test_a_failure_in_the_middle_says_what_was_done_and_what_was_not(shop: Path) -> None:
    reluctant = Reluctant()
    failed = Operator(reluctant).types("apply", "-f", str(shop))
    reluctant.stop()
    assert failed.exit_code == 1
    assert failed.stderr == (
        "Error: cannot create Application shop: vera may not make applications\n"
        "  done: create Alarm HighErrors, create DeploymentConfig slow\n"
        "  not done: create Application shop, create DeploymentGroup shop/production\n"
        "Apply again once that is put right.\n"
    )


def test_a_config_that_is_there_otherwise_is_refused_before_anything_changes(
    operator: Operator, coordinator: FakeCoordinator, shop: Path
) -> None:
    coordinator.configs["slow"] = catalog.DeploymentConfig(deployment_config_name="slow")
    refused = operator.types("apply", "-f", str(shop))
    assert (refused.exit_code, changing(coordinator)) == (1, [])
    assert f"cannot apply {shop}, document 3, line 17: DeploymentConfig slow is there with another minimum_healthy_hosts" in refused.stderr
    assert "deployment configs never change: declare one of another name" in refused.stderr


@pytest.mark.parametrize(
    "instead, says",
    [
        ({"slow\nauto": "fast\nauto"}, "document 2, line 5: DeploymentGroup shop/production names DeploymentConfig fast, which is not"),
        ({"[HighErrors]": "[Other]"}, "names Alarm Other, which is not declared and will not be there"),
        ({"_name: shop\n---": "_name: mail\n---"}, "names Application shop, which is not declared"),
        ({": slow": ": CodeDeployDefault.Slow"}, "CodeDeployDefault.Slow begins like the predefined configs"),
    ],
)
def test_what_can_be_seen_to_fail_is_refused_before_anything_changes(
    operator: Operator, coordinator: FakeCoordinator, shop: Path, instead: dict[str, str], says: str
) -> None:
    for old, new in instead.items():
        assert old in SHOP
        shop.write_text(SHOP.replace(old, new))
    refused = operator.types("apply", "-f", str(shop))
    assert (refused.exit_code, changing(coordinator)) == (1, [])
    assert says in refused.stderr


@pytest.mark.parametrize(
    "old, new, says",
    [
        ("value: web", "valeu: web", "document 2, line 9: tag_filters[0].valeu: is no key here; there are key, value, type"),
        ("value: web", "value: no", "tag_filters[0].value: must be a text, and no may be taken for something else: write it in quotes"),
        ("value: web", "value: 1.10", "tag_filters[0].value: must be a text, and 1.10 may be taken"),
        ("value: web", "value: [web]", "tag_filters[0].value: must be a text, and is a list"),
        ("value: 90", "value: many", "document 3, line 21: minimum_healthy_hosts.value: must be a whole number, and is many"),
        ("value: 90", "value: 0x5", "must be a whole number"),
        ("value: 90", "value: 3000000000", "must be a whole number"),
        ("enabled: true", "enabled: yes", "auto_rollback_configuration.enabled: must be true or false, and is yes"),
        ("FLEET_PERCENT", "FLEET", "minimum_healthy_hosts.type: 'FLEET' is none of HOST_COUNT, FLEET_PERCENT"),
        ("5e-2", "'5'", 'document 4, line 28: expression.threshold: must be a number, and is "5"'),
        ("30s", "soon", "expression.for_duration: cannot read 'soon': write a length of time such as 30s"),
        ("30s", "", "expression.for_duration: has no value"),
        ("[HighErrors]", "HighErrors", "alarm_configuration.alarms: must be a list, and is HighErrors: begin each item with a dash"),
        ("kind: Alarm", "kind: Alert", "document 4, line 23: kind: is none of Alarm, DeploymentConfig, Application, DeploymentGroup"),
        ("kind: Alarm\n", "", "kind: is missing"),
        ("alarm_name: HighErrors", "interval: 5s", "alarm_name: is missing"),
        ("- key: canary", "tag_sets: [{tag_filters: [{key: a}]}]", "say one of tag_filters, tag_sets, and no other"),
        ("kind: Alarm", "kind: Alarm\nprometheus_alert: {alert_name: A}", "expression: prometheus_alert is there too: say one of them"),
        ("kind: Alarm", "kind: Alarm\ncreate_time: now", "create_time: the coordinator sets it: leave it out"),
        ("  enabled: true\n", "  enabled: true\n  enabled: true\n", "document 2, line 14: enabled: is there twice; line 13 has it too"),
        ("kind: Alarm", "kind: !alarm Alarm", "!alarm: anchors and tags are not read"),
        ("kind: Alarm", "kind: " + "[" * 99, "is nested more than 20 deep"),
        ("kind: Alarm", "? [kind]\n: Alarm", "has a list or a mapping for a key"),
        ("kind: Alarm", 'kind: "\\ud83d"', "has an escape that is no character"),
        ("kind: Alarm", "kind: \x07", "has a control character"),
        ("kind: Alarm", "kind: *alarm", "*alarm: aliases are not read; write the value out, or a text in quotes"),
        ("{key: role, value: web}", "{key: role, value: web", "expected ',' or '}'"),
        ("  value: 90", "\tvalue: 90", "use blanks for the indent, no tabs"),
        ("  value: 90", "   value: 90", "document 3, line 21: mapping values are not allowed here; see how this line is indented"),
        (
            "---\nkind: Alarm",
            "---\nkind: Application\napplication_name: shop\n---\nkind: Alarm",
            "Application shop is declared already, in",
        ),
    ],
)
def test_bad_declarations_are_refused_with_their_place_before_anybody_is_asked(
    operator: Operator, coordinator: FakeCoordinator, shop: Path, old: str, new: str, says: str
) -> None:
    assert old in SHOP
    shop.write_text(SHOP.replace(old, new))
    refused = operator.types("apply", "-f", str(shop))
    assert (refused.exit_code, coordinator.calls) == (2, [])
    assert refused.stderr.startswith(f"Error: cannot read {shop}, document ")
    assert says in refused.stderr


def test_an_analysis_is_declared_as_the_documentation_shows_it(operator: Operator, coordinator: FakeCoordinator, tmp_path: Path) -> None:
    shown = (Path(__file__).parents[2] / "deploy" / "README.md").read_text()
    begin = shown.index("      kind: DeploymentConfig")
    lines = shown[begin : shown.index("\n\n", begin)]
    (tmp_path / "config.yaml").write_text(lines.replace("\n      ", "\n").strip() + "\n")
    applied = operator.types("apply", "-f", str(tmp_path))
    assert applied.exit_code == 0, applied.stderr
    (metric,) = coordinator.configs["analysed"].steps[0].analysis.metrics
    assert (metric.name, metric.count, metric.interval.seconds, metric.success_condition.threshold) == ("errors", 10, 30, 0.01)
    assert operator.types("apply", "-f", str(tmp_path)).stdout == "1 as declared\n"
    coordinator.configs["analysed"].steps.add(percent=50)
    assert operator.types("export").stdout.count("analysis:") == 1
    assert "analysis of errors" in operator.types("config", "show", "analysed").stdout


def test_an_expression_may_have_several_lines(operator: Operator, coordinator: FakeCoordinator, shop: Path) -> None:
    shop.write_text(
        SHOP.replace("expression: 'sum(rate(errors[1m])) # of all'", "expression: |-\n    sum(\n      rate(errors[1m])  # each\n    )")
    )
    assert operator.types("apply", "-f", str(shop)).exit_code == 0
    assert coordinator.alarms["HighErrors"].expression.expression == "sum(\n  rate(errors[1m])  # each\n)"


def test_files_that_declare_nothing_are_refused(operator: Operator, coordinator: FakeCoordinator, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n---\n")
    (tmp_path / "latin.yaml").write_bytes(b"kind: \xe9")
    (tmp_path / "none").mkdir()
    for words, says in (
        (("-f", str(tmp_path / "empty.yaml"), "--prune", "all"), "cannot apply files that declare nothing"),
        (("-f", str(tmp_path / "none")), "no file in it ends in .yaml, .yml, .json"),
        (("-f", str(tmp_path / "latin.yaml")), "it is not UTF-8"),
        (("-f", str(tmp_path / "away.yaml")), "does not exist"),
        ((), "Missing option '-f'"),
    ):
        refused = operator.types("apply", *words)
        assert (refused.exit_code, coordinator.calls) == (2, [])
        assert says in refused.stderr


def test_a_directory_is_applied_and_so_is_what_stdin_says(operator: Operator, coordinator: FakeCoordinator, tmp_path: Path) -> None:
    for number, document in enumerate(SHOP.split("---\n")):
        (tmp_path / f"{number}.yml").write_text(document)
    (tmp_path / "README.md").write_text("not: [read")
    assert operator.types("apply", "-f", str(tmp_path)).stdout.endswith("4 created, 0 as declared\n")
    stored(coordinator)
    for words in ((), ("--output", "json")):
        exported = operator.types("export", *words).stdout
        again = operator.types("apply", "-f", "-", "--prune", "all", stdin=exported)
        assert (again.exit_code, again.stdout) == (0, "4 as declared\n"), again.stderr


def test_changes_are_told_as_json(operator: Operator, shop: Path) -> None:
    made = json.loads(operator.types("apply", "-f", str(shop), "--dry-run", "--output", "json").stdout)
    assert [(one["change"], one["kind"], one["name"]) for one in made][:2] == [
        ("create", "Alarm", "HighErrors"),
        ("create", "DeploymentConfig", "slow"),
    ]


def test_export_writes_some_applications_with_what_their_groups_name(operator: Operator, coordinator: FakeCoordinator, shop: Path) -> None:
    operator.types("apply", "-f", str(shop))
    given_more(coordinator)
    coordinator.groups.pop(("shop", "old"))
    whole, some = (list(yaml.safe_load_all(operator.types("export", *words).stdout)) for words in ((), ("shop",)))
    assert [one["kind"] for one in some] == ["Alarm", "DeploymentConfig", "Application", "DeploymentGroup"]
    assert [one for one in whole if one in some] == some
    assert "CodeDeployDefault" not in str([one for one in whole if one["kind"] == "DeploymentConfig"])
    refused = operator.types("export", "shap")
    assert (refused.exit_code, "cannot export application shap: there is none" in refused.stderr) == (1, True)


# ---------------------------------------------------------------------------------------------------------- written and read

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12) | st.sampled_from(
    [
        "no",
        "1.10",
        "null",
        "~",
        "0755",
        "2026-11-23",
        "12:30:00",
        "- a",
        "a: b",
        "#",
        "x #y",
        "{",
        "'",
        '"',
        "\\",
        " a ",
        "a\nb",
        "=",
        "\x85",
    ]
)
LENGTHS = st.integers(1, 10**9)
FILTERS = st.lists(st.builds(resources.TagFilter, key=NAMES, value=NAMES, type=st.integers(0, 3)), min_size=1, max_size=3)


@st.composite
def alarm(draw: st.DrawFn) -> alarms.Alarm:
    made = alarms.Alarm(alarm_name=draw(NAMES), no_data=alarms.AlarmStatus.ValueType(draw(st.integers(0, 3))))
    made.interval.FromMilliseconds(draw(LENGTHS))
    if draw(st.booleans()):
        made.prometheus_alert.alert_name = draw(NAMES)
        made.prometheus_alert.labels.update(draw(st.dictionaries(NAMES, NAMES)))
    else:
        made.expression.expression = draw(NAMES)
        made.expression.threshold = draw(st.floats(allow_nan=False, allow_infinity=False))
        made.expression.for_duration.FromMilliseconds(draw(st.integers(0, 10**6)))
    return made


@st.composite
def group(draw: st.DrawFn) -> catalog.DeploymentGroup:
    made = catalog.DeploymentGroup(
        application_name=draw(NAMES), deployment_group_name=draw(NAMES), require_approval=draw(st.booleans()), deployment_group_id="g"
    )
    if draw(st.booleans()):
        made.tag_filters.extend(draw(FILTERS))
    else:
        made.tag_sets.extend(resources.TagFilterList(tag_filters=draw(FILTERS)) for _ in range(draw(st.integers(1, 3))))
    made.auto_rollback_configuration.enabled = draw(st.booleans())
    made.auto_rollback_configuration.events.extend(draw(st.lists(st.sampled_from(list(resources.AutoRollbackEvent.values()[1:])))))
    made.offline_policy.action = resources.OfflineAction.ValueType(draw(st.integers(0, 3)))
    if draw(st.booleans()):
        made.offline_policy.budget = draw(st.integers(0, 9))
    made.alarm_configuration.alarms.extend(draw(st.lists(NAMES, max_size=3)))
    made.alarm_configuration.bake_time.FromMilliseconds(draw(st.integers(0, 10**6)))
    made.alarm_configuration.watch_after_success.FromMilliseconds(draw(st.integers(0, 10**6)))
    made.service_role.sources.extend(draw(st.lists(NAMES, max_size=2)))
    made.service_role.max_hosts = draw(st.integers(0, 5))
    for name in draw(st.lists(NAMES, max_size=2)):
        told = made.triggers.add(trigger_name=name, trigger_events=draw(st.lists(st.integers(1, 8), min_size=1, max_size=3)))
        if draw(st.booleans()):
            told.webhook.url, told.webhook.signing_secret = draw(NAMES), draw(NAMES)
        else:
            told.slack.url_secret = draw(NAMES)
    return made


@given(st.lists(st.builds(DeclaredAlarm, alarm()) | st.builds(DeclaredGroup, group()), min_size=1, max_size=3, unique_by=str))
def test_what_is_written_is_read_as_it_was_and_as_any_reader_of_yaml_reads_it(existing: list[Declared]) -> None:
    for one in existing:
        one.complete()
    text = "\n---\n".join("\n".join(writing.written(one.kind, one.message)) for one in existing)
    assert list(yaml.safe_load_all(text)) == [{"kind": one.kind, **writing.tree(one.message)} for one in existing]
    found = [files.declared(document) for document in reading.read(text) if document]
    assert [one.message for one in found] == [one.message for one in existing]


SCALARS = st.text("ab {}[]:,#-'\"\\\n\t|>&*!%@?~0.é\N{GRINNING FACE}", max_size=8)
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3), max_leaves=8)


@given(TREES.filter(lambda tree: not isinstance(tree, str)), st.sampled_from([None, 2]), st.booleans())
def test_json_is_read_as_it_is(tree: object, indent: int | None, ascii_only: bool) -> None:
    (found,) = reading.read(json.dumps(tree, indent=indent, ensure_ascii=ascii_only))
    assert found is not None
    assert plain(found) == tree


@given(st.text("ab:-#'\"[]{}|,&* \n", max_size=40))
def test_no_text_is_read_otherwise_than_other_readers_of_yaml_do(text: str) -> None:
    try:
        found = [plain(one) for one in reading.read(f"{text}\n") if one is not None]
        theirs = list(yaml.load_all(f"{text}\n", yaml.BaseLoader))
    except (reading.Unreadable, yaml.YAMLError):
        return  # refused by either
    assert [one for one in found if one] == [one for one in theirs if one]


def plain(node: reading.Node) -> object:
    match node.value:
        case list():
            return [plain(one) for one in node.value]
        case dict():
            return {key: plain(one) for key, one in node.value.items()}
        case _:
            return node.value
