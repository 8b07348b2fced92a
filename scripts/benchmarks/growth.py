"""Part of `scripts/bench agent`: whether an agent's memory grows over two hundred deployments, or after a bundle of a gigabyte.

An agent remembers the last hundred instructions, so the first two hundred deployments fill what the next two hundred find full.
"""

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from scripts.benchmarks import host
from scripts.benchmarks.figures import Figure, resident_kib

WARM_UP: Final = 20
DEPLOYMENTS: Final = 200
LARGE_BYTES: Final = 1_000 << 20
PIECE: Final = 4 << 20
GROWTH_MIB: Final = 1.0
IDLE_MIB: Final = 45.0


class Random(io.RawIOBase):
    """Bytes that cannot be compressed: one piece of chance again and again."""

    def __init__(self) -> None:
        """The piece is made once."""
        self._piece = os.urandom(PIECE)

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        return self._piece[: min(size, PIECE)]


def large_bundle(path: Path, fifo: Path) -> None:
    """The small bundle with a large file in it."""
    with tarfile.open(path, "w") as archive:
        for member, content in host.members(fifo, number=0):
            archive.addfile(member, io.BytesIO(content))
        large = tarfile.TarInfo("large")
        large.size = LARGE_BYTES
        archive.addfile(large, Random())


async def measure(directory: Path) -> AsyncIterator[Figure]:
    """All figures, after the last deployment."""
    started = host.Started(directory / "fifo")
    async with host.connected(directory) as (server, pid):

        async def deploy(archive: Path) -> float:
            await server.ask(do="push", path=str(archive))
            await server.ask(do="deploy")
            await asyncio.to_thread(archive.unlink)
            return resident_kib(pid) / 1024

        async def small(number: int) -> float:
            archive = directory / f"{number}.tgz"
            host.bundle(archive, started.path, number)
            return await deploy(archive)

        async def many(first: int, count: int) -> float:
            return [await small(number) for number in range(first, first + count)][-1]

        before = await many(0, WARM_UP)
        half = await many(WARM_UP, DEPLOYMENTS)
        after = await many(WARM_UP + DEPLOYMENTS, DEPLOYMENTS)
        yield Figure(name=f"agent's memory after {WARM_UP} deployments", value=before, unit="MiB", bar=IDLE_MIB)
        yield Figure(name=f"growth over {DEPLOYMENTS} more, which it remembers", value=half - before, unit="MiB", bar=GROWTH_MIB)
        yield Figure(name=f"growth over the {DEPLOYMENTS} after those", value=after - half, unit="MiB", bar=GROWTH_MIB)
        archive = directory / "large.tar"
        await asyncio.to_thread(large_bundle, archive, started.path)
        yield Figure(name="growth after a bundle of 1 GB", value=await deploy(archive) - after, unit="MiB", bar=GROWTH_MIB)
