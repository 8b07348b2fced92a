"""The processes of the demo: started apart from the terminal, stopped one by one, and looked for afterwards."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = ROOT / ".venv" / "bin"
STOPPED_WITHIN: Final = 10.0


@dataclass(slots=True)
class Scene:
    """A directory with everything that was started in it."""

    directory: Path
    pids: dict[str, int] = field(default_factory=dict)
    _reserved: list[socket.socket] = field(default_factory=list, init=False, repr=False)

    @classmethod
    def found(cls, directory: Path) -> "Scene":
        """The scene that `--keep` left in a directory. Raises OSError when there is none."""
        return cls(directory, json.loads((directory / "pids.json").read_text()))

    def reserve_port(self) -> int:
        """A port for a program that binds it later, with SO_REUSEADDR; nobody else is given it until the scene ends."""
        reserved = socket.socket()
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        self._reserved.append(reserved)
        return int(reserved.getsockname()[1])

    def start(self, name: str, *command: str, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a program of ours; what it says goes to `logs/NAME.log`. Ctrl-C does not reach it: `stop` ends it."""
        logs = self.directory / "logs"
        logs.mkdir(exist_ok=True)
        with (logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(PROGRAMS / command[0]), *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if name == "coordinator" else log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", **(environment or {})},
            )
        self.pids[name] = process.pid
        (self.directory / "pids.json").write_text(json.dumps(self.pids))
        return process

    def stop(self) -> list[str]:
        """Stop the applications, the agents and the coordinator. Returns what is left of them, in words; nothing, if all is well."""
        applications: list[int] = []
        for pid_file in self.directory.glob("hosts/*/run/web.pid"):
            with suppress(ValueError):
                applications.append(int(pid_file.read_text()))
        agents = [pid for name, pid in self.pids.items() if name != "coordinator"]
        coordinators = [pid for name, pid in self.pids.items() if name == "coordinator"]
        for group in (applications, agents, coordinators):
            _end([pid for pid in group if self._ours(pid)])
        deadline = time.monotonic() + STOPPED_WITHIN
        while time.monotonic() < deadline and list(self._alive()):
            time.sleep(0.05)
        for pid, _ in list(self._alive()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
        return [f"{pid}: {command}" for pid, command in self._alive()]

    def _alive(self) -> Iterator[tuple[int, str]]:
        """Every process that has this scene's directory in its command line or environment."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid() and self._ours(int(entry.name)):
                with suppress(OSError):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    if command:
                        yield int(entry.name), command

    def _ours(self, pid: int) -> bool:
        wanted = str(self.directory).encode()
        with suppress(OSError):
            process = Path("/proc") / str(pid)
            return wanted in (process / "cmdline").read_bytes() or b"HOOKLINE_DEMO=" + wanted in (process / "environ").read_bytes()
        return False


def _end(pids: list[int]) -> None:
    """Ask processes to end, all at once, and wait for them; reap those that are our children."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOPPED_WITHIN
    while pids and time.monotonic() < deadline:
        pids = [pid for pid in pids if not _gone(pid)]
        time.sleep(0.02)


def _gone(pid: int) -> bool:
    with suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    return not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()
