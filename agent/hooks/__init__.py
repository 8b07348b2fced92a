"""The agent's side of hook scripts: keeps one supervisor started ahead, gives it events, finds it again after a crash.

A hook runs at most once per attempt, its result is never lost, and what cannot be known is said. Knows nothing of instructions
beyond their ids, of AppSpec files, and of the wire.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import threading
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, unquote

from agent.hooks.attachment import Attachment
from agent.supervisor import groups, output, record
from agent.supervisor.frames import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

log = logging.getLogger(__name__)

OUTPUT_LIMIT = 64 * 1024 * 1024
_STARTS = 3
_LONGEST_NAME = 160
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRun:
    """One script of an event, ready to run."""

    location: str  # as written in the AppSpec, for logs and diagnostics
    path: str  # absolute, inside the unpacked bundle
    timeout: int  # seconds
    runas: str | None = None  # None: the user that the agent runs as
    sudo: bool = False
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()  # of this script, over the event's environment


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRun:
    """One lifecycle event with everything that its scripts need."""

    instruction_id: str
    attempt: int
    lifecycle_event: str
    deployment_id: str
    scripts: tuple[ScriptRun, ...]
    environment: Mapping[str, str]  # of the deployment; under runas a script sees its user's HOME, SHELL, USER and LOGNAME as well
    cwd: str
    scripts_log: str
    timeout: int  # seconds, of the whole event
    inherited: Mapping[str, str] = field(default_factory=dict)  # of the agent's own environment, beneath the other
    no_new_privs: bool = False  # neither its scripts nor what they start can gain privileges by sudo or setuid programs
    limits: Mapping[str, int] = field(default_factory=dict)  # the most that each of its processes may take, by the policy's names
    closing: bool = False  # each of its scripts runs, whatever became of the others, and a cancel before it is not for it


@dataclass(frozen=True, slots=True, kw_only=True)
class EventOutcome:
    """How an event ended, as far as that can be known."""

    error_code: str  # CodeDeploy's: Success, ScriptMissing, ScriptNotExecutable, ScriptTimedOut, ScriptFailed, UnknownError
    message: str
    started_at: int  # milliseconds since 1970; 0: it has not begun
    ended_at: int
    script_name: str = ""  # the script that ended the event; empty after a success
    log_tail: str = ""  # whole lines, below 2,048 characters; empty after a success
    exit_code: int | None = None  # None: no script has failed by an exit code of its own
    interrupted: bool = False  # begun, and nobody can say how it ended
    cause: str | None = None  # of an interruption or a cancel: "reboot", "supervisor killed", "cancelled"


class Hooks:
    """Runs the hook scripts of this host, each instruction under a supervisor of its own."""

    def __init__(
        self,
        *,
        directory: Path,
        deployments_log: Path,  # the lines of all deployments
        boot_id: str | None = None,  # None: ask the kernel
        output_limit: int = OUTPUT_LIMIT,
        grace: float = 5.0,  # seconds between TERM and KILL, and for output that is held open
    ) -> None:
        self._directory = directory.absolute()
        self._deployments_log = deployments_log.absolute()
        self._boot_id = boot_id or Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._output_limit = output_limit
        self._grace_ms = round(grace * 1000)
        self._ahead: Attachment | None = None
        self._serving: dict[str, Attachment] = {}
        for folder in ("records", "output"):
            (self._directory / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        for unlocked in (self._directory / "records").glob("*.new"):
            unlocked.unlink(missing_ok=True)  # made ahead by supervisors of an agent that is gone

    def output_path(self, instruction_id: str) -> Path:
        """The byte stream of everything that the hooks of an instruction print on this host; an offset in it stays true."""
        return self._directory / "output" / f"{_file_name(instruction_id)}.log"

    def outputs(self) -> list[str]:
        """The instructions that have printed something which is still there, the oldest first."""
        names = ((path, unquote(path.name.removesuffix(".log"))) for path in (self._directory / "output").glob("*.log"))
        found = [(_changed_at(path), name) for path, name in names if self.output_path(name) == path]
        return [name for changed_at, name in sorted(found) if changed_at]

    async def start_ahead(self) -> None:
        """Makes sure that a supervisor is waiting for the next instruction."""
        if self._ahead is None:
            try:
                self._ahead = self._start()
            except OSError as error:  # the next event tries again, and says so if it fails
                log.warning("cannot start a supervisor ahead error=%s", error.strerror)

    async def run(self, event: EventRun) -> EventOutcome:
        """Runs an event that has not begun before."""
        for _ in range(_STARTS):
            try:
                supervisor = self._supervisor(event.instruction_id)
            except OSError as error:
                return _not_begun(event, f"no supervisor can be started, {error.strerror}")
            answer = await supervisor.run(self._frame(event))
            if answer is not None and answer.kind == "ended":
                return _outcome(answer)
            if answer is not None:
                await self.finish(event.instruction_id)
                return _not_begun(event, answer.text("message"))
            outcome = await self.recover(  # it has lost a race or was killed; the record tells
                event.instruction_id, event.attempt, event.lifecycle_event
            )
            if outcome is not None:
                return outcome
        return _not_begun(event, f"{_STARTS} supervisors have ended before they could begin it, see {self._directory / 'supervisors.log'}")

    async def recover(self, instruction_id: str, attempt: int, lifecycle_event: str) -> EventOutcome | None:
        """How an event of an earlier agent, or of a killed supervisor, ended; waits while it still runs. None: it has never begun."""
        await self.finish(instruction_id)  # a supervisor of our own would never let go of the record
        path = self._record_path(instruction_id, attempt)
        if not await _in_a_thread(lambda: record.wait_until_free(str(path))):
            return None
        frames = [frame for frame in record.read(str(path)) if frame.text("lifecycle_event") == lifecycle_event]
        begun = next((frame for frame in frames if frame.kind == "begun"), None)
        if begun is None:
            return None
        ended = next((frame for frame in frames if frame.kind == "ended"), None)
        if ended is not None:
            return _outcome(ended)
        cause = "reboot" if begun.text("boot_id") != self._boot_id else "supervisor killed"
        if cause != "reboot":
            await _in_a_thread(lambda: groups.end(_groups(frames), _mark(frames), self._grace_ms))
        return EventOutcome(
            error_code="UnknownError",
            message=f"cannot say how {lifecycle_event} ended: it was interrupted ({cause})",
            log_tail=output.tail_of(str(self.output_path(instruction_id))),
            interrupted=True,
            cause=cause,
            started_at=begun.number("started_at"),
            ended_at=path.stat().st_mtime_ns // 1_000_000,
        )

    async def cancel(self, instruction_id: str, attempt: int) -> None:
        """Ends the running hook of an instruction, whoever started it: TERM to its processes, then KILL."""
        supervisor = self._serving.get(instruction_id)
        if supervisor is not None:
            await supervisor.say(Frame("cancel"))
            return
        frames = record.read(str(self._record_path(instruction_id, attempt)))
        begun = next((frame for frame in reversed(frames) if frame.kind == "begun"), None)
        if begun is not None and begun.text("boot_id") == self._boot_id:
            groups.ask_to_cancel(begun.number("supervisor"), begun.number("supervisor_began"))

    async def finish(self, instruction_id: str) -> None:
        """Lets the supervisor of an instruction go."""
        supervisor = self._serving.pop(instruction_id, None)
        if supervisor is not None:
            supervisor.let_go()

    async def close(self) -> None:
        """Leaves: a supervisor that runs a hook finishes its event and records it, an idle one ends."""
        for supervisor in (*self._serving.values(), self._ahead):
            if supervisor is not None:
                supervisor.let_go()
        self._serving.clear()
        self._ahead = None

    def forget(self, instruction_id: str) -> None:
        """Removes the output and the records of an instruction that can never come again: a record is what forbids a second run."""
        records, begin = self._directory / "records", f"{_file_name(instruction_id)}."
        # No glob: the standard library keeps every pattern that it has ever compiled.
        for path in (self.output_path(instruction_id), *(records / name for name in os.listdir(records) if name.startswith(begin))):
            path.unlink(missing_ok=True)

    def _supervisor(self, instruction_id: str) -> Attachment:
        supervisor = self._serving.get(instruction_id)
        if supervisor is None:
            supervisor, self._ahead = self._ahead or self._start(), None
            self._serving[instruction_id] = supervisor
        return supervisor

    def _start(self) -> Attachment:
        return Attachment.start(records=self._directory / "records", log=self._directory / "supervisors.log")

    def _record_path(self, instruction_id: str, attempt: int) -> Path:
        return self._directory / "records" / f"{_file_name(instruction_id)}.{attempt}"

    def _frame(self, event: EventRun) -> Frame:
        fields: list[tuple[str, str | int]] = [
            ("lifecycle_event", event.lifecycle_event),
            ("record", str(self._record_path(event.instruction_id, event.attempt))),
            ("stream", str(self.output_path(event.instruction_id))),
            ("log", event.scripts_log),
            ("deployments_log", str(self._deployments_log)),
            ("deployment_id", event.deployment_id),
            ("limit", self._output_limit),
            ("cwd", event.cwd),
            ("boot_id", self._boot_id),
            ("timeout", event.timeout),
            ("grace_ms", self._grace_ms),
            *([("closing", 1)] if event.closing else []),
            *([("no_new_privs", 1)] if event.no_new_privs else []),
            *((f"most_{name}", most) for name, most in event.limits.items()),
        ]
        for script in event.scripts:
            fields += [("location", script.location), ("path", script.path), ("script_timeout", script.timeout)]
            fields += [("runas", script.runas or "")] + [("sudo", 1)] * script.sudo
            fields += [("argument", argument) for argument in script.args]
            fields += [("script_environment", f"{name}={value}") for name, value in script.env]
        fields += [("environment", f"{name}={value}") for name, value in {**event.inherited, **event.environment}.items()]
        return Frame("run", fields)


def _outcome(ended: Frame) -> EventOutcome:
    code = ended.text("exit_code")
    return EventOutcome(
        error_code=ended.text("error_code"),
        script_name=ended.text("script_name"),
        message=ended.text("message"),
        log_tail=ended.text("log_tail"),
        exit_code=int(code) if code else None,
        cause=ended.text("cause") or None,
        started_at=ended.number("started_at"),
        ended_at=ended.number("ended_at"),
    )


def _not_begun(event: EventRun, why: str) -> EventOutcome:
    message = f"cannot begin {event.lifecycle_event}: {why}"
    return EventOutcome(error_code="UnknownError", message=message, started_at=0, ended_at=0)


def _groups(frames: Sequence[Frame]) -> Sequence[tuple[int, int]]:
    """The process groups of an event; a script whose number nobody could write down any more is found by its pipes."""
    found = [(frame.number("group"), frame.number("began")) for frame in frames if frame.kind == "leader"]
    last = frames[-1]
    return found + groups.holders([value for name, value in last.fields if name == "pipe"])


def _mark(frames: Sequence[Frame]) -> str:
    return next((frame.text("mark") for frame in reversed(frames) if frame.kind == "pipes"), "")


def _changed_at(path: Path) -> int:
    """Nanoseconds since 1970; 0: it is gone, since whoever publishes removes what the coordinator has."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _file_name(instruction_id: str) -> str:
    name = quote(instruction_id, safe="")
    return name if len(name) <= _LONGEST_NAME else hashlib.sha256(instruction_id.encode()).hexdigest()


async def _in_a_thread(call: Callable[[], _T]) -> _T:
    """What a blocking call returns; the thread is a daemon, so that an agent that stops waits for nobody's hook."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[_T] = loop.create_future()

    def run() -> None:
        settle: Callable[[], None]
        try:
            settle = partial(result.set_result, call())
        except OSError as error:
            settle = partial(result.set_exception, error)
        try:
            loop.call_soon_threadsafe(lambda: None if result.done() else settle())
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=run, name="hooks", daemon=True).start()
    return await result
