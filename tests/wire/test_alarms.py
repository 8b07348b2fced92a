"""Alarms as a client sees them: made, changed, tried, named by groups and deployments, refused."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from coordinator.core.identity.access import Grant, Role
from coordinator.core.model import AlarmStatus, Seen
from hookline.v1 import alarms_pb2 as pb
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import resources_pb2 as resources
from tests.wire.house import House, shop
from tests.wire.world import EXISTS, INVALID, NOT_FOUND, PRECONDITION, World, refused

ONE = "11111111-1111-4111-8111-111111111111"
NINE: Any = 9
ERRORS = pb.Expression(expression="rate(errors[1m])", comparison=pb.COMPARISON_GREATER, threshold=0.05)


def an_alarm(name: str = "HighErrors", **more: Any) -> pb.Alarm:
    said: dict[str, Any] = {"alarm_name": name, "expression": ERRORS} | more
    return pb.Alarm(**said)


async def made(world: World, *names: str) -> None:
    for name in names:
        await world.alarms.CreateAlarm(pb.CreateAlarmRequest(alarm=an_alarm(name)))


async def changed(world: World, alarm: pb.Alarm, *paths: str) -> pb.Alarm:
    request = pb.UpdateAlarmRequest(alarm=alarm, update_mask=FieldMask(paths=paths))
    return (await world.alarms.UpdateAlarm(request)).alarm


async def test_an_alarm_is_made_with_defaults_shown_listed_and_removed(world: World) -> None:
    alarm = (await world.alarms.CreateAlarm(pb.CreateAlarmRequest(alarm=an_alarm()))).alarm
    assert (alarm.interval.seconds, alarm.no_data, alarm.on_error) == (5, pb.ALARM_STATUS_UNKNOWN, pb.ALARM_STATUS_UNKNOWN)
    assert alarm.expression.several == pb.SEVERAL_SERIES_ANY
    assert alarm.create_time.ToMilliseconds() == alarm.update_time.ToMilliseconds() == world.clock.now()
    assert (await world.alarms.GetAlarm(pb.GetAlarmRequest(alarm_name="HighErrors"))).alarm == alarm
    assert list((await world.alarms.ListAlarms(pb.ListAlarmsRequest())).alarms) == [alarm]
    await world.alarms.DeleteAlarm(pb.DeleteAlarmRequest(alarm_name="HighErrors"))
    no = await refused(world.alarms.GetAlarm(pb.GetAlarmRequest(alarm_name="HighErrors")))
    assert (no.code, no.reason) == (NOT_FOUND, "ALARM_DOES_NOT_EXIST")


@pytest.mark.parametrize(
    "source",
    [
        {
            "expression": pb.Expression(
                expression="up",
                comparison=pb.COMPARISON_LESS_OR_EQUAL,
                threshold=-1.5,
                for_duration=Duration(seconds=90, nanos=500_000_000),
                several=pb.SEVERAL_SERIES_ALL,
            )
        },
        {"expression": None, "prometheus_alert": pb.PrometheusAlert(alert_name="ShopDown", labels={"job": "shop"})},
        {"expression": None, "alertmanager_alert": pb.AlertmanagerAlert(labels={"alertname": "ShopDown", "severity": "page"})},
    ],
)
async def test_every_kind_of_source_comes_back_as_it_was_said(world: World, source: dict[str, Any]) -> None:
    said = an_alarm(**source, interval=Duration(seconds=1, nanos=250_000_000), no_data=pb.ALARM_STATUS_ALARM, on_error=pb.ALARM_STATUS_OK)
    found = (await world.alarms.CreateAlarm(pb.CreateAlarmRequest(alarm=said))).alarm
    found.ClearField("create_time")
    found.ClearField("update_time")
    assert found == said


async def test_a_repeat_is_done_once_and_a_name_is_taken_once(world: World) -> None:
    creating = pb.CreateAlarmRequest(alarm=an_alarm(), request_id=ONE)
    assert await world.alarms.CreateAlarm(creating) == await world.alarms.CreateAlarm(creating)
    no = await refused(world.alarms.CreateAlarm(pb.CreateAlarmRequest(alarm=an_alarm())))
    assert (no.code, no.reason) == (EXISTS, "ALARM_ALREADY_EXISTS")
    for method, request in (
        (world.alarms.UpdateAlarm, pb.UpdateAlarmRequest(alarm=an_alarm(), request_id=ONE)),
        (world.alarms.DeleteAlarm, pb.DeleteAlarmRequest(alarm_name="HighErrors", request_id=ONE)),
    ):
        call: Any = method
        before = len(world.requests.keys)
        assert await call(request) == await call(request)
        assert len(world.requests.keys) == before + 1
    assert "was deleted since" in (await refused(world.alarms.CreateAlarm(creating))).message


async def test_an_expression_that_prometheus_cannot_read_is_refused_and_nothing_is_written(world: World) -> None:
    await made(world, "HighErrors")
    unreadable = pb.Expression(expression="rate(", comparison=pb.COMPARISON_GREATER)
    for call in (
        world.alarms.CreateAlarm(pb.CreateAlarmRequest(alarm=an_alarm("Other", expression=unreadable))),
        changed(world, an_alarm(expression=unreadable), "expression.expression"),
    ):
        no = await refused(call)
        assert (no.code, no.fields) == (INVALID, ["alarm.expression.expression"])
        assert no.message == "cannot watch what Prometheus cannot read: Prometheus answers 400: parse error"
    kept = (await world.alarms.ListAlarms(pb.ListAlarmsRequest())).alarms
    assert [(alarm.alarm_name, alarm.expression.expression) for alarm in kept] == [("HighErrors", ERRORS.expression)]


async def test_a_change_names_what_it_changes_down_to_a_part_of_the_source(world: World) -> None:
    await made(world, "HighErrors")
    world.clock.at += 7
    now = await changed(world, an_alarm(expression=pb.Expression(threshold=0.5)), "expression.threshold")
    assert (now.expression.threshold, now.expression.expression) == (0.5, "rate(errors[1m])")
    assert now.update_time.ToMilliseconds() == world.clock.now() == now.create_time.ToMilliseconds() + 7
    now = await changed(world, an_alarm(interval=Duration(seconds=60), no_data=pb.ALARM_STATUS_OK), "no_data")
    assert (now.interval.seconds, now.no_data) == (5, pb.ALARM_STATUS_OK)
    other = an_alarm(expression=None, prometheus_alert=pb.PrometheusAlert(alert_name="ShopDown"))
    now = await changed(world, other, "prometheus_alert")
    assert (now.WhichOneof("source"), now.no_data) == ("prometheus_alert", pb.ALARM_STATUS_OK)
    for labels in ({"job": "shop"}, {"env": "prod"}):
        said = an_alarm(expression=None, prometheus_alert=pb.PrometheusAlert(labels=labels))
        now = await changed(world, said, "prometheus_alert.labels")
        assert (now.prometheus_alert.alert_name, dict(now.prometheus_alert.labels)) == ("ShopDown", labels)
    now = await changed(world, an_alarm())
    assert (now.WhichOneof("source"), now.no_data) == ("expression", pb.ALARM_STATUS_UNKNOWN)
    for path in ("alarm_name", "expression.promql", "source"):
        assert (await refused(changed(world, an_alarm(), path))).fields == ["update_mask"]
    assert (await refused(changed(world, an_alarm(expression=None), "expression"))).code is INVALID
    assert (await refused(changed(world, an_alarm("other")))).code is NOT_FOUND


def with_labels(labels: dict[str, str]) -> dict[str, Any]:
    return {"expression": None, "alertmanager_alert": pb.AlertmanagerAlert(labels=labels)}


@pytest.mark.parametrize(
    "more, field",
    [
        ({"alarm_name": "no spaces"}, "alarm.alarm_name"),
        ({"alarm_name": "x" * 101}, "alarm.alarm_name"),
        ({"expression": None}, "alarm"),
        ({"expression": pb.Expression(expression="up")}, "alarm.expression.comparison"),
        ({"expression": pb.Expression(expression=" ", comparison=pb.COMPARISON_GREATER)}, "alarm.expression.expression"),
        ({"expression": pb.Expression(expression="x" * 4_097, comparison=pb.COMPARISON_GREATER)}, "alarm.expression.expression"),
        (
            {"expression": pb.Expression(expression="up", comparison=pb.COMPARISON_GREATER, threshold=float("nan"))},
            "alarm.expression.threshold",
        ),
        (
            {"expression": pb.Expression(expression="up", comparison=pb.COMPARISON_GREATER, threshold=float("-inf"))},
            "alarm.expression.threshold",
        ),
        ({"expression": pb.Expression(expression="up", comparison=pb.COMPARISON_GREATER, several=NINE)}, "alarm.expression.several"),
        (
            {"expression": pb.Expression(expression="up", comparison=pb.COMPARISON_GREATER, for_duration=Duration(seconds=86_401))},
            "alarm.expression.for_duration",
        ),
        (
            {"expression": pb.Expression(expression="up", comparison=pb.COMPARISON_GREATER, for_duration=Duration(seconds=-1))},
            "alarm.expression.for_duration",
        ),
        ({"interval": Duration()}, "alarm.interval"),
        ({"interval": Duration(seconds=3_601)}, "alarm.interval"),
        ({"no_data": 9}, "alarm.no_data"),
        ({"on_error": 9}, "alarm.on_error"),
        ({"expression": None, "prometheus_alert": pb.PrometheusAlert()}, "alarm.prometheus_alert.alert_name"),
        (
            {"expression": None, "prometheus_alert": pb.PrometheusAlert(alert_name="x", labels={"alertname": "y"})},
            "alarm.prometheus_alert.labels",
        ),
        (with_labels({}), "alarm.alertmanager_alert.labels"),
        (with_labels({"1st": "x"}), "alarm.alertmanager_alert.labels"),
        (with_labels({"a": "x" * 257}), "alarm.alertmanager_alert.labels"),
        (with_labels({f"a{number}": "x" for number in range(21)}), "alarm.alertmanager_alert.labels"),
    ],
)
async def test_an_alarm_that_makes_no_sense_is_refused_by_its_field(world: World, more: dict[str, Any], field: str) -> None:
    no = await refused(world.alarms.CreateAlarm(pb.CreateAlarmRequest(alarm=an_alarm(**more))))
    assert (no.code, no.fields) == (INVALID, [field])
    assert world.catalog_rows.alarms == {}


async def test_an_alarm_is_looked_at_now(world: World) -> None:
    await made(world, "HighErrors")
    world.alarm_rows.seen = Seen(AlarmStatus.ALARM, "0.31 > 0.05")
    seen = await world.alarms.TestAlarm(pb.TestAlarmRequest(alarm_name="HighErrors"))
    assert (seen.status, seen.sample, seen.time.ToMilliseconds()) == (pb.ALARM_STATUS_ALARM, "0.31 > 0.05", world.clock.now())
    assert (await refused(world.alarms.TestAlarm(pb.TestAlarmRequest(alarm_name="other")))).code is NOT_FOUND


def watching(*names: str, **more: Any) -> resources.AlarmConfiguration:
    said: dict[str, Any] = {"enabled": True, "alarms": names} | more
    return resources.AlarmConfiguration(**said)


async def configured(world: World, configuration: resources.AlarmConfiguration, *paths: str) -> resources.AlarmConfiguration:
    """Change the alarms of shop/web."""
    group = catalog.DeploymentGroup(application_name="shop", deployment_group_name="web", alarm_configuration=configuration)
    mask = FieldMask(paths=paths or ["alarm_configuration"])
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=group, update_mask=mask)
    return (await world.catalog.UpdateDeploymentGroup(request)).deployment_group.alarm_configuration


async def test_a_group_names_its_alarms_and_keeps_them_while_they_are_disabled(world: World) -> None:
    await world.shop("h1")
    await made(world, "HighErrors", "SlowAnswers")
    now = await configured(world, watching("HighErrors", "SlowAnswers", "HighErrors", bake_time=Duration(seconds=600)))
    assert now == watching("HighErrors", "SlowAnswers", bake_time=Duration(seconds=600))
    now = await configured(world, resources.AlarmConfiguration(), "alarm_configuration.enabled")
    assert now == watching("HighErrors", "SlowAnswers", enabled=False, bake_time=Duration(seconds=600))
    now = await configured(
        world, watching(ignore_poll_alarm_failure=True), *(f"alarm_configuration.{one}" for one in ("enabled", "bake_time"))
    )
    assert now == watching("HighErrors", "SlowAnswers")
    no = await refused(world.alarms.DeleteAlarm(pb.DeleteAlarmRequest(alarm_name="HighErrors")))
    assert (no.code, no.reason, "shop/web" in no.message) == (PRECONDITION, "ALARM_IN_USE", True)


@pytest.mark.parametrize(
    "configuration, reason, field",
    [
        (watching("NoSuchThing"), "INVALID_ALARM_CONFIG", "alarms"),
        (watching(), "INVALID_ALARM_CONFIG", "alarms"),
        (watching("no spaces"), "INVALID_INPUT", "alarms"),
        (watching(*(f"a{number}" for number in range(51))), "ALARMS_LIMIT_EXCEEDED", "alarms"),
        (watching("HighErrors", bake_time=Duration(seconds=7 * 86_400 + 1)), "INVALID_ALARM_CONFIG", "bake_time"),
        (watching("HighErrors", bake_time=Duration(seconds=-1)), "INVALID_ALARM_CONFIG", "bake_time"),
        (watching("HighErrors", watch_after_success=Duration(seconds=86_401)), "INVALID_ALARM_CONFIG", "watch_after_success"),
        (resources.AlarmConfiguration(watch_after_success=Duration(seconds=60)), "INVALID_ALARM_CONFIG", "watch_after_success"),
        (resources.AlarmConfiguration(bake_time=Duration(seconds=60)), "INVALID_ALARM_CONFIG", "bake_time"),
    ],
)
async def test_alarms_that_make_no_sense_are_refused_of_groups_and_deployments(
    world: World, configuration: resources.AlarmConfiguration, reason: str, field: str
) -> None:
    revision = await world.shop("h1")
    await made(world, "HighErrors")
    for call in (configured(world, configuration), world.deploy(revision, override_alarm_configuration=configuration)):
        no = await refused(call)
        assert (no.code, no.reason, no.fields[0].rpartition(".")[2]) == (INVALID, reason, field)
    assert world.engine.told == []


async def test_a_deployment_freezes_the_alarms_that_its_group_watches(world: World) -> None:
    revision = await world.shop("h1")
    await made(world, "HighErrors", "SlowAnswers")
    said = watching(
        "HighErrors", ignore_poll_alarm_failure=True, bake_time=Duration(seconds=60), watch_after_success=Duration(seconds=4 * 3600)
    )
    await configured(world, said)
    deployment = await world.deploy(revision)
    assert deployment.alarm_configuration == said
    assert deployment.status == resources.DEPLOYMENT_STATUS_QUEUED
    await changed(world, an_alarm(expression=pb.Expression(threshold=9)), "expression.threshold")
    (past,) = world.engine.past.values()
    (frozen,) = past.deployment.plan.alarms
    assert getattr(frozen.source, "threshold", None) == 0.05


async def test_placeholders_are_filled_for_the_group_whose_deployment_watches(world: World) -> None:
    revision = await world.shop("h1")
    expression = pb.Expression(expression="max(errors{{{cohort}}})", comparison=pb.COMPARISON_GREATER, threshold=0.1)
    await world.alarms.CreateAlarm(pb.CreateAlarmRequest(alarm=an_alarm(expression=expression)))
    expression.expression = "max(errors{{{x}}})"
    no = await refused(world.alarms.CreateAlarm(pb.CreateAlarmRequest(alarm=an_alarm("Other", expression=expression))))
    assert (no.code, no.fields) == (INVALID, ["alarm.expression.expression"])
    assert "{{cohort}} and {{control}} are what there is" in no.message
    await configured(world, watching("HighErrors"))
    await world.deploy(revision)
    (past,) = world.engine.past.values()
    (frozen,) = past.deployment.plan.alarms
    assert getattr(frozen.source, "expression", None) == 'max(errors{application="shop", deployment_group="web", cohort="canary"})'


@pytest.mark.parametrize("override", [watching("SlowAnswers"), watching("HighErrors", enabled=False), resources.AlarmConfiguration()])
async def test_what_a_deployment_says_about_alarms_takes_the_place_of_what_its_group_says(
    world: World, override: resources.AlarmConfiguration
) -> None:
    revision = await world.shop("h1")
    await made(world, "HighErrors", "SlowAnswers")
    await configured(world, watching("HighErrors", bake_time=Duration(seconds=60)))
    deployment = await world.deploy(revision, override_alarm_configuration=override)
    wanted = override if override.enabled else resources.AlarmConfiguration()
    assert deployment.alarm_configuration == wanted


async def test_nobody_deploys_while_an_alarm_is_active_where_that_is_refused(world: World) -> None:
    revision = await world.shop("h1")
    about_the_canary = pb.Expression(expression="errors{{{cohort}}}", comparison=pb.COMPARISON_GREATER, threshold=0.1)
    await world.alarms.CreateAlarm(pb.CreateAlarmRequest(alarm=an_alarm("Canary", expression=about_the_canary)))
    await made(world, "HighErrors")
    await configured(world, watching("Canary", "HighErrors", refuse_while_active=True))
    world.alarm_rows.seen = Seen(AlarmStatus.ALARM, "0.31 is > 0.05")
    no = await refused(world.deploy(revision))
    assert (no.code, no.reason) == (PRECONDITION, "ALARM_ACTIVE")
    assert no.message == "cannot deploy while alarm HighErrors is active: 0.31 is > 0.05", "of the canary there is none yet"
    assert world.engine.told == []
    await world.deploy(revision, override_alarm_configuration=watching("HighErrors"))


@pytest.mark.parametrize("seen", [AlarmStatus.OK, AlarmStatus.UNKNOWN])
async def test_what_is_quiet_or_cannot_be_seen_refuses_nothing(world: World, seen: AlarmStatus) -> None:
    revision = await world.shop("h1")
    await made(world, "HighErrors")
    await configured(world, watching("HighErrors", refuse_while_active=True))
    world.alarm_rows.seen = Seen(seen, "x")
    assert (await world.deploy(revision)).status == resources.DEPLOYMENT_STATUS_QUEUED
    assert (await configured(world, watching(), "alarm_configuration.refuse_while_active")).refuse_while_active is False


async def test_only_who_may_configure_a_group_may_deploy_to_it_with_other_alarms(house: House) -> None:
    await shop(house)
    dora = await house.operator("dora", Grant(Role.Deployer, "shop", "db"))
    ada = await house.operator("ada", Grant(Role.Admin, "shop", "db"))
    request = deployments.CreateDeploymentRequest(application_name="shop", deployment_group_name="db", revision_id="r-0000000000000000")
    assert (await refused(dora.deployments.CreateDeployment(request))).code is NOT_FOUND
    request.override_alarm_configuration.SetInParent()
    no = await refused(dora.deployments.CreateDeployment(request))
    assert "cannot configure for shop/db: operator:dora may not" in no.message
    assert (await refused(ada.deployments.CreateDeployment(request))).code is NOT_FOUND


async def test_what_is_done_to_alarms_stands_in_the_audit_and_who_may_only_look_changes_none(house: House) -> None:
    ada, vera = await house.operator("ada", Grant(Role.Admin)), await house.operator("vera", Grant(Role.Viewer, "shop"))
    await ada.alarms.CreateAlarm(pb.CreateAlarmRequest(alarm=an_alarm()))
    assert len((await vera.alarms.ListAlarms(pb.ListAlarmsRequest())).alarms) == 1
    await refused(vera.alarms.DeleteAlarm(pb.DeleteAlarmRequest(alarm_name="HighErrors")))
    await refused(vera.alarms.TestAlarm(pb.TestAlarmRequest(alarm_name="HighErrors")))
    calls = [(one.call.principal, one.call.method.rpartition("/")[2], one.call.code, one.call.subject) for one in await house.audited()]
    assert calls == [
        ("operator:ada", "CreateAlarm", "OK", "HighErrors"),
        ("operator:vera", "DeleteAlarm", "PERMISSION_DENIED", "HighErrors"),
    ]


async def test_the_history_is_asked_for_by_kinds_of_entries(world: World) -> None:
    made_one = await world.deploy(await world.shop("h1"))
    request = deployments.ListHistoryRequest(deployment_id=made_one.deployment_id, entries=["Created", "Queued", "Created"])
    assert [one.entry for one in (await world.deployments.ListHistory(request)).entries] == ["Queued", "Created"]
    request.entries.append("Exploded")
    no = await refused(world.deployments.ListHistory(request))
    assert (no.code, no.fields, "'Exploded'" in no.message) == (INVALID, ["entries"], True)
