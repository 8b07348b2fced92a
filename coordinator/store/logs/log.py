"""One deployment's log while somebody writes or reads it. Implements the service's port `Log`; the file itself is touched in threads."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from coordinator.core.errors import DeployError, Invalid
from coordinator.core.model import HostId
from coordinator.service.logs import Printed, Sent, Taken
from coordinator.store.logs import frames
from coordinator.store.logs.file import End, LogFile
from coordinator.store.logs.frames import Head, Kind

STREAM_AT_MOST: Final = 64 << 20
"""Bytes that are kept of one stream."""

HOST_AT_MOST: Final = 4 * STREAM_AT_MOST
"""Bytes that are kept of one host in one deployment, whatever streams it makes up."""

WOKEN_AT_ONCE: Final = 64
"""Those who wait for a sync and are told in one turn of the event loop: ten thousand at once would hold everybody else up."""


class Writing(Protocol):
    """Who writes the file: `keep.Logs`."""

    full: bool
    """Whether nothing more may be kept."""

    async def room(self, size: int) -> None:
        """Wait until so many bytes more may be on their way to the disk. Raises StorageFull or StorageFailed."""
        ...

    def wanted(self, log: "DeploymentLog", size: int) -> None:
        """So many bytes more wait to be written."""
        ...

    async def pause(self) -> None:
        """Let others have the event loop."""
        ...


class DeploymentLog:
    """What the hosts of one deployment printed."""

    def __init__(self, deployment_id: str, file: LogFile, writing: Writing) -> None:
        """Made by `keep.Logs`."""
        self.deployment_id = deployment_id
        self.file = file
        self.users = 0
        self.pending: list[tuple[Head, bytes]] = []
        self.failure: DeployError | None = None
        self._writing = writing
        self._taken = file.index.size
        self._kept = file.index.size
        self._ends = dict(file.index.ends)
        self._totals = {host_id: places.total for host_id, places in file.index.hosts.items()}
        self._grown = asyncio.Event()
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def end(self) -> int:
        """The position after the last piece that can be read."""
        return self.file.index.size

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way to the disk."""
        return self._kept == self._taken

    async def take(self, sent: Sent) -> Taken:
        """See `service.logs.Log`."""
        await self._writing.room(len(sent.content))
        self._check()
        name = f"{sent.host_id}/{sent.stream}"
        end = self._ends.get(name, End())
        new, dropped = _new(sent, end)
        made = self._output(sent.host_id, name, new, dropped) if new or dropped else []
        offset = end.offset + len(new) + dropped
        complete = end.complete or (sent.complete and sent.offset + len(sent.content) + sent.dropped <= offset)
        if complete and not end.complete:
            made.append((Head(Kind.COMPLETE, name, offset, self._totals.get(sent.host_id, 0), 0, 0), b""))
        if made:
            self._ends[name] = End(offset, complete)
            self._put(made)
        return Taken(offset, complete, self._taken)

    def is_kept(self, mark: int) -> bool:
        """See `service.logs.Log`."""
        return mark <= self._kept

    async def kept(self, mark: int) -> None:
        """See `service.logs.Log`."""
        self._check()
        if mark > self._kept:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append((mark, future))
            await future

    def start_of(self, host_id: HostId, offset: int) -> int:
        """See `service.logs.Log`."""
        return self.file.index.start_of(host_id, offset)

    async def read(self, position: int, host_id: HostId | None) -> tuple[Sequence[Printed], int]:
        """See `service.logs.Log`."""
        size = self.end
        if position == size:
            return (), size
        if host_id is None:
            found = await asyncio.to_thread(self.file.read_on, position, size) if position < size else None
            if found is None:
                raise Invalid(f"cannot go on from position {position} of the log: nothing begins there; begin anew", field="resume_token")
            return self._printed(found, [position])
        places = self.file.index.positions(host_id, position)
        if not places:
            return (), size
        found = await asyncio.to_thread(self.file.read_at, places)
        return self._printed(found, places)

    async def beyond(self, position: int) -> None:
        """See `service.logs.Log`."""
        while self.end <= position:
            self._check()
            await self._grown.wait()

    def finished(self, host_id: HostId | None) -> bool:
        """See `service.logs.Log`."""
        ends = self._ends.items()
        return self.end == self._taken and all(end.complete for name, end in ends if host_id is None or name.startswith(f"{host_id}/"))

    def written(self, made: Sequence[tuple[Head, bytes]]) -> None:
        """These frames are in the file."""
        for head, _ in made:
            self.file.index.add(head)
        self._tell()

    async def synced(self, position: int) -> None:
        """Everything up to a position survives a power cut."""
        self._kept = max(self._kept, position)
        woken = 0
        while self._waiting and self._waiting[0][0] <= self._kept:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                woken += 1
                if woken % WOKEN_AT_ONCE == 0:
                    await self._writing.pause()

    def failed(self, failure: DeployError) -> None:
        """Nothing that is not on the disk yet will be; the log has to be opened anew."""
        self.failure = failure
        self.pending.clear()
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(failure)
        self._waiting.clear()
        self._tell()

    def _tell(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _output(self, host_id: HostId, name: str, new: bytes, dropped: int) -> list[tuple[Head, bytes]]:
        """Frames for new bytes: those that are kept, and a mark for those that are dropped, here or by the host after them."""
        offset, total = self._ends.get(name, End()).offset, self._totals.get(host_id, 0)
        room = 0 if self._writing.full else max(0, min(STREAM_AT_MOST - offset, HOST_AT_MOST - total))
        kept = new[:room]
        dropped += len(new) - len(kept)
        made = []
        if kept:
            made.append((frames.output(name, offset, total, kept), kept))
        if dropped:
            made.append((Head(Kind.DROPPED, name, offset + len(kept), total + len(kept), dropped, 0), b""))
        self._totals[host_id] = total + len(kept) + dropped
        return made

    def _put(self, made: Sequence[tuple[Head, bytes]]) -> None:
        size = sum(head.size for head, _ in made)
        self._taken += size
        self.pending += made
        self._writing.wanted(self, size)

    def _printed(self, found: Sequence[tuple[Head, bytes]], places: Sequence[int]) -> tuple[Sequence[Printed], int]:
        """Pieces out of frames, which lie one after the other from the first place on or each at its own."""
        printed = []
        position = places[0]
        for number, (head, content) in enumerate(found):
            position = (places[number] if len(places) > 1 else position) + head.size
            printed.append(
                Printed(
                    host_id=HostId(head.host_id),
                    offset=head.host_offset,
                    content=content,
                    dropped=head.length if head.kind is Kind.DROPPED else 0,
                    complete=head.kind is Kind.COMPLETE,
                    position=position,
                )
            )
        return printed, position


def _new(sent: Sent, end: End) -> tuple[bytes, int]:
    """What of a piece lies after the end of its stream: content, and bytes that were dropped after it."""
    if end.complete or sent.offset > end.offset:
        return b"", 0
    known = end.offset - sent.offset
    return sent.content[known:], max(0, sent.dropped - max(0, known - len(sent.content)))
