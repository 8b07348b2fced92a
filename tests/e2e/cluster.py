"""A coordinator and agents as real processes on loopback, and what their hooks wrote down.

Every process is in a session of its own and ends with the cluster, whatever happens; ports are the system's choice. What a hook does is
seen in the witness: a log that hooks append a line to, which no program of ours ever reads or writes.
"""

import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from tests.e2e.bundles import Gate
from tests.e2e.processes import Said, left_in, processes

PROGRAMS = Path(sys.executable).parent
SOON = 20.0
"""Seconds that something which should happen at once may take on a busy machine."""

T = TypeVar("T")


def until(fact: Callable[[], T], what: str, within: float = SOON) -> T:
    """The first true value of `fact`; a failure that names `what` when there is none in time."""
    deadline = time.monotonic() + within
    while True:
        found = fact()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:.0f} s: {what}")
        time.sleep(0.01)  # nobody tells a test what another process does: it looks again


class Hook(NamedTuple):
    """One line of the witness: a hook has begun."""

    deployment_id: str
    lifecycle_event: str
    host: str
    boot_id: str
    pid: int


@dataclass(slots=True)
class Cluster:
    """Everything that a test starts; to be used as a context."""

    directory: Path
    options: tuple[str, ...] = ()
    """More options for the coordinator."""
    programs: Path = PROGRAMS
    hook_seconds: str = ""
    """How long every hook takes; at once if empty."""
    quiet: bool = False
    """Whether the logs are kept to themselves at the end."""
    secure: bool = False
    """Whether the coordinator speaks TLS: agents then join before they run, and operators use its socket."""
    addresses: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    gates: list[Gate] = field(default_factory=list)
    data_dir: Path = Path()
    _agents: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make what hooks write to."""
        self.data_dir = self.directory / "coordinator"
        for name in ("logs", "gates"):
            (self.directory / name).mkdir(parents=True)
        for name in ("begun", "ended"):
            (self.directory / name).touch()
        self._policy.write_text('hook_environment = ["*"]\n')
        self._policy.chmod(0o600)

    def __enter__(self) -> Self:
        """Start the coordinator."""
        try:
            self.start_coordinator()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop everything; fails when something had to be killed."""
        left = self.stop()
        if not self.quiet:
            self.show_logs()
        if kind is None:
            assert left == []

    # ------------------------------------------------------------------------------------------------ the coordinator

    def start_coordinator(self) -> float:
        """Start it where it was before, if it was; returns when it was ready."""
        where = self.addresses or dict.fromkeys(("listen", "http", "bundles", "enrol", "operators", "certificates"), "127.0.0.1:0")
        # The socket's path has to be short, and a test's own directory is long.
        socket = ("--admin-socket", str(self.directory / "admin.sock"))
        beside = {"--enrol-listen": "enrol", "--operator-listen": "operators", "--certificate-listen": "certificates"}
        secure = (*(word for option, name in beside.items() for word in (option, where.get(name, ""))), *socket)
        process = self._start(
            "coordinator",
            *("hookline-coordinator", "--data-dir", str(self.data_dir), "--listen", where["listen"]),
            *("--http-listen", where["http"], "--bundle-listen", where["bundles"]),
            *(secure if self.secure else ("--insecure",)),
            *self.options,
        )
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        ready_at = time.monotonic()
        assert line.startswith("ready "), self.log("coordinator")
        self.addresses = dict(word.split("=", 1) for word in line.split()[1:])
        return ready_at

    def kill_coordinator(self) -> None:
        """`kill -9`."""
        self.kill("coordinator")

    @property
    def connected(self) -> int:
        """Agents that have an open stream, as /metrics says."""
        found = [line for line in self.http("/metrics").splitlines() if line.startswith("hookline_agents_connected ")]
        return int(float(found[0].split()[1]))

    def http(self, path: str) -> str:
        """What the coordinator answers."""
        with urllib.request.urlopen(f"http://{self.addresses['http']}{path}", timeout=10) as answer:
            text: bytes = answer.read()
        return text.decode()

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Plain SQL on the live database, as anybody may ask it."""
        with closing(sqlite3.connect(f"file:{self.data_dir / 'hookline.db'}?mode=ro", uri=True, timeout=10)) as db:
            return db.execute(query, parameters).fetchall()

    def kept(self) -> list[str]:
        """Everything that the coordinator has written down: the whole database but the audit, which tells of refusals too, and the names
        of its files."""
        with closing(sqlite3.connect(f"file:{self.data_dir / 'hookline.db'}?mode=ro", uri=True, timeout=10)) as db:
            lines = [line for line in db.iterdump() if not line.startswith('INSERT INTO "audit')]
        return lines + sorted(str(path) for path in (self.data_dir / "bundles").rglob("*"))

    def status(self, deployment_id: str) -> str:
        """The status of a deployment, as the history has it."""
        return str(self.rows("SELECT status FROM v_deployments WHERE deployment_id = ?", deployment_id)[0][0])

    def ended(self, deployment_id: str, within: float = 60.0) -> str:
        """How a deployment ends."""
        over = {"Succeeded", "Failed", "Stopped"}
        until(lambda: self.status(deployment_id) in over, f"{deployment_id} ends", within)
        return self.status(deployment_id)

    # ------------------------------------------------------------------------------------------------------ the agents

    def start_agents(self, *names: str, tags: Iterable[str] = ("role=web",)) -> None:
        """Start agents, and wait until all that were started are connected."""
        for name in names:
            self._agents[name] = tuple(word for tag in tags for word in ("--tag", tag))
            self.start_agent(name)
        self.wait_for_agents()

    def wait_for_agents(self) -> None:
        """Until all agents that were started are connected."""

        def all_are_there() -> bool:
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            assert not ended, f"{ended[0]} has ended: {self.log(ended[0])}"
            return self.connected == len(self.processes) - 1

        until(all_are_there, "all agents are connected", 60)

    def start_agent(self, name: str) -> None:
        """Start an agent again, as it was; with TLS it joins before its first start."""
        (self.directory / "hosts" / name).mkdir(parents=True, exist_ok=True)
        plain = ("--coordinator", self.addresses["listen"], "--host", name, "--insecure")
        if self.secure and not (self.agent_dir(name) / "identity").exists():
            self.join(name, "--auto-approve", "--trust-tags")
        self._start(
            name,
            *("hookline-agent", "run", *(() if self.secure else plain)),
            *("--data-dir", str(self.agent_dir(name)), "--root-prefix", str(self.directory / "hosts" / name)),
            *self._agents.get(name, ()),
        )

    def agent_dir(self, name: str) -> Path:
        """An agent's data directory."""
        return self.directory / "agents" / name

    def join_command(self, name: str, *options: str) -> list[str]:
        """What makes a machine a host, with a token of its own; the options are the token's."""
        _, *pasted = shlex.split(self.typed("token", "create", *options).out)
        return [str(self.programs / "hookline-agent"), *pasted, "--host", name, "--data-dir", str(self.agent_dir(name))]

    def join(self, name: str, *options: str) -> None:
        """Make a machine a host."""
        command = self.join_command(name, *options)
        done = subprocess.run(
            command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of all agents."""
        return tuple(self._agents)

    def supervisors(self, name: str) -> list[int]:
        """The processes that run, or will run, an agent's hooks."""
        records = str(self.directory / "agents" / name / "hooks" / "records").encode()
        return [pid for pid, words in processes() if records in words]

    # ------------------------------------------------------------------------------------------------------- processes

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a process and wait until it is gone."""
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(SOON)
        if process.stdout is not None:
            process.stdout.close()

    def stop(self) -> list[str]:
        """Stop every process; returns those that did not end when they were asked to."""
        for gate in self.gates:
            gate.close()
        agents = [process for name, process in self.processes.items() if name != "coordinator"]
        for process in agents:
            process.terminate()
        for process in (*agents, *([self.processes["coordinator"]] if "coordinator" in self.processes else [])):
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(SOON)
            if process.stdout is not None:
                process.stdout.close()
        self.processes.clear()
        with suppress(AssertionError):
            until(lambda: not self.left(), "everything ends")
        left = self.left()
        for pid, _ in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return [f"{pid}: {words}" for pid, words in left]

    def left(self) -> list[tuple[int, str]]:
        """This cluster's processes."""
        return left_in(self.directory)

    def hookline(self, *words: str, expected: int = 0) -> Said:
        """Run a command of the operator's program with `--output json`; fails when it ends otherwise than expected."""
        said = self.typed("--output", "json", *words)
        assert said.code == expected, f"hookline {' '.join(words)} ended with {said.code}: {said.out}{said.err}"
        return said

    def typed(self, *words: str) -> Said:
        """Run a command of the operator's program."""
        done = subprocess.run(
            self.command(*words), env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=False
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def command(self, *words: str) -> list[str]:
        """The command line of the operator's program."""
        return [str(self.programs / "hookline"), *words]

    @property
    def _policy(self) -> Path:
        """What agents allow where a test says nothing of it: hooks have to see where the witness is."""
        return self.directory / "agent-policy.toml"

    @property
    def environment(self) -> dict[str, str]:
        """What every process sees, and hooks with their agent."""
        coordinator = f"unix:{self.addresses.get('admin', '')}" if self.secure else self.addresses.get("listen", "")
        return {
            "HOOKLINE_AGENT_POLICY": str(self._policy),
            **os.environ,
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOOKLINE_COORDINATOR": coordinator,
            "HOOKLINE_INSECURE": "0" if self.secure else "1",
            "WITNESS": str(self.directory),
            "HOOK_SECONDS": self.hook_seconds,
        }

    def log(self, name: str) -> str:
        """What a process has logged."""
        return (self.directory / "logs" / f"{name}.log").read_text(errors="replace")

    def show_logs(self) -> None:
        """Print the ends of all logs: pytest shows them with a failure."""
        for log in sorted((self.directory / "logs").glob("*.log")):
            sys.stdout.write(f"---- {log.name}\n{log.read_text(errors='replace')[-2000:]}\n")

    def _start(self, name: str, program: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.directory / "logs" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(self.programs / program), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if name == "coordinator" else log,
                stderr=log,
                start_new_session=True,
                env=self.environment,
            )
        self.processes[name] = process
        return process

    # ----------------------------------------------------------------------------------------------------- the witness

    def hooks(self, deployment_id: str = "") -> list[Hook]:
        """The hooks that have begun, all or those of a deployment, in their order."""
        return list(self._lines("begun", deployment_id))

    def finished(self, deployment_id: str = "") -> list[Hook]:
        """The hooks that came to their own end."""
        return list(self._lines("ended", deployment_id))

    def closings(self, deployment_id: str) -> list[tuple[str, str, str]]:
        """The closing hooks of a deployment that have begun: host, lifecycle event, and how they were told that it had ended."""
        path = self.directory / "closing"
        told = (line.split() for line in path.read_text().splitlines()) if path.exists() else ()
        return [(host, event, status) for deployment, event, host, status in told if deployment == deployment_id]

    def times(self, deployment_id: str) -> Counter[tuple[str, str]]:
        """How often each hook of a deployment has begun, by host and lifecycle event."""
        return Counter((hook.host, hook.lifecycle_event) for hook in self.hooks(deployment_id))

    def gate(self, lifecycle_event: str, host: str) -> Gate:
        """Make the hooks of an event on a host wait."""
        gate = Gate(self.directory / "gates" / f"{lifecycle_event}.{host}")
        self.gates.append(gate)
        return gate

    def reached(self, deployment_id: str, lifecycle_event: str, host: str) -> Hook:
        """A hook, as soon as it has begun."""

        def found() -> Hook | None:
            wanted = (hook for hook in self.hooks(deployment_id) if (hook.lifecycle_event, hook.host) == (lifecycle_event, host))
            return next(wanted, None)

        hook = until(found, f"{lifecycle_event} of {deployment_id} begins on {host}", 40)
        assert hook is not None
        return hook

    def begun(self, deployment_id: str, count: int) -> None:
        """Wait until so many hooks of a deployment have begun."""
        until(lambda: len(self.hooks(deployment_id)) >= count, f"{count} hooks have begun", 60)

    def _lines(self, name: str, deployment_id: str) -> Iterator[Hook]:
        for line in (self.directory / name).read_text().splitlines():
            deployment, event, host, boot_id, pid = line.split()
            if deployment_id in ("", deployment):
                yield Hook(deployment, event, host, boot_id, int(pid))
