"""The supervisor's program: takes events from the agent one after another, runs their scripts, and records what began and how it ended.

When the agent goes away, the running event is finished, recorded, and nothing new is begun.
"""

from __future__ import annotations

import os
import signal
import sys

from agent.supervisor import clock, groups, record
from agent.supervisor.control import Control
from agent.supervisor.deployments import DeploymentsLog
from agent.supervisor.frames import Frame
from agent.supervisor.output import Output
from agent.supervisor.record import Blank
from agent.supervisor.script import Refused, Script, Streams, renounce_privileges, start
from agent.supervisor.watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.supervisor.record import Record

_CONTROL = 0
_LEAST_UMASK = 0o022  # whatever the agent was started with: nobody else may write what hooks make, unless they say so


class Event:
    """A lifecycle event to run, as the agent's `run` frame tells it."""

    def __init__(self, frame: Frame) -> None:
        self.name = frame.text("lifecycle_event")
        self.record = frame.text("record")
        self.stream = frame.text("stream")
        self.log = frame.text("log")
        self.deployments_log = frame.text("deployments_log")
        self.deployment_id = frame.text("deployment_id")
        self.limit = frame.number("limit")
        self.directory = frame.text("cwd")
        self.boot_id = frame.text("boot_id")
        self.timeout_ms = frame.number("timeout") * 1000
        self.grace_ms = frame.number("grace_ms")
        self.closing = bool(frame.number("closing"))
        self.no_new_privs = bool(frame.number("no_new_privs"))
        self.limits = {name.removeprefix("most_"): int(most) for name, most in frame.fields if name.startswith("most_")}
        self.environment: dict[str, str] = {}
        self.scripts: list[Script] = []
        for name, value in frame.fields:
            if name == "environment":
                variable, _, content = value.partition("=")
                self.environment[variable] = content
            elif name == "location":
                self.scripts.append(Script(location=value, path="", timeout=0, runas="", sudo=False))
            elif name in ("path", "runas"):
                setattr(self.scripts[-1], name, value)
            elif name == "script_timeout":
                self.scripts[-1].timeout = int(value)
            elif name == "argument":
                self.scripts[-1].arguments.append(value)
            elif name == "script_environment":
                variable, _, content = value.partition("=")
                self.scripts[-1].environment[variable] = content
            elif name == "sudo":
                self.scripts[-1].sudo = True


class Verdict:
    """How an event ended."""

    __slots__ = ("cause", "error_code", "exit_code", "message", "script_name")

    def __init__(self, error_code: str, message: str, *, script_name: str = "", exit_code: int | None = None, cause: str = "") -> None:
        self.error_code = error_code
        self.message = message
        self.script_name = script_name
        self.exit_code = exit_code
        self.cause = cause


class Supervisor:
    """Serves one instruction: the record of its attempt stays locked from its first event until the agent wants no more of it."""

    def __init__(self, control: Control, records: str) -> None:
        self._control = control
        self._record: Record | None = None
        self._path = ""
        self._blank = _blank(records)
        self._began = groups.began(os.getpid())
        self._nowhere = os.open(os.devnull, os.O_RDONLY)
        self._secrets: set[bytes] = set()
        """What references came to in any event of the instruction: an application prints what an earlier hook has given it."""

    def serve(self) -> None:
        """Runs events until the agent says that it was the last, or is gone."""
        while (frame := self._control.next()) is not None and frame.kind == "run":
            self._control.look()
            if not self._control.attached or not self._run(Event(frame)):
                break
        if self._record is not None:
            self._record.close()
        if self._blank is not None:
            self._blank.discard()

    def _run(self, event: Event) -> bool:
        """Runs one event; False when it is not ours to run."""
        started_at = clock.wall_ms()
        try:
            begun = self._begin(event, started_at)
        except OSError as error:
            refused = [("lifecycle_event", event.name), ("message", f"{error.strerror} ({event.record})")]
            self._control.tell(Frame("refused", refused))
            return False
        if begun is None:
            return False
        self._record = begun
        output = Output(event.stream, event.log, event.limit, DeploymentsLog(event.deployments_log, event.deployment_id), self._secrets)
        output.headline(f"LifecycleEvent - {event.name}")
        if event.closing:
            self._control.cancelled = False  # which was meant for what it closes
        verdict = self._run_scripts(event, begun, output)
        tail = "" if verdict.error_code == "Success" else output.tail()
        output.close()
        ended = _ended(event, verdict, tail=tail, started_at=started_at)
        begun.append(ended)
        self._control.tell(ended)  # Nobody else hears of it before the agent has it on the disk too, and it syncs at the same time as we.
        begun.sync()
        return True

    def _begin(self, event: Event, started_at: int) -> Record | None:
        begun = Frame(
            "begun",
            [
                ("lifecycle_event", event.name),
                ("boot_id", event.boot_id),
                ("supervisor", os.getpid()),
                ("supervisor_began", self._began),
                ("started_at", started_at),
            ],
        )
        if self._record is not None and event.record != self._path:  # another attempt
            self._record.close()
            self._record = None
        self._path = event.record
        if self._record is None:
            blank, self._blank = self._blank, None
            return record.begin(event.record, begun, spare=_room(event), blank=blank)
        return self._record if self._record.begin(begun, spare=_room(event)) else None

    def _run_scripts(self, event: Event, begun: Record, output: Output) -> Verdict:
        deadline = clock.elapsed_ms() + event.timeout_ms
        notes: list[str] = []
        try:
            os.chdir(event.directory)
        except OSError as error:
            return Verdict("UnknownError", f"cannot run {event.name}: {error.strerror} (working directory {event.directory})")
        try:
            if event.no_new_privs:
                renounce_privileges()
        except OSError as error:
            return Verdict("UnknownError", f"cannot run {event.name} without new privileges (no_new_privs in the policy): {error}")
        failed: Verdict | None = None
        for script in event.scripts:
            output.headline(f"Script - {script.location}")
            self._control.look()
            if self._control.cancelled:
                return failed or _cancelled(script)
            if clock.elapsed_ms() >= deadline:
                return failed or _timed_out(script, event.timeout_ms // 1000)
            verdict = self._run_script(event, script, begun, output, deadline, notes)
            if verdict is not None and not event.closing:
                return verdict
            failed = failed or verdict
        return failed or Verdict("Success", "; ".join(["Succeeded", *notes]))

    def _run_script(self, event: Event, script: Script, begun: Record, output: Output, deadline: int, notes: list[str]) -> Verdict | None:
        """The verdict on one script; None when it ended well."""
        try:
            pid, pipes = self._start(event, script, begun)
        except Refused as error:
            output.headline(f"[hookline]{error}")
            return Verdict(error.error_code, str(error), script_name=script.location)
        output.hide(script.secrets)
        watch = Watch(pid, pipes, mark=self._mark(event), control=self._control, output=output, grace_ms=event.grace_ms)
        begun.note(_leader(event, watch))
        watch.until_ended(min(clock.elapsed_ms() + script.timeout * 1000, deadline))
        output.script_ended()
        if watch.held_open:
            note = f"{script} left a process that holds its output open; what that prints from now on is not kept"
            output.headline(f"[hookline]{note}")
            notes.append(note)
        return _judge(event, script, watch)

    def _start(self, event: Event, script: Script, begun: Record) -> tuple[int, dict[int, str]]:
        stdout, stdout_end = os.pipe()
        stderr, stderr_end = os.pipe()
        mark = self._mark(event)
        begun.note(_pipes(event, (stdout, stderr), mark))
        try:
            streams = Streams(stdin=self._nowhere, stdout=stdout_end, stderr=stderr_end)
            pid = start(script, {**event.environment, groups.MARK: mark}, streams, event.limits)
        except Refused:
            os.close(stdout)
            os.close(stderr)
            raise
        finally:
            os.close(stdout_end)
            os.close(stderr_end)
        return pid, {stdout: "stdout", stderr: "stderr"}

    def _mark(self, event: Event) -> str:
        return f"{os.getpid()}.{self._began}.{event.name}"


def main() -> None:
    """Serves the agent at the other end of the standard input; the last argument is the folder of its records."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            _close_inherited(int(name))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)  # a stop of the agent, or of the terminal, does not end a hook
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(os.umask(_LEAST_UMASK) | _LEAST_UMASK)
    Supervisor(Control(_CONTROL), sys.argv[-1]).serve()


def _blank(records: str) -> Blank | None:
    """A record made ahead; a disk that has no room for it may have when an event is to begin."""
    try:
        return Blank(records)
    except OSError:
        return None


def _close_inherited(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        return


def _room(event: Event) -> int:
    """What the rest of an event may need in its record: it is taken before the event begins, while one can still refuse."""
    return 16 * 1024 + 512 * len(event.scripts)


def _pipes(event: Event, fds: Sequence[int], mark: str) -> Frame:
    pipes = (("pipe", os.readlink(f"/proc/self/fd/{fd}")) for fd in fds)
    return Frame("pipes", [("lifecycle_event", event.name), ("mark", mark), *pipes])


def _leader(event: Event, watch: Watch) -> Frame:
    group, began = watch.group
    return Frame("leader", [("lifecycle_event", event.name), ("group", group), ("began", began)])


def _judge(event: Event, script: Script, watch: Watch) -> Verdict | None:
    """The verdict on an event by how a script ended; None when the next one may run."""
    if watch.ended_for == "cancel":
        return _cancelled(script)
    if watch.ended_for == "timeout":
        return _timed_out(script, min(script.timeout, event.timeout_ms // 1000))
    code = watch.exit_code
    if code is None or code == 0:
        return None
    if code < 0:
        message = f"{script} was killed by signal {-code} ({signal.strsignal(-code)})"
        return Verdict("ScriptFailed", message, script_name=script.location)
    return Verdict("ScriptFailed", f"{script} failed with exit code {code}", script_name=script.location, exit_code=code)


def _timed_out(script: Script, seconds: int) -> Verdict:
    message = f"{script} did not end within {seconds} seconds; what was still running of the event was ended"
    return Verdict("ScriptTimedOut", message, script_name=script.location)


def _cancelled(script: Script) -> Verdict:
    message = f"{script} was ended because its instruction was cancelled"
    return Verdict("ScriptFailed", message, script_name=script.location, cause="cancelled")


def _ended(event: Event, verdict: Verdict, *, tail: str, started_at: int) -> Frame:
    fields: list[tuple[str, str | int]] = [
        ("lifecycle_event", event.name),
        ("error_code", verdict.error_code),
        ("script_name", verdict.script_name),
        ("message", verdict.message),
        ("log_tail", tail),
        ("cause", verdict.cause),
        ("started_at", started_at),
        ("ended_at", clock.wall_ms()),
    ]
    if verdict.exit_code is not None:
        fields.append(("exit_code", verdict.exit_code))
    return Frame("ended", fields)
