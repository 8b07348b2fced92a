"""Alarms as JSON: those that a deployment has frozen, and those of the catalogue."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

from coordinator.core.model import (
    Alarm,
    AlarmConfiguration,
    AlarmSource,
    AlarmStatus,
    AlertmanagerAlert,
    Comparison,
    Expression,
    PrometheusAlert,
    SeveralSeries,
)
from coordinator.store.rows.columns import text_of

SOURCES: Final[dict[str, type[AlarmSource]]] = {
    "expression": Expression,
    "prometheus_alert": PrometheusAlert,
    "alertmanager_alert": AlertmanagerAlert,
}
CONFIGURATION_COLUMNS: Final = (
    "alarms_enabled",
    "ignore_poll_alarm_failure",
    "alarms",
    "bake_time",
    "watch_after_success",
    "refuse_while_active",
)
"""What `configuration` makes a group's alarms of, in its order."""
_KINDS: Final = {type: kind for kind, type in SOURCES.items()}


def alarms_text(alarms: Iterable[Alarm]) -> str:
    """Alarms as JSON."""
    return text_of([alarm_map(one) for one in alarms])


def alarms(text: str) -> tuple[Alarm, ...]:
    """The opposite of `alarms_text`."""
    return tuple(alarm(one) for one in json.loads(text))


def alarm_map(alarm: Alarm) -> dict[str, object]:
    """An alarm as JSON has it."""
    return {**asdict(alarm), "kind": _KINDS[type(alarm.source)]}


def alarm(stored: dict[str, Any]) -> Alarm:  # it was written by `alarm_map`
    """The opposite of `alarm_map`."""
    source = stored["source"]
    if stored["kind"] == "expression":
        source = {**source, "comparison": Comparison(source["comparison"]), "several": SeveralSeries(source["several"])}
    return Alarm(
        name=stored["name"],
        source=SOURCES[stored["kind"]](**source),
        interval=stored["interval"],
        no_data=AlarmStatus(stored["no_data"]),
        on_error=AlarmStatus(stored["on_error"]),
    )


def configuration(enabled: int, ignore_poll_alarm_failure: int, names: str, *rest: int) -> AlarmConfiguration:
    """Which alarms a group watches, from CONFIGURATION_COLUMNS."""
    bake_time, watch_after_success, refuse_while_active = rest
    return AlarmConfiguration(
        enabled=bool(enabled),
        ignore_poll_alarm_failure=bool(ignore_poll_alarm_failure),
        alarms=tuple(json.loads(names)),
        bake_time=bake_time,
        watch_after_success=watch_after_success,
        refuse_while_active=bool(refuse_while_active),
    )


def configuration_columns(of: AlarmConfiguration) -> tuple[int, int, str, int, int, int]:
    """CONFIGURATION_COLUMNS of a configuration."""
    names = text_of(list(of.alarms))
    flags = int(of.enabled), int(of.ignore_poll_alarm_failure)
    return *flags, names, of.bake_time, of.watch_after_success, int(of.refuse_while_active)
