"""Carries out one lifecycle event: scripts through the hooks, download and installation through the unpacker, as far as the guard allows.

Which event runs when is the machine's; it hears the end as a fact.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from agent.bundle.locations import SourceSettings, elsewhere
from agent.bundle.requests import CoordinatorSource, DownloadRequest, GitHubSource, InstallRequest, Lender, S3Source, UrlSource
from agent.executor.aftermath import BACKSTOP_SECONDS, Aftermath
from agent.facts import Begin, Close, EventClosed, EventEnded, EventInterrupted, EventNeverBegan, Recover
from agent.hooks import EventRun
from agent.model import Diagnostics, ErrorCode, FileExistsBehavior, LifecycleEvent, Place
from agent.payload import PayloadError
from agent.scrub import scrubbed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from agent.bundle.requests import Source
    from agent.clock import Clock
    from agent.executor.scripts import EventScripts
    from agent.hooks import EventOutcome
    from agent.loop import Agent
    from agent.model import EventPlan, Instruction, InstructionId
    from agent.policy import Guard

    Ending = EventEnded | EventInterrupted | EventClosed | EventNeverBegan

log = logging.getLogger("hookline.agent")

QUIET_SECONDS = 0.1
"""Starting a process or a thread holds the whole agent up for milliseconds, so the last reports of an instruction leave first."""

_DEFAULTS = SourceSettings()


class Hooks(Protocol):
    """Who runs scripts (agent/hooks)."""

    async def start_ahead(self) -> None:
        """Has a supervisor waiting."""
        ...

    async def run(self, event: EventRun) -> EventOutcome:
        """Runs the scripts of an event."""
        ...

    async def recover(self, instruction_id: str, attempt: int, lifecycle_event: str) -> EventOutcome | None:
        """How an event of an earlier agent ended; None: it has never begun."""
        ...

    async def cancel(self, instruction_id: str, attempt: int) -> None:
        """Ends the running hook."""
        ...

    async def finish(self, instruction_id: str) -> None:
        """Lets the supervisor of an instruction go."""
        ...

    def forget(self, instruction_id: str) -> None:
        """Removes the output and the records of an instruction."""
        ...


class Unpacker(Protocol):
    """Who downloads and installs (agent/bundle)."""

    async def start_ahead(self) -> None:
        """Has a process waiting."""
        ...

    async def prepare(self, request: DownloadRequest) -> None:
        """Has that process do what can be done of a download that will come."""
        ...

    async def download(self, request: DownloadRequest, progress: Callable[[int, int | None], None]) -> None:
        """Fetches, verifies and unpacks."""
        ...

    async def install(self, request: InstallRequest) -> None:
        """Copies files to their places."""
        ...


class EventExecutor:
    """Carries out events on this host, each in a task of the group that it is given."""

    def __init__(
        self,
        *,
        tasks: asyncio.TaskGroup,
        hooks: Hooks,
        unpacker: Unpacker,
        scripts: EventScripts,
        guard: Guard,
        source: CoordinatorBundles,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._current: InstructionId | None = None
        self._tasks = tasks
        self._hooks = hooks
        self._unpacker = unpacker
        self._scripts = scripts
        self._guard = guard
        self._source = source
        self._aftermath = Aftermath(hooks=hooks, scripts=scripts, guard=guard)

    async def start_ahead(self) -> None:
        """Has the processes waiting that the next instruction needs."""
        await self._hooks.start_ahead()
        await self._unpacker.start_ahead()

    def begin(self, order: Begin, agent: Agent) -> None:
        """Begins an event."""
        self._tasks.create_task(self._carry_out(order, agent, self._begun(order)), name=f"{order.event} {order.instruction.instruction_id}")
        self._current = order.instruction.instruction_id

    def recover(self, order: Recover, agent: Agent) -> None:
        """Finds out how the scripts of an event went."""
        self._current = order.instruction.instruction_id
        recovered = self._recovered(order)
        self._tasks.create_task(self._carry_out(order, agent, recovered), name=f"recover {order.event} {order.instruction.instruction_id}")

    def close(self, order: Close, agent: Agent) -> None:
        """Runs the closing hooks of an event."""
        self._current = order.instruction.instruction_id
        closed = self._aftermath.closed(order)
        self._tasks.create_task(self._carry_out(order, agent, closed), name=f"close {order.event} {order.instruction.instruction_id}")

    def finish(self, instruction_id: InstructionId) -> None:
        """Lets the instruction's processes go and, when nothing follows, has the next ones waiting."""
        self._current = None
        self._tasks.create_task(self._finished(instruction_id), name=f"finish {instruction_id}")

    def forget(self, instruction_ids: Sequence[InstructionId]) -> None:
        """Removes what is kept of their scripts. A restart in between leaves it there, which costs room and nothing else."""
        for instruction_id in instruction_ids:
            try:
                self._hooks.forget(instruction_id)
            except OSError as error:
                log.warning("records not removed instruction=%s why=%r", instruction_id, error.strerror)

    async def _finished(self, instruction_id: InstructionId) -> None:
        await self._clock.sleep(QUIET_SECONDS)
        await self._hooks.finish(instruction_id)
        if self._current is not None:
            return
        try:
            await self.start_ahead()
        except OSError as error:
            # The next instruction starts what it needs by itself, and fails with a sentence of its own if it cannot.
            log.warning("nothing started ahead why=%r", str(error))

    def _look_ahead(self, order: Begin) -> None:
        """Uses the time of the scripts that run before the download, when the bundle cannot change meanwhile."""
        events = [plan.event for plan in order.instruction.events]
        later = order.instruction.events[events.index(order.event) + 1 :]
        plan = next((plan for plan in later if plan.event is LifecycleEvent.DOWNLOAD_BUNDLE), None)
        if plan is not None and order.instruction.location.place is Place.COORDINATOR and self._source.is_known:
            self._tasks.create_task(self._prepared(order.instruction, plan), name=f"prepare {order.instruction.instruction_id}")

    async def _prepared(self, instruction: Instruction, plan: EventPlan) -> None:
        with contextlib.suppress(PayloadError):  # which the download itself will say
            await self._unpacker.prepare(self._download_request(instruction, await self._source.source(), plan.timeout_seconds))

    async def _carry_out(self, order: Begin | Recover | Close, agent: Agent, work: Coroutine[None, None, Ending]) -> None:
        try:
            ended = await work
            if _is_success(order, ended):
                self._guard.succeeded(order)
        except PayloadError as error:
            ended = _failed(order, error.message)
        except Exception as error:
            log.exception("lifecycle event broken instruction=%s lifecycle_event=%s", order.instruction.instruction_id, order.event)
            ended = _failed(order, f"cannot carry out {order.event}: {type(error).__name__}: {error}")
        agent.tell(ended)

    async def _begun(self, order: Begin) -> EventEnded | EventInterrupted:
        order = self._guard.admit(order)
        if order.event is LifecycleEvent.DOWNLOAD_BUNDLE:
            return await self._download(order)
        if order.event is LifecycleEvent.INSTALL:
            return await self._install(order)
        event_run = self._scripts.of(order)
        if not isinstance(event_run, EventRun):
            return _ended(order, event_run)
        event_run = self._guard.scripts(order, event_run)
        self._look_ahead(order)
        try:
            async with asyncio.timeout(order.timeout_seconds + BACKSTOP_SECONDS):
                outcome = await self._hooks.run(event_run)
        except TimeoutError:
            return await self._overdue(order)
        return await self._aftermath.of(order, outcome)

    async def _recovered(self, order: Recover) -> Ending:
        try:
            async with asyncio.timeout(order.timeout_seconds + BACKSTOP_SECONDS):
                outcome = await self._hooks.recover(order.instruction.instruction_id, order.attempt, order.event)
        except TimeoutError:
            return await self._overdue(order)
        if outcome is None:
            return EventNeverBegan(order.instruction.instruction_id, order.event)
        return await self._aftermath.of(order, outcome)

    async def _overdue(self, order: Begin | Recover) -> EventEnded:
        await self._hooks.cancel(order.instruction.instruction_id, order.attempt)
        message = f"cannot say how {order.event} ended: no word of it came within {order.timeout_seconds + BACKSTOP_SECONDS:.0f} s"
        return self._aftermath.ended(order, Diagnostics(error_code=ErrorCode.INTERRUPTED, message=message))

    async def _download(self, order: Begin) -> EventEnded:
        instruction = order.instruction
        try:
            async with asyncio.timeout(order.timeout_seconds):
                source = await self._source.of(instruction, self._scripts.root_prefix)
        except TimeoutError:
            message = "cannot download the bundle: the coordinator did not say in time where it serves bundles"
            return _ended(order, Diagnostics(error_code=ErrorCode.UNKNOWN_ERROR, message=message))
        request = self._download_request(instruction, source, order.timeout_seconds)
        self._guard.replaces(instruction)
        await self._unpacker.download(request, _no_progress)
        self._guard.downloaded(instruction)
        self._scripts.tell_warnings(instruction)
        return _ended(order, None)

    def _download_request(self, instruction: Instruction, source: Source, timeout: float) -> DownloadRequest:
        wanted = DownloadRequest(
            group_id=instruction.group_id,
            deployment_id=instruction.deployment_id,
            revision=instruction.revision_id,
            source=source,
            sha256=instruction.location.sha256,
            bundle_type=instruction.location.bundle_type,
            appspec_name=instruction.appspec_name or None,
            timeout=timeout,
        )
        return self._guard.download(instruction, wanted)

    async def _install(self, order: Begin) -> EventEnded:
        instruction = order.instruction
        behavior = instruction.file_exists_behavior
        wanted = InstallRequest(
            group_id=instruction.group_id,
            deployment_id=instruction.deployment_id,
            revision=instruction.revision_id,
            timeout=order.timeout_seconds,
            file_exists_behavior=None if behavior is FileExistsBehavior.UNSAID else behavior.value,
        )
        await self._unpacker.install(self._guard.install(instruction, wanted))
        return _ended(order, None)


class CoordinatorBundles:
    """Where bundles come from: the coordinator, as soon as a Welcome has said where it serves them, or elsewhere."""

    def __init__(self, *, coordinator: str, host_id: str, settings: SourceSettings = _DEFAULTS, data_dir: Path | None = None) -> None:
        """`data_dir` holds the identity to show; None: plaintext."""
        self._coordinator = coordinator
        self._settings = settings
        self._data_dir = "" if data_dir is None else str(data_dir)
        self._metadata = (("hookline-host-id", host_id),)
        self._address = ""
        self._known = asyncio.Event()

    def serve_from(self, address: str) -> None:
        """Takes the address that Welcome named; an empty host stands for the coordinator's own."""
        host, colon, port = address.rpartition(":")
        own_host = self._coordinator.rpartition(":")[0]
        self._address = f"{host or own_host}:{port}" if colon else self._coordinator
        self._known.set()

    @property
    def is_known(self) -> bool:
        """Whether a Welcome has said it."""
        return self._known.is_set()

    async def of(self, instruction: Instruction, root_prefix: Path) -> Source:
        """Where the bundle of an instruction is fetched from; waits for the first Welcome when the coordinator keeps it."""
        source = elsewhere(instruction.location, root_prefix, self._settings)
        if self._coordinator and (
            isinstance(source, (S3Source, GitHubSource)) or isinstance(source, UrlSource) and source.scheme != "file"
        ):
            asked = instruction.instruction_id
            lender = Lender(address=self._coordinator, instruction_id=asked, metadata=self._metadata, data_dir=self._data_dir)
            return replace(source, lender=lender)
        return source or await self.source()

    async def source(self) -> CoordinatorSource:
        """Where the coordinator serves bundles; waits for the first Welcome."""
        await self._known.wait()
        return CoordinatorSource(address=self._address, metadata=self._metadata, data_dir=self._data_dir)


def _ended(order: Begin, diagnostics: Diagnostics | None) -> EventEnded:
    return EventEnded(order.instruction.instruction_id, order.event, diagnostics)


def _failed(order: Begin | Recover | Close, message: str) -> EventEnded | EventClosed:
    """An event is over; what is told of it holds no secret, whoever has said it."""
    diagnostics = Diagnostics(error_code=ErrorCode.UNKNOWN_ERROR, message=scrubbed(message))
    ended = EventClosed if isinstance(order, Close) else EventEnded
    return ended(order.instruction.instruction_id, order.event, diagnostics)


def _is_success(order: Begin | Recover | Close, ended: Ending) -> bool:
    """Whether an event has ended well for good."""
    match ended:
        case EventEnded():
            return ended.diagnostics is None and not ended.closing
        case EventClosed():
            return ended.diagnostics is None and isinstance(order, Close) and order.diagnostics is None
        case _:
            return False


def _no_progress(_done: int, _total: int | None) -> None:
    """How far a download has come is not reported yet."""
