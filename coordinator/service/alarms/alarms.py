"""What an operator may do with alarms, and what must be true of one; what groups and deployments may say about theirs."""

import asyncio
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from coordinator.core.errors import AlarmActive, AlarmDoesNotExist, AlarmsLimitExceeded, Invalid, InvalidAlarmConfig
from coordinator.core.evidence import placeholders
from coordinator.core.facts import RequestKey
from coordinator.core.model import Alarm, AlarmConfiguration, AlarmStatus, AlertmanagerAlert, Expression, PrometheusAlert, Seen
from coordinator.engine.ports import Clock
from coordinator.service.ports import AlarmCatalog, AlarmLooks, Cursor, Page, Replayed
from coordinator.service.records import CatalogAlarm
from coordinator.service.rules import check_name

EXPRESSION_BYTES: Final = 4_096
INTERVALS: Final = range(1_000, 3_600_001)
"""Milliseconds from one look to the next."""
HOLDS: Final = range(24 * 3_600_000 + 1)
"""Milliseconds for which a comparison may have to be true."""
BAKE_TIMES: Final = range(7 * 24 * 3_600_000 + 1)
LATE_WATCHES: Final = range(24 * 3_600_000 + 1)
LABELS: Final = 20
LABEL_LENGTH: Final = 256
ALERT_NAME_LENGTH: Final = 256
ALARMS: Final = 50
"""So many a group may name (CodeDeploy: alarms per group, spec 5)."""

_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}")
ALERT_NAME: Final = "alertname"
"""The label in which Prometheus keeps an alert's name."""


class AlarmService:
    """Makes, shows, changes, removes and tries alarms."""

    def __init__(self, catalog: AlarmCatalog, looks: AlarmLooks, *, clock: Clock) -> None:
        """`catalog` remembers, `looks` looks at them."""
        self._catalog = catalog
        self._looks = looks
        self._clock = clock
        self._updating = asyncio.Lock()

    async def create(self, alarm: Alarm, key: RequestKey) -> CatalogAlarm:
        """Make an alarm."""
        check_alarm(alarm)
        await self._check_readable(alarm)
        try:
            return await self._catalog.create(alarm, at=self._clock.now(), key=key)
        except Replayed as done:
            return await done.made(self._catalog.alarm(alarm.name), AlarmDoesNotExist, f"alarm {alarm.name}", field="alarm.alarm_name")

    async def alarm(self, name: str) -> CatalogAlarm:
        """Show an alarm."""
        return await self._catalog.alarm(name)

    async def alarms(self, *, size: int, after: Cursor) -> Page[CatalogAlarm]:
        """List alarms by name."""
        return await self._catalog.alarms(size=size, after=after)

    async def update(self, name: str, change: Callable[[CatalogAlarm], Alarm], key: RequestKey) -> CatalogAlarm:
        """Put what `change` makes of an alarm in its place; deployments that run keep what they froze."""
        async with self._updating:  # it is read and written back: of two callers that change different fields, neither loses
            before = await self._catalog.alarm(name)
            changed = change(before)
            check_alarm(changed)
            if changed.source != before.alarm.source:
                await self._check_readable(changed)
            try:
                return await self._catalog.update(changed, at=self._clock.now(), key=key)
            except Replayed:
                return await self._catalog.alarm(name)

    async def delete(self, name: str, key: RequestKey) -> None:
        """Remove an alarm that no group names."""
        try:
            await self._catalog.delete(name, at=self._clock.now(), key=key)
        except Replayed:
            return

    async def test(self, name: str) -> tuple[Seen, int]:
        """What a deployment would see of an alarm, and when that was. One with placeholders is looked at for the canaries of all groups."""
        alarm = (await self._catalog.alarm(name)).alarm
        now = self._clock.now()
        return await self._looks.look(about(alarm), now), now

    async def _check_readable(self, alarm: Alarm) -> None:
        """Raise Invalid when Prometheus says that it cannot read the expression. One that is away refuses nothing: `test` will say."""
        filled = about(alarm).source
        if isinstance(filled, Expression) and (why := await self._looks.misread(filled.expression)):
            raise Invalid(f"cannot watch what Prometheus cannot read: {why}", field="alarm.expression.expression")


def about(alarm: Alarm, *, application_name: str = "", group_name: str = "") -> Alarm:
    """An alarm as it is looked at for a group: its placeholders are filled."""
    source = alarm.source
    if not isinstance(source, Expression) or not placeholders.has_any(source.expression):
        return alarm
    expression = placeholders.filled(source.expression, application_name=application_name, group_name=group_name)
    return replace(alarm, source=replace(source, expression=expression, of_canary=True))


def check_alarm(alarm: Alarm) -> None:
    """Raise Invalid unless an alarm can be looked at."""
    check_name(alarm.name, field="alarm.alarm_name")
    _check_length(alarm.interval, INTERVALS, "look every", "alarm.interval")
    match alarm.source:
        case Expression():
            _check_expression(alarm.source)
        case PrometheusAlert(alert_name=name, labels=labels):
            where = "alarm.prometheus_alert"
            if not name.strip() or len(name) > ALERT_NAME_LENGTH:
                raise Invalid(
                    f"cannot look for an alert without a name, or with one of more than {ALERT_NAME_LENGTH} characters",
                    field=f"{where}.alert_name",
                )
            if ALERT_NAME in labels:
                raise Invalid(f"cannot ask for the label {ALERT_NAME} beside the alert's name: give one of them", field=f"{where}.labels")
            _check_labels(labels, f"{where}.labels")
        case AlertmanagerAlert(labels=labels):
            where = "alarm.alertmanager_alert.labels"
            if not labels:
                raise Invalid("cannot tell alerts apart without a label: give at least one, such as alertname=HighErrors", field=where)
            _check_labels(labels, where)


def checked_configuration(wanted: AlarmConfiguration, *, field: str) -> AlarmConfiguration:
    """What a group or a deployment says about its alarms, each named once. Raises InvalidAlarmConfig, AlarmsLimitExceeded."""
    names = tuple(dict.fromkeys(wanted.alarms))
    if len(names) > ALARMS:
        raise AlarmsLimitExceeded(f"cannot watch {len(names)} alarms: {ALARMS} is the most", field=f"{field}.alarms")
    for name in names:
        check_name(name, field=f"{field}.alarms")
    if wanted.enabled and not names:
        raise InvalidAlarmConfig("cannot watch alarms without any: name at least one, or disable it", field=f"{field}.alarms")
    if wanted.bake_time not in BAKE_TIMES:
        raise InvalidAlarmConfig(f"cannot bake for {wanted.bake_time / 1000:g} s: 0 to 7 days are allowed", field=f"{field}.bake_time")
    if wanted.bake_time and not names:
        raise InvalidAlarmConfig("cannot bake without alarms: there would be nothing to watch; name one", field=f"{field}.bake_time")
    if wanted.watch_after_success not in LATE_WATCHES:
        raise InvalidAlarmConfig(
            f"cannot watch for {wanted.watch_after_success / 1000:g} s after a success: 0 to 24 hours are allowed",
            field=f"{field}.watch_after_success",
        )
    if wanted.watch_after_success and not names:
        raise InvalidAlarmConfig("cannot watch without alarms: name one", field=f"{field}.watch_after_success")
    return AlarmConfiguration(
        enabled=wanted.enabled,
        ignore_poll_alarm_failure=wanted.ignore_poll_alarm_failure,
        alarms=names,
        bake_time=wanted.bake_time,
        watch_after_success=wanted.watch_after_success,
        refuse_while_active=wanted.refuse_while_active,
    )


async def active(alarms: Iterable[Alarm], looks: AlarmLooks, *, now: int) -> AlarmActive | None:
    """Why nobody may deploy at this time: one of these alarms is active. Those about the canary are not, before there is one."""
    asked = [one for one in alarms if not (isinstance(one.source, Expression) and one.source.of_canary)]
    for alarm, seen in zip(asked, await asyncio.gather(*(looks.look(one, now) for one in asked)), strict=True):
        if seen.status is AlarmStatus.ALARM:
            return AlarmActive(f"cannot deploy while alarm {alarm.name} is active: {seen.sample}")
    return None


def check_promql(expression: str, *, field: str) -> None:
    """Raise Invalid unless Prometheus may be asked for it, once its placeholders are filled."""
    size = len(expression.encode())
    if not expression.strip():
        raise Invalid("cannot ask Prometheus for nothing: give a PromQL expression", field=field)
    if size > EXPRESSION_BYTES:
        raise Invalid(f"cannot accept an expression of {size} bytes: {EXPRESSION_BYTES} is the most", field=field)
    if (strange := placeholders.strange(expression)) is not None:
        known = " and ".join(f"{{{{{name}}}}}" for name in placeholders.COHORTS)
        raise Invalid(f"cannot fill {{{{{strange[:40]}}}}}: {known} are what there is, among the matchers of a series", field=field)


def _check_expression(source: Expression) -> None:
    where = "alarm.expression"
    check_promql(source.expression, field=f"{where}.expression")
    if not math.isfinite(source.threshold):
        raise Invalid(f"cannot compare with {source.threshold}: the threshold must be a finite number", field=f"{where}.threshold")
    _check_length(source.hold, HOLDS, "wait for", f"{where}.for_duration")


def _check_length(milliseconds: int, allowed: range, what: str, field: str) -> None:
    if milliseconds not in allowed:
        least, most = allowed.start / 1000, (allowed.stop - 1) // 1000
        raise Invalid(f"cannot {what} {milliseconds / 1000:g} s: {least:g} s to {most} s are allowed", field=field)


def _check_labels(labels: Mapping[str, str], field: str) -> None:
    if len(labels) > LABELS:
        raise Invalid(f"cannot compare {len(labels)} labels: {LABELS} is the most", field=field)
    for name, value in labels.items():
        if not _LABEL.fullmatch(name):
            raise Invalid(f"cannot use {name[:140]!r} as the name of a label: use letters, digits and _, and no digit first", field=field)
        if len(value) > LABEL_LENGTH:
            raise Invalid(f"cannot compare label {name} with {len(value)} characters: {LABEL_LENGTH} is the most", field=field)
