"""Publishes what hooks print, while they print it, on a call of its own that the control stream never waits for.

The files of the hooks are all that has to survive: the coordinator says how far it has come, and a file that it has whole is removed.
Looks at files only while something prints; opens the call only when there is something to say.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

import grpc

from agent.model import InstructionId
from hookline.v1 import agent_pb2, agent_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from agent.clock import Clock
    from agent.executor import Hooks
    from agent.hooks import EventOutcome, EventRun

    _Call = grpc.aio.StreamStreamCall[agent_pb2.PublishLogsRequest, agent_pb2.PublishLogsResponse]

_Error = TypeVar("_Error", bound=BaseException)

log = logging.getLogger("hookline.agent")

LOOK_SECONDS = 0.2
"""How often a file that grows is looked at."""

CONTENT_BYTES = 64 * 1024
BYTES_PER_SECOND = 256 * 1024
IN_FLIGHT = 10
"""Pieces of one output that may wait for their acknowledgement, which comes about once a second: where many hosts print, pieces get
larger instead of more."""

AT_ONCE = 8
"""Outputs that are published side by side; what earlier agents left waits for its turn."""

LONGEST_WAIT_SECONDS = 60.0


class Outputs(Protocol):
    """Where the hooks print (agent/hooks.py)."""

    def outputs(self) -> list[str]:
        """The instructions of which there is output, the oldest first."""
        ...

    def output_path(self, instruction_id: str) -> Path:
        """The file of an instruction."""
        ...


class _Output:
    """What one instruction prints, and how far it has been published."""

    __slots__ = ("acked", "asked", "closed", "ended", "flying", "instruction_id", "known", "path", "sent")

    def __init__(self, instruction_id: InstructionId, path: Path, *, known: bool) -> None:
        self.instruction_id = instruction_id
        self.path = path
        self.known = known  # whether the coordinator has said how far it has come, or can have nothing
        self.asked = False
        self.sent = 0
        self.acked = 0
        self.ended = False
        self.closed = False
        self.flying: deque[int] = deque()

    def restart(self) -> None:
        """The call is over: what was not acknowledged has to be said again."""
        self.sent = self.acked
        self.flying.clear()
        self.asked = self.closed = False

    def next_piece(self) -> agent_pb2.PublishLogsRequest | None:
        """What there is to say; None: nothing now."""
        if not self.known:
            return None if self.asked else agent_pb2.PublishLogsRequest(instruction_id=self.instruction_id)
        size = self.size()
        if (size <= self.sent and (self.closed or not self.ended)) or len(self.flying) == IN_FLIGHT:
            return None
        content = self._read() if size > self.sent else b""
        complete = self.ended and self.sent + len(content) >= size
        return agent_pb2.PublishLogsRequest(instruction_id=self.instruction_id, offset=self.sent, content=content, complete=complete)

    def said(self, piece: agent_pb2.PublishLogsRequest) -> None:
        """A piece is on its way."""
        self.asked = True
        self.sent += len(piece.content)
        if piece.content:
            self.flying.append(self.sent)
        self.closed = piece.complete

    def heard(self, acked_offset: int) -> None:
        """The coordinator has come so far; less than it said before means that it has lost something."""
        if not self.known or acked_offset < self.acked:
            self.known, self.closed, self.sent = True, False, acked_offset
            self.flying.clear()
        while self.flying and self.flying[0] <= acked_offset:
            self.flying.popleft()
        self.acked = acked_offset
        self.sent = max(self.sent, acked_offset)

    def size(self) -> int:
        """Bytes that were printed so far."""
        try:
            return os.stat(self.path).st_size
        except OSError:
            return 0

    def _read(self) -> bytes:
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, CONTENT_BYTES, self.sent)
        finally:
            os.close(fd)


class LogPublisher:
    """Publishes the output of this host's hooks for as long as the agent lives."""

    def __init__(self, *, files: Outputs, host_id: str, channel: grpc.aio.Channel, clock: Clock) -> None:
        self._files = files
        self._stub: agent_pb2_grpc.AgentServiceAsyncStub = agent_pb2_grpc.AgentServiceStub(channel)
        self._metadata = (("hookline-host-id", host_id),)
        self._clock = clock
        self._outputs: dict[str, _Output] = {}
        self._backlog: deque[_Output] = deque()
        self._printing = 0
        self._wake = asyncio.Event()
        self._welcomed = asyncio.Event()
        self._bytes_per_second = BYTES_PER_SECOND
        self._paid_until = 0.0
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
            if not why:
                failures, self._said = 0, ""
                continue
            if why != self._said:
                self._said = why
                log.warning("output not published why=%r", why)
            failures += 1
            await self._back_off(failures)

    def _printed(self) -> None:
        self._printing -= 1
        self._wake.set()

    async def _one_call(self) -> str:
        """Publishes until there is nothing left, and says what went wrong."""
        call = self._stub.PublishLogs(metadata=self._metadata)
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
            found = self._next()
            if found is None:
                await self._look_again()
                continue
            output, piece = found
            await self._pace(len(piece.content))
            await call.write(piece)
            output.said(piece)
        await call.done_writing()

    async def _hear(self, call: _Call) -> None:
        while True:
            response: object = await call.read()  # the stubs do not know EOF
            if not isinstance(response, agent_pb2.PublishLogsResponse):
                if self._outputs:
                    raise _Ended
                return
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

    def _next(self) -> tuple[_Output, agent_pb2.PublishLogsRequest] | None:
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

    async def _pace(self, size: int) -> None:
        now = asyncio.get_running_loop().time()
        self._paid_until = max(self._paid_until, now) + size / self._bytes_per_second
        if self._paid_until > now + 1.0:
            await self._clock.sleep(self._paid_until - now - 1.0)

    async def _back_off(self, failures: int) -> None:
        """Waits a random time, or until the control stream has found the coordinator again."""
        self._welcomed.clear()
        try:
            async with asyncio.timeout(0.1 + self._clock.chance() * min(LONGEST_WAIT_SECONDS, 2.0**failures)):
                await self._welcomed.wait()
        except TimeoutError:
            return

    def _output(self, instruction_id: InstructionId, *, known: bool) -> _Output:
        return _Output(instruction_id, self._files.output_path(instruction_id), known=known)

    def _remove(self, output: _Output) -> None:
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

    async def run(self, event: EventRun, started: Callable[[], None]) -> EventOutcome:
        """Runs the scripts of an event."""
        with self._publisher.printing(InstructionId(event.instruction_id)):
            return await self._hooks.run(event, started)

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


class _Ended(Exception):
    """The coordinator has ended a call on which it was owed more."""


def _first(group: BaseExceptionGroup[_Error]) -> _Error:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
