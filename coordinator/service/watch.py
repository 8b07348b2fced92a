"""How somebody follows a deployment: a snapshot, then what changes, as it is committed.

A follower only reads. It never asks the engine anything and the engine does not know that it is there, so there may be any number of them,
and a slow one harms nobody.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from coordinator.core.model import DeploymentId
from coordinator.engine.ports import Clock, Commits
from coordinator.service.ports import DeploymentRecord, History, TargetRecord

PIECE = 200
"""Targets told of at once."""
READ = 1_000
"""Targets read at once, where the store may choose."""
PAUSE = 200
"""Milliseconds between two looks."""
BOOKMARK = 15_000
"""Milliseconds after which a bookmark is sent when nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A piece of what there is to see: a deployment, or targets, or neither (a bookmark: everything up to here was told)."""

    deployment: DeploymentRecord | None = None
    targets: Sequence[TargetRecord] = ()
    complete: bool = False
    """The deployment has ended and nothing will follow."""
    resume: int | None = None
    """The commit from which on to watch again; None inside a snapshot or a commit, from where nobody can."""


class WatchService:
    """Lets deployments be followed."""

    def __init__(self, history: History, commits: Commits, *, clock: Clock) -> None:
        """`commits` says when there is something new to read in `history`."""
        self._history = history
        self._commits = commits
        self._clock = clock

    async def watch(self, deployment_id: DeploymentId, since: int | None) -> AsyncIterator[Seen]:
        """Everything, or what changed since a commit; then each change. Ends after the deployment has ended and all was told."""
        seen = self._commits.committed
        told = await self._history.deployment(deployment_id)
        yield Seen(deployment=told)
        if since is None or since > seen:  # a commit of the future: the history went back in time, so begin anew
            cursor = seen
            async for targets in self._snapshot(deployment_id):
                yield Seen(targets=targets)
        else:
            cursor = since
            async for targets, resume in self._changes(deployment_id, cursor):
                cursor = resume or cursor
                yield Seen(targets=targets, resume=resume)
        cursor = max(cursor, told.commit)  # targets are always read after the deployment, so all that it counts has been told
        yield Seen(resume=cursor, complete=told.status.terminal)
        marked = self._clock.elapsed()
        while not told.status.terminal:
            await self._clock.sleep(PAUSE)
            await self._news(seen)
            seen, before = self._commits.committed, cursor
            now = await self._history.deployment(deployment_id)
            if now.commit > cursor:
                async for targets, resume in self._changes(deployment_id, cursor):
                    cursor = resume or cursor
                    yield Seen(targets=targets, resume=resume)
                cursor = max(cursor, now.commit)
            if now != told:
                yield Seen(deployment=now, resume=cursor)
            if now != told or cursor != before or self._clock.elapsed() - marked >= BOOKMARK:
                yield Seen(resume=cursor, complete=now.status.terminal)
                marked = self._clock.elapsed()
            told = now

    async def _news(self, seen: int) -> None:
        try:
            async with asyncio.timeout(BOOKMARK / 1_000):
                await self._commits.beyond(seen)
        except TimeoutError:
            return

    async def _snapshot(self, deployment_id: DeploymentId) -> AsyncIterator[Sequence[TargetRecord]]:
        after = ""
        while True:
            page = await self._history.targets(deployment_id, statuses=(), size=PIECE, after=after)
            if page.items:
                yield page.items
            after = page.next
            if not after:
                return

    async def _changes(self, deployment_id: DeploymentId, since: int) -> AsyncIterator[tuple[Sequence[TargetRecord], int | None]]:
        """Targets that changed after a commit, in pieces, and from where on to watch again after each."""
        while True:
            targets, upto = await self._history.changed(deployment_id, since=since, size=READ)
            for at in range(0, len(targets), PIECE):
                last = at + PIECE >= len(targets)
                yield targets[at : at + PIECE], upto if last else None
            since = upto
            if len(targets) < READ:
                return
