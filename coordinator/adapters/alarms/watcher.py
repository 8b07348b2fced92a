"""Looks at the alarms of live deployments and tells the engine what it sees: the engine's port `Alarms`.

Each alarm is looked at once per interval, however many groups watch it. A look that brings nothing is told as well: nobody may think that
an alarm is quiet because nobody asks any more.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from coordinator.adapters.alarms.prometheus import Misread, Prometheus, Unanswered
from coordinator.core.facts import AlarmSeen
from coordinator.core.model import (
    Alarm,
    AlarmSource,
    AlarmStatus,
    AlertmanagerAlert,
    Expression,
    GroupId,
    Measurement,
    PrometheusAlert,
    Seen,
)
from coordinator.core.orders import WatchAlarms
from coordinator.engine.ports import Clock

log = logging.getLogger(__name__)

AT_ONCE: Final = 20
"""Looks that are under way together."""

PARSED_WITHIN: Final = 3.0
"""Seconds that somebody who makes an alarm waits for Prometheus to read its expression."""

NO_PROMETHEUS: Final = "no Prometheus is configured: start the coordinator with --prometheus URL"

_SOURCES: Final[dict[type[AlarmSource], str]] = {
    Expression: "expression",
    PrometheusAlert: "prometheus_alert",
    AlertmanagerAlert: "alertmanager_alert",
}

Watched = Alarm | Measurement

Look = Callable[[Watched, int], Awaitable[Seen]]
"""What is known of an alarm, and of it since a time in UTC milliseconds; or the outcome of one measurement."""


def _where(watched: Watched) -> str:
    return "measurement" if isinstance(watched, Measurement) else _SOURCES[type(watched.source)]


class Looks:
    """Looks at an alarm wherever it is to be seen."""

    def __init__(
        self,
        prometheus: Prometheus | None,
        alerts: Callable[[AlertmanagerAlert, int], Seen],
        clock: Clock,
        unanswered: Callable[[str], None],
    ) -> None:
        """`alerts` knows what Alertmanager has told. What Prometheus does not answer is counted by `unanswered`, with where."""
        self._unanswered = unanswered
        self._prometheus = prometheus
        self._alerts = alerts
        self._clock = clock
        self._room = asyncio.Semaphore(AT_ONCE)

    async def misread(self, expression: str) -> str:
        """See `service.ports.AlarmLooks`."""
        if self._prometheus is None:
            return ""
        try:
            async with asyncio.timeout(PARSED_WITHIN):
                await self._prometheus.parse(expression, now=self._clock.now())
        except Misread as error:
            return str(error)
        except (Unanswered, TimeoutError):
            return ""
        return ""

    async def look(self, watched: Watched, since: int) -> Seen:
        """See `Look`. Never raises: what cannot be seen means what the alarm says of errors, and of a measurement nothing."""
        source = watched if isinstance(watched, Measurement) else watched.source
        if isinstance(source, AlertmanagerAlert):
            return self._alerts(source, since)
        if self._prometheus is None:
            return Seen(AlarmStatus.UNKNOWN, NO_PROMETHEUS)
        try:
            async with self._room:
                now = self._clock.now()
                if isinstance(watched, Alarm) and not isinstance(source, Measurement):
                    return await self._prometheus.look(watched, source, since=since, now=now)
                assert isinstance(source, Measurement)
                return await self._prometheus.measure(source, now=now)
        except Unanswered as error:
            self._unanswered(_where(watched))
            return Seen(watched.on_error if isinstance(watched, Alarm) else AlarmStatus.UNKNOWN, str(error))


@dataclass(slots=True, eq=False)
class _Post:
    """Where somebody stands and looks at one alarm."""

    alarm: Watched
    since: int
    """What happened from then on has not been seen; or it could not be, and means what the alarm says of errors."""
    groups: set[GroupId] = field(default_factory=set)
    called: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to look at once."""
    watch: asyncio.Task[None] | None = None


class Watcher:
    """Keeps a post for every alarm that a live deployment watches."""

    def __init__(self, look: Look, put: Callable[[AlarmSeen], None], clock: Clock, count: Callable[[str, str], None]) -> None:
        """What is seen goes to `put`; every look is counted by `count`, with where and what."""
        self._look = look
        self._put = put
        self._clock = clock
        self._count = count
        self._posts: dict[str, list[_Post]] = {}
        self._running: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Look, until cancelled."""
        async with asyncio.TaskGroup() as running:
            self._running = running
            for post in self._all():
                self._man(post)
            await asyncio.Event().wait()

    def watch(self, order: WatchAlarms) -> None:
        """See `engine.ports.Alarms`."""
        for post in list(self._all()):
            if order.group_id in post.groups and post.alarm not in order.alarms:
                post.groups.discard(order.group_id)
                if not post.groups:
                    self._leave(post)
        for alarm in order.alarms:
            self._join(alarm, order)

    def call(self) -> None:
        """Alertmanager has told something: look at once at what it tells about."""
        for post in self._all():
            if isinstance(post.alarm, Alarm) and isinstance(post.alarm.source, AlertmanagerAlert):
                post.called.set()

    def _all(self) -> list[_Post]:
        return [post for posts in self._posts.values() for post in posts]

    def _join(self, alarm: Watched, order: WatchAlarms) -> None:
        posts = self._posts.setdefault(alarm.name, [])
        post = next((one for one in posts if one.alarm == alarm), None)
        if post is None:
            post = _Post(alarm, order.since)
            posts.append(post)
            self._man(post)
        post.since = min(post.since, order.since)
        post.groups.add(order.group_id)
        post.called.set()

    def _man(self, post: _Post) -> None:
        if self._running is not None:
            post.watch = self._running.create_task(self._stand(post), name=f"alarm {post.alarm.name}")

    def _leave(self, post: _Post) -> None:
        if post.watch is not None:
            post.watch.cancel()
        posts = self._posts[post.alarm.name]
        posts.remove(post)
        if not posts:
            del self._posts[post.alarm.name]

    async def _stand(self, post: _Post) -> None:
        """Look, tell, and wait for the next time."""
        known = None
        while True:
            post.called.clear()
            began, since = self._clock.now(), post.since
            seen = await self._seen(post.alarm, since)
            self._count(_where(post.alarm), seen.status.name)
            if seen.status is not AlarmStatus.UNKNOWN and post.since == since:
                post.since = began
            if seen.status is not known:
                log.log(
                    logging.INFO if known is None else logging.WARNING,
                    "alarm=%s status=%s saw=%r",
                    post.alarm.name,
                    seen.status.name,
                    seen.sample,
                )
                known = seen.status
            for group_id in post.groups:
                self._put(
                    AlarmSeen(
                        at=self._clock.now(),
                        elapsed=self._clock.elapsed(),
                        group_id=group_id,
                        alarm_name=post.alarm.name,
                        status=seen.status,
                        sample=seen.sample,
                    )
                )
            await self._wait(post)

    async def _seen(self, alarm: Watched, since: int) -> Seen:
        """A look that fails is a bug, and must not take the coordinator with it: nothing was seen."""
        try:
            return await self._look(alarm, since)
        except Exception:
            log.exception("cannot look at alarm=%s", alarm.name)
            return Seen(AlarmStatus.UNKNOWN, "the look failed; the coordinator's log says more")

    async def _wait(self, post: _Post) -> None:
        calling = asyncio.ensure_future(post.called.wait())
        sleeping = asyncio.ensure_future(self._clock.sleep(post.alarm.interval))
        try:
            await asyncio.wait((calling, sleeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            calling.cancel()
            sleeping.cancel()
