"""Alarms as operators say and hear them, in the core's words."""

from typing import assert_never

from coordinator.core.errors import Invalid
from coordinator.core.model import (
    Alarm,
    AlarmSource,
    AlarmStatus,
    AlertmanagerAlert,
    Comparison,
    Expression,
    PrometheusAlert,
    SeveralSeries,
)
from coordinator.wire.operators import duration, read_duration, read_number
from hookline.v1 import alarms_pb2 as pb

COMPARISONS = {
    Comparison.GREATER: pb.COMPARISON_GREATER,
    Comparison.GREATER_OR_EQUAL: pb.COMPARISON_GREATER_OR_EQUAL,
    Comparison.LESS: pb.COMPARISON_LESS,
    Comparison.LESS_OR_EQUAL: pb.COMPARISON_LESS_OR_EQUAL,
}
USUAL_INTERVAL = 5_000


def alarm(value: Alarm) -> pb.Alarm:
    """An alarm."""
    message = pb.Alarm(
        alarm_name=value.name,
        interval=duration(value.interval),
        no_data=pb.AlarmStatus.ValueType(value.no_data),
        on_error=pb.AlarmStatus.ValueType(value.on_error),
    )
    match value.source:
        case Expression() as source:
            message.expression.CopyFrom(_expression(source))
        case PrometheusAlert(alert_name=name, labels=labels):
            message.prometheus_alert.CopyFrom(pb.PrometheusAlert(alert_name=name, labels=labels))
        case AlertmanagerAlert(labels=labels):
            message.alertmanager_alert.CopyFrom(pb.AlertmanagerAlert(labels=labels))
        case _:
            assert_never(value.source)
    return message


def read_alarm(message: pb.Alarm, *, field: str) -> Alarm:
    """The alarm that a caller wants; what is not said takes its default."""
    return Alarm(
        name=message.alarm_name,
        source=_read_source(message, field),
        interval=read_duration(message.interval) if message.HasField("interval") else USUAL_INTERVAL,
        no_data=_read_status(message.no_data, f"{field}.no_data"),
        on_error=_read_status(message.on_error, f"{field}.on_error"),
    )


def read_comparison(number: int, *, field: str) -> Comparison:
    """How a caller wants a value compared."""
    found = next((comparison for comparison, known in COMPARISONS.items() if known == number), None)
    if found is None:
        names = ", ".join(comparison.name for comparison in Comparison)
        raise Invalid(f"cannot read {field}: it must be one of {names}", field=field)
    return found


def _expression(source: Expression) -> pb.Expression:
    return pb.Expression(
        expression=source.expression,
        comparison=COMPARISONS[source.comparison],
        threshold=source.threshold,
        for_duration=duration(source.hold),
        several=pb.SeveralSeries.ValueType(source.several),
    )


def _read_source(message: pb.Alarm, field: str) -> AlarmSource:
    match message.WhichOneof("source"):
        case "expression":
            return _read_expression(message.expression, f"{field}.expression")
        case "prometheus_alert":
            return PrometheusAlert(alert_name=message.prometheus_alert.alert_name, labels=dict(message.prometheus_alert.labels))
        case "alertmanager_alert":
            return AlertmanagerAlert(labels=dict(message.alertmanager_alert.labels))
        case None:
            raise Invalid(
                f"cannot read {field}: it does not say where to look; give one of expression, prometheus_alert, alertmanager_alert",
                field=field,
            )


def _read_expression(message: pb.Expression, field: str) -> Expression:
    comparison = read_comparison(message.comparison, field=f"{field}.comparison")
    several = read_number(SeveralSeries, message.several, f"{field}.several") if message.several else SeveralSeries.ANY
    return Expression(
        expression=message.expression,
        comparison=comparison,
        threshold=message.threshold,
        hold=read_duration(message.for_duration),
        several=several,
    )


def _read_status(number: int, field: str) -> AlarmStatus:
    return read_number(AlarmStatus, number, field) if number else AlarmStatus.UNKNOWN
