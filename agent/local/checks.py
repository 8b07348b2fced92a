"""What has to be right on a host for an agent to do its work. Each check looks, says what it found, and what to do about it.

A check changes nothing that lasts: what it writes, it removes.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from agent.bundle import Limits
from agent.clock import SystemClock
from agent.config import LOCK_NAME, host_name, loopback
from agent.errors import AgentError
from agent.hooks import EventRun, Hooks, ScriptRun
from agent.identity import IdentityFiles
from agent.identity.diagnosis import authority_changed, until, why_not_accepted, why_not_valid
from agent.local.condition import holder
from agent.local.parts import host_policy
from agent.policy import MEMORY_NAME, Memory, summary
from agent.processes import unpacker_command
from agent.stream import insecure_channel, secure_channel
from agent.stream.health import lets_in, serves
from agent.workspace import Workspace

if TYPE_CHECKING:
    from agent.identity import Credentials
    from agent.local.settings import Settings

_LITTLE = 1024**3
_UNSYNCHRONISED = 5  # what adjtimex(2) returns then
_PATIENCE = 20.0
_APART_MS = 30_000
"""As far as this host's clock may be from the coordinator's before times in the history are misread."""


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check found; `advice` is what to do, empty when nothing has to be done."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


def _ok(check: str, found: str) -> Finding:
    return Finding(check=check, verdict=Verdict.OK, found=found)


def _warn(check: str, found: str, advice: str) -> Finding:
    return Finding(check=check, verdict=Verdict.WARN, found=found, advice=advice)


def _fail(check: str, found: str, advice: str) -> Finding:
    return Finding(check=check, verdict=Verdict.FAIL, found=found, advice=advice)


async def findings(told: Settings) -> list[Finding]:
    """All checks, in the order in which one would put things right."""
    shown, identity = _identity(told)
    coordinator, time_ms = await (_coordinator(told) if shown is None else _secure_coordinator(told, shown))
    return [
        _settings(told),
        *identity,
        coordinator,
        _clock(None if time_ms is None else SystemClock().now_ms() - time_ms),
        _user(told),
        _data_directory(told.data_dir),
        _policy(told),
        *(
            _room(name, path)
            for name, path in (("disk", told.data_dir), ("deployments", Workspace(root_prefix=told.root_prefix).deployment_root))
        ),
        await _hooks(told),
        _unpacker(),
        _program("bash", "many hooks begin with #!/bin/bash and fail without it; install bash"),
        _program("setfacl", "a revision whose AppSpec lists ACLs fails in Install without it; install the package acl"),
    ]


def _settings(told: Settings) -> Finding:
    try:
        host_name(told.host)
    except AgentError as error:
        return _fail("settings", str(error), "set host")
    if told.file is None:
        return _ok("settings", "no file of settings")
    found = told.file.stat()
    if found.st_mode & 0o022 or found.st_uid not in (0, os.geteuid()):
        return _warn(
            "settings",
            f"others may write {told.file}",
            f"they could send this host elsewhere; chown root {told.file}; chmod go-w {told.file}",
        )
    return _ok("settings", f"read from {told.file}")


def _identity(told: Settings) -> tuple[Credentials | None, list[Finding]]:
    """Whom this host is to its coordinator; over plaintext that is not asked."""
    if told.insecure:
        return None, []
    try:
        shown = IdentityFiles(told.data_dir).credentials()
    except AgentError as error:
        return None, [_fail("identity", str(error), "ask as the agent's user; or join again, as it says")]
    if shown is None:
        advice = "`hookline token create` on the coordinator prints the command that makes it one"
        return None, [_fail("identity", f"this machine is no host yet: there is no identity in {told.data_dir}", advice)]
    why = why_not_valid(shown.enrolment, SystemClock().now_ms())
    if why is not None:
        return shown, [_fail("identity", why, "see there")]
    enrolment = shown.enrolment
    is_host = f"host {enrolment.name} ({enrolment.host_id}) of cluster {enrolment.cluster}, {until(enrolment)}"
    if authority_changed(shown):
        advice = "if the operators replaced the root, all is well; if not, join again, with the fingerprint that they tell"
        return shown, [_warn("identity", f"{is_host}; it no longer trusts the root with which it joined, {enrolment.authority}", advice)]
    return shown, [_ok("identity", f"{is_host}; it trusts the root {enrolment.authority[:16]}...")]


async def _secure_coordinator(told: Settings, shown: Credentials) -> tuple[Finding, int | None]:
    """What there is to say of the coordinator, and its time, if it has told that."""
    where = told.coordinator or shown.enrolment.coordinator
    why = await why_not_accepted(where, shown, IdentityFiles(told.data_dir))
    if why is not None:
        return _fail("coordinator", why, "start it, correct the setting coordinator or the clock, or join again"), None
    async with secure_channel(where, shown) as channel:
        word = await lets_in(channel)
    if word.why_not is not None:
        found = f"{where} does not let this host in: {word.why_not}"
        return _fail("coordinator", found, "an operator has to decide, as it says"), word.time_ms
    return _ok("coordinator", f"{where} lets this host in"), word.time_ms


async def _coordinator(told: Settings) -> tuple[Finding, int | None]:
    try:
        where = told.the_coordinator
        if told.insecure:
            loopback(where)
    except AgentError as error:
        return _fail("coordinator", str(error), "correct the setting coordinator, or join one"), None
    if not told.insecure:
        return _warn("coordinator", f"{where} is not asked: without an identity nobody is let in", "join it first"), None
    async with insecure_channel(where) as channel:
        word = await serves(channel)
    if word.why_not is not None:
        found = f"{where} cannot be reached: {word.why_not}"
        return _fail("coordinator", found, "start it, or correct the setting coordinator"), word.time_ms
    return _ok("coordinator", f"{where} serves"), word.time_ms


def _clock(ahead_ms: int | None) -> Finding:
    """Whether it goes with the coordinator's, as far as that has told, and whether somebody keeps it."""
    if ahead_ms is not None and abs(ahead_ms) > _APART_MS:
        advice = "certificates are good or not by both clocks, and the history shows the times of both; set up chrony or systemd-timesyncd"
        which = "ahead of" if ahead_ms > 0 else "behind"
        return _warn("clock", f"it is {abs(ahead_ms) / 1000:.0f} s {which} the coordinator's", f"set the wrong one right: {advice} on both")
    compared = "" if ahead_ms is None else "it goes with the coordinator's, and "
    timex = ctypes.create_string_buffer(256)  # all zeros: asks, and sets nothing
    status = ctypes.CDLL(None).adjtimex(timex)
    if status < 0:
        return _warn(
            "clock", f"{compared}the kernel does not say whether it is kept in time", "see that it is: times in the history are this host's"
        )
    if status == _UNSYNCHRONISED:
        advice = "the history shows this host's times, and certificates are good or not by them; set up chrony or systemd-timesyncd"
        return _warn("clock", f"{compared}it is not kept in time by anybody", advice)
    return _ok("clock", f"{compared}it is kept in time")


def _user(told: Settings) -> Finding:
    if os.geteuid() == 0:
        return _ok("user", "root")
    found = f"user id {os.geteuid()}, not root"
    if told.root_prefix != Path("/"):
        return _ok("user", f"{found}; with a root prefix that is usual")
    return _warn("user", found, "runas of another user, owners and ACLs fail, and so do destinations that this user cannot write")


def _data_directory(path: Path) -> Finding:
    try:
        found = path.stat()
    except FileNotFoundError:
        there = next(parent for parent in path.parents if parent.exists())
        if os.access(there, os.W_OK | os.X_OK):
            return _ok("data directory", f"{path} will be made by the first start")
        return _fail("data directory", f"{path} is not there, and cannot be made in {there}", "make it, owned by the agent's user")
    except OSError as error:
        return _fail("data directory", f"{path}: {str(error.strerror).lower()}", "ask as the agent's user, or name another data_dir")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return _fail("data directory", f"{path} cannot be written", f"it is user id {found.st_uid}'s: ask as that user, or chown it")
    pid = holder(path / LOCK_NAME)
    held = "no agent runs" if pid is None else f"the agent with pid {pid} runs"
    if found.st_mode & 0o077:
        return _warn("data directory", f"others may look into {path}; {held}", f"it has the output of hooks; chmod 700 {path}")
    return _ok("data directory", f"{path}; {held}")


def _policy(told: Settings) -> Finding:
    """A policy that cannot be trusted keeps the agent from starting, and everything from being deployed."""
    try:
        policy = host_policy(told).policy()
        Memory(told.data_dir / MEMORY_NAME)
    except AgentError as error:
        return _fail("policy", str(error), "put the file right; nothing is deployed until then")
    if policy is not None and policy.freeze:
        return _warn("policy", summary(policy), "to let the coordinator deploy again, take freeze out")
    return _ok("policy", summary(policy))


def _room(name: str, path: Path) -> Finding:
    there = next(each for each in (path, *path.parents) if each.exists())
    found = os.statvfs(there)
    free = found.f_bavail * found.f_frsize
    words = f"{free // 1024**2} MiB free for {path}"
    if free < Limits().reserve_bytes or (found.f_files and not found.f_favail):
        return _fail(name, words if found.f_favail else f"no file can be made for {path}", "make room: nothing can be deployed")
    return _warn(name, words, "make room, or keep fewer revisions (hookline-agent gc)") if free < _LITTLE else _ok(name, words)


async def _hooks(told: Settings) -> Finding:
    """Runs a script as a hook would run: under a supervisor, from where bundles lie."""
    root = Workspace(root_prefix=told.root_prefix).deployment_root
    there = next(each for each in (root, *root.parents) if each.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=there) as name:
            script = Path(name) / "hook.sh"
            script.write_text("#!/bin/sh\nexit 0\n")
            script.chmod(0o755)
            hooks = Hooks(directory=Path(name) / "hooks", deployments_log=Path(name) / "all.log")
            try:
                async with asyncio.timeout(_PATIENCE):
                    outcome = await hooks.run(_event(script))
            finally:
                await hooks.close()
    except TimeoutError:
        return _fail("hooks", f"a script did not end within {_PATIENCE:.0f} s", "see what holds processes up on this host")
    except OSError as error:
        return _fail("hooks", f"cannot run a script in {there}: {str(error.strerror).lower()}", "make it writable for the agent's user")
    if outcome.error_code != "Success":
        return _fail("hooks", f"a script in {there} does not run: {outcome.message}", f"is {there} mounted noexec, or /bin/sh missing?")
    return _ok("hooks", f"a supervisor starts, and scripts run in {there}")


def _event(script: Path) -> EventRun:
    return EventRun(
        instruction_id="doctor",
        attempt=1,
        lifecycle_event="ValidateService",
        deployment_id="doctor",
        scripts=(ScriptRun(location=script.name, path=str(script), timeout=10),),
        environment={"PATH": os.defpath},
        cwd="/",
        scripts_log=str(script.parent / "scripts.log"),
        timeout=10,
    )


def _unpacker() -> Finding:
    """The unpacking process ends by itself, without an answer, when nothing is asked of it."""
    try:
        ended = subprocess.run(
            [*unpacker_command(), str(os.getpid())], stdin=subprocess.DEVNULL, capture_output=True, cwd="/", timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _fail("unpacking", f"its process cannot be started: {error}", "install the agent anew")
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        return _fail(
            "unpacking", f"its process ends with {ended.returncode}: {said[-1] if said else 'without a word'}", "install the agent anew"
        )
    return _ok("unpacking", f"its process starts ({Path(sys.executable).name})")


def _program(name: str, advice: str) -> Finding:
    path = shutil.which(name)
    return _warn(name, "not found", advice) if path is None else _ok(name, path)
