"""What the samples of an expression say about its alarm.

A look brings every sample since the look before, so an alarm that was active in between counts although it is over: nobody saw it, and the
deployment went on meanwhile.

Pure.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from coordinator.core.model import Alarm, AlarmStatus, Expression, Seen, SeveralSeries

Sample = tuple[int, float]
"""When, in UTC milliseconds, and the value."""


class Series(NamedTuple):
    """Samples with the same labels, one at most at each step of the look, oldest first."""

    labels: Mapping[str, str]
    samples: Sequence[Sample]


class Window(NamedTuple):
    """The time that a look covers, in UTC milliseconds: whatever held for long enough and until `since` or later counts."""

    since: int
    now: int
    step: int
    """Milliseconds from one sample to the next."""


def judge(alarm: Alarm, source: Expression, series: Sequence[Series], window: Window) -> Seen:
    """What is known of an alarm after a look."""
    lines = [line for one in series if (line := _line(one)) is not None]
    if source.several is SeveralSeries.ALL:
        lines = _together(source, lines)
    for line in lines:
        if (value := _held(source, line, window)) is not None:
            return Seen(AlarmStatus.ALARM, _said(source, value, line.labels, holds=True))
    last = [line for line in lines if line.samples[-1][0] > window.now - window.step]
    if not last:
        numbers = "only NaN" if series and not lines else "no sample"
        return Seen(alarm.no_data, f"the expression has {numbers} at this time")
    worst = _worst(source, last)
    value = worst.samples[-1][1]
    return Seen(AlarmStatus.OK, _said(source, value, worst.labels, holds=source.comparison.holds(value, source.threshold)))


def spelt(labels: Mapping[str, str]) -> str:
    """Labels as Prometheus writes them."""
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"


def _line(series: Series) -> Series | None:
    """Without NaN, which is no number and says nothing; None when nothing is left."""
    samples = [sample for sample in series.samples if not math.isnan(sample[1])]
    return Series(series.labels, samples) if samples else None


def _together(source: Expression, lines: Sequence[Series]) -> list[Series]:
    """One line whose sample at each step is the one that is furthest from being too much: it is past the threshold when all are."""
    mildest: dict[int, float] = {}
    upwards = source.comparison.value.startswith(">")
    for line in lines:
        for at, value in line.samples:
            other = mildest.get(at, value)
            mildest[at] = min(other, value) if upwards else max(other, value)
    return [Series({}, sorted(mildest.items()))] if mildest else []


def _held(source: Expression, line: Series, window: Window) -> float | None:
    """The value with which the comparison has held for long enough, last within the window; None when it has not."""
    found = None
    for run in _runs(source, line.samples, window.step):
        if run[-1][0] - run[0][0] >= source.hold and run[-1][0] >= window.since:
            found = run[-1][1]
    return found


def _runs(source: Expression, samples: Sequence[Sample], step: int) -> Iterator[list[Sample]]:
    """Samples one after another, none missing between them, for all of which the comparison holds."""
    run: list[Sample] = []
    for sample in samples:
        holds = source.comparison.holds(sample[1], source.threshold)
        if run and (not holds or sample[0] - run[-1][0] > step * 3 // 2):
            yield run
            run = []
        if holds:
            run.append(sample)
    if run:
        yield run


def _worst(source: Expression, lines: Sequence[Series]) -> Series:
    ordered = sorted(lines, key=lambda line: line.samples[-1][1])
    return ordered[-1] if source.comparison.value.startswith(">") else ordered[0]


def _said(source: Expression, value: float, labels: Mapping[str, str], *, holds: bool) -> str:
    of = spelt(labels) if labels else ""
    verb = "is" if holds else "is not"
    return f"{value:g} {verb} {source.comparison.value} {source.threshold:g} {of}".rstrip()
