"""Tells everybody who wants to know, from the history: each in its order, at least once, and nobody waits for anybody else.

Whoever is told has a line: a cursor in the history, kept by the store, which moves when an entry was taken. A line is served by a part of
its own while there is something for it. What is not taken is tried again until a day has passed, and then given up; the history says so.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from coordinator.core.errors import StorageFailed, StorageFull
from coordinator.core.model import Trigger
from coordinator.engine.ports import Clock
from coordinator.service.notifications.outlets import Outlet, Refused
from coordinator.service.notifications.ports import EVERYWHERE, Line, Notice, Outbox, Unsent

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 500
"""Milliseconds between two looks at the history's end."""
AT_ONCE: Final = 20
"""Notifications that are under way together, to those who took the last one."""
IN_DOUBT: Final = 5
"""The same to those who did not: they hold up one another and nobody else."""
APART: Final = 20
"""Milliseconds from one notification to the next, whoever is told: each costs one or two on the event loop, and hosts wait for that."""
FIRST_WAIT: Final = 1_000
LONGEST_WAIT: Final = 300_000
"""Milliseconds between two tries: twice as long each time."""
GIVE_UP_AFTER: Final = 24 * 3_600_000
"""Milliseconds for which somebody has to be silent, and which an entry has to be old, until it is given up."""
KEEP_EVERY: Final = 1_000
"""Entries after which the cursor of a line that none of them concerned is put forward."""

Count = Callable[[str, str], None]
"""By kind of target and result: delivered, failed (it is tried again), given_up."""


@dataclass(slots=True, eq=False)
class _Served:
    """Somebody who is told, and how far that is."""

    line: Line
    outlet: Outlet
    wants: object
    """What it was made of: another one is served anew."""
    kept: int
    """The cursor as it is stored."""
    read_to: int
    """Entries up to here have been looked at."""
    part: asyncio.Task[None] | None = None
    failures: int = 0
    silent_since: int | None = None
    """When the first of these failures was, by the monotonic clock."""

    @property
    def busy(self) -> bool:
        """Whether somebody serves it just now."""
        return self.part is not None and not self.part.done()


class Courier:
    """Serves all lines."""

    def __init__(
        self, outbox: Outbox, outlet: Callable[[Trigger], Outlet], clock: Clock, *, chance: Callable[[], float], count: Count
    ) -> None:
        """`outlet` makes of a trigger what tells by it; `chance` gives numbers from 0 to 1: not everybody is tried again at once."""
        self._outbox = outbox
        self._outlet = outlet
        self._clock = clock
        self._chance = chance
        self._count = count
        self._served: dict[Line, _Served] = {}
        self._everywhere: dict[Line, Outlet | None] = {}
        self._cursors = _Cursors(outbox)
        self._room, self._doubtful = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(IN_DOUBT)
        self._head = 0
        self._next_turn = 0

    def tell_all(self, name: str, outlet: Outlet | None) -> None:
        """Tell somebody of all groups; None: tell them no more, and when it is said another time begin at that. To be said before `run`."""
        self._everywhere[Line(EVERYWHERE, name)] = outlet

    @property
    def silent(self) -> int:
        """How many of those who are told did not take what was sent last."""
        return sum(one.failures > 0 for one in self._served.values())

    async def run(self) -> None:
        """Tell, until cancelled."""
        async with asyncio.TaskGroup() as parts:
            known = False
            while True:
                try:
                    known = known or await self._start()
                    await self._look(parts)
                except (StorageFailed, StorageFull) as error:
                    log.warning("notifications wait why=%r", str(error))
                await self._clock.sleep(LOOK_EVERY)

    async def _start(self) -> bool:
        for line, outlet in self._everywhere.items():
            if outlet is None:
                await self._outbox.forget(line)
                continue
            cursor = await self._outbox.begin(line)
            self._served[line] = _Served(line, outlet, None, cursor, cursor)
        self._head = await self._outbox.head()
        await self._read_triggers()
        return True

    async def _read_triggers(self) -> None:
        """Serve those that there are, each from its cursor; leave alone what has not changed."""
        standing = {one.line: one for one in await self._outbox.standing()}
        for line, served in list(self._served.items()):
            there = standing.get(line)
            if line.group_no == EVERYWHERE or (there is not None and there.trigger == served.wants):
                continue
            if served.part is not None:
                served.part.cancel()
            del self._served[line]
        for line, one in standing.items():
            if line not in self._served:
                self._served[line] = _Served(line, self._outlet(one.trigger), one.trigger, one.cursor, one.cursor)

    async def _look(self, parts: asyncio.TaskGroup) -> None:
        head, before = await self._outbox.head(), self._head
        if head > before:
            news = await self._outbox.news(before, head)
            if news.changed:
                await self._read_triggers()
            self._head = head
            for served in self._served.values():
                concerned = served.line.group_no == EVERYWHERE or served.line.group_no in news.groups
                if served.read_to == before and not served.busy and not concerned:
                    served.read_to = head
        await self._keep_idle()
        for served in self._served.values():
            if served.read_to < self._head and not served.busy:
                served.part = parts.create_task(self._serve(served), name=f"notifications {served.line.name}")

    async def _keep_idle(self) -> None:
        """What long did not concern a line need not be looked at again after a restart."""
        idle = {one.line: one.read_to for one in self._served.values() if not one.busy and one.read_to - one.kept >= KEEP_EVERY}
        if idle:
            await self._outbox.move(idle)
            for line, cursor in idle.items():
                self._served[line].kept = cursor

    async def _serve(self, served: _Served) -> None:
        """Tell a line everything that there is."""
        while served.read_to < self._head:
            try:
                notices, upto = await self._outbox.notices(served.line, served.outlet.wanted, served.read_to, self._head)
            except (StorageFailed, StorageFull) as error:
                log.warning("notifications wait line=%s why=%r", served.line.name, str(error))
                return  # the next look begins anew
            for notice in notices:
                if notice.history_id > served.kept:
                    await self._tell(served, notice)
            served.read_to = max(upto, served.kept)

    async def _tell(self, served: _Served, notice: Notice) -> None:
        """Tell of one entry, however often that takes."""
        while True:
            try:
                async with self._doubtful if served.failures else self._room:
                    await self._turn()
                    sent = await self._once(served, notice)
            except Unsent as error:
                now = self._clock.elapsed()
                served.failures += 1
                served.silent_since = now if served.silent_since is None else served.silent_since
                self._count(served.outlet.kind, "failed")
                if served.failures == 1:
                    log.warning("notification failed line=%s entry=%s why=%r", served.line.name, notice.history_id, str(error))
                if now - served.silent_since >= GIVE_UP_AFTER and self._is_old(notice):
                    await self._give_up(served, notice, str(error))
                    return
                await self._clock.sleep(self._wait(served.failures, error))
                continue
            if sent:
                self._count(served.outlet.kind, "delivered")
                if served.failures:
                    log.info("notifications go on line=%s failures=%s", served.line.name, served.failures)
                served.failures, served.silent_since = 0, None
            served.kept = notice.history_id
            await self._cursors.move(served.line, notice.history_id)
            return

    async def _turn(self) -> None:
        """Wait until it is time for the next notification."""
        now = self._clock.elapsed()
        at = max(now, self._next_turn)
        self._next_turn = at + APART
        if at > now:
            await self._clock.sleep(at - now)

    async def _once(self, served: _Served, notice: Notice) -> bool:
        """A try that fails for a bug must not take the coordinator with it."""
        try:
            return await served.outlet.tell(notice)
        except Unsent:
            raise
        except (StorageFailed, StorageFull) as error:
            raise Unsent(str(error)) from error
        except Exception as error:
            log.exception("cannot tell line=%s entry=%s", served.line.name, notice.history_id)
            raise Unsent(f"{type(error).__name__}; the coordinator's log says more") from error

    def _is_old(self, notice: Notice) -> bool:
        return self._clock.now() - notice.at >= GIVE_UP_AFTER

    def _wait(self, failures: int, error: Unsent) -> int:
        """Between half and the whole of a time that doubles, or as long as the target asks for."""
        longest = min(FIRST_WAIT << min(failures - 1, 20), LONGEST_WAIT)
        asked = min(error.retry_after, LONGEST_WAIT) if isinstance(error, Refused) else 0
        return max(asked, int(longest * (1 + self._chance()) / 2))

    async def _give_up(self, served: _Served, notice: Notice, why: str) -> None:
        """Everything that has waited too long is given up together: nobody has taken anything for a day."""
        count, last = await self._too_old(served, notice)
        message = f"{served.line.name}: {count} notifications were given up after {GIVE_UP_AFTER // 3_600_000} h: {why}"
        log.error("notifications given up line=%s count=%s why=%r", served.line.name, count, why)
        for _ in range(count):
            self._count(served.outlet.kind, "given_up")
        served.kept = served.read_to = last
        try:
            await self._outbox.give_up(served.line, last, message, at=self._clock.now())
        except (StorageFailed, StorageFull) as error:
            log.warning("notifications given up are not noted line=%s why=%r", served.line.name, str(error))

    async def _too_old(self, served: _Served, notice: Notice) -> tuple[int, int]:
        """How many entries, from this one on, have waited too long, and the last of them."""
        count, last, after = 1, notice.history_id, notice.history_id
        while after < self._head:
            try:
                notices, after = await self._outbox.notices(served.line, served.outlet.wanted, after, self._head)
            except (StorageFailed, StorageFull):
                break
            old = [one.history_id for one in notices if self._is_old(one)]
            count, last = count + len(old), max([last, *old])
            if len(old) < len(notices):
                break
        return count, last


class _Cursors:
    """Stores where lines are: those that move while a commit is under way are stored together in the next."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._moved: dict[Line, int] = {}
        self._storing = asyncio.Lock()

    async def move(self, line: Line, cursor: int) -> None:
        """Return once it is stored. Where nothing can be stored just now, it is with the next one."""
        self._moved[line] = cursor
        async with self._storing:
            if not self._moved:
                return
            moved, self._moved = self._moved, {}
            try:
                await self._outbox.move(moved)
            except (StorageFailed, StorageFull) as error:
                self._moved = moved | self._moved
                log.warning("cursors of notifications are not stored why=%r", str(error))
