"""What hooks printed: taken from agents, kept by deployment, read by operators.

A log is one growing sequence of pieces of all hosts of a deployment, in the order in which they came. A place in it is a position, which
only grows; a place in one host's output is an offset, counted over everything that it printed for the deployment.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

from coordinator.core.errors import DeploymentDoesNotExist
from coordinator.core.model import DeploymentId, HostId
from coordinator.engine.ports import Clock
from coordinator.service.ports import History

LOOK: Final = 0.5
"""Seconds after which somebody who follows looks whether the deployment has ended."""

GRACE: Final = 1_000
"""Milliseconds that output has to begin to arrive after the deployment has ended."""

PATIENCE: Final = 10_000
"""Milliseconds without any output, after the deployment has ended, for which a host's missing rest is waited for."""


class Sent(NamedTuple):
    """A piece of output as an agent sends it; `stream` tells apart what the host was told to do for the deployment."""

    host_id: HostId
    stream: str
    offset: int
    content: bytes
    complete: bool
    dropped: int = 0
    """Bytes after the content that it will never send."""


class Taken(NamedTuple):
    """How far a stream is taken; kept as soon as its log is kept up to `mark`."""

    offset: int
    complete: bool
    mark: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """A piece of one host's output. `dropped` bytes that were not kept follow the content."""

    host_id: HostId
    host_name: str = ""
    offset: int
    content: bytes = b""
    dropped: int = 0
    complete: bool = False
    position: int
    """The position in the log after it."""


class Log(Protocol):
    """What the hosts of one deployment printed."""

    @property
    def end(self) -> int:
        """The position after the last piece that can be read."""
        ...

    async def take(self, sent: Sent) -> Taken:
        """Take what is new of a piece; waits while too much is on its way to the disk. What would leave a gap is not taken: the
        answer says where to go on. Raises StorageFull or StorageFailed."""
        ...

    def is_kept(self, mark: int) -> bool:
        """Whether everything up to a mark survives a power cut."""
        ...

    async def kept(self, mark: int) -> None:
        """Wait for that. Raises StorageFull or StorageFailed."""
        ...

    def start_of(self, host_id: HostId, offset: int) -> int:
        """A position from which on everything of the host from an offset on lies."""
        ...

    async def read(self, position: int, host_id: HostId | None) -> tuple[Sequence[Printed], int]:
        """Some pieces from a position on, of one host or of all, and where to go on; nothing at the end. Raises Invalid for a position
        at which no piece begins."""
        ...

    async def beyond(self, position: int) -> None:
        """Wait until something can be read after a position. Raises StorageFull or StorageFailed."""
        ...

    def finished(self, host_id: HostId | None) -> bool:
        """Whether all that has begun to come, of one host or of all, is complete and can be read."""
        ...


class LogKeep(Protocol):
    """The logs of all deployments."""

    def open(self, deployment_id: DeploymentId) -> AbstractAsyncContextManager[Log]:
        """A deployment's log, an empty one if nothing was printed yet. Raises StorageFailed."""
        ...


async def has_ended(history: History, deployment_id: DeploymentId) -> bool:
    """Whether a deployment has ended, or nobody knows of it (a history that was restored)."""
    try:
        return (await history.deployment(deployment_id)).completed_at is not None
    except DeploymentDoesNotExist:
        return True


class LogService:
    """Lets operators read what hooks printed."""

    def __init__(self, keep: LogKeep, history: History, *, clock: Clock) -> None:
        """Reads only."""
        self._keep = keep
        self._history = history
        self._clock = clock

    async def read(
        self, deployment_id: DeploymentId, host: str, *, offset: int = 0, since: int | None = None, follow: bool = False
    ) -> AsyncIterator[Printed]:
        """A deployment's output, of one host (id or name) or of all, from an offset of that host or from a position on.

        With `follow` it goes on until the deployment has ended and everything has come.
        """
        await self._history.deployment(deployment_id)
        host_id = (await self._history.target(deployment_id, host)).host_id if host else None
        names: dict[HostId, str] = {}
        async with self._keep.open(deployment_id) as log:
            position = since if since is not None else 0 if host_id is None else log.start_of(host_id, offset)
            ending = _Ending(self._history, self._clock, deployment_id)
            while True:
                pieces, position = await log.read(position, host_id)
                for piece in _joined(pieces):
                    if piece.host_id not in names:
                        names[piece.host_id] = (await self._history.target(deployment_id, piece.host_id)).host_name
                    wanted = _from(piece, offset) if host_id is not None else piece
                    if wanted is not None:
                        yield replace(wanted, host_name=names[piece.host_id])
                if position < log.end:
                    continue
                if not follow or await ending.reached(log, host_id):
                    return
                await _news(log, position)


class _Ending:
    """Tells when there is nothing more to follow."""

    def __init__(self, history: History, clock: Clock, deployment_id: DeploymentId) -> None:
        self._history = history
        self._clock = clock
        self._deployment_id = deployment_id
        self._looked: int | None = None
        self._ended: int | None = None
        self._end = 0
        self._grown = 0

    async def reached(self, log: Log, host_id: HostId | None) -> bool:
        """Whether the deployment has ended and everything has come. Asked when all that is there has been read."""
        now = self._clock.elapsed()
        if log.end > self._end or self._looked is None:
            self._end, self._grown = log.end, now
        if self._ended is None:
            await self._look(now)
        if self._ended is None or log.end > self._end:
            return False
        if log.finished(host_id):
            return now - self._ended >= GRACE
        return now - max(self._ended, self._grown) >= PATIENCE

    async def _look(self, now: int) -> None:
        """Look, now and then, when the deployment has ended."""
        if self._looked is not None and now - self._looked < LOOK * 1_000:
            return
        self._looked = now
        deployment = await self._history.deployment(self._deployment_id)
        if deployment.completed_at is not None:
            self._ended = now - max(0, self._clock.now() - deployment.completed_at)


def _joined(pieces: Sequence[Printed]) -> Iterator[Printed]:
    """The pieces, those that follow each other in one host's output as one."""
    together: list[Printed] = []
    for piece in pieces:
        if together and not (piece.host_id == together[-1].host_id and piece.content and together[-1].content):
            yield _whole(together)
            together.clear()
        together.append(piece)
    if together:
        yield _whole(together)


def _whole(pieces: Sequence[Printed]) -> Printed:
    return (
        pieces[0] if len(pieces) == 1 else replace(pieces[-1], offset=pieces[0].offset, content=b"".join([one.content for one in pieces]))
    )


def _from(piece: Printed, offset: int) -> Printed | None:
    """The rest of a piece from an offset on; None when it lies before."""
    skipped = offset - piece.offset
    if skipped <= 0:
        return piece
    if skipped < len(piece.content):
        return replace(piece, offset=offset, content=piece.content[skipped:])
    dropped = len(piece.content) + piece.dropped - skipped
    if dropped > 0:
        return replace(piece, offset=offset, content=b"", dropped=dropped)
    return replace(piece, offset=offset, content=b"", dropped=0) if piece.complete else None


async def _news(log: Log, position: int) -> None:
    try:
        async with asyncio.timeout(LOOK):
            await log.beyond(position)
    except TimeoutError:
        return
