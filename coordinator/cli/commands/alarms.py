"""`hookline alarm`: what is looked at while deployments go on, and what stops them."""

from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from coordinator.cli import arguments, protos, suggestions
from coordinator.cli.arguments import Parsed, command
from coordinator.cli.clock import new_request_id
from coordinator.cli.console import Console
from coordinator.cli.refusals import REFUSED
from coordinator.cli.wording.spelling import number, spelt, to_json
from coordinator.cli.wording.text import Columns, clean, columns, with_age
from coordinator.cli.wording.watched import length, show_length, show_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.duration_pb2 import Duration

    from hookline.v1.alarms_pb2 import Alarm

ALARM = click.argument("alarm", metavar="NAME", shell_complete=suggestions.alarms)
EVENTS = ("ok", "alarm", "unknown")


class Said(TypedDict):
    """What was said of an alarm; None and () were not."""

    promql: str | None
    above: float | None
    at_least: float | None
    below: float | None
    at_most: float | None
    hold: "Duration | None"
    several: str | None
    alert: str | None
    labels: tuple[tuple[str, str], ...]
    alertmanager: tuple[tuple[str, str], ...]
    interval: "Duration | None"
    no_data: str | None
    on_error: str | None


def label(typed: str) -> tuple[str, str]:
    """NAME=VALUE."""
    name, equals, value = typed.partition("=")
    if not name or not equals:
        raise ValueError(f"cannot read {typed!r}: write a label as NAME=VALUE")
    return name, value


def _threshold(name: str, words: str) -> "Callable[[arguments.AnyCommand], arguments.AnyCommand]":
    return click.option(f"--{name}", type=float, metavar="NUMBER", help=f"In ALARM while the expression is {words} this.")


OPTIONS = (
    click.option("--promql", metavar="EXPRESSION", help="Ask Prometheus for this, and compare the answer."),
    _threshold("above", "above"),
    _threshold("below", "below"),
    _threshold("at-least", "at or above"),
    _threshold("at-most", "at or below"),
    click.option("--for", "hold", type=Parsed("for", length), metavar="TIME", help="Only once it was so for this long: 30s, 5m. [0]"),
    click.option(
        "--several",
        type=click.Choice(["any", "all"]),
        metavar="any|all",
        help="Of several series, any past the threshold is enough, or all have to be. [any]",
    ),
    click.option("--alert", metavar="ALERT", help="Or: an alert of Prometheus's own rules, by its name."),
    click.option("--label", "labels", type=Parsed("label", label), multiple=True, metavar="NAME=VALUE", help="Only alerts that have it."),
    click.option(
        "--alertmanager",
        type=Parsed("label", label),
        multiple=True,
        metavar="NAME=VALUE",
        help="Or: alerts that Alertmanager sends to the coordinator and that have this label (and others given so).",
    ),
    click.option("--interval", type=Parsed("interval", length), metavar="TIME", help="From one look to the next, 1s to 1h. [5s]"),
    click.option("--no-data", type=click.Choice(EVENTS), metavar="ok|alarm|unknown", help="What an empty answer means, and NaN. [unknown]"),
    click.option(
        "--on-error", type=click.Choice(EVENTS), metavar="ok|alarm|unknown", help="What it means when Prometheus does not answer. [unknown]"
    ),
)


def alarm_options(made: arguments.AnyCommand) -> arguments.AnyCommand:
    """The options whose values are `Said`."""
    for option in reversed(OPTIONS):
        made = option(made)
    return made


@command(
    "create",
    examples=[
        "hookline alarm create HighErrors --promql 'rate(http_errors_total[1m])' --above 0.05 --for 30s",
        "hookline alarm create TooFew --promql 'count(up{job=\"shop\"} == 1)' --below 3 --no-data alarm",
        "hookline alarm create ShopDown --alert ShopDown --label job=shop       # a rule that Prometheus has already",
        "hookline alarm create Paged --alertmanager severity=page --alertmanager team=shop",
    ],
    related=["alarm test", "group update", "deploy"],
)
@click.argument("alarm", metavar="NAME")
@alarm_options
def create(console: Console, /, alarm: str, **said: Unpack[Said]) -> None:
    """Make an alarm: deployments that watch it stop while it is active.

    Where nobody can say whether it is, it is UNKNOWN, which is not OK: no further host begins until somebody can.
    """
    if sum(bool(one) for one in (said["promql"], said["alert"], said["alertmanager"])) != 1:
        raise click.UsageError("cannot tell what to look at: say one of --promql (with --above or --below), --alert and --alertmanager")
    wanted, _ = _worded(alarm, **said)
    if said["promql"] and not wanted.expression.comparison:
        raise click.UsageError("cannot tell how much is too much: say one of --above, --below, --at-least and --at-most")
    request = protos.alarms.CreateAlarmRequest(alarm=wanted, request_id=new_request_id())
    made = console.connection.ask(console.connection.alarms.CreateAlarm, request).alarm
    _show_change(console, made, "is made")
    console.remark(
        f"Next: hookline alarm test {alarm}; then: hookline group update APP GROUP --alarm {alarm} --auto-rollback failure,alarm"
    )


@command("list", examples=["hookline alarm list", "hookline alarm list --output json"], related=["alarm show", "alarm test"])
def list_alarms(console: Console) -> None:
    """List the alarms."""
    pages = console.connection.pages(console.connection.alarms.ListAlarms, protos.alarms.ListAlarmsRequest())
    found = [alarm for page in pages for alarm in page.alarms]
    shown: Columns[Alarm] = columns(
        ("ALARM", lambda alarm: clean(alarm.alarm_name)),
        ("EVERY", lambda alarm: show_length(alarm.interval)),
        ("NO DATA", lambda alarm: spelt(alarm, "no_data")),
        ("ON ERROR", lambda alarm: spelt(alarm, "on_error")),
        ("ACTIVE WHILE", show_source),
        whole="ALARM",
    )
    console.listing(found, shown, "There is no alarm yet. Make one with: hookline alarm create NAME --promql EXPRESSION --above NUMBER")


@command("show", examples=["hookline alarm show HighErrors"], related=["alarm test", "alarm update"])
@ALARM
def show(console: Console, alarm: str) -> None:
    """Show an alarm."""
    request = protos.alarms.GetAlarmRequest(alarm_name=alarm)
    found = console.connection.ask(console.connection.alarms.GetAlarm, request).alarm
    if console.json:
        console.json_value(to_json(found))
        return
    now = console.clock.now()
    console.details(
        [
            ("alarm", clean(found.alarm_name)),
            ("active while", show_source(found)),
            ("looked at every", show_length(found.interval)),
            ("no data means", spelt(found, "no_data")),
            ("an error means", spelt(found, "on_error")),
            ("created", with_age(found.create_time, now)),
            ("changed", with_age(found.update_time, now) if found.update_time != found.create_time else ""),
        ]
    )


@command(
    "update",
    examples=[
        "hookline alarm update HighErrors --above 0.1",
        "hookline alarm update HighErrors --for 2m --no-data ok",
        "hookline alarm update HighErrors --alert ShopErrors           # look at a rule of Prometheus instead",
    ],
    related=["alarm show", "alarm test"],
)
@ALARM
@alarm_options
def update(console: Console, /, alarm: str, **said: Unpack[Said]) -> None:
    """Change what is said, leave the rest. A running deployment keeps the alarm as it was at its creation."""
    wanted, mask = _worded(alarm, **said)
    if not mask:
        raise click.UsageError("cannot change nothing: say at least one option; hookline alarm update --help shows them")
    request = protos.alarms.UpdateAlarmRequest(
        alarm=wanted, update_mask=protos.field_mask.FieldMask(paths=mask), request_id=new_request_id()
    )
    _show_change(console, console.connection.ask(console.connection.alarms.UpdateAlarm, request).alarm, "is changed")


@command("delete", examples=["hookline alarm delete HighErrors"], related=["alarm list", "group update"])
@ALARM
def delete(console: Console, alarm: str) -> None:
    """Remove an alarm that no group names; its history stays."""
    request = protos.alarms.DeleteAlarmRequest(alarm_name=alarm, request_id=new_request_id())
    console.connection.ask(console.connection.alarms.DeleteAlarm, request)
    if console.json:
        console.json_value({})
    else:
        console.line(f"alarm {alarm} is removed")


@command("test", examples=["hookline alarm test HighErrors"], related=["alarm show", "alarm update"])
@ALARM
def test(console: Console, alarm: str) -> None:
    """Look at an alarm now, as a deployment would. Exit code 1 unless it is OK."""
    request = protos.alarms.TestAlarmRequest(alarm_name=alarm)
    seen = console.connection.ask(console.connection.alarms.TestAlarm, request)
    if console.json:
        console.json_value(to_json(seen))
    else:
        console.line(f"{alarm} is {spelt(seen, 'status')}: {clean(seen.sample)}")
    if spelt(seen, "status") != "OK":
        click.get_current_context().exit(REFUSED)


def _worded(name: str, **said: Unpack[Said]) -> "tuple[Alarm, list[str]]":
    """An alarm with what was said of it, and the names of those fields."""
    wanted = protos.alarms.Alarm(alarm_name=name)
    mask = _source(wanted, **said)
    if said["interval"] is not None:
        wanted.interval.CopyFrom(said["interval"])
        mask.append("interval")
    statuses = protos.alarms.AlarmStatus
    if said["no_data"] is not None:
        wanted.no_data = statuses.ValueType(number(statuses, said["no_data"]))
        mask.append("no_data")
    if said["on_error"] is not None:
        wanted.on_error = statuses.ValueType(number(statuses, said["on_error"]))
        mask.append("on_error")
    return wanted, mask


def _source(wanted: "Alarm", **said: Unpack[Said]) -> list[str]:
    """Put what was said of where to look into an alarm; the names of those fields."""
    mask = _expression(wanted, **said)
    if said["alert"] is not None:
        wanted.prometheus_alert.alert_name = said["alert"]
        mask.append("prometheus_alert.alert_name")
    if said["labels"]:
        wanted.prometheus_alert.labels.update(dict(said["labels"]))
        mask.append("prometheus_alert.labels")
    if said["alertmanager"]:
        wanted.alertmanager_alert.labels.update(dict(said["alertmanager"]))
        mask.append("alertmanager_alert.labels")
    if len({path.partition(".")[0] for path in mask}) > 1:
        raise click.UsageError(
            "cannot look at several things at once: --promql goes with --above, --below, --at-least, --at-most, --for and --several, "
            "--alert with --label, and --alertmanager stands alone"
        )
    return mask


def _expression(wanted: "Alarm", **said: Unpack[Said]) -> list[str]:
    mask = []
    compared = {
        name: limit
        for name, limit in (
            ("GREATER", said["above"]),
            ("GREATER_OR_EQUAL", said["at_least"]),
            ("LESS", said["below"]),
            ("LESS_OR_EQUAL", said["at_most"]),
        )
        if limit is not None
    }
    if len(compared) > 1:
        raise click.UsageError("cannot compare twice: say one of --above, --below, --at-least and --at-most")
    if said["promql"] is not None:
        wanted.expression.expression = said["promql"]
        mask.append("expression.expression")
    for name, limit in compared.items():
        kinds = protos.alarms.Comparison
        wanted.expression.comparison, wanted.expression.threshold = kinds.ValueType(number(kinds, name)), limit
        mask += ["expression.comparison", "expression.threshold"]
    if said["hold"] is not None:
        wanted.expression.for_duration.CopyFrom(said["hold"])
        mask.append("expression.for_duration")
    if said["several"] is not None:
        several = protos.alarms.SeveralSeries
        wanted.expression.several = several.ValueType(number(several, said["several"]))
        mask.append("expression.several")
    return mask


def _show_change(console: Console, alarm: "Alarm", change: str) -> None:
    if console.json:
        console.json_value(to_json(alarm))
    else:
        console.line(f"alarm {clean(alarm.alarm_name)} {change}: {show_source(alarm)}")


alarm = arguments.group(
    "alarm", "Alarms, which stop deployments: create, list, show, update, delete, test.", create, list_alarms, show, update, delete, test
)
