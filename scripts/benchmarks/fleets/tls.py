"""`scripts/bench tls`: what mTLS costs the coordinator, in processor time for a report and in memory for a host.

Two coordinators, one over mTLS and one over plaintext, each with its database and its hosts, roll out in turns. Who is first changes from
pair to pair, so that what else the machine does meets both; each pair gives one ratio.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.fleets.hub import REPORTS
from scripts.benchmarks.fleets.rollout import our_stand

CPU_BAR: Final = 1.2
MEMORY_BAR: Final = 60.0
"""KiB that a host may take more than over plaintext."""

ENOUGH_FOR_MEMORY: Final = 1_000
"""With fewer hosts the memory of the empty process is most of it."""


async def measure(sizes: list[int], pairs: int, directory: Path) -> AsyncIterator[Figure]:
    """All figures, fleet by fleet."""
    for hosts in sizes:
        async with AsyncExitStack() as stack:
            mtls, plaintext = [
                await stack.enter_async_context(our_stand(directory / f"{name}-{hosts}", hosts, secure=name == "mtls"))
                for name in ("mtls", "plaintext")
            ]
            for number in range(pairs + 1):
                for one in (mtls, plaintext) if number % 2 else (plaintext, mtls):
                    await one.deploy()
        ratios = sorted(ours / floor for ours, floor in zip(mtls.cpu, plaintext.cpu, strict=True))
        at = f"{hosts} hosts: "
        ours, floor = (median(cpu) / hosts / REPORTS * 1e6 for cpu in (mtls.cpu, plaintext.cpu))
        yield Figure(name=at + "coordinator's CPU for a report", value=ours, unit="us", floor=floor)
        yield Figure(name=at + f"mTLS to plaintext, median of {pairs} pairs", value=median(ratios), unit="times", bar=CPU_BAR)
        low, _, high = quantiles(ratios, n=4) if pairs > 1 else 3 * ratios
        for name, value in (("least", ratios[0]), ("lower quartile", low), ("upper quartile", high), ("most", ratios[-1])):
            yield Figure(name=f"{at}mTLS to plaintext, {name}", value=value, unit="times")
        more, before = mtls.measured().memory / hosts, plaintext.measured().memory / hosts
        yield Figure(name=at + "memory for a host", value=more, unit="KiB", floor=before)
        bar = MEMORY_BAR if hosts >= ENOUGH_FOR_MEMORY else None
        yield Figure(name=at + "memory for a host, over plaintext's", value=more - before, unit="KiB", bar=bar)
