"""What happens for every message, as plain numbers that are read when somebody looks: the hot path pays for nothing but integers."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from coordinator.metrics.spread import Spread

RECEIVED: Final = ("hello", "reports", "heartbeat", "goodbye")
SENT: Final = ("welcome", "instruction", "acknowledgement", "cancel", "heartbeat_ack", "drain")
GONE: Final = ("closed", "goodbye", "silent", "stuck", "flooded", "broken", "replaced", "shut_out")
"""Why streams end. Closed: by the agent's side, or its connection was cut. Flooded: its agent does not read what it is sent."""

QUEUED: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LATENCY: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
"""Milliseconds."""


class Tally:
    """Plain numbers that the gateway counts as it goes; `tally.received["reports"] += 1` is all that a message costs."""

    __slots__ = (
        "agents_connected",
        "connects",
        "dispatch",
        "disconnects",
        "log_answers",
        "log_bytes",
        "log_dropped_bytes",
        "log_messages",
        "queued",
        "received",
        "received_bytes",
        "sent",
        "sent_bytes",
    )

    def __init__(self) -> None:
        """All zero."""
        self.agents_connected = 0
        self.connects = {"accepted": 0, "refused": 0}
        self.disconnects = dict.fromkeys(GONE, 0)
        self.received = dict.fromkeys(RECEIVED, 0)
        self.received_bytes = dict.fromkeys(RECEIVED, 0)
        self.sent = dict.fromkeys(SENT, 0)
        self.sent_bytes = dict.fromkeys(SENT, 0)
        self.queued = Spread(QUEUED)
        """Frames that waited for a stream whenever one was written to."""
        self.dispatch = Spread(LATENCY, 1_000)
        """Milliseconds from an instruction put on a stream to the host's next report."""
        self.log_messages = 0
        self.log_answers = 0
        self.log_bytes = 0
        self.log_dropped_bytes = 0


class TallyCollector(Collector):
    """Shows a `Tally`."""

    def __init__(self, tally: Tally) -> None:
        """`tally` is read whenever somebody looks."""
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        """The tally as it is now."""
        tally = self._tally
        yield GaugeMetricFamily("hookline_agents_connected", "Agents whose stream is open.", tally.agents_connected)
        yield _counts("hookline_agent_connects", "Streams that agents opened, by what became of their Hello.", "result", tally.connects)
        yield _counts("hookline_agent_disconnects", "Streams that ended after their Welcome, by why.", "reason", tally.disconnects)
        received, sent = tally.received, tally.sent
        yield _ways("hookline_stream_messages", "Messages on the agents' streams.", received, sent)
        yield _ways("hookline_stream_bytes", "Bytes of messages on the agents' streams.", tally.received_bytes, tally.sent_bytes)
        queued = HistogramMetricFamily("hookline_stream_send_queue_length", "Messages that waited for a stream when it was written to.")
        tally.queued.show(queued)
        yield queued
        dispatch = HistogramMetricFamily(
            "hookline_dispatch_latency_seconds", "From an instruction put on a stream to its host's next report."
        )
        tally.dispatch.show(dispatch)
        yield dispatch
        yield CounterMetricFamily("hookline_log_bytes", "Bytes of hooks' output that agents sent.", tally.log_bytes)
        yield CounterMetricFamily(
            "hookline_log_dropped_bytes", "Bytes of hooks' output that agents left out: more than may be kept.", tally.log_dropped_bytes
        )


def _counts(name: str, documentation: str, label: str, counts: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=(label,))
    for each, count in counts.items():
        family.add_metric((each,), count)
    return family


def _ways(name: str, documentation: str, received: dict[str, int], sent: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=("direction", "kind"))
    for direction, kinds in (("received", received), ("sent", sent)):
        for kind, count in kinds.items():
            family.add_metric((direction, kind), count)
    return family
