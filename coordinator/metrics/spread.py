"""A histogram of whole numbers, for the hot path: to count one is a look-up and two additions."""

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client.core import Exemplar, HistogramMetricFamily


class Spread:
    """Numbers by size. They are whole, so that adding them up loses nothing; `scale` of them are one of Prometheus's units."""

    __slots__ = ("bounds", "counts", "exemplars", "scale", "total")

    def __init__(self, bounds: Sequence[int], scale: int = 1) -> None:
        """`bounds` are the greatest numbers of the buckets, but for the last, which takes what is greater."""
        self.bounds = bounds
        self.scale = scale
        self.counts = [0] * (len(bounds) + 1)
        self.exemplars: dict[int, Exemplar] = {}
        """By bucket, the newest one."""
        self.total = 0

    def add(self, number: int) -> None:
        """Count a number."""
        self.counts[bisect_left(self.bounds, number)] += 1
        self.total += number

    def mark(self, number: int, labels: dict[str, str]) -> None:
        """Say which one a number was that was counted."""
        self.exemplars[bisect_left(self.bounds, number)] = Exemplar(labels, number / self.scale)

    def show(self, family: HistogramMetricFamily, labels: Sequence[str] = ()) -> None:
        """Add it to what is shown."""
        buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        below = 0
        for place, count in enumerate(self.counts):
            below += count
            bound = f"{self.bounds[place] / self.scale:g}" if place < len(self.bounds) else "+Inf"
            exemplar = self.exemplars.get(place)
            buckets.append((bound, float(below)) if exemplar is None else (bound, float(below), exemplar))
        family.add_metric(labels, buckets, self.total / self.scale)
