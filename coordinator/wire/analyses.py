"""Analyses as operators say and hear them, in the core's words."""

from coordinator.core.model import Analysis, Condition, Measurement, Metric
from coordinator.wire.alarms import COMPARISONS, read_comparison
from coordinator.wire.operators import duration, read_duration
from hookline.v1 import resources_pb2 as pb

USUAL_COUNT = 5
USUAL_INTERVAL = 30_000


def analysis(value: Analysis) -> pb.Analysis:
    """What is measured after a stage."""
    delay = duration(value.initial_delay) if value.initial_delay else None
    return pb.Analysis(metrics=[_metric(one) for one in value.metrics], initial_delay=delay)


def read_analysis(message: pb.Analysis, *, field: str) -> Analysis:
    """What a caller wants measured; what is not said takes its default."""
    metrics = tuple(_read_metric(one, f"{field}.metrics[{index}]") for index, one in enumerate(message.metrics))
    return Analysis(metrics=metrics, initial_delay=read_duration(message.initial_delay))


def _metric(value: Metric) -> pb.AnalysisMetric:
    one = value.measurement
    return pb.AnalysisMetric(
        name=one.name,
        expression=one.expression,
        success_condition=_condition(one.success),
        failure_condition=_condition(one.failure),
        interval=duration(one.interval),
        count=value.count,
        failure_limit=value.failure_limit,
        inconclusive_limit=value.inconclusive_limit,
        consecutive_success_limit=value.consecutive_success_limit,
        shadow=value.shadow,
    )


def _condition(value: Condition | None) -> pb.Condition | None:
    return None if value is None else pb.Condition(comparison=COMPARISONS[value.comparison], threshold=value.threshold)


def _read_metric(message: pb.AnalysisMetric, field: str) -> Metric:
    success, failure = message.HasField("success_condition"), message.HasField("failure_condition")
    return Metric(
        measurement=Measurement(
            name=message.name,
            expression=message.expression,
            success=_read_condition(message.success_condition, f"{field}.success_condition") if success else None,
            failure=_read_condition(message.failure_condition, f"{field}.failure_condition") if failure else None,
            interval=read_duration(message.interval) if message.HasField("interval") else USUAL_INTERVAL,
        ),
        count=message.count or USUAL_COUNT,
        failure_limit=message.failure_limit,
        inconclusive_limit=message.inconclusive_limit,
        consecutive_success_limit=message.consecutive_success_limit,
        shadow=message.shadow,
    )


def _read_condition(message: pb.Condition, field: str) -> Condition:
    return Condition(read_comparison(message.comparison, field=f"{field}.comparison"), message.threshold)
