"""All that tells people, put together: the courier, the ways of triggers, and Grafana."""

import secrets
from typing import Final, NamedTuple

from coordinator.adapters.notifications.grafana import Grafana
from coordinator.adapters.notifications.post import HttpPost
from coordinator.adapters.notifications.secrets import SecretFiles
from coordinator.config.settings import Notifications
from coordinator.core.addresses import PrivateServers
from coordinator.engine.ports import Clock
from coordinator.metrics import Metrics
from coordinator.service.notifications.annotations import GRAFANA, GrafanaOutlet
from coordinator.service.notifications.courier import Courier
from coordinator.service.notifications.outlets import Ways
from coordinator.service.notifications.ports import NoSecrets, Outbox
from coordinator.service.notifications.targets import Targets
from coordinator.service.notifications.trials import TriggerService
from coordinator.service.ports import Catalog, History

USUAL_CLUSTER: Final = "hookline"
_FINE: Final = 1 << 20


class Remembered(NamedTuple):
    """What is read and kept."""

    outbox: Outbox
    history: History
    catalog: Catalog


class Telling:
    """Tells whoever wants to know of deployments."""

    def __init__(self, settings: Notifications, rooms: Remembered, clock: Clock, *, cluster: str, metrics: Metrics) -> None:
        """`cluster` tells this coordinator from others."""
        allowed = PrivateServers(settings.allow)
        self.targets = Targets(allowed, NoSecrets() if settings.secrets is None else SecretFiles(settings.secrets))
        self._post = HttpPost(allowed)
        ways = Ways(history=rooms.history, targets=self.targets, post=self._post, clock=clock, cluster=cluster or USUAL_CLUSTER)
        self.courier = Courier(rooms.outbox, ways.outlet, clock, chance=_chance, count=metrics.notified)
        metrics.watch_notifications(lambda: self.courier.silent)
        self._grafana = Grafana.at(settings.grafana, settings.grafana_token) if settings.grafana else None
        self.courier.tell_all(GRAFANA, None if self._grafana is None else GrafanaOutlet(rooms.history.deployment, self._grafana))
        self.trials = TriggerService(rooms.catalog, ways, clock)

    async def run(self) -> None:
        """Tell, until cancelled."""
        try:
            await self.courier.run()
        finally:
            await self._post.close()
            if self._grafana is not None:
                await self._grafana.close()


def _chance() -> float:
    return secrets.randbelow(_FINE) / _FINE
