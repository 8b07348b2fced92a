"""Publishes what hooks print, while they print it, on a call of its own that the control stream never waits for.

The files of the hooks are all that has to survive: the coordinator says how far it has come, and a file that it has whole is removed.
Looks at files only while something prints; opens the call only when there is something to say.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import grpc

from agent.logs.output import CONTENT_BYTES, Output
from agent.model import InstructionId
from agent.stream.session import OLD_AGE
from agent.supervisor.clock import stamp
from hookline.v1 import agent_pb2, agent_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.clock import Clock
    from agent.executor import Hooks
    from agent.hooks import EventOutcome, EventRun
    from agent.logs.output import Outputs, Piece

    _Call = grpc.aio.StreamStreamCall[agent_pb2.PublishLogsRequest, agent_pb2.PublishLogsResponse]

_Error = TypeVar("_Error", bound=BaseException)

log = logging.getLogger("hookline.agent")

LOOK_SECONDS = 0.2
"""How often a file that grows is looked at."""

BYTES_PER_SECOND = 256 * 1024

KEPT_BYTES = 256 * 1024 * 1024
"""What has ended and cannot be published takes so much of the disk at most; the oldest goes first."""

FIRST_PAUSE_SECONDS = 0.7
"""Between the pieces of a call until the coordinator has answered: it may be that a thousand hosts have just begun to print."""

LONGEST_PAUSE_SECONDS = 60.0

AT_ONCE = 8
"""Outputs that are published side by side; what earlier agents left waits for its turn."""

LONGEST_WAIT_SECONDS = 60.0


class LogPublisher:
    """Publishes the output of this host's hooks for as long as the agent lives."""

    def __init__(self, *, files: Outputs, host_id: str, channel: grpc.aio.Channel, clock: Clock) -> None:
        self._files = files
        self._stub: agent_pb2_grpc.AgentServiceAsyncStub = agent_pb2_grpc.AgentServiceStub(channel)
        self._metadata = (("hookline-host-id", host_id),)
        self._clock = clock
        self._outputs: dict[str, Output] = {}
        self._backlog: deque[Output] = deque()
        self._printing = 0
        self._wake = asyncio.Event()
        self._welcomed = asyncio.Event()
        self._bytes_per_second = BYTES_PER_SECOND
        self._paid_until = 0.0
        self._pause = 0.0
        self._piece_at = 0.0
        self._said = ""

    def resume(self, unfinished: Iterable[InstructionId]) -> None:
        """Takes up what earlier agents left; all but the unfinished has ended."""
        live = set(unfinished)
        for instruction_id in self._files.outputs():
            output = self._output(InstructionId(instruction_id), known=False)
            output.ended = instruction_id not in live
            if output.ended:
                self._backlog.append(output)
            else:
                self._outputs[instruction_id] = output
        self._wake.set()

    def move(self, channel: grpc.aio.Channel) -> None:
        """Makes its next call over another channel; one that is open goes on until it ends."""
        self._stub = agent_pb2_grpc.AgentServiceStub(channel)

    def keep_to(self, bytes_per_second: int) -> None:
        """The coordinator has welcomed this agent and says how much it may publish; 0: as before."""
        self._bytes_per_second = bytes_per_second or self._bytes_per_second
        self._welcomed.set()

    @contextmanager
    def printing(self, instruction_id: InstructionId) -> Iterator[None]:
        """Looks at what an instruction prints, for as long as this lasts."""
        if instruction_id not in self._outputs:
            path = self._files.output_path(instruction_id)
            self._outputs[instruction_id] = self._output(instruction_id, known=not path.exists())
        self._printing += 1
        if self._printing == 1:
            self._wake.set()
        try:
            yield
        finally:
            # Not at once: a hook that ends is followed by the next, which would have to wait until the call has been opened.
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._printed)

    def ended(self, instruction_id: InstructionId) -> None:
        """An instruction prints no more."""
        output = self._outputs.get(instruction_id)
        if output is not None:
            output.ended = True
            self._wake.set()

    async def run(self) -> None:
        """Publishes, and again after each failure; never returns."""
        failures = 0
        while True:
            while self._next() is None:
                await self._look_again()
            why = await self._one_call()
            if not why or why == _ROUTINE:
                failures, self._said = 0, ""
                continue
            if why != self._said:
                self._said = why
                log.warning("output not published why=%r", why)
            self._keep_to_the_limit()
            failures += 1
            await self._back_off(failures)

    def _printed(self) -> None:
        self._printing -= 1
        self._wake.set()

    async def _one_call(self) -> str:
        """Publishes until there is nothing left, and says what went wrong."""
        call = self._stub.PublishLogs(metadata=self._metadata)
        self._pause = FIRST_PAUSE_SECONDS
        why = ""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hear(call), name="log acknowledgements")
                await self._say(call)
        except* grpc.aio.AioRpcError as errors:
            why = f"{_first(errors).code().name}: {_first(errors).details()}"
        except* asyncio.InvalidStateError:
            why = "the coordinator ended the call"
        except* _Ended:
            why = "the coordinator ended the call"
        except* OSError as errors:
            why = f"cannot read what was printed: {_first(errors)}"
        finally:
            call.cancel()
            for output in self._outputs.values():
                output.restart()
        return why

    async def _say(self, call: _Call) -> None:
        while self._outputs or self._backlog:
            await self._gather()
            found = self._next()
            if found is None:
                await self._look_again()
                continue
            output, piece = found
            await self._pace(len(piece.content))
            await call.write(_request(piece))
            output.said(piece)
            if len(piece.content) < CONTENT_BYTES:
                self._piece_at = asyncio.get_running_loop().time()
        await call.done_writing()

    async def _hear(self, call: _Call) -> None:
        while True:
            response: object = await call.read()  # the stubs do not know EOF
            if not isinstance(response, agent_pb2.PublishLogsResponse):
                if self._outputs:
                    raise _Ended
                return
            self._pause = min(response.pause.ToMilliseconds() / 1000, LONGEST_PAUSE_SECONDS)
            output = self._outputs.get(response.instruction_id)
            if output is None:
                continue
            if response.refusal:
                log.warning("output refused instruction=%s why=%r", response.instruction_id, response.refusal)
                self._remove(output)
            elif response.complete and output.ended:
                self._remove(output)
            else:
                output.heard(response.acked_offset)
            self._wake.set()

    def _next(self) -> tuple[Output, Piece] | None:
        """What to say next. What has ended without a word is dropped on the way."""
        while self._backlog and len(self._outputs) < AT_ONCE:
            waited = self._backlog.popleft()
            self._outputs.setdefault(waited.instruction_id, waited)
        for output in tuple(self._outputs.values()):
            if output.ended and not output.asked and output.size() == 0:
                del self._outputs[output.instruction_id]
            elif (piece := output.next_piece()) is not None:
                return output, piece
        return None

    async def _look_again(self) -> None:
        """Waits until something has happened; while something prints, not for long."""
        try:
            async with asyncio.timeout(LOOK_SECONDS if self._printing else None):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _gather(self) -> None:
        """Lets what is printed gather for as long as the coordinator wishes; an end is said at once."""
        while not any(output.ended for output in self._outputs.values()):
            try:
                async with asyncio.timeout_at(self._piece_at + self._pause):
                    await self._wake.wait()
            except TimeoutError:
                return
            self._wake.clear()

    async def _pace(self, size: int) -> None:
        now = asyncio.get_running_loop().time()
        self._paid_until = max(self._paid_until, now) + size / self._bytes_per_second
        if self._paid_until > now + 1.0:
            await self._clock.sleep(self._paid_until - now - 1.0)

    def _keep_to_the_limit(self) -> None:
        """What has ended long ago gives way, when the coordinator takes nothing for long; the lines are in the deployments' own logs."""
        kept = 0
        ended = [output for output in (*self._backlog, *self._outputs.values()) if output.ended]
        for output in reversed(ended):
            kept += output.size()
            if kept <= KEPT_BYTES or output.acked:
                continue
            try:
                kept -= output.give_up(stamp(self._clock.now_ms()))
            except OSError as error:
                log.warning("output not given up path=%s why=%r", output.path, error.strerror)

    async def _back_off(self, failures: int) -> None:
        """Waits a random time, or until the control stream has found the coordinator again."""
        self._welcomed.clear()
        try:
            async with asyncio.timeout(0.1 + self._clock.chance() * min(LONGEST_WAIT_SECONDS, 2.0**failures)):
                await self._welcomed.wait()
        except TimeoutError:
            return

    def _output(self, instruction_id: InstructionId, *, known: bool) -> Output:
        return Output(instruction_id, self._files.output_path(instruction_id), known=known)

    def _remove(self, output: Output) -> None:
        """Nobody needs the file any more: the lines are in the deployment's own log as well."""
        del self._outputs[output.instruction_id]
        try:
            output.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("output not removed path=%s why=%r", output.path, error.strerror)


class PublishedHooks:
    """Hooks that tell the publisher when they print, and otherwise do what they did before."""

    def __init__(self, hooks: Hooks, publisher: LogPublisher) -> None:
        self._hooks = hooks
        self._publisher = publisher

    async def start_ahead(self) -> None:
        """Has a supervisor waiting."""
        await self._hooks.start_ahead()

    async def run(self, event: EventRun) -> EventOutcome:
        """Runs the scripts of an event."""
        with self._publisher.printing(InstructionId(event.instruction_id)):
            return await self._hooks.run(event)

    async def recover(self, instruction_id: str, attempt: int, lifecycle_event: str) -> EventOutcome | None:
        """How an event of an earlier agent ended; None: it has never begun."""
        with self._publisher.printing(InstructionId(instruction_id)):
            return await self._hooks.recover(instruction_id, attempt, lifecycle_event)

    async def cancel(self, instruction_id: str, attempt: int) -> None:
        """Ends the running hook."""
        await self._hooks.cancel(instruction_id, attempt)

    async def finish(self, instruction_id: str) -> None:
        """Lets the supervisor of an instruction go: it prints no more."""
        await self._hooks.finish(instruction_id)
        self._publisher.ended(InstructionId(instruction_id))

    def forget(self, instruction_id: str) -> None:
        """Removes the output and the records of an instruction."""
        self._hooks.forget(instruction_id)


_ROUTINE = f"{grpc.StatusCode.UNAVAILABLE.name}: {OLD_AGE}"


class _Ended(Exception):
    """The coordinator has ended a call on which it was owed more."""


def _request(piece: Piece) -> agent_pb2.PublishLogsRequest:
    return agent_pb2.PublishLogsRequest(
        instruction_id=piece.instruction_id,
        offset=piece.offset,
        content=piece.content,
        dropped_bytes=piece.dropped,
        complete=piece.complete,
    )


def _first(group: BaseExceptionGroup[_Error]) -> _Error:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
