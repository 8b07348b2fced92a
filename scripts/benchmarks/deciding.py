"""`scripts/bench deciding`: what the core needs of the processor to decide about one fact, in groups of very different sizes.

Each fact is one report in a commit of its own, as when hosts report alone. Reports of the hosts in progress come in turn, so that each of
them finds another host than the one before; where very many are in progress, hosts from all over the group report. What is measured lies
between the creation and the end, which touch every target once. Sizes take turns, and the median counts.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from statistics import median
from time import process_time_ns
from typing import Final

from coordinator.core.facts import DeploymentRequested, Report, Reported
from coordinator.core.lifecycle import IN_PLACE, EventStatus
from coordinator.core.machine import step
from coordinator.core.model import Group, MinimumHealthyHosts, MinimumHealthyHostsType, Snapshot
from coordinator.core.orders import Changes, Instruct, Instruction, Order
from scripts.benchmarks.figures import Figure, percentile
from tests.core.rollout import Rollout, host_id, plan

BAR: Final = 1.5
"""The greatest cost of a fact in the largest group, in those of the smallest."""

FACTS: Final = 14_000
"""Measured in each run."""

AT_ONCE: Final = 50
"""Hosts in progress, in groups of every size."""

REPORTING: Final = 1_000
"""Hosts that report, where more than these are in progress."""

FIFTY: Final = MinimumHealthyHosts(type=MinimumHealthyHostsType.MOST_CONCURRENCY, value=AT_ONCE)
HALF: Final = MinimumHealthyHosts(type=MinimumHealthyHostsType.FLEET_PERCENT, value=50)
REPORTS: Final = tuple((event, status) for event in IN_PLACE for status in (EventStatus.InProgress, EventStatus.Succeeded))


def running(hosts: int, minimum: MinimumHealthyHosts) -> tuple[Group, list[Instruction]]:
    """A group of healthy hosts with a deployment that has just begun, and whom it instructs."""
    names = [f"h{number:06}" for number in range(hosts)]
    rollout = Rollout()
    rollout.given(names)
    found = tuple(Snapshot(host_id=host_id(name), name=name) for name in names)
    orders = step(rollout.group, [DeploymentRequested(at=0, elapsed=0, plan=plan("d-1", "r2", minimum), hosts=found)], Changes())
    return rollout.group, [order.instruction for order in orders if isinstance(order, Instruct)]


def spent(group: Group, instructions: Sequence[Instruction], facts: int) -> tuple[int, int]:
    """Nanoseconds of the processor that a number of facts took, and how many they were: fewer, when the deployment has ended."""
    took = done = 0
    elapsed = 1
    while instructions and done < facts:
        instructions = instructions[:: max(1, len(instructions) // REPORTING)]
        told = [
            Reported(at=elapsed, elapsed=elapsed, host_id=one.host_id, reports=(Report(seq, one.instruction_id, event, status, elapsed),))
            for seq, (event, status) in enumerate(REPORTS, start=1)
            for one in instructions
        ][: facts - done]
        orders: list[Order] = []
        began = process_time_ns()
        for fact in told:
            orders += step(group, [fact], Changes())
        took += process_time_ns() - began
        done += len(told)
        elapsed += 1
        instructions = [order.instruction for order in orders if isinstance(order, Instruct)]
    return took, done


def once(hosts: int, minimum: MinimumHealthyHosts) -> float:
    """Microseconds a fact; small groups are deployed to again and again until there are enough."""
    took = done = 0
    while done < FACTS:
        group, instructions = running(hosts, minimum)
        more, facts = spent(group, instructions, FACTS - done)
        took, done = took + more, done + facts
    return took / done / 1000


async def measure(sizes: Sequence[int], rounds: int) -> AsyncIterator[Figure]:
    """The median at each size, and the ratio of the last to the first."""
    for name, minimum in ((f"{AT_ONCE} hosts at once", FIFTY), ("half of them at once", HALF)):
        seen: dict[int, list[float]] = defaultdict(list)
        for _ in range(rounds):
            for hosts in sizes:
                seen[hosts].append(once(hosts, minimum))
        for hosts in sizes:
            yield Figure(name=f"{name}: a fact among {hosts:,} targets", value=median(seen[hosts]), unit="us")
            yield Figure(name=f"{name}: the same, tenth to ninetieth run in a hundred", value=_spread(seen[hosts]), unit="us")
        first, last = sizes[0], sizes[-1]
        yield Figure(name=f"{name}: {last:,} to {first:,} targets", value=median(seen[last]), unit="us", floor=median(seen[first]), bar=BAR)


def _spread(values: list[float]) -> float:
    return percentile(values, 90) - percentile(values, 10)
