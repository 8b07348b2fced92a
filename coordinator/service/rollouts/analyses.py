"""What an analysis between the stages of a rollout must look like."""

import math
from typing import Final

from coordinator.core.errors import Invalid
from coordinator.core.model import Analysis, Condition, Metric
from coordinator.service.alarms.alarms import INTERVALS, check_promql
from coordinator.service.rules import check_name

METRICS: Final = 10
COUNTS: Final = range(1, 1_001)
DELAYS: Final = range(24 * 3_600_000 + 1)


def check_analysis(analysis: Analysis, field: str) -> None:
    """Raise Invalid unless it can be carried out, and can come to a verdict."""
    names = [one.measurement.name for one in analysis.metrics]
    if not 1 <= len(names) <= METRICS:
        raise Invalid(f"cannot analyse {len(names)} metrics: 1 to {METRICS} are allowed", field=f"{field}.metrics")
    if all(one.shadow for one in analysis.metrics):
        raise Invalid("cannot come to a verdict by shadows alone: let one metric decide", field=f"{field}.metrics")
    if analysis.initial_delay not in DELAYS:
        raise Invalid(f"cannot wait {analysis.initial_delay / 1000:g} s: 0 to 24 hours are allowed", field=f"{field}.initial_delay")
    for index, one in enumerate(analysis.metrics):
        where = f"{field}.metrics[{index}]"
        if names.index(one.measurement.name) != index:
            raise Invalid(f"cannot tell two metrics {one.measurement.name} apart: give them names of their own", field=f"{where}.name")
        _check_metric(one, where)


def _check_metric(metric: Metric, field: str) -> None:
    one = metric.measurement
    check_name(one.name, field=f"{field}.name")
    check_promql(one.expression, field=f"{field}.expression")
    if one.success is None and one.failure is None:
        raise Invalid(f"cannot judge {one.name}: give a success_condition or a failure_condition", field=f"{field}.success_condition")
    for condition, name in ((one.success, "success_condition"), (one.failure, "failure_condition")):
        if condition is not None:
            _check_condition(condition, f"{field}.{name}")
    if one.interval not in INTERVALS:
        raise Invalid(f"cannot measure every {one.interval / 1000:g} s: 1 s to 1 hour are allowed", field=f"{field}.interval")
    if metric.count not in COUNTS:
        raise Invalid(f"cannot measure {metric.count} times: 1 to 1000 are allowed", field=f"{field}.count")
    for limit in ("failure_limit", "inconclusive_limit", "consecutive_success_limit"):
        if not 0 <= getattr(metric, limit) <= metric.count:
            raise Invalid(f"cannot keep a {limit} of {getattr(metric, limit)}: 0 to {metric.count} are allowed", field=f"{field}.{limit}")


def _check_condition(condition: Condition, field: str) -> None:
    if not math.isfinite(condition.threshold):
        raise Invalid(f"cannot compare with {condition.threshold}: the threshold must be a finite number", field=f"{field}.threshold")
