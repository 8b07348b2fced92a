"""All that sees alarms, put together: Prometheus, what Alertmanager tells, and who looks at them for live deployments."""

from collections.abc import Callable

from coordinator.adapters.alarms.prometheus import Prometheus
from coordinator.adapters.alarms.watcher import Looks, Watcher
from coordinator.core.facts import AlarmSeen
from coordinator.core.orders import WatchAlarms
from coordinator.engine.ports import Clock
from coordinator.metrics import Metrics
from coordinator.service.alarms.alerts import AlertRows, AlertService


class Sight:
    """The engine's port `Alarms`."""

    def __init__(
        self,
        prometheus: Prometheus | None,
        rows: AlertRows,
        clock: Clock,
        *,
        put: Callable[[AlarmSeen], None],
        metrics: Metrics,
    ) -> None:
        """What is seen goes to `put`; looks are counted."""
        self._prometheus = prometheus
        self.alerts = AlertService(rows, clock, lambda: self._watcher.call())
        self.looks = Looks(prometheus, self.alerts.look, clock, metrics.alarm_unanswered)
        self._watcher = Watcher(self.looks.look, put, clock, metrics.alarm_looked_at)

    def watch(self, order: WatchAlarms) -> None:
        """See `engine.ports.Alarms`."""
        self._watcher.watch(order)

    async def run(self) -> None:
        """Look, until cancelled."""
        await self.alerts.start()
        try:
            await self._watcher.run()
        finally:
            if self._prometheus is not None:
                await self._prometheus.close()
