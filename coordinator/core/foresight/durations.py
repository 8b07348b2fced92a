"""How long lifecycle events take on a group's hosts, by what they took before.

Pure: the history is read elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from coordinator.core.lifecycle import LifecycleEvent

UNKNOWN: Final = 5_000
"""Milliseconds that an event is taken for of which nobody knows how long it takes."""

PARTS: Final = 10
"""A sample is kept as so many parts of equal size: where each begins, and where the last one ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """What the events of a group's last deployments took. Without a sample each of them takes UNKNOWN."""

    quantiles: Mapping[LifecycleEvent, tuple[int, ...]] = field(default_factory=dict)
    targets: int = 0
    """How many hosts' parts in deployments they were taken from."""

    def of(self, event: LifecycleEvent, quantile: float) -> int:
        """Milliseconds within which so great a part of the hosts, from 0 to 1, were done with an event."""
        known = self.quantiles.get(event)
        if not known:
            return UNKNOWN
        place = min(max(quantile, 0.0), 1.0) * (len(known) - 1)
        before = min(int(place), len(known) - 1)
        after = min(before + 1, len(known) - 1)
        return round(known[before] + (known[after] - known[before]) * (place - before))


def quantiles(sample: Sequence[int]) -> tuple[int, ...]:
    """The bounds of the parts of a sample; empty for an empty one."""
    ordered = sorted(max(0, one) for one in sample)
    return tuple(ordered[(len(ordered) - 1) * part // PARTS] for part in range(PARTS + 1)) if ordered else ()
