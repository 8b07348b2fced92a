"""What stands in for gRPC between the real agent's stream and the real gateway: one link for each stream.

Messages keep their order and take their time. A link may be cut at any message (what is behind it is lost), stall (what is said
comes late, perhaps after a newer stream has begun), or go half open (nothing comes any more and nobody is told). Each end learns of
a cut by itself, in its own time. Two links of one host know nothing of each other.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, NoReturn, TypeVar

import grpc
import grpc.aio
from grpc.aio import EOF

from hookline.v1 import agent_pb2 as pb
from tests.simulation.timeloop import VirtualLoop

M = TypeVar("M")
Serve = Callable[["Link"], "asyncio.Task[None] | None"]
"""Gives a link to the coordinator; None: nobody listens."""
Overheard = Callable[[str, pb.CoordinatorMessage], None]
"""Told what the coordinator says to a host, as it says it."""


class Latency:
    """How long messages take: mostly little, sometimes much."""

    def __init__(self, chance: random.Random, usual: float, worst: float) -> None:
        """Seconds."""
        self._chance = chance
        self._usual = usual
        self._worst = worst

    def __call__(self) -> float:
        """Of the next message."""
        chance = self._chance.random()
        return self._usual * (0.2 + chance) if chance < 0.98 else self._worst * self._chance.random()


class Pipe(Generic[M]):
    """One direction of a link."""

    def __init__(self, loop: VirtualLoop, latency: Latency) -> None:
        """Nothing is in it."""
        self._loop = loop
        self._latency = latency
        self._arrived: deque[M] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._last = 0.0
        self._lost_after = float("inf")
        self.finished = False
        """The other end has said all; true once the reader may know."""

    def put(self, message: M) -> None:
        """Send."""
        self._at_the_end(lambda: self._arrive(message))

    def finish(self, then: Callable[[], None]) -> None:
        """Say that nothing more comes, after all that was said."""

        def finished() -> None:
            self.finished = True
            then()
            self._wake()

        self._at_the_end(finished)

    def stall(self, seconds: float) -> None:
        """Whatever is said from now on comes so much later."""
        self._last = max(self._last, self._loop.time() + seconds)

    def cut(self, keep: float) -> None:
        """Lose what would arrive later than `keep` seconds from now."""
        self._lost_after = min(self._lost_after, self._loop.time() + keep)

    def drop(self) -> None:
        """Lose what has arrived and was not read; a reader who waits is woken."""
        self._arrived.clear()
        self._lost_after = 0.0
        self.finished = True
        self._wake()

    async def get(self) -> M | None:
        """The next message; None when there is none and the reader should look why."""
        if not self._arrived and not self.finished:
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._arrived.popleft() if self._arrived else None

    def _at_the_end(self, call: Callable[[], None]) -> None:
        self._last = max(self._last + 1e-6, self._loop.time() + self._latency())
        if self._last <= self._lost_after:
            self._loop.call_at(self._last, self._unless_lost, self._last, call)

    def _unless_lost(self, at: float, call: Callable[[], None]) -> None:
        if at <= self._lost_after:
            call()

    def _arrive(self, message: M) -> None:
        self._arrived.append(message)
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class Link:
    """One stream, and what its two ends know of each other."""

    def __init__(self, loop: VirtualLoop, host_id: str, latency: Latency, overheard: Overheard) -> None:
        """Nobody listens yet."""
        self.host_id = host_id
        self.up: Pipe[pb.AgentMessage] = Pipe(loop, latency)
        self.down: Pipe[pb.CoordinatorMessage] = Pipe(loop, latency)
        self.overheard = overheard
        self.status: tuple[grpc.StatusCode, str] | None = None
        """How the stream ended, as the agent's end knows it; None while it does not."""
        self.blocked = False
        """The coordinator's writes do not come to an end any more."""
        self.half_open = False
        self.serving: asyncio.Task[None] | None = None
        self._loop = loop

    @property
    def over(self) -> bool:
        """Whether neither end has anything to do with it any more."""
        return self.status is not None and (self.serving is None or self.serving.done())

    def reach(self, serve: Serve) -> None:
        """The agent's end has opened it."""
        self.serving = serve(self)
        if self.serving is None:
            self._loop.call_later(0.01, self.fail, "connection refused")
        else:
            self.serving.add_done_callback(self._served)

    def fail(self, why: str) -> None:
        """The agent's end learns that the stream is broken."""
        if self.status is None:
            self.status = (grpc.StatusCode.UNAVAILABLE, why)
            self.down.drop()

    def cancel(self) -> None:
        """The coordinator's end learns that the stream is broken."""
        if self.serving is not None:
            self.serving.cancel()

    def cut(self, *, keep_up: float, keep_down: float, agent_learns: float | None, coordinator_learns: float | None) -> None:
        """Break it. None: that end never learns of it by itself."""
        self.up.cut(keep_up)
        self.down.cut(keep_down)
        self.half_open = True
        if agent_learns is not None:
            self._loop.call_later(agent_learns, self.fail, "connection reset")
        if coordinator_learns is not None:
            self._loop.call_later(coordinator_learns, self.cancel)

    def leave(self, after: float) -> None:
        """The agent's end lets go of it, in order or not; the other end hears of that, if it can still hear."""
        if self.status is None:
            self.status = (grpc.StatusCode.CANCELLED, "cancelled here")
            if not self.half_open:
                self.up.finish(lambda: self._cancel_after(after))

    def _cancel_after(self, seconds: float) -> None:
        self._loop.call_later(seconds, self.cancel)

    def _served(self, serving: "asyncio.Task[None]") -> None:
        """The coordinator's handler has returned, or was cancelled: the agent's end hears of it after all that was said."""
        status = (grpc.StatusCode.OK, "")
        if serving.cancelled():
            status = (grpc.StatusCode.UNKNOWN, "cancelled")
        elif isinstance(error := serving.exception(), Aborted):
            status = (error.code, error.details)
        if not self.half_open:
            self.down.finish(lambda: self._end(status))

    def _end(self, status: tuple[grpc.StatusCode, str]) -> None:
        if self.status is None:
            self.status = status


class Aborted(grpc.aio.AbortError):
    """A handler has ended its stream with a status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        """Remember why."""
        super().__init__()
        self.code = code
        self.details = details


class AgentEnd:
    """What `AgentStream` calls its call."""

    def __init__(self, link: Link, overheard: Callable[[pb.CoordinatorMessage], None]) -> None:
        """One stream that has just been opened; what is read from it is also told to `overheard`."""
        self._link = link
        self._overheard = overheard

    async def write(self, message: pb.AgentMessage) -> None:
        """Send, if the stream is still there as far as is known here."""
        if self._link.status is not None:
            raise asyncio.InvalidStateError("the stream has ended")
        self._link.up.put(message)

    async def read(self) -> pb.CoordinatorMessage | object:
        """The next message, EOF after a good end."""
        message = await self._link.down.get()
        if message is not None:
            self._overheard(message)
            return message
        assert self._link.status is not None
        code, details = self._link.status
        if code is grpc.StatusCode.OK:
            return EOF
        raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)

    async def done_writing(self) -> None:
        """Say that nothing more comes."""
        self._link.up.finish(lambda: None)

    async def code(self) -> grpc.StatusCode:
        """How it ended."""
        return self._link.status[0] if self._link.status is not None else grpc.StatusCode.OK

    async def details(self) -> str:
        """Why it ended."""
        return self._link.status[1] if self._link.status is not None else ""

    def cancel(self) -> bool:
        """Let go."""
        self._link.leave(0.0)
        return True


class CoordinatorEnd:
    """What `AgentServicer` calls its context."""

    def __init__(self, link: Link) -> None:
        """One stream that has just come in."""
        self._link = link

    async def read(self) -> pb.AgentMessage | object:
        """The next message, EOF when there are no more."""
        message = await self._link.up.get()
        return EOF if message is None else message

    async def write(self, frame: bytes) -> None:
        """Send; may never return."""
        while self._link.blocked:
            await asyncio.Event().wait()
        message = pb.CoordinatorMessage.FromString(frame)
        self._link.overheard(self._link.host_id, message)
        self._link.down.put(message)

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the stream with a status."""
        raise Aborted(code, details)


class Channel:
    """What `AgentStream` calls its channel: it opens streams and nothing else."""

    def __init__(self, connect: Callable[[], AgentEnd]) -> None:
        """`connect` opens one."""
        self._connect = connect

    def stream_stream(self, method: str, **_options: object) -> Callable[[], AgentEnd]:
        """Connect; PublishLogs is not modelled."""
        return self._connect if method.endswith("/Connect") else _unavailable

    def unary_unary(self, _method: str, **_options: object) -> Callable[[], AgentEnd]:
        """RenewCertificate is not modelled."""
        return _unavailable

    def unary_stream(self, _method: str, **_options: object) -> Callable[[], AgentEnd]:
        """FetchBundle is not modelled."""
        return _unavailable


def _unavailable() -> NoReturn:
    raise AssertionError("the simulation has one stream for each host, and nothing beside it")


Handler = Callable[[object, CoordinatorEnd], Awaitable[None]]
"""`AgentServicer.connect`, as the simulation calls it."""
