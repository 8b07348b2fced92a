"""`scripts/bench metrics`: how long a scrape takes, and for how long the event loop stands still meanwhile.

Everything that can be counted of 1,000 hosts has been, once with 200 groups by name, each with a live deployment, and once without
names. Asked over HTTP on loopback, by a client in a process of its own, as Prometheus is; and written out without anybody who asks.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from coordinator.core.lifecycle import DeploymentStatus, TargetStatus
from coordinator.core.model import (
    AutoRollbackEvent,
    BundleType,
    CoordinatorLocation,
    Creator,
    Deployment,
    DeploymentId,
    FileExistsBehavior,
    Group,
    GroupId,
    HostId,
    HostStatus,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    Plan,
    Revision,
    RevisionId,
    Session,
    Target,
)
from coordinator.core.orders import Changes, Entry, HistoryEntry
from coordinator.metrics import NAMED_AT_MOST, Metrics, Sizes
from coordinator.web.app import Health, app
from coordinator.web.server import HttpServer
from scripts.benchmarks.child import child
from scripts.benchmarks.figures import Figure, cpu_seconds, percentile
from scripts.benchmarks.scraper import OPENMETRICS

HOSTS: Final = 1_000
TICK: Final = 0.001


class Fleet:
    """A sight of 200 groups, each with its share of the hosts and a live deployment."""

    def __init__(self) -> None:
        self.sessions = [
            Session(host_id=HostId(f"{number:032x}"), name=f"h{number}", status=HostStatus.Connected, agent_version="0.1.0")
            for number in range(HOSTS)
        ]
        self.groups = [_group(number, self.sessions[number::NAMED_AT_MOST]) for number in range(NAMED_AT_MOST)]
        self.parked = self.waiting = 0

    def deploy(self, metrics: Metrics) -> None:
        """Every group's deployment has begun, and one before it has ended."""
        for number, group in enumerate(self.groups):
            for one in (_ended(number), group.deployment):
                assert one is not None
                changes = Changes(deployments={one.deployment_id: one}, created={one.deployment_id: one})
                entries = [Entry.Created] + ([Entry.Succeeded] if one.status.terminal else [])
                changes.history += [HistoryEntry(0, entry, "", group.group_id, one.deployment_id) for entry in entries]
                metrics.committed.count(changes, {}, at=0, elapsed=0)
            metrics.committed.outcomes.succeeded("shop", f"group-{number}", "v1.2.3", number)


class Disk:
    """A store."""

    def sizes(self) -> Sizes:
        """Of some file."""
        return Sizes(1 << 30, 1 << 20, 1 << 34, 0)

    def time(self, told: Callable[[str, float], None]) -> None:
        """None is timed."""


async def measure(rounds: int) -> AsyncIterator[Figure]:
    """All figures."""
    for names in (False, True):
        metrics, fleet = Metrics(names=names), Fleet()
        fleet.deploy(metrics)
        metrics.watch(fleet)
        metrics.storage.watch(Disk(), lambda: (10, 1 << 30))
        what = f"{HOSTS:,} hosts, {NAMED_AT_MOST if names else 'no'} names"
        began = cpu_seconds()
        took, stalls, size = await _scraped(metrics, rounds)
        spent = (cpu_seconds() - began) / rounds
        yield Figure(name=f"/metrics with {what}, p50", value=percentile(took, 50) * 1000, unit="ms", bar=50)
        yield Figure(name=f"/metrics with {what}, p99", value=percentile(took, 99) * 1000, unit="ms", bar=None if names else 50)
        own = await _written_out(metrics, rounds)
        yield Figure(name="its own time, without HTTP, p50", value=percentile(own, 50) * 1000, unit="ms")
        bare = _spun(spent, rounds)
        what = "its own time, without HTTP, p99; floor: as much arithmetic"
        yield Figure(name=what, value=percentile(own, 99) * 1000, unit="ms", floor=percentile(bare, 99) * 1000)
        yield Figure(name="CPU of the coordinator for a scrape", value=spent * 1000, unit="ms")
        quiet = await _quiet()
        yield Figure(
            name="a timer comes late meanwhile, p99; floor: without scrapes",
            value=percentile(stalls, 99) * 1000,
            unit="ms",
            floor=percentile(quiet, 99) * 1000,
        )
        yield Figure(name="size", value=size / 1000, unit="kB")


async def _scraped(metrics: Metrics, rounds: int) -> tuple[list[float], list[float], int]:
    """How long each scrape took, how late a timer was meanwhile, and how large an answer is."""
    server = HttpServer(app(metrics, lambda: Health(serving=True, committed=1, store="ok")), host="127.0.0.1", port=0)
    serving = asyncio.create_task(server.serve())
    stalls: list[float] = []
    async with child("scraper") as client:
        await client.ask(port=server.port, rounds=1)
        ticking = asyncio.create_task(_tick(stalls))
        answer = await client.ask(port=server.port, rounds=rounds)
        ticking.cancel()
    server.stop()
    await serving
    return answer["took"], stalls, answer["size"]


async def _written_out(metrics: Metrics, rounds: int) -> list[float]:
    """How long it takes to write everything out, for nobody."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        await metrics.exposition(OPENMETRICS)
        took.append(time.perf_counter() - began)
    return took


def _spun(seconds: float, rounds: int) -> list[float]:
    """How long as many seconds of a processor take on this machine, for whoever wants nothing else."""
    took = []
    for _ in range(rounds):
        began, until = time.perf_counter(), time.thread_time() + seconds
        while time.thread_time() < until:
            pass
        took.append(time.perf_counter() - began)
    return took


async def _quiet() -> list[float]:
    """How late a timer is while nobody scrapes: what the machine does to us anyway."""
    stalls: list[float] = []
    ticking = asyncio.create_task(_tick(stalls))
    await asyncio.sleep(2)
    ticking.cancel()
    return stalls


async def _tick(stalls: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(TICK)
        stalls.append(time.perf_counter() - began - TICK)


def _group(number: int, hosts: list[Session]) -> Group:
    plan = _plan(f"d-{number:09}", number)
    targets = {one.host_id: Target(deployment_id=plan.deployment_id, host_id=one.host_id, host_name=one.name) for one in hosts}
    counts = dict.fromkeys(TargetStatus, 0) | {TargetStatus.InProgress: len(targets)}
    deployment = Deployment(plan=plan, status=DeploymentStatus.InProgress, targets=targets, members=frozenset(targets), counts=counts)
    return Group(group_id=plan.group_id, deployment=deployment)


def _ended(number: int) -> Deployment:
    plan = _plan(f"d-E{number:08}", number)
    return Deployment(plan=plan, status=DeploymentStatus.Succeeded, targets={}, members=frozenset(), completed_at=60_000)


def _plan(deployment_id: str, number: int) -> Plan:
    revision = Revision(
        revision_id=RevisionId("v1.2.3"), place=CoordinatorLocation(size=1 << 20), bundle_type=BundleType.tgz, sha256=bytes(32)
    )
    return Plan(
        deployment_id=DeploymentId(deployment_id),
        group_id=GroupId(f"group {number}"),
        application_name="shop",
        group_name=f"group-{number}",
        revision=revision,
        config_name="AllAtOnce",
        minimum_healthy_hosts=MinimumHealthyHosts(type=MinimumHealthyHostsType.HOST_COUNT, value=0),
        auto_rollback=frozenset({AutoRollbackEvent.DEPLOYMENT_FAILURE}),
        file_exists_behavior=FileExistsBehavior.DISALLOW,
        creator=Creator.user,
        created_by="bench",
        description="",
        created_at=0,
        rollback_id=DeploymentId(""),
    )
