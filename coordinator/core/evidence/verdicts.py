"""What measurements come to: the verdict of a metric by its limits, and that of an analysis by its metrics.

Whoever judges otherwise, as by comparing the samples of two cohorts, is another provider of an outcome for each look: everything here only
counts outcomes. An outcome is an alarm's status: OK is a success, ALARM a failure, UNKNOWN says nothing.

Pure.
"""

import math
from collections.abc import Iterable, Sequence

from coordinator.core.alarms import Series, spelt
from coordinator.core.model import AlarmStatus, Analysis, Measurement, Metric, Seen, Taken, Verdict


def measured(measurement: Measurement, series: Sequence[Series]) -> Seen:
    """The outcome of one look: of several series the worst counts."""
    values = [(one.samples[-1][1], one.labels) for one in series if one.samples and not math.isnan(one.samples[-1][1])]
    if not values:
        return Seen(
            AlarmStatus.UNKNOWN, "the expression has only NaN at this time" if series else "the expression has no sample at this time"
        )
    seen = [Seen(_outcome(measurement, value), f"{value:g}{' ' + spelt(labels) if labels else ''}") for value, labels in values]
    return min(seen, key=lambda one: _BADNESS.index(one.status))


_BADNESS = (AlarmStatus.ALARM, AlarmStatus.UNKNOWN, AlarmStatus.OK)


def _outcome(measurement: Measurement, value: float) -> AlarmStatus:
    if measurement.failure is not None and measurement.failure.holds(value):
        return AlarmStatus.ALARM
    if measurement.success is None or measurement.success.holds(value):
        return AlarmStatus.OK
    return AlarmStatus.ALARM if measurement.failure is None else AlarmStatus.UNKNOWN


def counted(taken: Taken, outcome: AlarmStatus, at: int) -> Taken:
    """One more measurement."""
    good = outcome is AlarmStatus.OK
    return taken._replace(
        number=taken.number + 1,
        failed=taken.failed + (outcome is AlarmStatus.ALARM),
        inconclusive=taken.inconclusive + (outcome is AlarmStatus.UNKNOWN),
        row=taken.row + 1 if good else 0,
        at=at,
    )


def of_metric(metric: Metric, taken: Taken) -> Verdict | None:
    """What a metric has come to; None: it goes on."""
    if taken.failed > metric.failure_limit:
        return Verdict.Failed
    if taken.inconclusive > metric.inconclusive_limit:
        return Verdict.Inconclusive
    if 0 < metric.consecutive_success_limit <= taken.row:
        return Verdict.Successful
    if taken.number < metric.count:
        return None
    return Verdict.Inconclusive if metric.consecutive_success_limit else Verdict.Successful


def of_analysis(analysis: Analysis, taken: Iterable[Taken]) -> tuple[Verdict | None, str]:
    """What an analysis has come to, None when it goes on, and the metrics that say so. Shadows say nothing."""
    by_name = {one.name: one for one in taken}
    found = {
        metric.measurement.name: of_metric(metric, by_name[metric.measurement.name]) for metric in analysis.metrics if not metric.shadow
    }
    for worst in (Verdict.Failed, None, Verdict.Inconclusive):
        if worst in found.values():
            return worst, ", ".join(name for name, verdict in found.items() if verdict is worst)
    return Verdict.Successful, ", ".join(found)
