"""Alarms on the command line: how they are shown, and the options about them that groups and deployments share."""

import re
from typing import TYPE_CHECKING, TypedDict

import click

from coordinator.cli import protos, suggestions
from coordinator.cli.arguments import AnyCommand, Parsed
from coordinator.cli.wording.spelling import spelt
from coordinator.cli.wording.text import clean, span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.duration_pb2 import Duration

    from hookline.v1.alarms_pb2 import Alarm
    from hookline.v1.catalog_pb2 import DeploymentGroup
    from hookline.v1.resources_pb2 import AlarmConfiguration

SIGNS = {"GREATER": ">", "GREATER_OR_EQUAL": ">=", "LESS": "<", "LESS_OR_EQUAL": "<="}
NONE = "none"
REFUSE = "refuse"
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def length(typed: str) -> "Duration":
    """A length of time: 500ms, 30s, 10m, 2h, 1d or 0."""
    found = re.fullmatch(r"(\d{1,9})(ms|s|m|h|d)", "0s" if typed == "0" else typed)
    if found is None:
        raise ValueError(f"cannot read {typed!r}: write a length of time such as 30s, 10m or 2h")
    duration = protos.duration.Duration()
    duration.FromMilliseconds(round(int(found[1]) * _SECONDS[found[2]] * 1000))
    return duration


def show_length(of: "Duration") -> str:
    """A length of time as people read it."""
    seconds = of.seconds + of.nanos / 1e9
    return span(seconds) if seconds.is_integer() else f"{seconds:g}s"


def show_source(of: "Alarm") -> str:
    """Where an alarm is looked at, and what of it is too much."""
    match of.WhichOneof("source"):
        case "expression":
            one = of.expression
            several = " (all series)" if spelt(one, "several") == "ALL" else ""
            hold = f" for {show_length(one.for_duration)}" if one.for_duration.ToMilliseconds() else ""
            return f"{clean(one.expression)} {SIGNS.get(spelt(one, 'comparison'), '?')} {one.threshold:g}{several}{hold}"
        case "prometheus_alert":
            return f"alert {clean(of.prometheus_alert.alert_name)}{_labels(of.prometheus_alert.labels.items())}"
        case _:
            return f"Alertmanager {_labels(of.alertmanager_alert.labels.items())}"


def _labels(labels: "Iterable[tuple[str, str]]") -> str:
    said = ",".join(f'{name}="{value}"' for name, value in sorted(labels))
    return clean(f"{{{said}}}") if said else ""


def show_configuration(of: "AlarmConfiguration") -> str:
    """Which alarms are watched, and how."""
    names = ", ".join(map(clean, of.alarms))
    if not of.enabled:
        return f"none are watched (kept: {names})" if names else ""
    bake = f"; bake {show_length(of.bake_time)}" if of.bake_time.ToMilliseconds() else ""
    late = f"; watched for {show_length(of.watch_after_success)} after success" if of.watch_after_success.ToMilliseconds() else ""
    late += "; refused while one is active" if of.refuse_while_active else ""
    return f"{names}{bake}{late}{'; goes on blind when nobody can see them' if of.ignore_poll_alarm_failure else ''}"


def advice(group: "DeploymentGroup") -> str:
    """What a group's alarms and its automatic rollback have to do with each other, where that may surprise; "" otherwise."""
    rollback = group.auto_rollback_configuration
    rolls_back = rollback.enabled and protos.resources.AUTO_ROLLBACK_EVENT_DEPLOYMENT_STOP_ON_ALARM in rollback.events
    if rolls_back and not group.alarm_configuration.enabled:
        again = "watch those that are named again with --alarms" if group.alarm_configuration.alarms else "name alarms with --alarm NAME"
        return f"No alarm is watched, so none will roll a deployment back: {again}."
    if group.alarm_configuration.enabled and not rolls_back:
        return "An alarm will stop deployments and leave their hosts as they are then; with --auto-rollback alarm they go back."
    return ""


class SaidAlarms(TypedDict):
    """What was said about alarms; None and () were not."""

    alarms: tuple[str, ...]
    watch: bool | None
    ignore_poll_alarm_failure: bool | None
    bake: "Duration | None"
    watch_for: "Duration | None"
    if_active: str | None


def apply(configuration: "AlarmConfiguration", said: SaidAlarms) -> list[str]:
    """Put what was said into a configuration; the names of the fields that were."""
    if said["alarms"] and said["watch"] is False:
        raise click.UsageError("cannot watch --alarm NAME and no alarms: say one of them")
    if said["alarms"] == (NONE,):
        configuration.Clear()
        return ["enabled", "alarms", "bake_time", "watch_after_success"]
    fields = []
    if said["alarms"] or said["watch"] is not None:
        configuration.enabled = said["watch"] is not False
        fields.append("enabled")
    if said["alarms"]:
        configuration.alarms[:] = said["alarms"]
        fields.append("alarms")
    if said["ignore_poll_alarm_failure"] is not None:
        configuration.ignore_poll_alarm_failure = said["ignore_poll_alarm_failure"]
        fields.append("ignore_poll_alarm_failure")
    if said["bake"] is not None:
        configuration.bake_time.CopyFrom(said["bake"])
        fields.append("bake_time")
    if said["watch_for"] is not None:
        configuration.watch_after_success.CopyFrom(said["watch_for"])
        fields.append("watch_after_success")
    if said["if_active"] is not None:
        configuration.refuse_while_active = said["if_active"] == REFUSE
        fields.append("refuse_while_active")
    return fields


def options(command: AnyCommand) -> AnyCommand:
    """The options whose values are `SaidAlarms`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option(
        "--alarm",
        "alarms",
        multiple=True,
        metavar="NAME",
        shell_complete=suggestions.alarms,
        help="Watch this alarm (and others named so): once it is active, the deployment stops. none: name none any more.",
    ),
    click.option(
        "--alarms/--no-alarms", "watch", default=None, help="Watch the alarms that are named, or keep their names and watch none."
    ),
    click.option(
        "--ignore-poll-alarm-failure/--no-ignore-poll-alarm-failure",
        default=None,
        help="Go on when nobody could say for a minute whether an alarm is active, or stop then. [stop]",
    ),
    click.option(
        "--bake",
        type=Parsed("bake", length),
        metavar="TIME",
        help="Watch the alarms for so long once the last host has ended, such as 10m; at most 7d. [0]",
    ),
    click.option(
        "--watch-for",
        type=Parsed("watch-for", length),
        metavar="TIME",
        help="Watch them for so long after the success, such as 4h; at most 24h. With --auto-rollback alarm it still goes back. [0]",
    ),
    click.option(
        "--if-active",
        type=click.Choice([REFUSE, "stop"]),
        help="What becomes of a deployment that is asked for while an alarm is active: it is refused, or made and stopped at once. [stop]",
    ),
)
