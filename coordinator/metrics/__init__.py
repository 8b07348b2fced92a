"""What the coordinator counts, for Prometheus."""

from coordinator.metrics.catalogue import NAMED_AT_MOST, OTHERS, LoopLag, Metrics, Tally

__all__ = ["NAMED_AT_MOST", "OTHERS", "LoopLag", "Metrics", "Tally"]
