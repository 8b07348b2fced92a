"""PublishLogs on the coordinator's main port: what hooks print, taken at a pace that leaves the control path alone.

A host that sends too much is not read: its bytes wait on its own disk. Nothing here touches the engine or an agent's control stream.
"""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import grpc
import grpc.aio

from coordinator.core.errors import DeployError, DeploymentDoesNotExist, DeploymentTargetDoesNotExist, Unavailable
from coordinator.core.model import DeploymentId, HostId
from coordinator.engine.ports import Clock
from coordinator.gateway.identity import Callers
from coordinator.gateway.pace import NOBODYS, Pace, Shares
from coordinator.gateway.streams import BROKEN
from coordinator.metrics import Tally
from coordinator.service.logs import Log, LogKeep, Sent, Taken
from coordinator.service.ports import History
from hookline.v1 import agent_pb2 as pb

BYTES_PER_SECOND: Final = 256 << 10
"""Of one host, over all that it was told to do."""

BURST: Final = 1 << 20
"""Bytes that a host may send at once."""

MESSAGES_PER_SECOND: Final = 1_000
"""Of all hosts together: each costs the event loop about 0.15 ms, and the control path comes first."""

PAUSE_FROM: Final = 200
"""Milliseconds: agents look for output so often by themselves."""

CONTENT_AT_MOST: Final = 64 << 10
DROPPED_AT_MOST: Final = 1 << 30

_INSTRUCTION: Final = re.compile(r"(?P<deployment>d-[0-9A-Z]{9})/(?P<host>[0-9a-f]{32})/(?P<stream>\d{1,4}/\d{1,4})")

Context = grpc.aio.ServicerContext[pb.PublishLogsRequest, pb.PublishLogsResponse]
Write = Callable[[pb.PublishLogsResponse], Awaitable[None]]


class Crowd:
    """Counts the hosts that print, and says for how long each should gather so that their pieces find their turn at once."""

    def __init__(self, clock: Clock) -> None:
        """Nobody prints."""
        self._clock = clock
        self._second = 0
        self._hosts: set[HostId] = set()
        self._before = 0

    def note(self, host_id: HostId) -> None:
        """This host has sent a piece."""
        self._turn()
        self._hosts.add(host_id)

    @property
    def pause(self) -> int:
        """Milliseconds; 0: no longer than a host does by itself."""
        self._turn()
        pause = max(self._before, len(self._hosts)) * 1_000 // (MESSAGES_PER_SECOND * 4 // 5)
        return pause if pause > PAUSE_FROM else 0

    def _turn(self) -> None:
        second = self._clock.elapsed() // 1_000
        if second != self._second:
            self._before = len(self._hosts) if second == self._second + 1 else 0
            self._second = second
            self._hosts = set()


class LogServicer:
    """Takes output from agents, one call a host."""

    def __init__(self, *, logs: LogKeep, history: History, clock: Clock, callers: Callers, tally: Tally) -> None:
        """`history` tells which host has a part in which deployment."""
        self._tally = tally
        self._callers = callers
        self._logs = logs
        self._history = history
        self._clock = clock
        self._calls: dict[HostId, asyncio.Task[None]] = {}
        self._paces: dict[HostId, Pace] = {}
        self._crowd = Crowd(clock)
        self._messages = Shares(clock, per_second=MESSAGES_PER_SECOND, burst=MESSAGES_PER_SECOND // 10)

    def register(self, server: grpc.aio.Server) -> None:
        """Serve PublishLogs on `server`."""
        publish: grpc.RpcMethodHandler[pb.PublishLogsRequest, pb.PublishLogsResponse] = grpc.stream_stream_rpc_method_handler(
            self.publish_logs,
            request_deserializer=pb.PublishLogsRequest.FromString,
            response_serializer=pb.PublishLogsResponse.SerializeToString,
        )
        server.add_registered_method_handlers("hookline.v1.AgentService", {"PublishLogs": publish})

    async def run(self) -> None:
        """Give hosts their turns when they print more than can be taken, until cancelled."""
        await self._messages.run()

    async def publish_logs(self, _requests: object, context: Context) -> None:
        """One host's output, until it has no more."""
        host_id = self._callers.host(context)
        task = asyncio.current_task()
        assert task is not None
        if older := self._calls.get(host_id):
            older.cancel()
        self._calls[host_id] = task
        try:
            refused = await self._conversed(host_id, context)
        except asyncio.CancelledError:
            if self._calls.get(host_id) is task:
                raise  # the client is gone
            task.uncancel()
            refused = Unavailable("cannot keep this call: its host opened a newer one")
        finally:
            if self._calls.get(host_id) is task:
                del self._calls[host_id]
                if self._paces[host_id].fresh:
                    del self._paces[host_id]
        if refused is not None:
            raise refused

    async def _conversed(self, host_id: HostId, context: Context) -> DeployError | None:
        """Take and answer until the host has no more; why that could not go on."""
        pace = self._paces.setdefault(host_id, Pace(self._clock, per_second=BYTES_PER_SECOND, burst=BURST))
        refused: DeployError | None = None
        try:
            async with AsyncExitStack() as opened:
                publishing = Publishing(host_id, logs=self._logs, history=self._history, crowd=self._crowd, opened=opened)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(publishing.answer(self._counted(context.write)), name="log answers")
                    await self._listen(publishing, pace, context)
                    publishing.end()
        except* DeployError as errors:
            refused = _first(errors)
        return refused

    def _counted(self, write: Write) -> Write:
        async def counted(response: pb.PublishLogsResponse) -> None:
            self._tally.log_answers += 1
            await write(response)

        return counted

    async def _listen(self, publishing: "Publishing", pace: Pace, context: Context) -> None:
        while True:
            message: object = await context.read()  # the stubs do not know EOF
            if not isinstance(message, pb.PublishLogsRequest):
                return
            await self._messages.spend(publishing.deployment(message.instruction_id))
            await pace.spend(len(message.content))
            self._tally.log_messages += 1
            self._tally.log_bytes += len(message.content)
            self._tally.log_dropped_bytes += min(message.dropped_bytes, DROPPED_AT_MOST)
            await publishing.take(message)


class Publishing:
    """One host's call: which of its instructions it may publish, and what it is still owed an answer for."""

    def __init__(self, host_id: HostId, *, logs: LogKeep, history: History, crowd: Crowd, opened: AsyncExitStack) -> None:
        """`opened` closes the logs at the end of the call."""
        self._host_id = host_id
        self._crowd = crowd
        self._keep = logs
        self._history = history
        self._opened = opened
        self._logs: dict[DeploymentId, Log] = {}
        self._known: dict[str, tuple[Log, str] | str] = {}
        self._owed: deque[tuple[str, Log, Taken]] = deque()
        self._refusals: list[pb.PublishLogsResponse] = []
        self._wake = asyncio.Event()
        self._ended = False

    def deployment(self, instruction_id: str) -> DeploymentId:
        """The deployment whose turn a piece takes; what was never looked up takes nobody's."""
        known = self._known.get(instruction_id, "")
        return NOBODYS if isinstance(known, str) else DeploymentId(instruction_id.partition("/")[0])

    async def take(self, message: pb.PublishLogsRequest) -> None:
        """Take a piece, or note that it is refused."""
        self._crowd.note(self._host_id)
        instruction_id = message.instruction_id
        known = self._known.get(instruction_id)
        if known is None:
            known = self._known[instruction_id] = await self._admitted(instruction_id)
        if not isinstance(known, str) and len(message.content) > CONTENT_AT_MOST:
            known = f"cannot take {len(message.content)} bytes at once: {CONTENT_AT_MOST} are the limit"
        if not isinstance(known, str) and message.dropped_bytes > DROPPED_AT_MOST:
            known = f"cannot note {message.dropped_bytes} dropped bytes at once: {DROPPED_AT_MOST} are the limit"
        if isinstance(known, str):
            self._refusals.append(pb.PublishLogsResponse(instruction_id=instruction_id, refusal=known))
        else:
            log, stream = known
            sent = Sent(self._host_id, stream, message.offset, message.content, message.complete, message.dropped_bytes)
            taken = await log.take(sent)
            self._owed.append((instruction_id, log, taken))
        self._wake.set()

    def end(self) -> None:
        """Nothing more comes; what is owed is still answered."""
        self._ended = True
        self._wake.set()

    async def answer(self, write: Write) -> None:
        """Acknowledge what is on the disk, each time the last word on an instruction only. Raises Unavailable when the host has gone."""
        while not self._ended or self._owed or self._refusals:
            await self._wake.wait()
            self._wake.clear()
            while self._owed or self._refusals:
                if self._owed and not self._refusals:
                    _, log, taken = self._owed[0]
                    await log.kept(taken.mark)
                try:
                    for response in self._due():
                        await write(response)
                except BROKEN as error:
                    raise Unavailable("cannot keep this call: it is broken") from error

    def _due(self) -> list[pb.PublishLogsResponse]:
        due, self._refusals = {response.instruction_id: response for response in self._refusals}, []
        while self._owed and self._owed[0][1].is_kept(self._owed[0][2].mark):
            instruction_id, _, taken = self._owed.popleft()
            due[instruction_id] = pb.PublishLogsResponse(instruction_id=instruction_id, acked_offset=taken.offset, complete=taken.complete)
        if pause := self._crowd.pause:
            for response in due.values():
                response.pause.FromMilliseconds(pause)
        return list(due.values())

    async def _admitted(self, instruction_id: str) -> tuple[Log, str] | str:
        """The log of an instruction and the name of its stream in it; or why nothing of it is taken."""
        found = _INSTRUCTION.fullmatch(instruction_id)
        if found is None:
            return f"cannot take output of {instruction_id[:100]!r}: that is no instruction id"
        if found["host"] != self._host_id:
            return f"cannot take output of instruction {instruction_id}: it was given to another host"
        deployment_id = DeploymentId(found["deployment"])
        try:
            await self._history.target(deployment_id, self._host_id)
        except (DeploymentDoesNotExist, DeploymentTargetDoesNotExist) as error:
            return f"cannot take output of instruction {instruction_id}: {error.message}"
        log = self._logs.get(deployment_id)
        if log is None:
            log = self._logs[deployment_id] = await self._opened.enter_async_context(self._keep.open(deployment_id))
        return log, found["stream"]


def _first(errors: BaseExceptionGroup[DeployError]) -> DeployError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
