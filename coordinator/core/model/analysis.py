"""Analyses: what is measured once the hosts of a stage have ended, and what lets the deployment go on."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from coordinator.core.model.alarms import Comparison


class Condition(NamedTuple):
    """Something that may be true of a value."""

    comparison: Comparison
    threshold: float

    def holds(self, value: float) -> bool:
        """Whether it is true. Never for NaN."""
        return self.comparison.holds(value, self.threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """How one value is taken, again and again. With both conditions, a value for which neither holds says nothing."""

    name: str
    expression: str
    """PromQL; it may speak of cohorts."""
    success: Condition | None = None
    failure: Condition | None = None
    interval: int = 30_000
    """Milliseconds from one to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A measurement, and how many of which outcome decide."""

    measurement: Measurement
    count: int = 5
    """So many are taken at most."""
    failure_limit: int = 0
    """So many may fail."""
    inconclusive_limit: int = 0
    """So many may say nothing: neither condition holds, there is no value, or Prometheus does not answer."""
    consecutive_success_limit: int = 0
    """So many successes in a row are enough, and without them it is inconclusive; 0: all are taken."""
    shadow: bool = False
    """It is measured and told, and decides nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What is measured after a stage."""

    metrics: tuple[Metric, ...]
    initial_delay: int = 0
    """Milliseconds after the end of the stage's last host in which nothing is measured."""


class Verdict(IntEnum):
    """What an analysis, or a metric of it, has come to."""

    Successful = 1
    Failed = 2
    Inconclusive = 3
    Passed = 4
    """Somebody went on without it, or there was nothing to analyse."""


class Taken(NamedTuple):
    """What was measured of a metric so far."""

    name: str
    number: int = 0
    failed: int = 0
    inconclusive: int = 0
    row: int = 0
    """Successes since the last one that was none."""
    at: int = 0
    """The deployment's own clock when the last was taken."""
