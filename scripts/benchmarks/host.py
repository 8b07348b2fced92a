"""`scripts/bench host`: one real host, its agent a process of its own, deployed to with seven events and five trivial hooks.

The floor of the same run is what the machine itself takes for a hook: spawning the same script with piped output and waiting for it, and
three fsyncs of a line each. Every figure is a median over the rounds; agent and floor take turns.
"""

import asyncio
import io
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Final

from scripts.benchmarks import child
from scripts.benchmarks.figures import Figure, proportional_kib, resident_kib

HOOKS: Final = ("ApplicationStop", "BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService")
FSYNCS_A_HOOK: Final = 3
WARM_UP: Final = 3
CONNECTED_WITHIN: Final = 30
IDLE: Final = 1.0
"""Seconds between two deployments: a host that is deployed to has been idle before."""


def script(fifo: Path) -> str:
    """A trivial hook: says on a fifo that it has started."""
    return f'#!/bin/bash\necho "$LIFECYCLE_EVENT" > {fifo}\n'


def members(fifo: Path, number: int) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """A small bundle whose hooks are all that script; `number` makes it a revision of its own."""
    hooks = "\n".join(f"  {event}:\n    - location: hook.sh" for event in HOOKS)
    appspec = f"version: 0.0\nos: linux\nfiles:\n  - source: page.html\n    destination: /srv/page\nhooks:\n{hooks}\n"
    for name, content, mode in (("appspec.yml", appspec, 0o644), ("hook.sh", script(fifo), 0o755), ("page.html", str(number), 0o644)):
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), mode
        yield member, content.encode()


def bundle(path: Path, fifo: Path, number: int) -> None:
    """That bundle."""
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members(fifo, number):
            archive.addfile(member, io.BytesIO(content))


class Started:
    """When hooks started, as they said on the fifo."""

    def __init__(self, path: Path) -> None:
        """Make the fifo and listen to it."""
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.path = path
        self.times: dict[str, float] = {}
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def _read(self) -> None:
        now = time.monotonic()
        for event in os.read(self._descriptor, 4096).decode().split():
            self.times.setdefault(event, now)


def floor(directory: Path, fifo: Path) -> float:
    """Seconds that one bare hook takes: spawn, wait, and three durable lines."""
    path = directory / "floor.sh"
    if not path.exists():
        path.write_text(script(fifo))
        path.chmod(0o755)
    descriptor = os.open(directory / "floor.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    began = time.monotonic()
    for _ in HOOKS:
        subprocess.run([path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
        for _ in range(FSYNCS_A_HOOK):
            os.write(descriptor, b"x" * 100)
            os.fsync(descriptor)
    took = time.monotonic() - began
    os.close(descriptor)
    return took / len(HOOKS)


@asynccontextmanager
async def agent(address: str, directory: Path) -> AsyncIterator[int]:
    """A real agent; yields its process id."""
    command = (
        *(str(Path(sys.executable).with_name("hookline-agent")), "run", "--coordinator", address, "--host", "host0"),
        *("--tag", "fleet=bench", "--data-dir", str(directory / "agent"), "--root-prefix", str(directory / "root"), "--insecure"),
    )
    (directory / "root").mkdir()
    process = await asyncio.create_subprocess_exec(*command, cwd=child.ROOT, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def connected(directory: Path) -> AsyncIterator[tuple[child.Child, int]]:
    """A coordinator and a real agent that is connected to it; yields the one and the process id of the other."""
    async with child.child("fleets.coordinator", str(directory / "coordinator")) as server:
        async with agent(str((await server.ask(do="address"))["address"]), directory) as pid:
            async with asyncio.timeout(CONNECTED_WITHIN):
                while (await server.ask(do="connected"))["hosts"] < 1:  # noqa: ASYNC110  the count is in another process
                    await asyncio.sleep(0.1)
            yield server, pid


def processes(pid: int) -> dict[str, int]:
    """The agent and what it has started ahead, by what each is for."""
    found = {"agent, connected": pid}
    for threads in Path(f"/proc/{pid}/task").iterdir():
        for started in (threads / "children").read_text().split():
            words = Path(f"/proc/{started}/cmdline").read_bytes()
            found["unpacking process started ahead" if b"agent.bundle" in words else "supervisor started ahead"] = int(started)
    return found


async def measure(rounds: int, directory: Path) -> AsyncIterator[Figure]:
    """All figures, after the last round."""
    started = Started(directory / "fifo")
    first, between, whole, bare = [], [], [], []
    async with connected(directory) as (server, pid):
        for number in range(WARM_UP + rounds):
            archive = directory / f"{number}.tgz"
            bundle(archive, started.path, number)
            await server.ask(do="push", path=str(archive))
            await asyncio.sleep(IDLE)
            started.times.clear()
            measured = await server.ask(do="deploy")
            times = started.times
            if number >= WARM_UP:
                first.append(times["ApplicationStop"] - measured["sent"])
                between.append(times["ValidateService"] - times["ApplicationStart"])
                whole.append(measured["ended"] - measured["sent"])
                bare.append(floor(directory, started.path))
        await asyncio.sleep(IDLE)
        memory = {name: (resident_kib(one), proportional_kib(one)) for name, one in processes(pid).items()}
    hook = median(bare)
    for name, values, floor_of_it, bar in (
        ("instruction to first hook started", first, hook, 2.0),
        ("event to next event", between, hook, 2.0),
        ("seven events with five hooks", whole, hook * len(HOOKS), 1.7),
    ):
        yield Figure(name=name, value=median(values) * 1000, unit="ms", floor=floor_of_it * 1000, bar=bar)
    yield Figure(name="one bare hook: spawn, wait, 3 fsyncs", value=hook * 1000, unit="ms")
    for name, (resident, proportional) in memory.items():
        yield Figure(name=f"memory of the {name}", value=resident / 1024, unit="MiB")
        yield Figure(name=f"memory of the {name}, shared pages in part", value=proportional / 1024, unit="MiB")
