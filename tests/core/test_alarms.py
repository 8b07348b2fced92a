"""What samples say about an alarm: thresholds, `for`, several series, gaps, NaN and nothing at all."""

import math
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given

from coordinator.core.alarms import Series, Window, judge
from coordinator.core.model import Alarm, AlarmStatus, Comparison, Expression, Seen, SeveralSeries

SOURCE = Expression(expression="errors", comparison=Comparison.GREATER, threshold=0.05)
STEP, NOW = 1_000, 100_000
WINDOW = Window(since=NOW - 3 * STEP, now=NOW, step=STEP)


def line(*values: float | None, **labels: str) -> Series:
    """Values up to now, one a step; None: there is no sample."""
    first = NOW - (len(values) - 1) * STEP
    return Series(labels, [(first + number * STEP, value) for number, value in enumerate(values) if value is not None])


def look(*series: Series, no_data: AlarmStatus = AlarmStatus.UNKNOWN, window: Window = WINDOW, **changed: object) -> Seen:
    source = replace(SOURCE, **changed)  # type: ignore[arg-type]  # fields by name, for brevity
    return judge(Alarm(name="A", source=source, no_data=no_data), source, series, window)


@pytest.mark.parametrize(
    "comparison, too_much, fine",
    [
        (Comparison.GREATER, (2.0,), (1.0, 0.0)),
        (Comparison.GREATER_OR_EQUAL, (2.0, 1.0), (0.0,)),
        (Comparison.LESS, (0.0,), (1.0, 2.0)),
        (Comparison.LESS_OR_EQUAL, (0.0, 1.0), (2.0,)),
    ],
)
def test_a_sample_is_held_against_the_threshold(comparison: Comparison, too_much: tuple[float, ...], fine: tuple[float, ...]) -> None:
    for value in too_much:
        assert look(line(value), comparison=comparison, threshold=1.0).status is AlarmStatus.ALARM
    for value in fine:
        assert look(line(value), comparison=comparison, threshold=1.0).status is AlarmStatus.OK


def test_what_was_seen_is_said_with_its_series() -> None:
    assert look(line(0.31, job="shop", code="500")).sample == '0.31 is > 0.05 {code="500", job="shop"}'
    assert look(line(0.01), line(0.02, job="b")).sample == '0.02 is not > 0.05 {job="b"}'


def test_what_was_active_between_two_looks_counts() -> None:
    assert look(line(0.0, 0.9, 0.0, 0.0)).status is AlarmStatus.ALARM
    assert look(line(0.9, 0.0, 0.0, 0.0, 0.0)).status is AlarmStatus.OK, "the look before has seen it"


def test_it_has_to_hold_for_long_enough_and_without_a_gap() -> None:
    assert look(line(0.9, 0.9, 0.9), hold=2_000).status is AlarmStatus.ALARM
    assert look(line(0.9, 0.9), hold=2_000).status is AlarmStatus.OK
    assert look(line(0.9, 0.0, 0.9), hold=2_000).status is AlarmStatus.OK
    assert look(line(0.9, None, 0.9), hold=2_000).status is AlarmStatus.OK
    assert look(line(0.9, 0.9, 0.9, 0.0), hold=2_000).status is AlarmStatus.ALARM, "it ended after the look before"


def test_of_several_series_any_or_all_have_to_be_past_it() -> None:
    bad, good = line(0.9, 0.9, job="a"), line(0.0, 0.0, job="b")
    assert look(bad, good).status is AlarmStatus.ALARM
    assert look(bad, good, several=SeveralSeries.ALL).status is AlarmStatus.OK
    assert look(bad, line(0.8, 0.7), several=SeveralSeries.ALL).status is AlarmStatus.ALARM
    apart = (line(0.9, 0.0, job="a"), line(0.0, 0.9, job="b"))
    assert look(*apart, several=SeveralSeries.ALL).status is AlarmStatus.OK, "never at the same time"
    below = (line(0.9, job="a"), line(0.0, job="b"))
    assert look(*below, several=SeveralSeries.ALL, comparison=Comparison.LESS).status is AlarmStatus.OK


@pytest.mark.parametrize("status", AlarmStatus)
def test_nothing_and_nan_mean_what_the_alarm_says(status: AlarmStatus) -> None:
    assert look(no_data=status) == Seen(status, "the expression has no sample at this time")
    assert look(line(math.nan), no_data=status) == Seen(status, "the expression has only NaN at this time")
    assert look(line(0.0, None, None), no_data=status).status is status, "its last sample is old"


def test_a_series_with_numbers_counts_beside_one_without() -> None:
    assert look(line(math.nan, job="a"), line(0.9, job="b")).status is AlarmStatus.ALARM
    assert look(line(math.nan, job="a"), line(0.0, job="b")).status is AlarmStatus.OK


def test_infinity_is_a_number() -> None:
    assert look(line(math.inf)).status is AlarmStatus.ALARM
    assert look(line(-math.inf)).status is AlarmStatus.OK


VALUES = st.one_of(st.none(), st.just(math.nan), st.floats(-1, 1))


@given(st.lists(st.lists(VALUES, max_size=8), max_size=3), st.sampled_from([0, 1_000, 3_000]), st.sampled_from(SeveralSeries))
def test_more_that_is_too_much_never_calms_an_alarm(rows: list[list[float | None]], hold: int, several: SeveralSeries) -> None:
    series = [line(*row, number=str(number)) for number, row in enumerate(rows)]
    before = look(*series, hold=hold, several=several)
    if before.status is AlarmStatus.ALARM:
        worse = [
            line(*(value if value is None or math.isnan(value) else 2.0 for value in row), number=str(number))
            for number, row in enumerate(rows)
        ]
        assert look(*worse, hold=hold, several=several).status is AlarmStatus.ALARM


@given(st.lists(st.lists(VALUES, max_size=8), max_size=3), st.sampled_from(SeveralSeries))
def test_ok_needs_a_fresh_number(rows: list[list[float | None]], several: SeveralSeries) -> None:
    seen = look(*(line(*row, number=str(number)) for number, row in enumerate(rows)), several=several)
    fresh = any(row and row[-1] is not None and not math.isnan(row[-1]) for row in rows)
    assert fresh or seen.status is not AlarmStatus.OK
