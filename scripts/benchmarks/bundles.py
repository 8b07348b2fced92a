"""`scripts/bench bundles`: hosts download large bundles while a fleet is deployed to; what that does to the control path.

The control path is what a deployment waits for: the time from an instruction to its host's first report, and from a report to its
acknowledgement, which means that it is committed. Both are seen by the coordinator. Deployments with and without downloads take turns
in one run: in between the downloading processes are stopped, and the serving process has nothing to do.

Everything shares this machine, while hosts have one of their own: the downloading processes yield to all others, and they keep their
files in memory where there is room, because a disk that they filled would be the coordinator's too. What is contended is the processor:
the coordinator, its serving process and the simulated fleet.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from coordinator.gateway.bundles import AT_ONCE
from scripts.benchmarks import child
from scripts.benchmarks.figures import Figure, percentile
from scripts.benchmarks.fleets import rollout

FLEET: Final = 1_000
PROCESSES: Final = 2
IN_A_ROW: Final = 2
"""Deployments before the downloads are stopped or continued."""

ENOUGH: Final = 20
"""Deployments without downloads; after these the downloads are not stopped any more."""

SETTLES: Final = 0.5
"""Seconds after a turn, so that its last work is not counted to the next one."""

MEMORY: Final = Path("/dev/shm")


@dataclass
class Side:
    """Deployments of one kind: one list for each, of seconds by host or by report."""

    first: list[list[float]] = field(default_factory=list)
    acknowledged: list[list[float]] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def add(self, deployment: child.Line) -> None:
        """Take one in."""
        self.first.append(deployment["first"])
        self.acknowledged.append(deployment["acknowledged"])
        self.wall.append(deployment["wall"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloads:
    """The downloading processes, and where the coordinator's serving process is."""

    parts: list[child.Child]
    server: int
    hosts: int

    async def start(self) -> None:
        """Begin all downloads."""
        for part in self.parts:
            await part.ask(do="start")

    def signal(self, number: signal.Signals) -> None:
        """Stop or continue all of them."""
        for part in self.parts:
            os.kill(part.pid, number)

    async def count(self, key: str) -> int:
        """A number over all processes; they have to be running."""
        return int(child.together([await part.ask(do="count") for part in self.parts], key))

    async def are_done(self) -> bool:
        """Whether every host has its bundle."""
        return await self.count("done") == self.hosts

    @property
    def serving_cpu(self) -> float:
        """Seconds of processor time that the serving process has used."""
        words = Path(f"/proc/{self.server}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def bundle(directory: Path, megabytes: int) -> str:
    """Put a bundle of random bytes where the coordinator keeps those that were pushed; its SHA-256."""
    path, digest = directory / "bundle.new", hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(megabytes):
            piece = os.urandom(1_000_000)
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    path.rename(directory / digest.hexdigest())
    return digest.hexdigest()


@asynccontextmanager
async def downloads(server: child.Child, hosts: int, megabytes: int, directory: Path) -> AsyncIterator[Downloads]:
    """Hosts that are ready to download, in several processes."""
    serving = await server.ask(do="bundles")
    sha256 = bundle(Path(serving["directory"]), megabytes)
    needed = AT_ONCE * megabytes * 1_250_000
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > needed
    with tempfile.TemporaryDirectory(prefix="hookline-bench-", dir=MEMORY if has_room else directory) as files:
        async with AsyncExitStack() as stack:
            parts: list[child.Child] = []
            for part in range(PROCESSES):
                first, last = hosts * part // PROCESSES, hosts * (part + 1) // PROCESSES
                numbers = ("--first", str(first), "--count", str(last - first))
                where = ("--address", serving["address"], "--sha256", sha256, "--directory", files)
                parts.append(await stack.enter_async_context(child.child("fetchers", *where, *numbers)))
            found = Downloads(parts=parts, server=serving["pid"], hosts=hosts)
            try:
                yield found
            finally:
                found.signal(signal.SIGCONT)


async def take_turns(server: child.Child, loads: Downloads) -> tuple[Side, Side, float]:
    """Deploy without and with downloads until all are done; the seconds that the downloads took are the last."""
    without, beside = Side(), Side()
    took = 0.0
    await loads.start()
    loads.signal(signal.SIGSTOP)
    while True:
        for _ in range(IN_A_ROW):
            without.add(await server.ask(do="deploy"))
        began = time.monotonic()
        loads.signal(signal.SIGCONT)
        await asyncio.sleep(SETTLES)
        turn = 0
        while turn < IN_A_ROW or len(without.wall) >= ENOUGH:
            turn += 1
            deployment = await server.ask(do="deploy")
            done = await loads.are_done()
            if not done or not beside.wall:
                beside.add(deployment)
            if done:
                return without, beside, took + time.monotonic() - began
        took += time.monotonic() - began
        loads.signal(signal.SIGSTOP)
        await asyncio.sleep(SETTLES)


async def measure(fetchers: int, megabytes: int, directory: Path) -> AsyncIterator[Figure]:
    """All figures, after the last download."""
    async with child.child("fleets.coordinator", str(directory / "coordinator")) as server:
        address = str((await server.ask(do="address"))["address"])
        async with rollout.fleet(address, FLEET, messages=0), downloads(server, fetchers, megabytes, directory) as loads:
            await rollout.connected(server, FLEET)
            await server.ask(do="deploy")
            cpu = loads.serving_cpu
            without, beside, took = await take_turns(server, loads)
            cpu = loads.serving_cpu - cpu
            waits, interruptions = await loads.count("waits"), await loads.count("interruptions")
    at = f"{FLEET} hosts beside {fetchers} x {megabytes} MB: "
    for name, ours, floor in (
        ("instruction to first report", beside.first, without.first),
        ("report to acknowledgement", beside.acknowledged, without.acknowledged),
    ):
        medians = [median(percentile(each, 99) for each in lists) * 1000 for lists in (ours, floor)]
        yield Figure(name=f"{at}{name}, p99", value=medians[0], unit="ms", floor=medians[1], bar=2.0)
        pooled = [percentile([value for each in lists for value in each], 99) * 1000 for lists in (ours, floor)]
        yield Figure(name=f"{at}{name}, p99 of all", value=pooled[0], unit="ms", floor=pooled[1])
    yield Figure(name=at + "wall of a deployment", value=median(beside.wall), unit="s", floor=median(without.wall))
    yield Figure(name=at + "deployments beside downloads, and without", value=len(beside.wall), unit="times", floor=len(without.wall))
    gigabytes = fetchers * megabytes / 1000
    yield Figure(name="downloads: all of them", value=took, unit="s")
    yield Figure(name="downloads: throughput", value=gigabytes * 1000 / took, unit="MB/s")
    yield Figure(name="downloads: the serving process's CPU for a gigabyte", value=cpu / gigabytes, unit="s")
    yield Figure(name="downloads: asked to wait for a turn", value=waits, unit="times")
    yield Figure(name="downloads: interrupted and gone on with", value=interruptions, unit="times")
