"""What measurements come to."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.core.alarms import Series
from coordinator.core.evidence.verdicts import counted, measured, of_analysis, of_metric
from coordinator.core.model import AlarmStatus, Analysis, Comparison, Condition, Measurement, Metric, Taken, Verdict

LOW, HIGH = Condition(Comparison.LESS, 0.1), Condition(Comparison.GREATER, 0.5)
GOOD, BAD, NOTHING = AlarmStatus.OK, AlarmStatus.ALARM, AlarmStatus.UNKNOWN


def measurement(success: Condition | None = None, failure: Condition | None = None, name: str = "m") -> Measurement:
    return Measurement(name=name, expression="x", success=success, failure=failure)


def metric(name: str = "m", *, count: int = 5, bad: int = 0, nothing: int = 0, row: int = 0, shadow: bool = False) -> Metric:
    return Metric(
        measurement=measurement(LOW, name=name),
        count=count,
        failure_limit=bad,
        inconclusive_limit=nothing,
        consecutive_success_limit=row,
        shadow=shadow,
    )


def taken(*outcomes: AlarmStatus, name: str = "m") -> Taken:
    found = Taken(name)
    for outcome in outcomes:
        found = counted(found, outcome, 0)
    return found


@pytest.mark.parametrize(
    "conditions, values, outcome",
    [
        ((LOW, None), [0.05], GOOD),
        ((LOW, None), [0.2], BAD),
        ((None, HIGH), [0.2], GOOD),
        ((None, HIGH), [0.9], BAD),
        ((LOW, HIGH), [0.2], NOTHING),
        ((LOW, HIGH), [0.05, 0.9], BAD),
        ((LOW, HIGH), [0.05, 0.2], NOTHING),
        ((LOW, HIGH), [], NOTHING),
        ((LOW, HIGH), [math.nan], NOTHING),
        ((LOW, HIGH), [math.nan, 0.05], GOOD),
        ((None, HIGH), [math.inf], BAD),
    ],
)
def test_a_value_is_held_against_both_conditions_and_the_worst_series_counts(
    conditions: tuple[Condition | None, Condition | None], values: list[float], outcome: AlarmStatus
) -> None:
    series = [Series({"host": str(number)}, [(0, value)]) for number, value in enumerate(values)]
    assert measured(measurement(*conditions), series).status is outcome


@pytest.mark.parametrize(
    "limits, outcomes, verdict",
    [
        ({}, [GOOD] * 4, None),
        ({}, [GOOD] * 5, Verdict.Successful),
        ({}, [GOOD, BAD], Verdict.Failed),
        ({"bad": 1}, [BAD, GOOD, GOOD, GOOD, GOOD], Verdict.Successful),
        ({"bad": 1}, [BAD, GOOD, BAD], Verdict.Failed),
        ({}, [NOTHING], Verdict.Inconclusive),
        ({"nothing": 2}, [NOTHING, NOTHING, GOOD, GOOD, GOOD], Verdict.Successful),
        ({"row": 3}, [GOOD, GOOD, GOOD], Verdict.Successful),
        ({"row": 3, "bad": 2}, [GOOD, GOOD, BAD, GOOD, GOOD], Verdict.Inconclusive),
        ({"row": 2, "bad": 2}, [GOOD, BAD, GOOD, GOOD], Verdict.Successful),
    ],
)
def test_limits_decide_what_a_metric_comes_to(limits: dict[str, int], outcomes: list[AlarmStatus], verdict: Verdict | None) -> None:
    assert of_metric(metric(**limits), taken(*outcomes)) is verdict  # type: ignore[arg-type]  # the limits are numbers


@given(
    st.lists(st.sampled_from([GOOD, BAD, NOTHING]), min_size=20, max_size=20),
    st.builds(metric, count=st.integers(1, 20), bad=st.integers(0, 20), nothing=st.integers(0, 20), row=st.integers(0, 20)),
)
def test_every_metric_comes_to_a_verdict_by_its_last_measurement_and_a_failure_too_many_is_never_good(
    outcomes: list[AlarmStatus], one: Metric
) -> None:
    found = taken(*outcomes[: one.count])
    verdict = of_metric(one, found)
    assert verdict is not None
    assert (verdict is Verdict.Failed) == (found.failed > one.failure_limit)


def test_a_failure_counts_at_once_and_shadows_and_what_goes_on_wait_for_nobody() -> None:
    errors, latency, shadow = metric("errors"), metric("latency"), metric("shadow", shadow=True)
    analysis = Analysis(metrics=(errors, latency, shadow))
    good, bad, nothing = ([outcome] * 5 for outcome in (GOOD, BAD, NOTHING))

    def verdict(one: list[AlarmStatus], other: list[AlarmStatus], third: list[AlarmStatus]) -> tuple[Verdict | None, str]:
        return of_analysis(analysis, (taken(*one, name="errors"), taken(*other, name="latency"), taken(*third, name="shadow")))

    assert verdict([], bad, []) == (Verdict.Failed, "latency")
    assert verdict(nothing, [], bad)[0] is None
    assert verdict(nothing, good, []) == (Verdict.Inconclusive, "errors")
    assert verdict(good, good, bad) == (Verdict.Successful, "errors, latency")
