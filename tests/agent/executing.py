"""An executor among doubles that note what they were asked, and bundles on a disk, for tests of what an event does."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent.appspec import AppSpec, Script
from agent.bundle import DownloadRequest, InstallRequest
from agent.clock import SystemClock
from agent.executor import CoordinatorBundles, EventExecutor
from agent.facts import Begin, EventEnded, Fact
from agent.hooks import EventOutcome, EventRun
from agent.journal import MemoryJournal
from agent.loop import Agent
from agent.machine import Machine
from agent.model import (
    Installed,
    Instruction,
    LifecycleEvent,
)
from agent.workspace import Workspace

SUCCESS = EventOutcome(error_code="Success", message="Succeeded", started_at=1, ended_at=2)


@dataclass
class Scripts:
    """Hooks that note what they were asked to run."""

    outcome: EventOutcome | None | Exception = SUCCESS
    asked: list[EventRun] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    async def start_ahead(self) -> None:
        """Notes it."""
        self.calls.append("start ahead")

    async def run(self, event: EventRun) -> EventOutcome:
        """Notes the event and ends it."""
        self.asked.append(event)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        assert self.outcome is not None
        return self.outcome

    async def recover(self, instruction_id: str, attempt: int, lifecycle_event: str) -> EventOutcome | None:
        """What the test says."""
        assert not isinstance(self.outcome, Exception)
        return self.outcome

    async def cancel(self, instruction_id: str, attempt: int) -> None:
        """Notes it."""
        self.calls.append(f"cancel {instruction_id}")

    async def finish(self, instruction_id: str) -> None:
        """Notes it."""
        self.calls.append(f"finish {instruction_id}")

    def forget(self, instruction_id: str) -> None:
        """Notes it."""
        self.calls.append(f"forget {instruction_id}")


@dataclass
class Payloads:
    """An unpacker that notes what it was asked to do."""

    error: Exception | None = None
    asked: list[DownloadRequest | InstallRequest] = field(default_factory=list)
    prepared: list[DownloadRequest] = field(default_factory=list)

    async def start_ahead(self) -> None:
        """Starts nothing."""

    async def prepare(self, request: DownloadRequest) -> None:
        """Notes the request."""
        self.prepared.append(request)

    async def download(self, request: DownloadRequest, progress: Callable[[int, int | None], None]) -> None:
        """Notes the request."""
        progress(1, None)
        self._note(request)

    async def install(self, request: InstallRequest) -> None:
        """Notes the request."""
        self._note(request)

    def _note(self, request: DownloadRequest | InstallRequest) -> None:
        self.asked.append(request)
        if self.error is not None:
            raise self.error


class Patience(SystemClock):
    """A clock that holds every sleeper until the test lets it go."""

    def __init__(self) -> None:
        self.asleep: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def sleep(self, seconds: float) -> None:
        """Waits for the test."""
        over = asyncio.Event()
        self.asleep.put_nowait(over)
        await over.wait()

    async def wake(self) -> None:
        """Lets the one who sleeps longest go, and gives it time to act."""
        (await self.asleep.get()).set()
        for _ in range(3):
            await asyncio.sleep(0)


class Ears(Agent):
    """An agent that only hears."""

    def __init__(self) -> None:
        super().__init__(machine=Machine(), journal=MemoryJournal(""), executor=None, clock=None)  # type: ignore[arg-type]  # never asked
        self.heard: asyncio.Queue[Fact] = asyncio.Queue()

    def tell(self, *facts: Fact) -> None:
        """Keeps the facts."""
        for fact in facts:
            self.heard.put_nowait(fact)


@dataclass
class Stage:
    """An executor among fakes, on a real directory."""

    executor: EventExecutor
    hooks: Scripts
    unpacker: Payloads
    workspace: Workspace
    bundles: CoordinatorBundles
    ears: Ears
    clock: Patience

    async def end_of(
        self, event: LifecycleEvent, carried: Instruction, *, serving: Installed | None = None, timeout: float = 60
    ) -> EventEnded:
        """Begins an event; how it ended."""
        self.executor.begin(Begin(carried, event, timeout, serving, previous=None if serving is None else serving.revision_id), self.ears)
        fact = await asyncio.wait_for(self.ears.heard.get(), 10)
        assert isinstance(fact, EventEnded)
        assert (fact.instruction_id, fact.event) == (carried.instruction_id, event)
        return fact

    def unpacked(self, deployment: str, *events: LifecycleEvent) -> Path:
        """A deployment's bundle with one script per event; the directory of the bundle."""
        directory = self.workspace.deployment("g-1", deployment)
        directory.archive.mkdir(parents=True)
        hooks = {event.value: (Script(location=f"/scripts/{event}.sh", timeout=7, runas="bob", sudo=False),) for event in events}
        directory.appspec.write_text(AppSpec(hooks=hooks).to_json())
        return directory.archive
