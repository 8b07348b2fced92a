"""One stream to the coordinator, from Hello to its end."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from typing import TYPE_CHECKING

import grpc

from agent.facts import Acknowledged, CancelReceived, Fact, InstructionReceived, InstructionUnreadable, SendReports
from agent.model import GroupId, InstructionId
from agent.stream import wire
from hookline.v1 import agent_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.duration_pb2 import Duration

    from agent.clock import Clock
    from agent.loop import Agent

    Call = grpc.aio.StreamStreamCall[agent_pb2.AgentMessage, agent_pb2.CoordinatorMessage]

log = logging.getLogger("hookline.agent")

WELCOME_SECONDS = 10.0
MISSED_HEARTBEATS = 3
PROVEN_SECONDS = 1.0  # a stream that stays open for so long, or over which an answer came, was a good one
GATHER_SECONDS = 0.1
"""So long after a message of reports those that follow gather; what ends an instruction goes at once, for others wait for it."""

MESSAGE_BYTES = 1024 * 1024
DIAGNOSTICS_BYTES = 8 * 1024
_REPORT_BYTES = 1024  # what a report has beside its diagnostics, and then some

_REASON_LENGTH = 500
"""As much of why something is cancelled is kept: it is written to the journal, and reported."""

OLD_AGE = "max connection age"
"""How gRPC calls it when a server ends a connection because of its age, as it does with each in its turn."""

_REFUSALS = {
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.NOT_FOUND,
}


class StreamEnded(Exception):
    """A stream is over. retry_after is None where the coordinator did not say when to come back; `routine`: nothing is wrong."""

    def __init__(self, why: str, *, retry_after: float | None = None, refused: bool = False, routine: bool = False) -> None:
        super().__init__(why)
        self.retry_after = retry_after
        self.refused = refused
        self.routine = routine


class Session:
    """One stream, from Hello to its end. Reports that gather go together: while a write is in flight, and where events are quick."""

    def __init__(self, call: Call, agent: Agent, clock: Clock) -> None:
        self.welcomed = False
        self.proven = False
        self._call = call
        self._agent = agent
        self._clock = clock
        self._pending: deque[SendReports] = deque()
        self._beat_due = False
        self._goodbye: str | None = None
        self._wake = asyncio.Event()
        self._told_at = -math.inf
        self._gathering: asyncio.TimerHandle | None = None
        self._over: asyncio.Future[StreamEnded] = asyncio.get_running_loop().create_future()
        self._interval = 0.0
        self._unanswered = 0
        self._timer: asyncio.TimerHandle | None = None
        self._proof: asyncio.TimerHandle | None = None
        self._message_bytes = MESSAGE_BYTES
        self._diagnostics_bytes = DIAGNOSTICS_BYTES

    async def run(self, hello: agent_pb2.AgentMessage, welcomed: Callable[[Session, agent_pb2.Welcome], None]) -> None:
        """Speaks until the stream is over, which always is an exception."""
        try:
            async with asyncio.TaskGroup() as tasks:
                welcome = await self._greet(hello)
                self.welcomed = True
                self._proof = asyncio.get_running_loop().call_later(PROVEN_SECONDS, self._prove)
                welcomed(self, welcome)
                tasks.create_task(self._read(), name="stream reader")
                tasks.create_task(self._write(), name="stream writer")
                raise await self._over
        finally:
            for timer in (self._timer, self._proof, self._gathering):
                if timer is not None:
                    timer.cancel()

    def send(self, order: SendReports) -> None:
        """Takes reports to be sent; never waits."""
        self._pending.append(order)
        loop = asyncio.get_running_loop()
        unfinished = self._agent.machine.unfinished
        if loop.time() >= self._told_at + GATHER_SECONDS or any(report.instruction_id not in unfinished for report in order.reports):
            self._wake.set()
        elif self._gathering is None:
            self._gathering = loop.call_at(self._told_at + GATHER_SECONDS, self._gathered_enough)

    def _gathered_enough(self) -> None:
        self._gathering = None
        self._wake.set()

    def give_way(self) -> None:
        """Ends, since another session has taken its place."""
        if not self._over.done():
            self._over.set_result(StreamEnded("another stream has taken its place", routine=True))

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
        self._beat_every(seconds(welcome.heartbeat_interval))
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
                    self._beat_every(seconds(message.heartbeat_ack.heartbeat_interval))
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
            raise told(code, details) from None

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                self._told_at = asyncio.get_running_loop().time()
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
            if not self._over.done():
                self._over.set_result(StreamEnded(f"{MISSED_HEARTBEATS} heartbeats were not answered"))
            return
        self._unanswered += 1
        self._beat_due = True
        self._wake.set()
        self._beat_every(0)


def told(code: grpc.StatusCode, details: str | None) -> StreamEnded:
    """What the status of a call that is over means."""
    if code is grpc.StatusCode.OK:
        return StreamEnded("the coordinator ended the stream")
    if details == OLD_AGE:
        return StreamEnded("the connection was old enough", retry_after=0.0, routine=True)
    if code in _REFUSALS:
        return StreamEnded(f"the coordinator refuses this agent: {details}", refused=True)
    return StreamEnded(f"cannot reach the coordinator: {details} ({code.name})")


def seconds(duration: Duration) -> float:
    """As a number."""
    return duration.seconds + duration.nanos / 1e9


def _received(message: agent_pb2.Instruction) -> Fact:
    try:
        return InstructionReceived(wire.instruction(message))
    except wire.Unreadable as error:
        group_id = GroupId(message.deployment_group_id)
        return InstructionUnreadable(InstructionId(message.instruction_id), group_id, message.target_epoch, str(error))


def _cancelled(message: agent_pb2.Cancel) -> Fact:
    reason = message.reason[:_REASON_LENGTH]
    return CancelReceived(InstructionId(message.instruction_id), GroupId(message.deployment_group_id), message.target_epoch, reason)


def _drained(drain: agent_pb2.Drain) -> StreamEnded:
    return StreamEnded(drain.reason or "the coordinator asks to come back later", retry_after=seconds(drain.retry_after))
