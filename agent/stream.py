"""The one stream to the coordinator: opens it, speaks on it, and comes back when it is lost.

Knows the wire and its times. What a message means is the machine's; what must survive is the journal's.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Protocol, TypeVar

import grpc

from agent import wire
from agent.facts import Acknowledged, CancelReceived, Connected, Disconnected, Fact, InstructionReceived, InstructionUnreadable, SendReports
from agent.model import GroupId, InstructionId
from hookline.v1 import agent_pb2, agent_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.duration_pb2 import Duration

    from agent.clock import Clock
    from agent.config import Identity
    from agent.loop import Agent

    _Call = grpc.aio.StreamStreamCall[agent_pb2.AgentMessage, agent_pb2.CoordinatorMessage]

_Error = TypeVar("_Error", bound=BaseException)

log = logging.getLogger("hookline.agent")

WELCOME_SECONDS = 10.0
MISSED_HEARTBEATS = 3
LONGEST_WAIT_SECONDS = 60.0
RESTART_SECONDS = 1.0  # the longest wait while the coordinator may just be restarting ...
RESTART_TRIES = 8  # ... which is this often
PROVEN_SECONDS = 1.0  # a stream that stays open for so long, or over which an answer came, was a good one
REFUSED_WAIT_SECONDS = 5.0
MESSAGE_BYTES = 1024 * 1024
DIAGNOSTICS_BYTES = 8 * 1024
_REPORT_BYTES = 1024  # what a report has beside its diagnostics, and then some

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

_REFUSALS = {
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.NOT_FOUND,
}


class Listener(Protocol):
    """Who wants to know how the agent stands with its coordinator."""

    def connected(self, *, bundle_address: str, log_bytes_per_second: int) -> None:
        """Hears what Welcome said; an empty host in the address stands for the coordinator's own."""
        ...

    def disconnected(self, why: str) -> None:
        """Hears that no stream is open now; perhaps none has been since the last time."""
        ...


class StreamEnded(Exception):
    """A stream is over. retry_after is None where the coordinator did not say when to come back."""

    def __init__(self, why: str, *, retry_after: float | None = None, refused: bool = False) -> None:
        super().__init__(why)
        self.retry_after = retry_after
        self.refused = refused


def insecure_channel(coordinator: str) -> grpc.aio.Channel:
    """A plaintext channel to HOST:PORT, with the options that an agent needs."""
    return grpc.aio.insecure_channel(coordinator, options=CHANNEL_OPTIONS)


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
    ) -> None:
        self._agent = agent
        self._identity = identity
        self._stub: agent_pb2_grpc.AgentServiceAsyncStub = agent_pb2_grpc.AgentServiceStub(channel)
        self._clock = clock
        self._listener = listener
        self._session: _Session | None = None
        self._spread = 0.0
        self._failures = 0
        self._brief = 0
        self._said = ""
        self._stopping = False

    async def run(self) -> None:
        """Connects, and connects again; returns after `stop`."""
        while True:
            ended = await self._one_session()
            if self._stopping:
                return
            seconds = self._wait_seconds(ended)
            if str(ended) != self._said:
                self._said = str(ended)
                log.warning("disconnected host=%s retry_in=%.1fs why=%r", self._identity.name, seconds, self._said)
                if self._listener is not None:
                    self._listener.disconnected(self._said)
            await self._clock.sleep(seconds)

    def stop(self, reason: str) -> None:
        """Says Goodbye and lets `run` return; what waits for a reconnect has to be cancelled."""
        self._stopping = True
        if self._session is not None:
            self._session.say_goodbye(reason)

    async def _one_session(self) -> StreamEnded:
        call = self._stub.Connect()
        session = self._session = _Session(call, self._agent, self._clock)
        try:
            await session.run(wire.hello(self._identity, self._agent.journal.journal_id, self._agent.machine.standing), self._welcomed)
        except* StreamEnded as group:
            ended = _first(group)
        except* grpc.aio.AioRpcError as group:
            error = _first(group)
            ended = _told(error.code(), error.details())
        else:
            ended = StreamEnded("the stream ended")
        finally:
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

    def _welcomed(self, session: _Session, welcome: agent_pb2.Welcome) -> None:
        self._spread = _seconds(welcome.reconnect_spread)
        self._said = ""
        log.info("connected host=%s session_epoch=%d acked_seq=%d", self._identity.name, welcome.session_epoch, welcome.acked_seq)
        if self._listener is not None:
            self._listener.connected(bundle_address=welcome.bundle_address, log_bytes_per_second=welcome.limits.log_bytes_per_second)
        self._agent.outbox = session
        self._agent.tell(Connected(welcome.acked_seq))

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


class _Session:
    """One stream, from Hello to its end. Reports that gather while a write is in flight go together in the next message."""

    def __init__(self, call: _Call, agent: Agent, clock: Clock) -> None:
        self.welcomed = False
        self.proven = False
        self._call = call
        self._agent = agent
        self._clock = clock
        self._pending: deque[SendReports] = deque()
        self._beat_due = False
        self._goodbye: str | None = None
        self._wake = asyncio.Event()
        self._silent: asyncio.Future[StreamEnded] = asyncio.get_running_loop().create_future()
        self._interval = 0.0
        self._unanswered = 0
        self._timer: asyncio.TimerHandle | None = None
        self._proof: asyncio.TimerHandle | None = None
        self._message_bytes = MESSAGE_BYTES
        self._diagnostics_bytes = DIAGNOSTICS_BYTES

    async def run(self, hello: agent_pb2.AgentMessage, welcomed: Callable[[_Session, agent_pb2.Welcome], None]) -> None:
        """Speaks until the stream is over, which always is an exception."""
        try:
            async with asyncio.TaskGroup() as tasks:
                welcome = await self._greet(hello)
                self.welcomed = True
                self._proof = asyncio.get_running_loop().call_later(PROVEN_SECONDS, self._prove)
                welcomed(self, welcome)
                tasks.create_task(self._read(), name="stream reader")
                tasks.create_task(self._write(), name="stream writer")
                raise await self._silent
        finally:
            for timer in (self._timer, self._proof):
                if timer is not None:
                    timer.cancel()

    def send(self, order: SendReports) -> None:
        """Takes reports to be sent; never waits."""
        self._pending.append(order)
        self._wake.set()

    def say_goodbye(self, reason: str) -> None:
        """Ends the stream in an orderly way, after what is pending."""
        self._goodbye = reason
        self._wake.set()

    async def _greet(self, hello: agent_pb2.AgentMessage) -> agent_pb2.Welcome:
        try:
            async with asyncio.timeout(WELCOME_SECONDS):
                await self._say(hello)
                message = await self._next()
        except TimeoutError:
            raise StreamEnded(f"no Welcome came within {WELCOME_SECONDS:.0f} s") from None
        if message.HasField("drain"):
            raise _drained(message.drain)
        if not message.HasField("welcome"):
            raise StreamEnded("the coordinator did not begin with Welcome; is it older or newer than this agent?")
        welcome = message.welcome
        self._message_bytes = welcome.limits.message_bytes or MESSAGE_BYTES
        self._diagnostics_bytes = welcome.limits.diagnostics_bytes or DIAGNOSTICS_BYTES
        self._beat_every(_seconds(welcome.heartbeat_interval))
        return welcome

    async def _read(self) -> None:
        while True:
            message = await self._next()
            match message.WhichOneof("message"):
                case "acknowledgement":
                    self.proven = True
                    self._agent.tell(Acknowledged(message.acknowledgement.acked_seq))
                case "instruction":
                    if self._goodbye is None:  # else it comes again, to the next agent
                        self._agent.tell(_received(message.instruction))
                case "heartbeat_ack":
                    self.proven = True
                    self._unanswered = 0
                    self._beat_every(_seconds(message.heartbeat_ack.heartbeat_interval))
                case "cancel":
                    self._agent.tell(_cancelled(message.cancel))
                case "drain":
                    raise _drained(message.drain)
                case _:
                    # A newer coordinator says something that this agent cannot know to need.
                    log.warning("message left unread kind=%s", message.WhichOneof("message"))

    async def _next(self) -> agent_pb2.CoordinatorMessage:
        message = await self._call.read()
        if isinstance(message, agent_pb2.CoordinatorMessage):
            return message
        raise StreamEnded("the coordinator ended the stream")

    async def _say(self, message: agent_pb2.AgentMessage) -> None:
        try:
            await self._call.write(message)
        except asyncio.InvalidStateError:
            # The stream ended in between; its status says more than this error.
            code, details = await self._call.code(), await self._call.details()
            raise _told(code, details) from None

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                await self._say(self._gathered())
            if self._beat_due:
                self._beat_due = False
                await self._say(agent_pb2.AgentMessage(heartbeat=agent_pb2.Heartbeat()))
            if self._goodbye is not None:
                await self._say(agent_pb2.AgentMessage(goodbye=agent_pb2.Goodbye(reason=self._goodbye)))
                await self._call.done_writing()
                return  # the coordinator ends the stream now, and the reader sees it

    def _gathered(self) -> agent_pb2.AgentMessage:
        """All pending reports with consecutive numbers, as far as one message holds them."""
        most = max(1, self._message_bytes // (self._diagnostics_bytes + _REPORT_BYTES))
        order = self._pending.popleft()
        first_seq, gathered = order.first_seq, list(order.reports)
        while self._pending and len(gathered) < most and self._pending[0].first_seq == first_seq + len(gathered):
            gathered += self._pending.popleft().reports
        if len(gathered) > most:
            self._pending.appendleft(SendReports(first_seq + most, tuple(gathered[most:])))
            del gathered[most:]
        return wire.reports(first_seq, gathered, diagnostics_bytes=self._diagnostics_bytes)

    def _beat_every(self, seconds: float) -> None:
        """Beats every so many seconds, give or take a tenth, from now on; nought changes nothing."""
        if seconds > 0:
            self._interval = seconds
        if self._timer is not None:
            self._timer.cancel()
        if self._interval > 0:
            wait = self._interval * (0.9 + 0.2 * self._clock.chance())
            self._timer = asyncio.get_running_loop().call_later(wait, self._beat)

    def _prove(self) -> None:
        self.proven = True

    def _beat(self) -> None:
        if self._unanswered == MISSED_HEARTBEATS:
            if not self._silent.done():
                self._silent.set_result(StreamEnded(f"{MISSED_HEARTBEATS} heartbeats were not answered"))
            return
        self._unanswered += 1
        self._beat_due = True
        self._wake.set()
        self._beat_every(0)


def _received(message: agent_pb2.Instruction) -> Fact:
    try:
        return InstructionReceived(wire.instruction(message))
    except wire.Unreadable as error:
        group_id = GroupId(message.deployment_group_id)
        return InstructionUnreadable(InstructionId(message.instruction_id), group_id, message.target_epoch, str(error))


def _cancelled(message: agent_pb2.Cancel) -> Fact:
    return CancelReceived(InstructionId(message.instruction_id), GroupId(message.deployment_group_id), message.target_epoch, message.reason)


def _drained(drain: agent_pb2.Drain) -> StreamEnded:
    return StreamEnded(drain.reason or "the coordinator asks to come back later", retry_after=_seconds(drain.retry_after))


def _first(group: BaseExceptionGroup[_Error]) -> _Error:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _told(code: grpc.StatusCode, details: str | None) -> StreamEnded:
    if code is grpc.StatusCode.OK:
        return StreamEnded("the coordinator ended the stream")
    if code in _REFUSALS:
        return StreamEnded(f"the coordinator refuses this agent: {details}", refused=True)
    return StreamEnded(f"cannot reach the coordinator: {details} ({code.name})")


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
