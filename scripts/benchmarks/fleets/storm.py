"""`scripts/bench storm`: a coordinator is killed and started again, and its whole fleet comes back over mTLS.

The simulated hosts are on the same machine, and their side of a handshake costs twice the coordinator's.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from scripts.benchmarks import child
from scripts.benchmarks.figures import Figure, percentile, resident_kib
from scripts.benchmarks.fleets import certificates
from scripts.benchmarks.fleets.rollout import connected, fleet, pki_of

SETTLES: Final = 2.0
"""Seconds until everybody has been connected for long enough to trust the coordinator."""

BACK_BAR: Final = 30.0
LAG_BAR: Final = 250.0
MEMORY_BAR: Final = 1024.0


async def measure(sizes: list[int], directory: Path) -> AsyncIterator[Figure]:
    """All figures, fleet by fleet."""
    for hosts in sizes:
        data = directory / f"storm-{hosts}"
        words = ("fleets.coordinator", str(data), "--secure", str(hosts))
        async with child.child(*words) as first:
            address = str((await first.ask(do="address"))["address"])
            async with fleet(address, hosts, messages=0, pki=pki_of(data), quiet=True):
                await connected(first, hosts)
                await asyncio.sleep(SETTLES)
                os.kill(first.pid, signal.SIGKILL)
                killed = time.monotonic()
                async with child.child(*words, "--again", address.rpartition(":")[2]) as second:
                    await second.ask(do="address")
                    ready = time.monotonic()
                    await connected(second, hosts, look_every=0.05)
                    back = time.monotonic()
                    names = [certificates.host_id(f"{certificates.PREFIX}{number}") for number in range(hosts)]
                    seen = await second.ask(do="lags", hosts=names)
                    memory = resident_kib(second.pid, peak=True) / 1024
        at = f"{hosts} hosts, mTLS: "
        yield Figure(name=at + "ready again after", value=ready - killed, unit="s")
        yield Figure(name=at + "all back after that", value=back - ready, unit="s", bar=BACK_BAR)
        yield Figure(name=at + "counted as lost", value=seen["lost"], unit="hosts", bar=0)
        yield Figure(name=at + "event loop late, p99", value=percentile(seen["lags"], 99) * 1000, unit="ms", bar=LAG_BAR)
        yield Figure(name=at + "event loop late, most", value=max(seen["lags"]) * 1000, unit="ms")
        yield Figure(name=at + "memory of the coordinator, peak", value=memory, unit="MiB", bar=MEMORY_BAR)
