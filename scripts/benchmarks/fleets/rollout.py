"""`scripts/bench fleet`: an AllAtOnce deployment of all seven events to simulated hosts, every report committed and acknowledged.

The floor is a hub (`hub.py`) that is spoken to by the same hosts over the same transport, mTLS with certificates of the same authority
unless plaintext is asked for: once with 14 messages for the 14 reports of a host, once with one, and once with as many as the coordinator
itself received. The bar is against the last one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from scripts.benchmarks import child
from scripts.benchmarks.figures import Figure, percentile

PROCESSES = 2
ROLLOUTS = {100: 25, 1_000: 7}
"""How many rollouts a fleet of a size gets after one that warms up. The coordinator and the hubs take turns, so that what else the
machine does meets all of them; medians count. Larger fleets get one rollout, and one server after the other."""
CONNECTED_WITHIN = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A rollout, as its server saw it: medians, where there were several."""

    wall: float
    cpu: float
    messages: float
    first: float
    """Seconds from instruction to first report, the 99th percentile over the hosts."""
    memory: int
    """KiB, the most it was above the empty server."""
    hosts_cpu: float


class Stand:
    """A server and its hosts, all connected."""

    def __init__(self, server: child.Child, parts: list[child.Child]) -> None:
        """Nothing was deployed yet."""
        self._server = server
        self._parts = parts
        self._rollouts: list[child.Line] = []
        self._hosts_cpu: list[float] = []

    async def deploy(self) -> None:
        """One rollout to all hosts."""
        before = await self._cpu()
        self._rollouts.append(await self._server.ask(do="deploy"))
        self._hosts_cpu.append(await self._cpu() - before)

    def measured(self) -> Measured:
        """All rollouts so far; the first one has warmed up, if there were several."""
        rollouts = self._rollouts[1:] or self._rollouts
        return Measured(
            wall=median(one["wall"] for one in rollouts),
            cpu=median(one["cpu"] for one in rollouts),
            messages=median(one["messages"] for one in rollouts),
            first=median(percentile(one["first"], 99) for one in rollouts),
            memory=max(one["memory"] for one in rollouts),
            hosts_cpu=median(self._hosts_cpu[1:] or self._hosts_cpu),
        )

    @property
    def cpu(self) -> list[float]:
        """The server's seconds in each rollout, without the first one."""
        return [one["cpu"] for one in self._rollouts[1:]]

    async def _cpu(self) -> float:
        return child.together([await part.ask() for part in self._parts], "cpu")


@asynccontextmanager
async def fleet(
    address: str, hosts: int, *, messages: float, pki: Path | None = None, quiet: bool = False
) -> AsyncIterator[list[child.Child]]:
    """So many hosts, in several processes; `quiet` ones do not complain."""
    about = ("--address", address, "--messages", str(messages), *(("--pki", str(pki)) if pki else ()), *(("--quiet",) if quiet else ()))
    async with AsyncExitStack() as stack:
        parts: list[child.Child] = []
        for part in range(PROCESSES):
            first, last = hosts * part // PROCESSES, hosts * (part + 1) // PROCESSES
            numbers = ("--first", str(first), "--count", str(last - first))
            parts.append(await stack.enter_async_context(child.child("fleets.hosts", *about, *numbers)))
        yield parts


async def connected(server: child.Child, hosts: int, *, look_every: float = 0.2) -> None:
    """Until so many hosts are connected."""
    async with asyncio.timeout(CONNECTED_WITHIN):
        while (await server.ask(do="connected"))["hosts"] < hosts:  # noqa: ASYNC110  the count is in another process
            await asyncio.sleep(look_every)


@asynccontextmanager
async def stand(*server: str, hosts: int, messages: float = 0, pki: Path | None = None) -> AsyncIterator[Stand]:
    """A server of its own, with as many hosts; `messages`: how many a host sends in a rollout, 0 as its agent does."""
    async with child.child(*server) as process:
        address = str((await process.ask(do="address"))["address"])
        async with fleet(address, hosts, messages=messages, pki=pki) as parts:
            await connected(process, hosts)
            yield Stand(process, parts)


@asynccontextmanager
async def our_stand(directory: Path, hosts: int, *, secure: bool) -> AsyncIterator[Stand]:
    """A coordinator with a new database in `directory`, and as many hosts."""
    words = ("--secure", str(hosts)) if secure else ()
    async with stand("fleets.coordinator", str(directory), *words, hosts=hosts, pki=pki_of(directory) if secure else None) as ours:
        yield ours


def pki_of(directory: Path) -> Path:
    """The authority of a coordinator with this data directory."""
    return directory / "pki"


async def compare(hosts: int, directory: Path, *, secure: bool) -> list[Measured]:
    """The coordinator, with a new database, and the hubs with 14 messages, with one, and with as many as the coordinator got."""
    pki = pki_of(directory) if secure else None
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(our_stand(directory, hosts, secure=secure))
        await ours.deploy()
        stands = [ours]
        together = hosts in ROLLOUTS
        if not together:
            await stack.aclose()
        for messages in (14.0, 1.0, max(1.0, ours.measured().messages / hosts)):
            words = ("--pki", str(pki)) if pki else ()
            hub = await stack.enter_async_context(stand("fleets.hub", *words, hosts=hosts, messages=messages, pki=pki))
            stands.append(hub)
            await hub.deploy()
            if not together:
                await stack.aclose()
        for _ in range(ROLLOUTS.get(hosts, 0)):
            for one in stands:
                await one.deploy()
        return [one.measured() for one in stands]


async def measure(sizes: list[int], directory: Path, *, secure: bool) -> AsyncIterator[Figure]:
    """All figures, in the order in which they become known; `secure`: over mTLS."""
    over = "mTLS" if secure else "plaintext"
    costs: dict[int, tuple[Measured, Measured]] = {}
    for hosts in sizes:
        ours, many, one, same = await compare(hosts, directory / f"fleet-{hosts}", secure=secure)
        costs[hosts] = (ours, same)
        at = f"{hosts} hosts, {over}: "
        yield Figure(name=at + "messages received from a host", value=ours.messages / hosts, unit="messages")
        for name, floor, bar in (("14 messages", many, None), ("1 message", one, None), ("as many messages", same, 2.0)):
            yield Figure(name=at + f"wall, hub with {name}", value=ours.wall, unit="s", floor=floor.wall, bar=bar)
            yield Figure(name=at + f"server CPU, hub with {name}", value=ours.cpu, unit="s", floor=floor.cpu, bar=bar)
        yield Figure(name=at + "simulated hosts' CPU", value=ours.hosts_cpu, unit="s", floor=same.hosts_cpu)
        yield Figure(
            name=at + "memory for a host", value=ours.memory / hosts, unit="KiB", bar=(140 if secure else 80) if hosts >= 1000 else None
        )
        yield Figure(name=at + "memory for a host, the hub's", value=same.memory / hosts, unit="KiB")
        yield Figure(
            name=at + "instruction to first report, p99",
            value=ours.first * 1000,
            unit="ms",
            floor=same.first * 1000,
            bar=1.5,
        )
    if 1_000 in costs and 10_000 in costs:
        (ours_small, hub_small), (ours_large, hub_large) = costs[1_000], costs[10_000]
        for name, ours_growth, hub_growth in (
            ("wall", ours_large.wall / ours_small.wall / 10, hub_large.wall / hub_small.wall / 10),
            ("server CPU", ours_large.cpu / ours_small.cpu / 10, hub_large.cpu / hub_small.cpu / 10),
        ):
            yield Figure(name=f"growth of {name} for a host, 1,000 to 10,000", value=ours_growth, unit="times", floor=hub_growth, bar=1.3)
