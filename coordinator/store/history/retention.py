"""What is not kept for ever: which events a host of a deployment went through, long ago.

Seven of ten rows are those, and all that hooks printed. Deployments, their targets and the history stay: what ran where and when, who
asked for it, how it ended. A deployment's set of lifecycle events is emptied first, so nobody who reads meanwhile takes what is left for
everything; then its rows go, a few thousand at a time, so that no rollout waits for long. What was broken off goes on with the next look.
"""

import logging
import sqlite3
from functools import partial
from typing import Final

from coordinator.core.errors import StorageFailed, StorageFull
from coordinator.engine.ports import Clock
from coordinator.store.connections.numbers import Numbers
from coordinator.store.connections.writer import Writer

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 3_600_000
"""Milliseconds between two looks."""

PAUSE: Final = 50
"""Milliseconds between two transactions, for whoever deploys now."""

AT_ONCE: Final = 4_000
"""Rows of one table that go in a transaction: about 10 ms."""

DAY: Final = 86_400_000

OLD: Final = """
    SELECT deployment_no FROM deployment d
    WHERE completed_at < ? AND (lifecycle_events <> 0 OR EXISTS (SELECT 1 FROM lifecycle_event e WHERE e.deployment_no = d.deployment_no))
    ORDER BY deployment_no LIMIT 1"""
REMOVALS: Final = (
    """DELETE FROM diagnostics WHERE (deployment_no, host_no, event, attempt) IN (
           SELECT deployment_no, host_no, event, attempt FROM diagnostics WHERE deployment_no = :number LIMIT :at_once)""",
    """DELETE FROM lifecycle_event WHERE (deployment_no, host_no, event, attempt) IN (
           SELECT deployment_no, host_no, event, attempt FROM lifecycle_event WHERE deployment_no = :number LIMIT :at_once)""",
)
"""In this order: diagnostics refer to their events, and as long as there are events the deployment is found again."""


class HistoryRetention:
    """Removes what is old, in the background."""

    def __init__(self, writer: Writer, clock: Clock, *, days: int, at_once: int = AT_ONCE) -> None:
        """`days` after the end of a deployment; 0 keeps everything for ever. `at_once`: rows of a table in a transaction."""
        self._writer = writer
        self._clock = clock
        self._days = days
        self._at_once = at_once

    async def run(self) -> None:
        """Look now and then, until cancelled. A store that cannot write is tried again later."""
        while self._days:
            try:
                removed = await self.remove()
            except (StorageFull, StorageFailed) as error:
                log.warning("cannot remove old history: %s", error)
            else:
                if removed:
                    log.info("old history removed deployments=%d days=%d", removed, self._days)
            await self._clock.sleep(LOOK_EVERY)

    async def remove(self) -> int:
        """Remove everything that is old enough; of how many deployments."""
        before, removed = self._clock.now() - self._days * DAY, 0
        while (number := await self._writer.run(partial(_oldest, before=before))) is not None:
            while await self._writer.run(partial(_remove, number=number, at_once=self._at_once)):
                await self._clock.sleep(PAUSE)
            removed += 1
        return removed


def _oldest(db: sqlite3.Connection, _numbers: Numbers, *, before: int) -> int | None:
    """The next deployment that ended before then and has something to remove; from now on it shows no events."""
    row = db.execute(OLD, (before,)).fetchone()
    if row is None:
        return None
    db.execute("UPDATE deployment SET lifecycle_events = 0 WHERE deployment_no = ?", row)
    return int(row[0])


def _remove(db: sqlite3.Connection, _numbers: Numbers, *, number: int, at_once: int) -> bool:
    """Remove some rows; whether there may be more."""
    for removal in REMOVALS:
        if db.execute(removal, {"number": number, "at_once": at_once}).rowcount > 0:
            return True
    return False
