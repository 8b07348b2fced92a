"""How somebody follows a deployment: a snapshot, then what changes, as it is committed.

A follower only reads. It never asks the engine anything and the engine does not know that it is there, so there may be any number of them,
and a slow one harms nobody.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from coordinator.core.model import DeploymentId
from coordinator.engine.ports import Clock, Commits
from coordinator.service.ports import History
from coordinator.service.records import DeploymentRecord, TargetRecord

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
        """Everything, or what changed since a commit; then each change. Ends after the deployment has ended and all was told.

        Targets are always read after the deployment, so when they are told, all is told up to the commit that the deployment names.
        Nobody is ever sent on from a later commit: one that is greater than the deployment's own comes from a history that was lost.
        """
        seen = self._commits.committed
        told = await self._history.deployment(deployment_id)
        yield Seen(deployment=told)
        if since is None or since > told.commit:
            async for targets in self._snapshot(deployment_id):
                yield Seen(targets=targets)
        else:
            async for piece in self._changes(told, since):
                yield piece
        yield Seen(resume=told.commit, complete=told.status.terminal)
        marked = self._clock.elapsed()
        while not told.status.terminal:
            await self._clock.sleep(PAUSE)
            await self._news(seen)
            seen = self._commits.committed
            now = await self._history.deployment(deployment_id)
            if now.commit > told.commit:
                async for piece in self._changes(now, told.commit):
                    yield piece
                yield Seen(deployment=now, resume=now.commit)
            if now.commit > told.commit or self._clock.elapsed() - marked >= BOOKMARK:
                yield Seen(resume=now.commit, complete=now.status.terminal)
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

    async def _changes(self, now: DeploymentRecord, since: int) -> AsyncIterator[Seen]:
        """Targets that changed after a commit, in pieces; all of them up to the commit that changed the deployment last."""
        while since < now.commit:
            targets, upto = await self._history.changed(now.plan.deployment_id, since=since, size=READ)
            since = min(upto, now.commit) if targets else now.commit
            for at in range(0, len(targets), PIECE):
                whole = at + PIECE >= len(targets)
                yield Seen(targets=targets[at : at + PIECE], resume=since if whole else None)
