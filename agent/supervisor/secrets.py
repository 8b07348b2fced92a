"""Looks up what the references among a script's variables stand for, as the user that the script runs as, just before it begins.

What comes of it is given to that script and masked in what is printed; it is written nowhere, and no sentence shows it. A file is read, and
a command run, by a process of its own, so that neither can hold the supervisor for long or see more than its user may.
"""

from __future__ import annotations

import os
import select
import signal
import stat

from agent.references import ENV, FILE, reference
from agent.supervisor import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd
    from collections.abc import Mapping
    from types import ModuleType
    from typing import NoReturn

PATIENCE_MS = 10_000
"""What all references of one script may take together."""

LONGEST = 64 * 1024
DEFAULTED = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_NOT_A_FILE, _UNKNOWN = 255, 254  # exit codes, above all numbers of errors
_LOOK_AGAIN_MS = 5
_UNSEEN = "which is not set there, or which hooks may not see (hook_environment in the policy of this host)"


_KINDS = {
    "open_files": "RLIMIT_NOFILE",
    "processes": "RLIMIT_NPROC",
    "memory_bytes": "RLIMIT_AS",
    "file_bytes": "RLIMIT_FSIZE",
    "core_bytes": "RLIMIT_CORE",
    "cpu_seconds": "RLIMIT_CPU",
}


class Unresolved(Exception):
    """A reference that stands for nothing, in a clause without any value."""


def resolved(variables: Mapping[str, str], environment: Mapping[str, str], footing: Footing) -> dict[str, bytes]:
    """The values of those variables that are references. `environment` is what commands see and `env` reads."""
    deadline = clock.elapsed_ms() + PATIENCE_MS
    values = {}
    for name, written in variables.items():
        if (found := reference(written)) is not None:
            values[name] = _value(_Wanted(name, *found), environment, footing, deadline)
    return values


def _resource() -> ModuleType:
    """The module of that name, which supervisors do without where nothing is limited."""
    import resource

    return resource


class Footing:
    """As whom a process runs, and the most that it may take of the machine. No user: who we are."""

    __slots__ = ("limits", "user")

    def __init__(self, user: pwd.struct_passwd | None, limits: Mapping[str, int]) -> None:
        self.user = user
        self.limits = [
            (getattr(_resource(), _KINDS[name]), most) for name, most in limits.items()
        ]  # now: that user may not read our modules

    @property
    def is_ours(self) -> bool:
        """Whether there is nothing to change."""
        return self.user is None and not self.limits

    def take(self) -> None:
        """Puts this process there, for good."""
        if self.user is not None:
            os.initgroups(self.user.pw_name, self.user.pw_gid)
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)
        for kind, most in self.limits:
            hard = _resource().getrlimit(kind)[1]
            bound = most if hard == _resource().RLIM_INFINITY else min(most, hard)  # what the agent itself may not have it cannot give
            _resource().setrlimit(kind, (bound, bound))


class _Wanted:
    """One variable and what it stands for."""

    __slots__ = ("kind", "name", "target")

    def __init__(self, name: str, kind: str, target: str) -> None:
        self.name = name
        self.kind = kind
        self.target = target

    def __str__(self) -> str:
        """As a sentence names it: a command is not shown, for it may hold a secret itself."""
        return f"file {self.target}, for its variable {self.name}," if self.kind == FILE else f"the command for its variable {self.name}"


def _value(wanted: _Wanted, environment: Mapping[str, str], footing: Footing, deadline: int) -> bytes:
    if wanted.kind == ENV:
        if wanted.target not in environment:
            raise Unresolved(f"its variable {wanted.name} stands for {wanted.target} of the agent's environment, {_UNSEEN}")
        value = os.fsencode(environment[wanted.target])
    else:
        value = _asked(wanted, environment, footing, deadline).rstrip(b"\n")
    if not value or b"\0" in value:
        raise Unresolved(f"what its variable {wanted.name} stands for {'holds a NUL' if value else 'is empty'}")
    return value


def _asked(wanted: _Wanted, environment: Mapping[str, str], footing: Footing, deadline: int) -> bytes:
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        _answer(wanted, environment, footing, tell)
    os.close(tell)
    try:
        octets = _read(told, deadline)
    finally:
        os.close(told)
    code = None if octets is None else _exit_code(pid, deadline)
    if octets is None or code is None:
        _end(pid)
        raise Unresolved(f"{wanted} gave no end within {PATIENCE_MS // 1000} s, or more than {LONGEST} bytes")
    if code == 0:
        return octets
    if wanted.kind != FILE:
        raise Unresolved(f"{wanted} " + (f"failed with exit code {code}" if code > 0 else f"was killed by signal {-code}"))
    why = {_NOT_A_FILE: "it is no file", _UNKNOWN: "its reader failed"}.get(code) or os.strerror(code).lower()
    raise Unresolved(f"{wanted} cannot be read: {why}")


def _answer(wanted: _Wanted, environment: Mapping[str, str], footing: Footing, tell: int) -> NoReturn:
    """The process of its own: gives the value, and ends."""
    code = _UNKNOWN
    try:
        os.setsid()
        for number in DEFAULTED:
            signal.signal(number, signal.SIG_DFL)
        footing.take()
        if wanted.kind == FILE:
            code = _copy(wanted.target, tell)
        else:
            for fd, mode in ((0, os.O_RDONLY), (2, os.O_WRONLY)):
                os.dup2(os.open(os.devnull, mode), fd)
            os.dup2(tell, 1)
            os.execve("/bin/sh", ["/bin/sh", "-c", wanted.target], environment)
    except OSError as error:
        code = error.errno or _UNKNOWN
    finally:
        os._exit(code)


def _copy(path: str, tell: int) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO would be waited for
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return _NOT_A_FILE
    while octets := os.read(fd, LONGEST):
        os.write(tell, octets)
    return 0


def _read(told: int, deadline: int) -> bytes | None:
    """All that is told; None: too late, or too much."""
    octets = b""
    poll = select.poll()
    poll.register(told, select.POLLIN)
    while len(octets) <= LONGEST and poll.poll(max(deadline - clock.elapsed_ms(), 0)):
        if not (more := os.read(told, LONGEST)):
            return octets
        octets += more
    return None


def _exit_code(pid: int, deadline: int) -> int | None:
    """Of a process that has nothing to tell any more; None: it goes on."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if clock.elapsed_ms() >= deadline:
            return None
        select.poll().poll(_LOOK_AGAIN_MS)


def _end(pid: int) -> None:
    for kill in (os.killpg, os.kill):  # it may not lead its group yet
        try:
            kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    os.waitpid(pid, 0)
