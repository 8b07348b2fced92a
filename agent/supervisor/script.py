"""Starts one script of a hook, as CodeDeploy would: in a session of its own, with nothing inherited but what it is given.

Scripts without a shebang or an execute bit run. Nothing here waits for a script.
"""

from __future__ import annotations

import errno
import os
import pwd
import signal
import stat
from types import MappingProxyType

from agent.references import reference
from agent.supervisor.secrets import DEFAULTED, Footing, Unresolved, resolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_PR_SET_NO_NEW_PRIVS = 38
_NO_LIMITS: Mapping[str, int] = MappingProxyType({})


class Script:
    """One script of an event, as the agent asked for it."""

    __slots__ = ("arguments", "environment", "location", "path", "runas", "secrets", "sudo", "timeout")

    def __init__(self, *, location: str, path: str, timeout: int, runas: str, sudo: bool) -> None:
        self.location = location
        self.path = path
        self.timeout = timeout
        self.runas = runas
        self.sudo = sudo
        self.arguments: list[str] = []
        self.environment: dict[str, str] = {}  # its own, over the event's; references among them are looked up when it starts
        self.secrets: list[bytes] = []  # what these came to

    def __str__(self) -> str:
        """The script as a sentence names it."""
        return f"script at {self.location} run as user {self.runas}" if self.runas else f"script at {self.location}"


class Refused(Exception):
    """A script that cannot be started, with the error code of CodeDeploy."""

    def __init__(self, error_code: str, message: str) -> None:
        super().__init__(message)
        self.error_code = error_code


class Streams:
    """The three standard streams that a script gets."""

    __slots__ = ("stderr", "stdin", "stdout")

    def __init__(self, *, stdin: int, stdout: int, stderr: int) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr


def start(script: Script, environment: dict[str, str], streams: Streams, limits: Mapping[str, int] = _NO_LIMITS) -> int:
    """The process id of the script, which leads a session and a process group of that number; it may take no more than `limits` say."""
    _make_executable(script)
    plain = {name: value for name, value in script.environment.items() if reference(value) is None}
    arguments, environment, user = _command(script, {**environment, **plain})
    footing = Footing(user, limits)
    environment.update(_secrets(script, environment, footing))
    try:
        try:
            return _spawn(arguments, environment, streams, footing)
        except OSError as error:
            if error.errno != errno.ENOEXEC or arguments[0] != script.path:
                raise
            return _spawn(["/bin/sh", *arguments], environment, streams, footing)
    except OSError as error:
        raise Refused("ScriptFailed", f"cannot run {script}: {_why(script, error)}") from error


def renounce_privileges() -> None:
    """Gives up for good, for this process and all that it starts, what sudo, setuid programs and file capabilities would give."""
    import ctypes  # with 1 MiB of its own, which other supervisors do not need

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _secrets(script: Script, environment: dict[str, str], footing: Footing) -> dict[str, str]:
    """The variables of a script that are references, with what these stand for."""
    try:
        found = resolved(script.environment, environment, footing)
    except (Unresolved, OSError) as error:
        raise Refused("ScriptFailed", f"cannot run {script}: {error}") from error
    script.secrets = list(found.values())
    return {name: os.fsdecode(value) for name, value in found.items()}


def _make_executable(script: Script) -> None:
    try:
        mode = os.stat(script.path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        why = f"the revision has no such file ({script.path}); add it, or correct its location"
        raise Refused("ScriptMissing", f"cannot run {script}: {why}") from error
    except OSError as error:
        raise Refused("ScriptFailed", f"cannot run {script}: {error.strerror} ({script.path})") from error
    if stat.S_ISDIR(mode):
        raise Refused("ScriptFailed", f"cannot run {script}: it is a directory ({script.path})")
    if not os.access(script.path, os.X_OK):
        try:
            os.chmod(script.path, stat.S_IMODE(mode) | 0o111)
        except OSError as error:
            why = f"cannot run {script}: it is not executable and cannot be made so, {error.strerror} ({script.path})"
            raise Refused("ScriptNotExecutable", why) from error


def _command(script: Script, environment: dict[str, str]) -> tuple[list[str], dict[str, str], pwd.struct_passwd | None]:
    """What to execute, with what environment, and the user to become first (None: stay who we are)."""
    if not script.runas:
        if script.sudo and os.geteuid() != 0:
            return [_sudo(script, environment), "-n", script.path, *script.arguments], environment, None
        return [script.path, *script.arguments], environment, None
    try:
        user = pwd.getpwnam(script.runas)
    except KeyError as error:
        raise Refused(
            "ScriptFailed", f"cannot run {script}: this host has no user {script.runas}; create it first, or correct runas"
        ) from error
    if os.geteuid() not in (0, user.pw_uid):
        if script.sudo:
            quoted = " ".join("'" + each.replace("'", "'\\''") + "'" for each in (script.path, *script.arguments))
            return [_sudo(script, environment), "-n", "su", script.runas, "-c", quoted], environment, None
        why = f"the agent is not root and cannot become user {script.runas}; run it as root, or leave runas out"
        raise Refused("ScriptFailed", f"cannot run {script}: {why}")
    environment = {**environment, "HOME": user.pw_dir, "SHELL": user.pw_shell or "/bin/sh"}
    if user.pw_uid != 0:
        environment.update(USER=user.pw_name, LOGNAME=user.pw_name)
    return [script.path, *script.arguments], environment, user if user.pw_uid != os.geteuid() else None


def _sudo(script: Script, environment: dict[str, str]) -> str:
    for folder in environment.get("PATH", os.defpath).split(os.pathsep):
        if os.access(os.path.join(folder, "sudo"), os.X_OK):
            return os.path.join(folder, "sudo")
    raise Refused("ScriptFailed", f"cannot run {script} with sudo: the agent is not root and there is no sudo on its PATH")


def _spawn(arguments: list[str], environment: dict[str, str], streams: Streams, footing: Footing) -> int:
    if not footing.is_ours:
        return _fork(arguments, environment, streams, footing)
    actions = [
        (os.POSIX_SPAWN_DUP2, streams.stdin, 0),
        (os.POSIX_SPAWN_DUP2, streams.stdout, 1),
        (os.POSIX_SPAWN_DUP2, streams.stderr, 2),
    ]
    return os.posix_spawn(
        arguments[0], arguments, environment, file_actions=actions, setsid=True, setsigmask=(), setsigdef=DEFAULTED
    )  # fmt: skip


def _fork(arguments: list[str], environment: dict[str, str], streams: Streams, footing: Footing) -> int:
    """Starts it as another user or within limits, which posix_spawn cannot; an error of the child comes back through a pipe."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            for number in DEFAULTED:
                signal.signal(number, signal.SIG_DFL)
            for target, fd in enumerate((streams.stdin, streams.stdout, streams.stderr)):
                os.dup2(fd, target)
            footing.take()
            os.execve(arguments[0], arguments, environment)
        except OSError as error:
            os.write(tell, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(tell)
    try:
        failed = os.read(told, 16)
    finally:
        os.close(told)
    if failed:
        os.waitpid(pid, 0)
        raise OSError(int(failed), os.strerror(int(failed)))
    return pid


def _why(script: Script, error: OSError) -> str:
    """The sentence behind a failed exec, which the system tells as `no such file` when the interpreter is what is missing."""
    if error.errno == errno.ENOENT:
        try:
            with open(script.path, "rb") as file:
                first = file.readline(256)
        except OSError:
            first = b""
        if first.startswith(b"#!") and first.rstrip(b"\n").endswith(b"\r"):
            return "its first line ends with CR LF; save the file with LF line ends"
        if first.startswith(b"#!"):
            return f"its interpreter {first[2:].split()[0].decode('utf-8', 'replace') if first[2:].split() else ''} is not on this host"
    return f"{error.strerror} ({script.path})"
