"""Alarms: what is looked at while a deployment goes on, and what an answer means.

An alarm is frozen in the deployment that watches it, so what is decided does not change when somebody edits the alarm meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NamedTuple


class AlarmStatus(IntEnum):
    """What is known of an alarm. Nobody may act on UNKNOWN as if it were OK."""

    OK = 1
    ALARM = 2
    UNKNOWN = 3


class Seen(NamedTuple):
    """What a look at an alarm has brought."""

    status: AlarmStatus
    sample: str
    """In a few words: the value and its series, or why there is none."""


class Comparison(StrEnum):
    """How a sample is held against a threshold; the alarm is in ALARM while it is true."""

    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    LESS = "<"
    LESS_OR_EQUAL = "<="

    def holds(self, value: float, threshold: float) -> bool:
        """Whether `value` is past `threshold`. Never for NaN."""
        match self:
            case Comparison.GREATER:
                return value > threshold
            case Comparison.GREATER_OR_EQUAL:
                return value >= threshold
            case Comparison.LESS:
                return value < threshold
            case Comparison.LESS_OR_EQUAL:
                return value <= threshold


class SeveralSeries(IntEnum):
    """What it takes when an expression answers with more than one series."""

    ANY = 1
    ALL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A PromQL expression that Prometheus is asked for, and what of it is too much."""

    expression: str
    comparison: Comparison
    threshold: float
    hold: int = 0
    """Milliseconds for which the comparison must have been true without a break (Prometheus: `for`)."""
    several: SeveralSeries = SeveralSeries.ANY
    of_canary: bool = False
    """It is about the canary of one group, and says nothing while there is none. Told by its placeholders when it is frozen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusAlert:
    """An alerting rule that Prometheus evaluates already; it is in ALARM while an alert of it fires that has all these labels."""

    alert_name: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerAlert:
    """Alerts that Alertmanager's webhook brings; it is in ALARM while one fires that has all these labels."""

    labels: Mapping[str, str]


AlarmSource = Expression | PrometheusAlert | AlertmanagerAlert


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something to look at."""

    name: str
    source: AlarmSource
    interval: int = 5_000
    """Milliseconds between two looks."""
    no_data: AlarmStatus = AlarmStatus.UNKNOWN
    """What it means when an expression answers with nothing, or with NaN."""
    on_error: AlarmStatus = AlarmStatus.UNKNOWN
    """What it means when Prometheus cannot be asked, or says that it cannot answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmConfiguration:
    """Which alarms the deployments of a group watch, by name."""

    enabled: bool = False
    """Without it the names are kept, and nothing is watched."""
    ignore_poll_alarm_failure: bool = False
    alarms: tuple[str, ...] = ()
    bake_time: int = 0
    """Milliseconds."""
    watch_after_success: int = 0
    """Milliseconds."""
    refuse_while_active: bool = False
    """A deployment is not even made while an alarm is active."""

    @property
    def watched(self) -> tuple[str, ...]:
        """The names of those that are watched."""
        return self.alarms if self.enabled else ()
