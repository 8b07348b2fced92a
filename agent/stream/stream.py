"""Keeps an agent connected: opens its stream to the coordinator, and comes back when it is lost.

When, is decided here. What is said on it is the session's, what a message means the machine's; what must survive is the journal's.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol, TypeVar

import grpc

from agent.facts import Connected, Disconnected
from agent.stream import session as sessions
from agent.stream import wire
from agent.stream.session import MESSAGE_BYTES, Session, StreamEnded
from hookline.v1 import agent_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.clock import Clock
    from agent.config import Identity
    from agent.identity import Credentials
    from agent.loop import Agent
    from hookline.v1 import agent_pb2

_Error = TypeVar("_Error", bound=BaseException)

log = logging.getLogger("hookline.agent")

LONGEST_WAIT_SECONDS = 60.0
RESTART_SECONDS = 1.0  # the longest wait while the coordinator may just be restarting ...
RESTART_TRIES = 8  # ... which is this often
REFUSED_WAIT_SECONDS = 5.0

CHANNEL_OPTIONS = (
    # Without ping_timeout_ms a frozen peer is noticed a minute later than the other two promise.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # When to come back is decided here, not by the channel.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    # One connection per agent, even where many agents share a process.
    ("grpc.use_local_subchannel_pool", 1),
)


class Listener(Protocol):
    """Who wants to know how the agent stands with its coordinator."""

    def connected(self, *, bundle_address: str, log_bytes_per_second: int) -> None:
        """Hears what Welcome said; an empty host in the address stands for the coordinator's own."""
        ...

    def disconnected(self, why: str) -> None:
        """Hears that no stream is open now; perhaps none has been since the last time."""
        ...


def insecure_channel(coordinator: str) -> grpc.aio.Channel:
    """A plaintext channel to HOST:PORT, with the options that an agent needs."""
    return grpc.aio.insecure_channel(coordinator, options=CHANNEL_OPTIONS)


def secure_channel(coordinator: str, credentials: Credentials) -> grpc.aio.Channel:
    """A channel to HOST:PORT on which both sides show certificates, with the options that an agent needs."""
    shown = grpc.ssl_channel_credentials(credentials.trust, credentials.key, credentials.chain)
    return grpc.aio.secure_channel(coordinator, shown, options=CHANNEL_OPTIONS)


class AgentStream:
    """Keeps one agent connected for as long as it lives."""

    def __init__(
        self,
        *,
        agent: Agent,
        identity: Identity,
        channel: grpc.aio.Channel,
        clock: Clock,
        listener: Listener | None = None,
        why_not: Callable[[], Awaitable[str | None]] | None = None,
    ) -> None:
        """`why_not` knows more than gRPC of a coordinator that cannot be reached, or None."""
        self._agent = agent
        self._identity = identity
        self._stub: agent_pb2_grpc.AgentServiceAsyncStub = agent_pb2_grpc.AgentServiceStub(channel)
        self._why_not = why_not
        self._tasks = asyncio.TaskGroup()
        self._successor: asyncio.Task[StreamEnded] | None = None
        self._clock = clock
        self._listener = listener
        self._session: Session | None = None
        self._spread = 0.0
        self._failures = 0
        self._brief = 0
        self._said = ""
        self._stopping = False

    async def run(self) -> None:
        """Connects, and connects again; returns after `stop`."""
        async with self._tasks:
            await self._keep_connected()

    def move(self, channel: grpc.aio.Channel) -> None:
        """Goes on over another channel: its stream is welcomed before the one that is open ends."""
        self._stub = agent_pb2_grpc.AgentServiceStub(channel)
        if self._session is not None and not self._stopping and (self._successor is None or self._successor.done()):
            self._successor = self._tasks.create_task(self._one_session(), name="next stream")

    async def _keep_connected(self) -> None:
        while True:
            ended = await self._one_session()
            while self._successor is not None and not self._stopping:
                successor, self._successor = self._successor, None
                ended = await successor
            if self._stopping:
                return
            seconds = self._wait_seconds(ended)
            if ended.routine:
                log.info("reconnects host=%s in=%.1fs why=%r", self._identity.name, seconds, str(ended))
            elif str(ended) != self._said:
                self._said = str(ended)
                ended = await self._explained(ended)
                log.warning("disconnected host=%s retry_in=%.1fs why=%r", self._identity.name, seconds, str(ended))
                if self._listener is not None:
                    self._listener.disconnected(str(ended))
            await self._clock.sleep(seconds)

    def stop(self, reason: str) -> None:
        """Says Goodbye and lets `run` return; what waits for a reconnect has to be cancelled."""
        self._stopping = True
        if self._successor is not None:
            self._successor.cancel()
        if self._session is not None:
            self._session.say_goodbye(reason)

    async def _explained(self, ended: StreamEnded) -> StreamEnded:
        """gRPC says of a handshake that failed only that it did."""
        why = None if ended.refused or self._why_not is None else await self._why_not()
        return ended if why is None else StreamEnded(f"cannot reach the coordinator: {why}", retry_after=ended.retry_after)

    async def _one_session(self) -> StreamEnded:
        call = self._stub.Connect()
        session = Session(call, self._agent, self._clock)
        if self._session is None:
            self._session = session
        try:
            await session.run(wire.hello(self._identity, self._agent.journal.journal_id, self._agent.machine.standing), self._welcomed)
        except* StreamEnded as group:
            ended = _first(group)
        except* grpc.aio.AioRpcError as group:
            error = _first(group)
            ended = sessions.told(error.code(), error.details())
        else:
            ended = StreamEnded("the stream ended")
        finally:
            if self._session is session:
                self._session = None
            if self._agent.outbox is session:
                self._agent.outbox = None
                self._agent.tell(Disconnected())
            call.cancel()
        if session.proven:
            self._failures = self._brief = 0
        elif session.welcomed:
            # As when two agents end each other's streams, because one is a copy of the other's directory.
            self._failures = self._brief = self._brief + 1
        else:
            self._failures += 1
        return ended

    def _welcomed(self, session: Session, welcome: agent_pb2.Welcome) -> None:
        self._spread = sessions.seconds(welcome.reconnect_spread)
        self._said = ""
        log.info("connected host=%s session_epoch=%d acked_seq=%d", self._identity.name, welcome.session_epoch, welcome.acked_seq)
        if self._listener is not None:
            self._listener.connected(bundle_address=welcome.bundle_address, log_bytes_per_second=welcome.limits.log_bytes_per_second)
        before, self._session = self._session, session
        self._agent.outbox = session
        self._agent.tell(Connected(welcome.acked_seq))
        if before is not None and before is not session:
            before.give_way()

    def _wait_seconds(self, ended: StreamEnded) -> float:
        """Full jitter over the time in which the whole fleet may come back; hosts with something to tell come first.

        A coordinator that restarts is found within a second, and one that stays away is asked ever more rarely, except by those hosts.
        """
        chance, busy = self._clock.chance(), self._agent.machine.busy
        spread = max(self._spread, 0.1) * (0.1 if busy else 1.0)
        if ended.retry_after is not None:
            return ended.retry_after + chance * spread
        if self._failures == 0:
            return chance * spread
        longest = max(RESTART_SECONDS, spread)
        if not busy or self._brief:
            longest = min(LONGEST_WAIT_SECONDS, max(longest, 2.0 ** max(0, self._failures - RESTART_TRIES)))
        return chance * longest + (REFUSED_WAIT_SECONDS if ended.refused else 0.0)


def _first(group: BaseExceptionGroup[_Error]) -> _Error:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
