"""Calls over gRPC, under the names that its ecosystem's dashboards know (go-grpc-prometheus)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from coordinator.metrics.tally import Tally

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
CALL: Final = ("grpc_type", "grpc_service", "grpc_method")
ELSEWHERE: Final[Mapping[tuple[str, ...], Callable[[Tally], tuple[int, int]]]] = {
    ("hookline.v1.AgentService", "Connect"): lambda tally: (sum(tally.received.values()), sum(tally.sent.values())),
    ("hookline.v1.AgentService", "PublishLogs"): lambda tally: (tally.log_messages, tally.log_answers),
}
"""Messages that are counted where they are read and written already: received and sent."""

TYPES: Final = {(False, False): "unary", (True, False): "client_stream", (False, True): "server_stream", (True, True): "bidi_stream"}
"""By whether requests and responses are streamed."""


class Calls:
    """Every call of every server, by method."""

    def __init__(self, registry: CollectorRegistry, tally: Tally) -> None:
        """The messages of the agents' long calls are those of `tally`."""
        self._started = Counter("grpc_server_started", "Calls that have begun.", CALL, registry=registry)
        self._handled = Counter("grpc_server_handled", "Calls that have ended, by status.", (*CALL, "grpc_code"), registry=registry)
        self._seconds = Histogram(
            "grpc_server_handling_seconds",
            "How long calls took whose answer is one message.",
            CALL,
            buckets=SECONDS,
            registry=registry,
        )
        self._messages = _Messages(tally)
        registry.register(self._messages)

    def of(self, method: str, *, requests: bool, responses: bool) -> "MethodCalls":
        """What is counted of a method, named as on the wire ("/SERVICE/METHOD"); whether each side streams."""
        _, service, name = method.split("/")
        labels = (TYPES[requests, responses], service, name)
        messages = self._messages.methods.setdefault(labels, [0, 0])
        seconds = None if responses else self._seconds.labels(*labels)
        return MethodCalls(method, self._started.labels(*labels), self._handled, labels, seconds, messages)


class MethodCalls:
    """The calls of one method."""

    __slots__ = ("_handled", "_labels", "_messages", "_seconds", "_started", "path")

    def __init__(
        self, path: str, started: Counter, handled: Counter, labels: tuple[str, ...], seconds: Histogram | None, messages: list[int]
    ) -> None:
        """`seconds`: None where a call lasts for as long as somebody listens."""
        self.path = path
        self._started = started
        self._handled = handled
        self._labels = labels
        self._seconds = seconds
        self._messages = messages
        handled.labels(*labels, "OK")

    def started(self) -> None:
        """A call has begun."""
        self._started.inc()

    def received(self) -> None:
        """A message has come."""
        self._messages[0] += 1

    def sent(self) -> None:
        """A message goes."""
        self._messages[1] += 1

    def ended(self, code: str, seconds: float) -> None:
        """A call has ended, after so long."""
        self._handled.labels(*self._labels, code).inc()
        if self._seconds is not None:
            self._seconds.observe(seconds)


class _Messages(Collector):
    """Messages by method."""

    def __init__(self, tally: Tally) -> None:
        self.methods: dict[tuple[str, ...], list[int]] = {}
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        """Both counters."""
        came = CounterMetricFamily("grpc_server_msg_received", "Messages that have come.", labels=CALL)
        went = CounterMetricFamily("grpc_server_msg_sent", "Messages that were sent.", labels=CALL)
        for labels, counted in list(self.methods.items()):
            elsewhere = ELSEWHERE.get(labels[1:])
            received, sent = counted if elsewhere is None else elsewhere(self._tally)
            came.add_metric(labels, received)
            went.add_metric(labels, sent)
        yield came
        yield went
