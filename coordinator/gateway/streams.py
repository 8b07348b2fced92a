"""The agents' open streams: puts frames on them, finds those that have gone silent. Implements the engine's port `Agents`.

Nothing here waits for a stream: frames are appended to the stream's pending list, and one drain at a time writes them out.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

import grpc
import grpc.aio

from coordinator.core.errors import Denied, DeployError, Unavailable
from coordinator.core.model import DeploymentId, HostId, InstructionId, Revision, Session
from coordinator.core.orders import Cancel, Instruction
from coordinator.engine.ports import Clock
from coordinator.metrics import Tally
from coordinator.wire import agents as wire

log = logging.getLogger(__name__)

BUSY_INTERVAL: Final = 10_000
"""Milliseconds between heartbeats of a host with an outstanding instruction (architecture 3.5)."""

IDLE_PER_SECOND: Final = 100
"""Heartbeats a second that all idle hosts share."""

SWEEP_EVERY: Final = 2_500
"""Milliseconds between looks for silent and stuck streams. A busy one is ended within 30 s: after two and a half intervals of silence."""

STUCK: Final = 10_000
"""Milliseconds that a write may take. Looked at by the sweep: a timer for each write would cost more than the write."""

FINISH_WITHIN: Final = 1.0
"""Seconds that the last write on a stream has before its status is sent."""

PENDING_AT_MOST: Final = 256
"""Frames that may wait for one stream."""

DRAINS_AT_ONCE: Final = 256
"""Streams that are being written at the same time."""

COMMON_AT_MOST: Final = 64
"""Deployments whose serialised plan is kept."""

BROKEN: Final = (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError)
"""What a write raises when the client of its call has gone."""

Write = Callable[[bytes], Awaitable[None]]


class Bundles(Protocol):
    """Bundles, which a host may read while it needs them."""

    def need(self, host_id: HostId, instruction_id: InstructionId, revision: Revision) -> None:
        """A host was instructed to deploy one."""
        ...

    def settle(self, host_id: HostId) -> None:
        """Nothing is outstanding for the host any more."""
        ...


class Stream:
    """One open stream of an agent."""

    __slots__ = (
        "gone",
        "host_id",
        "instructed_at",
        "interval",
        "last_heard",
        "name",
        "number",
        "pending",
        "quiet",
        "refusal",
        "task",
        "welcomed",
        "write",
        "writing",
        "writing_since",
    )

    def __init__(self, number: int, *, write: Write, task: "asyncio.Task[None]", now: int) -> None:
        """`write` puts a frame on the wire; `task` is the handler, cancelled to end the stream."""
        self.number = number
        self.write = write
        self.task = task
        self.host_id = HostId("")
        self.name = ""
        self.pending: list[bytes] = []
        self.writing = False
        self.writing_since: int | None = None
        self.welcomed = False
        self.last_heard = now
        self.interval = BUSY_INTERVAL
        self.refusal: DeployError | None = None
        self.gone = "closed"
        """Why it ends, as `metrics` spells it."""
        self.instructed_at: int | None = None
        """When its host was given an instruction that it has not reported about yet."""
        self.quiet: asyncio.Future[None] | None = None

    def trouble(self, now: int) -> tuple[str, str] | None:
        """Why the stream cannot be kept, in a word and in a sentence; None when it can."""
        if now - self.last_heard > self.interval * 5 // 2:
            return "silent", f"cannot hear the agent: nothing came for {(now - self.last_heard) // 1000} s; come back"
        if self.writing_since is not None and now - self.writing_since > STUCK:
            return "stuck", f"cannot keep this stream: its agent has not taken a message for {STUCK // 1000} s"
        return None

    def end(self, refusal: DeployError, why: str = "closed") -> None:
        """End the stream, with a reason for its agent and a word for it; none is needed before its Welcome."""
        if self.refusal is None:
            self.refusal, self.gone = refusal, why
            self.task.cancel()


class Streams:
    """All open streams, by number and, once welcomed, by host."""

    def __init__(self, *, clock: Clock, spread: Callable[[], int], tally: Tally, bundles: Bundles) -> None:
        """`spread` says over how many milliseconds they may come back."""
        self._bundles = bundles
        self.tally = tally
        self.bundle_address = ""
        """Where agents fetch bundles, as Welcome tells them; known once the serving process runs."""
        self._clock = clock
        self._spread = spread
        self._streams: dict[int, Stream] = {}
        self._hosts: dict[HostId, Stream] = {}
        self._next_number = 1
        self._ready: deque[Stream] = deque()
        self._drains = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._common: dict[DeploymentId, bytes] = {}
        self._beats: dict[int, bytes] = {}

    def __len__(self) -> int:
        """Hosts that are connected."""
        return len(self._hosts)

    async def run(self) -> None:
        """Own the drains and end silent streams, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            while True:
                await self._clock.sleep(SWEEP_EVERY)
                now = self._clock.elapsed()
                for stream in list(self._streams.values()):
                    trouble = stream.trouble(now)
                    if trouble is not None:
                        why, sentence = trouble
                        log.warning("stream ended host=%s why=%r", stream.name or stream.number, sentence)
                        stream.end(Unavailable(sentence), why)

    def open(self, write: Write, task: "asyncio.Task[None]") -> Stream:
        """A stream begins; it speaks for nobody before `welcome`."""
        stream = Stream(self._next_number, write=write, task=task, now=self._clock.elapsed())
        self._next_number += 1
        self._streams[stream.number] = stream
        return stream

    async def finish(self, stream: Stream) -> None:
        """Wait until nothing is being written on a stream on which nothing more is to be said: gRPC sends no status beside a message,
        and without a status its agent would wait for ever."""
        stream.pending.clear()
        if stream.writing:
            stream.quiet = asyncio.get_running_loop().create_future()
            with suppress(TimeoutError):
                async with asyncio.timeout(FINISH_WITHIN):
                    await stream.quiet

    def close(self, stream: Stream) -> None:
        """A stream is gone."""
        self._streams.pop(stream.number, None)
        if stream.welcomed:
            self.tally.disconnects[stream.gone] += 1
        if self._hosts.get(stream.host_id) is stream:
            del self._hosts[stream.host_id]
            self.tally.agents_connected = len(self._hosts)

    def hear(self, stream: Stream, kind: str, size: int) -> None:
        """A message has come, of so many bytes."""
        tally = self.tally
        now = stream.last_heard = self._clock.elapsed()
        tally.received[kind] += 1
        tally.received_bytes[kind] += size
        if stream.instructed_at is not None and kind == "reports":
            tally.dispatch.add(now - stream.instructed_at)
            stream.instructed_at = None

    def drain_all(self, retry_after: int, reason: str) -> None:
        """Ask every agent to come back later."""
        frame = wire.drain_frame(retry_after, reason)
        for stream in self._hosts.values():
            self._put(stream, frame, "drain")

    def beat(self, stream: Stream) -> None:
        """Answer a heartbeat."""
        interval = self._idle_interval()
        frame = self._beats.get(interval)
        if frame is None:
            self._beats.clear()
            frame = self._beats[interval] = wire.heartbeat_ack_frame(interval)
        if stream.interval != BUSY_INTERVAL:
            stream.interval = interval
        self._put(stream, frame, "heartbeat_ack")

    def welcome(self, session: Session, *, busy: bool) -> None:
        """See `ports.Agents`."""
        stream = self._streams.get(session.stream or 0)
        older = self._hosts.get(session.host_id)
        if older is not None and older is not stream:  # even when the newer one is gone already: the engine listens to it no more
            older.end(Unavailable(f"cannot keep this stream: host {session.name} opened a newer one"), "replaced")
        if stream is None:
            return
        self._hosts[session.host_id] = stream
        stream.host_id = session.host_id
        stream.name = session.name
        stream.welcomed = True
        idle = self._idle_interval()
        stream.interval = BUSY_INTERVAL if busy else idle
        frame = wire.welcome_frame(session, idle=idle, busy=BUSY_INTERVAL, spread=self._spread(), bundle_address=self.bundle_address)
        self.tally.connects["accepted"] += 1
        self.tally.agents_connected = len(self._hosts)
        self._put(stream, frame, "welcome")

    def refuse(self, stream: int, error: DeployError) -> None:
        """See `ports.Agents`."""
        refused = self._streams.get(stream)
        if refused is not None:
            self.tally.connects["refused"] += 1
            refused.end(error)

    def instruct(self, instruction: Instruction) -> None:
        """See `ports.Agents`."""
        stream = self._hosts.get(instruction.host_id)
        if stream is None:
            return
        plan = instruction.plan
        common = self._common.get(plan.deployment_id)
        if common is None:
            if len(self._common) >= COMMON_AT_MOST:
                self._common.clear()
            common = self._common[plan.deployment_id] = wire.instruction_common(plan)
        stream.interval = BUSY_INTERVAL
        stream.last_heard = stream.instructed_at = self._clock.elapsed()
        self._bundles.need(instruction.host_id, instruction.instruction_id, plan.revision)
        self._put(stream, wire.instruction_frame(instruction, common), "instruction")

    def connected(self, host_id: HostId) -> bool:
        """Whether a host has a stream now."""
        return host_id in self._hosts

    def shut_out(self, host_id: HostId) -> None:
        """End the stream of a host that may not come in any more; when it comes back it is told why."""
        stream = self._hosts.get(host_id)
        if stream is not None:
            stream.end(Denied(f"cannot keep this stream: host {stream.name} may not come in any more"), "shut_out")

    def cancel(self, cancel: Cancel) -> None:
        """See `ports.Agents`."""
        stream = self._hosts.get(cancel.host_id)
        if stream is not None:
            self._put(stream, wire.cancel_frame(cancel), "cancel")

    def acknowledge(self, host_id: HostId, acked_seq: int) -> None:
        """See `ports.Agents`."""
        stream = self._hosts.get(host_id)
        if stream is not None:
            self._put(stream, wire.acknowledgement_frame(acked_seq), "acknowledgement")

    def settle(self, host_id: HostId) -> None:
        """See `ports.Agents`."""
        self._bundles.settle(host_id)
        stream = self._hosts.get(host_id)
        if stream is not None:
            stream.interval = self._idle_interval()

    def _idle_interval(self) -> int:
        """Milliseconds between an idle host's heartbeats: all of them share about 100 a second."""
        return max(BUSY_INTERVAL, len(self._hosts) * 1000 // IDLE_PER_SECOND)

    def _put(self, stream: Stream, frame: bytes, kind: str) -> None:
        self.tally.sent[kind] += 1
        self.tally.sent_bytes[kind] += len(frame)
        pending = stream.pending
        if len(pending) >= PENDING_AT_MOST:
            stream.end(Unavailable("cannot keep this stream: its agent does not read what it is sent"), "flooded")
            return
        pending.append(frame)
        if not stream.writing:
            stream.writing = True
            self._ready.append(stream)
            if self._drains < DRAINS_AT_ONCE and self._tasks is not None:
                self._drains += 1
                self._tasks.create_task(self._drain_ready(), name="drain")

    async def _drain_ready(self) -> None:
        """Write out streams one after another until none waits. At most DRAINS_AT_ONCE of these run, so that the first hosts
        get their frames, and can answer, while the others' are still being written."""
        try:
            while self._ready:
                await self._drain(self._ready.popleft())
        finally:
            self._drains -= 1

    async def _drain(self, stream: Stream) -> None:
        try:
            while stream.pending:
                frames, stream.pending = stream.pending, []
                self.tally.queued.add(len(frames))
                stream.writing_since = self._clock.elapsed()
                for frame in frames:
                    await stream.write(frame)
        except BROKEN:
            stream.end(Unavailable("cannot keep this stream: it is broken"), "broken")
        finally:
            stream.writing = False
            stream.writing_since = None
            if stream.quiet is not None and not stream.quiet.done():
                stream.quiet.set_result(None)
