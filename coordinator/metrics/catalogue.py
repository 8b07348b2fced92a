"""All metrics, in one registry, and how they are written out.

No metric has an id for a label, and none a name unless the operator wants it: who may scrape need not know what runs here.
"""

import asyncio
import platform
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from coordinator import program_version
from coordinator.core.model import AlarmStatus, TargetKind
from coordinator.metrics.calls import Calls
from coordinator.metrics.committed import Committed
from coordinator.metrics.exposition import content_type, written
from coordinator.metrics.live import LiveCollector, Sight
from coordinator.metrics.names import Names
from coordinator.metrics.storage import Storage
from coordinator.metrics.tally import Tally, TallyCollector

disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each counter, which nobody asks for

LAG_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
LAG_EVERY: Final = 0.5


class Metrics:
    """Everything that is counted."""

    def __init__(self, *, names: bool = False) -> None:
        """Nothing has happened yet. With `names`, deployments are counted by application and group, otherwise all together."""
        self.registry = registry = CollectorRegistry()
        self.tally = Tally()
        whose = Names(wanted=names)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        registry.register(TallyCollector(self.tally))
        info = Gauge("hookline_build_info", "Which program this is.", ("version", "python"), registry=registry)
        info.labels(program_version(), platform.python_version()).set(1)
        self.committed = Committed(registry, whose)
        self.storage = Storage(registry)
        self.calls = Calls(registry, self.tally)
        self.lag = LoopLag(registry)
        self._live = LiveCollector(whose, self.committed.live)
        registry.register(self._live)
        self._asked: list[tuple[Gauge, Callable[[], int]]] = []
        self._looks = Counter(
            "hookline_alarm_looks",
            "Looks at alarms and measurements of analyses, by what they brought.",
            ("source", "status"),
            registry=registry,
        )
        self._errors = Counter("hookline_alarm_query_errors", "Looks that Prometheus did not answer.", ("source",), registry=registry)
        self._webhooks = Counter(
            "hookline_alarm_webhooks", "Calls of Alertmanager, by what became of them.", ("result",), registry=registry
        )
        self._notifications = Counter(
            "hookline_notifications", "Notifications, by what became of them.", ("kind", "result"), registry=registry
        )
        self._silent = Gauge(
            "hookline_notification_targets_silent", "Targets that did not take what was sent to them last.", registry=registry
        )
        for source in ("expression", "prometheus_alert", "alertmanager_alert", "measurement"):
            for status in AlarmStatus:
                self._looks.labels(source, status.name)
        for source in ("expression", "prometheus_alert", "measurement"):
            self._errors.labels(source)
        for result in ("accepted", "refused", "failed"):
            self._webhooks.labels(result)
        for kind in (*(one.name.lower() for one in TargetKind), "grafana"):
            for result in ("delivered", "failed", "given_up"):
                self._notifications.labels(kind, result)

    def alarm_looked_at(self, source: str, status: str) -> None:
        """Somebody looked at an alarm."""
        self._looks.labels(source, status).inc()

    def alarm_unanswered(self, source: str) -> None:
        """Prometheus did not answer a look at an alarm."""
        self._errors.labels(source).inc()

    def alerts_received(self, result: str) -> None:
        """Alertmanager has called; `result` is accepted, refused or failed."""
        self._webhooks.labels(result).inc()

    def notified(self, kind: str, result: str) -> None:
        """Somebody of a kind was told (delivered), was not and will be again (failed), or will not be (given_up)."""
        self._notifications.labels(kind, result).inc()

    def watch_notifications(self, silent: Callable[[], int]) -> None:
        """Ask `silent` for the number of targets that did not take what was sent last, whenever somebody looks."""
        self._asked.append((self._silent, silent))

    def watch(self, sight: Sight) -> None:
        """Look there whenever somebody asks."""
        self._live.sight = sight

    def look(self) -> None:
        """Look at what goes on just now."""
        self._live.look()
        for gauge, ask in self._asked:
            gauge.set(ask())

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """All of it, in the format that an Accept header asks for, and the name of that format.

        It is written out piece by piece, between which the event loop goes on, however much there is.
        """
        self.look()
        format = content_type(accept)
        pieces = []
        for piece in written(self.registry.collect(), format):
            pieces.append(piece)
            await _turn()
        return "".join(pieces).encode(), format


async def _turn() -> None:
    """Let the event loop go on with what waits for it."""
    turn = asyncio.Event()
    asyncio.get_running_loop().call_soon(turn.set)
    await turn.wait()


class LoopLag:
    """Measures twice a second how late the event loop comes to a timer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Not measuring yet."""
        self._seconds = Histogram(
            "hookline_event_loop_lag_seconds", "How late the event loop came to a timer.", buckets=LAG_SECONDS, registry=registry
        )
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Measure the running loop from now on."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(LAG_EVERY, self._tick, loop, loop.time() + LAG_EVERY)

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self._seconds.observe(max(0.0, now - due))
        self._timer = loop.call_at(now + LAG_EVERY, self._tick, loop, now + LAG_EVERY)
