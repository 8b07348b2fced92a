"""What the coordinator counts, for Prometheus.

The hot path pays for nothing but an integer: what happens for every message is counted in `Tally`, whose numbers are read when somebody
looks. No metric has an id for a label, and none a name unless the operator wants it: who may scrape need not know what runs here.
"""

import asyncio
import platform
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from coordinator import program_version

RECEIVED: Final = ("hello", "reports", "heartbeat", "goodbye")
SENT: Final = ("welcome", "instruction", "acknowledgement", "cancel", "heartbeat_ack", "drain")
NAMED_AT_MOST: Final = 200
"""Groups that have labels of their own; the rest is counted together, as OTHERS."""

OTHERS: Final = "(others)"
OUTCOMES: Final = ("succeeded", "failed", "stopped")

_Metric = TypeVar("_Metric", Counter, Gauge)
_COMMIT_SECONDS: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_COMMIT_ROWS: Final = (1, 10, 100, 1_000, 10_000, 100_000)
_CALL_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LAG_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_LAG_EVERY: Final = 0.5


class Tally:
    """Plain numbers that the gateway counts as it goes; `tally.received["reports"] += 1` is all that a message costs."""

    __slots__ = ("agents_connected", "connects", "received", "sent")

    def __init__(self) -> None:
        """All zero."""
        self.agents_connected = 0
        self.connects = {"accepted": 0, "refused": 0}
        self.received = dict.fromkeys(RECEIVED, 0)
        self.sent = dict.fromkeys(SENT, 0)


class _TallyCollector(Collector):
    """Shows a `Tally`."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        """The tally as it is now."""
        connected = GaugeMetricFamily("hookline_agents_connected", "Agents whose stream is open.")
        connected.add_metric((), self._tally.agents_connected)
        yield connected
        connects = CounterMetricFamily(
            "hookline_agent_connects", "Streams that agents opened, by what became of their Hello.", labels=("result",)
        )
        for result, count in self._tally.connects.items():
            connects.add_metric((result,), count)
        yield connects
        messages = CounterMetricFamily("hookline_stream_messages", "Messages on the agents' streams.", labels=("direction", "kind"))
        for direction, kinds in (("received", self._tally.received), ("sent", self._tally.sent)):
            for kind, count in kinds.items():
                messages.add_metric((direction, kind), count)
        yield messages


class _BundleCollector(Collector):
    """Shows how much the coordinator keeps; looks into the directory when somebody asks."""

    def __init__(self, count: Callable[[], tuple[int, int]]) -> None:
        self._count = count

    def collect(self) -> Iterator[Metric]:
        """Bundles and their bytes as they are now."""
        bundles, size = self._count()
        yield GaugeMetricFamily("hookline_bundles", "Bundles that the coordinator keeps.", bundles)
        yield GaugeMetricFamily("hookline_bundle_bytes", "Bytes of the bundles that the coordinator keeps.", size)


class Metrics:
    """Everything that is counted, in one registry."""

    def __init__(self, *, names: bool = False) -> None:
        """Nothing has happened yet. With `names`, deployments are counted by application and group, otherwise all together."""
        self._names = names
        self._named: set[tuple[str, str]] = set()
        self.registry = CollectorRegistry()
        self.tally = Tally()
        registry = self.registry
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        registry.register(_TallyCollector(self.tally))
        info = Gauge("hookline_build_info", "Which program this is.", ("version", "python"), registry=registry)
        info.labels(program_version(), platform.python_version()).set(1)
        group = ("application", "group") if names else ()
        self._started = Counter("hookline_deployments_started", "Deployments that were created.", group, registry=registry)
        self._finished = Counter("hookline_deployments_finished", "Deployments that have ended.", (*group, "outcome"), registry=registry)
        self._live = Gauge("hookline_deployments_in_progress", "Deployments that have not ended.", group, registry=registry)
        self._commit_seconds = Histogram(
            "hookline_commit_duration_seconds", "How long a commit took.", buckets=_COMMIT_SECONDS, registry=registry
        )
        self._commit_rows = Histogram("hookline_commit_rows", "How many rows a commit had.", buckets=_COMMIT_ROWS, registry=registry)
        self._lag = Histogram(
            "hookline_event_loop_lag_seconds", "How late the event loop came to a timer.", buckets=_LAG_SECONDS, registry=registry
        )
        self._inbox = Gauge("hookline_inbox_length", "Facts that wait for the engine.", registry=registry)
        self._looks = Counter("hookline_alarm_looks", "Looks at alarms, by what they brought.", ("source", "status"), registry=registry)
        self._webhooks = Counter(
            "hookline_alarm_webhooks", "Calls of Alertmanager, by what became of them.", ("result",), registry=registry
        )
        self._notifications = Counter(
            "hookline_notifications", "Notifications, by what became of them.", ("kind", "result"), registry=registry
        )
        self._silent = Gauge(
            "hookline_notification_targets_silent", "Targets that did not take what was sent to them last.", registry=registry
        )
        call = ("grpc_service", "grpc_method")
        self._calls = Counter("grpc_server_handled", "Calls that have ended, by status.", (*call, "grpc_code"), registry=registry)
        self._call_seconds = Histogram(
            "grpc_server_handling_seconds", "How long unary calls took.", call, buckets=_CALL_SECONDS, registry=registry
        )

    def deployment_started(self, application: str, group: str) -> None:
        """A deployment was created."""
        where = self._where(application, group)
        _of(self._started, where).inc()
        for outcome in OUTCOMES:
            self._finished.labels(*where, outcome)
        self.deployment_resumed(application, group)

    def deployment_resumed(self, application: str, group: str) -> None:
        """A deployment that another run of the coordinator started goes on in this one."""
        _of(self._live, self._where(application, group)).inc()

    def deployment_finished(self, application: str, group: str, outcome: str) -> None:
        """A deployment has ended; `outcome` is one of OUTCOMES."""
        where = self._where(application, group)
        self._finished.labels(*where, outcome).inc()
        _of(self._live, where).dec()

    def _where(self, application: str, group: str) -> tuple[str, ...]:
        """The labels of a group: none, its names, or those of all that came later than NAMED_AT_MOST others."""
        if not self._names:
            return ()
        where = (application, group)
        if where not in self._named:
            if len(self._named) >= NAMED_AT_MOST:
                return (OTHERS, OTHERS)
            self._named.add(where)
        return where

    def committed(self, seconds: float, rows: int) -> None:
        """A commit was made."""
        self._commit_seconds.observe(seconds)
        self._commit_rows.observe(rows)

    def alarm_looked_at(self, source: str, status: str) -> None:
        """Somebody looked at an alarm."""
        self._looks.labels(source, status).inc()

    def alerts_received(self, result: str) -> None:
        """Alertmanager has called; `result` is accepted, refused or failed."""
        self._webhooks.labels(result).inc()

    def notified(self, kind: str, result: str) -> None:
        """Somebody of a kind was told (delivered), was not and will be again (failed), or will not be (given_up)."""
        self._notifications.labels(kind, result).inc()

    def watch_notifications(self, silent: Callable[[], int]) -> None:
        """Ask `silent` for the number of targets that did not take what was sent last, whenever somebody looks."""
        self._silent.set_function(silent)

    def watch_inbox(self, length: Callable[[], int]) -> None:
        """Ask `length` for the inbox's length whenever somebody looks."""
        self._inbox.set_function(length)

    def watch_bundles(self, count: Callable[[], tuple[int, int]]) -> None:
        """Ask `count` for the number of bundles and their bytes whenever somebody looks."""
        self.registry.register(_BundleCollector(count))

    def call_ended(self, service: str, method: str, code: str, seconds: float | None) -> None:
        """A call has ended; `seconds` for unary ones."""
        self._calls.labels(service, method, code).inc()
        if seconds is not None:
            self._call_seconds.labels(service, method).observe(seconds)

    def loop_lagged(self, seconds: float) -> None:
        """The event loop came to a timer so late."""
        self._lag.observe(seconds)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All of it, in the format that an Accept header asks for, and the name of that format."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


def _of(metric: _Metric, labels: tuple[str, ...]) -> _Metric:
    """The metric itself, where it has no labels."""
    return metric.labels(*labels) if labels else metric


class LoopLag:
    """Measures twice a second how late the event loop comes to a timer."""

    def __init__(self, metrics: Metrics) -> None:
        """Not measuring yet."""
        self._metrics = metrics
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Measure the running loop from now on."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_LAG_EVERY, self._tick, loop, loop.time() + _LAG_EVERY)

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self._metrics.loop_lagged(max(0.0, now - due))
        self._timer = loop.call_at(now + _LAG_EVERY, self._tick, loop, now + _LAG_EVERY)
