"""AgentService on the coordinator's main port: the agents' streams, read into the engine's inbox."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import grpc
import grpc.aio

from coordinator.core.errors import AlreadyExists, Denied, DeployError, Invalid, Unauthenticated, Unavailable
from coordinator.core.facts import ReportsReceived, StreamEnded
from coordinator.engine.inbox import Inbox
from coordinator.engine.ports import Clock
from coordinator.gateway.identity import Identity
from coordinator.gateway.pace import Pace
from coordinator.gateway.streams import BROKEN, Stream, Streams
from coordinator.gateway.turnstile import Turnstile
from coordinator.wire import agents as wire
from hookline.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)

HELLO_WITHIN: Final = 10.0
"""Seconds that a new stream has for its Hello."""

MESSAGES_PER_SECOND: Final = 50
"""Of one stream; one that sends more is read more slowly, so its agent's writes wait and nothing is lost."""

MESSAGES_AT_ONCE: Final = 200

Context = grpc.aio.ServicerContext[pb.AgentMessage, bytes]
Read = Callable[[], Awaitable[object]]
"""The next message, or grpc.aio.EOF."""


class AgentServicer:
    """Reads agents' streams. What it writes are frames, bytes already, so its handlers are registered without a serialiser."""

    def __init__(self, *, inbox: Inbox, streams: Streams, clock: Clock, identity: Identity) -> None:
        """Everything that arrives goes to `inbox`."""
        self._inbox = inbox
        self._identity = identity
        self._streams = streams
        self._clock = clock
        self._turnstile = Turnstile(clock)

    def register(self, server: grpc.aio.Server) -> None:
        """Serve AgentService on `server`."""
        connect: grpc.RpcMethodHandler[pb.AgentMessage, bytes] = grpc.stream_stream_rpc_method_handler(
            self.connect, request_deserializer=pb.AgentMessage.FromString
        )
        server.add_registered_method_handlers("hookline.v1.AgentService", {"Connect": connect})

    async def connect(self, _requests: object, context: Context) -> None:
        """One agent's stream, from Hello to its end."""
        task = asyncio.current_task()
        assert task is not None
        stream = self._streams.open(context.write, task)
        try:
            with self._turnstile.passed(self._identity.known(context)):
                await self._converse(stream, context)
        except asyncio.CancelledError:
            if stream.refusal is None:
                raise
            task.uncancel()
            await self._refuse(stream, context, stream.refusal)
        except (Denied, Invalid, Unauthenticated, Unavailable) as error:
            await self._refuse(stream, context, error)
        finally:
            self._streams.close(stream)
            if stream.host_id:
                now = self._clock.now()
                self._inbox.put(
                    StreamEnded(
                        at=now,
                        elapsed=self._clock.elapsed(),
                        stream=stream.number,
                        host_id=stream.host_id,
                        silent_since=stream.last_heard,
                    )
                )

    async def _refuse(self, stream: Stream, context: Context, error: DeployError) -> None:
        """End the stream with a sentence, unless its agent is gone already."""
        await self._streams.finish(stream)
        try:
            await _abort(context, error)
        except grpc.aio.AbortError:
            raise
        except BROKEN:
            log.debug("stream refused after its end host=%s why=%r", stream.name, error.message)

    async def _converse(self, stream: Stream, context: Context) -> None:
        read: Read = context.read
        try:
            async with asyncio.timeout(HELLO_WITHIN):
                first = await read()
        except TimeoutError:
            raise Invalid(f"cannot accept the stream: no Hello came within {HELLO_WITHIN:.0f} s") from None
        if not isinstance(first, pb.AgentMessage):
            return
        if not first.HasField("hello"):
            raise Invalid("cannot accept the stream: its first message is not Hello")
        said = wire.hello(first.hello, stream=stream.number, at=self._clock.now(), elapsed=self._clock.elapsed())
        hello = self._identity.admitted(context, said)
        self._streams.hear(stream, "hello", first.ByteSize())
        if self._inbox.full:  # while the store cannot write, agents come again and again: their Hellos must not pile up
            raise Unavailable("cannot accept the stream: the coordinator has too much to do just now; come back")
        stream.host_id = hello.host_id
        stream.name = hello.name
        self._inbox.put(hello)
        await self._listen(stream, read)

    async def _listen(self, stream: Stream, read: Read) -> None:
        inbox, clock, streams = self._inbox, self._clock, self._streams
        pace = Pace(clock, per_second=MESSAGES_PER_SECOND, burst=MESSAGES_AT_ONCE)
        while True:
            message = await read()
            if not isinstance(message, pb.AgentMessage):
                return
            if message.HasField("reports"):
                streams.hear(stream, "reports", message.ByteSize())
                reports = wire.reports(message.reports)
                if reports:
                    inbox.put(ReportsReceived(clock.now(), stream.last_heard, stream.number, stream.host_id, reports))
                if inbox.full:
                    await inbox.room()
            elif message.HasField("heartbeat"):
                streams.hear(stream, "heartbeat", message.ByteSize())
                streams.beat(stream)
            elif message.HasField("goodbye"):
                streams.hear(stream, "goodbye", message.ByteSize())
                stream.gone = "goodbye"
                log.info("goodbye host=%s reason=%r", stream.name, message.goodbye.reason[:200])
                return
            if owed := pace.owed(1, stream.last_heard):
                await clock.sleep(owed)


async def _abort(context: Context, error: DeployError) -> None:
    match error:
        case Unavailable():
            code = grpc.StatusCode.UNAVAILABLE
        case AlreadyExists():
            code = grpc.StatusCode.ALREADY_EXISTS
        case Denied():
            code = grpc.StatusCode.PERMISSION_DENIED
        case Unauthenticated():
            code = grpc.StatusCode.UNAUTHENTICATED
        case _:
            code = grpc.StatusCode.INVALID_ARGUMENT
    await context.abort(code, error.message)
