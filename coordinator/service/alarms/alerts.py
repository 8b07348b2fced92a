"""Alerts as Alertmanager tells them: kept by fingerprint, so that each counts once however often it is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from coordinator.core.alarms import spelt
from coordinator.core.errors import Limit
from coordinator.core.model import AlarmStatus, AlertmanagerAlert, Seen
from coordinator.engine.ports import Clock

ALERTS_AT_MOST: Final = 10_000
FORGOTTEN_AFTER: Final = 7 * 24 * 3_600_000
"""Milliseconds after its end in which an alert is still known: no look comes later than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert, as it was told last."""

    fingerprint: str
    labels: Mapping[str, str]
    starts_at: str
    """When it began, in RFC 3339, by Prometheus's clock: of two tellings the one that began later is the newer."""
    ended_at: int | None = None
    """When its end was told, by this clock; None while it fires."""


class AlertRows(Protocol):
    """Where alerts are kept."""

    async def alerts(self) -> list[Alert]:
        """All of them."""
        ...

    async def keep(self, alerts: Sequence[Alert], *, forget_before: int) -> None:
        """Store these, in the place of those with their fingerprints, and forget those that ended before a time, at once."""
        ...


class AlertService:
    """Alertmanager's word."""

    def __init__(self, rows: AlertRows, clock: Clock, told: Callable[[], None], *, at_most: int = ALERTS_AT_MOST) -> None:
        """`told` is called when something has changed, once it is stored. There is room for `at_most` alerts."""
        self._rows = rows
        self._clock = clock
        self._told = told
        self._at_most = at_most
        self._known: dict[str, Alert] = {}

    async def start(self) -> None:
        """Read what was told before."""
        self._known = {one.fingerprint: one for one in await self._rows.alerts()}

    async def receive(self, told: Sequence[Alert]) -> int:
        """Take alerts in; how many of them were news. Raises Limit."""
        now = self._clock.now()
        news = [one for one in told if self._is_news(one)]
        forget_before = now - FORGOTTEN_AFTER
        known = {fingerprint: one for fingerprint, one in self._known.items() if one.ended_at is None or one.ended_at >= forget_before}
        known |= {one.fingerprint: one for one in news}
        if len(known) > self._at_most:
            raise Limit(f"cannot keep more than {self._at_most} alerts; let Alertmanager send fewer of them here")
        if news:
            await self._rows.keep(news, forget_before=forget_before)
            self._known = known
            self._told()
        return len(news)

    def look(self, source: AlertmanagerAlert, since: int) -> Seen:
        """Whether an alert with all of these labels fires, or has since a time."""
        wanted = source.labels.items()
        for alert in self._known.values():
            if wanted <= alert.labels.items() and (alert.ended_at is None or alert.ended_at >= since):
                verb = "is" if alert.ended_at is None else "was"
                return Seen(AlarmStatus.ALARM, f"{alert.labels.get('alertname', alert.fingerprint)} {verb} firing {spelt(alert.labels)}")
        return Seen(AlarmStatus.OK, f"no alert fires with {spelt(source.labels)}")

    def _is_news(self, told: Alert) -> bool:
        known = self._known.get(told.fingerprint)
        if known is None:
            return told.ended_at is None
        return told.starts_at > known.starts_at or (
            told.starts_at == known.starts_at and known.ended_at is None and told.ended_at is not None
        )
