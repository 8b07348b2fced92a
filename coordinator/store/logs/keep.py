"""All deployments' logs: writes what was taken, syncs it about once a second, compresses what has ended, removes what is old.

Implements `LogKeep`.
"""

import asyncio
import errno
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from coordinator.core.errors import DeployError, StorageFailed, StorageFull
from coordinator.core.model import DeploymentId
from coordinator.engine.ports import Clock
from coordinator.store.logs import directory, frames, octets
from coordinator.store.logs.directory import SUFFIX
from coordinator.store.logs.file import UNSURE, LogFile
from coordinator.store.logs.log import DeploymentLog

log = logging.getLogger(__name__)

SYNC_SECONDS: Final = 1.0
GATHER: Final = 5
"""Milliseconds for which pieces gather before they are written together."""

ON_THE_WAY: Final = UNSURE // 2
"""Bytes that may wait to be written or synced; what comes then has to wait."""

RESERVE: Final = 64 << 20
"""Bytes that stay free on the disk for the history."""

IDLE_AT_MOST: Final = 32
"""Logs that stay open when nobody uses them."""

RETENTION_SECONDS: Final = 600.0
RETENTION_PAUSE: Final = 1_000
"""Milliseconds between two looks at least, however much comes."""

PACK_PAUSE: Final = 60_000
"""Milliseconds between two looks for logs to compress, and for which nothing must have come to one."""

DAY: Final = 86_400_000
PACKING: Final = ".packing"

T = TypeVar("T")


class Retention(NamedTuple):
    """How much is kept."""

    days: int
    max_bytes: int


class Logs:
    """The directory of logs. `run` writes; nothing is written without it."""

    def __init__(
        self,
        path: Path,
        *,
        retention: Retention,
        clock: Clock,
        ended: Callable[[DeploymentId], Awaitable[bool]],
        sync_seconds: float = SYNC_SECONDS,
    ) -> None:
        """Makes the directory if need be. `ended` tells whether a deployment has: then its log is compressed."""
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for unfinished in path.glob(f"*{PACKING}"):
            unfinished.unlink()
        self.directory = path
        self.full = False
        self._retention = retention
        self._clock = clock
        self._has_ended = ended
        self._sync_seconds = sync_seconds
        self._logs: dict[str, DeploymentLog] = {}
        self._opening = asyncio.Lock()
        self._being_opened: dict[str, asyncio.Event] = {}
        self._not_to_pack: set[DeploymentId] = set()
        self._total = 0
        self._on_the_way = 0
        self._dirty: dict[DeploymentLog, None] = {}
        self._unsynced: dict[DeploymentLog, int] = {}
        self._work, self._written, self._hurry = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._freed, self._crowded = asyncio.Event(), asyncio.Event()
        self._low = False

    async def run(self) -> None:
        """Write, sync and remove, until cancelled. What is not acknowledged then is sent again by its agent."""
        with ThreadPoolExecutor(3, "logs") as threads:
            try:
                async with asyncio.TaskGroup() as parts:
                    parts.create_task(self._remove_old(threads), name="log retention")
                    parts.create_task(self._pack_ended(threads), name="log compression")
                    parts.create_task(self._write(threads), name="log writer")
                    parts.create_task(self._sync(threads), name="log syncs")
            finally:
                for one in self._logs.values():
                    one.failed(StorageFailed("cannot keep logs: the coordinator stops"))
                    one.file.close()
                self._logs.clear()

    @asynccontextmanager
    async def open(self, deployment_id: DeploymentId) -> AsyncIterator[DeploymentLog]:
        """See `LogKeep`."""
        opened = await self._found(deployment_id)
        try:
            yield opened
        finally:
            opened.users -= 1
            self._let_go(opened)

    async def room(self, size: int) -> None:
        """See `log.Writing`."""
        while self._on_the_way and self._on_the_way + size > ON_THE_WAY:
            self._hurry.set()
            await self._freed.wait()
        if self._low:
            self._written.set()  # look again, soon
            raise StorageFull(f"cannot keep logs: the disk of {self.directory} is full; free some space on the coordinator")

    def wanted(self, opened: DeploymentLog, size: int) -> None:
        """See `log.Writing`."""
        self._on_the_way += size
        self._total += size
        self._dirty[opened] = None
        self._work.set()
        if self._total > self._retention.max_bytes * 95 // 100:
            self._crowded.set()
            self.full = self._total > self._retention.max_bytes

    def _is_low(self) -> bool:
        try:
            return shutil.disk_usage(self.directory).free < RESERVE
        except OSError:
            return False  # writing fails, and says why

    async def pause(self) -> None:
        """See `log.Writing`."""
        await self._clock.sleep(1)

    async def _found(self, deployment_id: str) -> DeploymentLog:
        """The log, with one user more; a large one takes its time to open, and holds up nobody who wants another."""
        while True:
            async with self._opening:
                opened = self._logs.get(deployment_id)
                if opened is not None:
                    opened.users += 1
                    return opened
                others = self._being_opened.get(deployment_id)
                if others is None:
                    self._being_opened[deployment_id] = asyncio.Event()
                    break
            await others.wait()
        try:
            file = await asyncio.to_thread(self._opened, deployment_id)
            opened = self._logs[deployment_id] = DeploymentLog(deployment_id, file, self)
            opened.users += 1
            return opened
        finally:
            self._being_opened.pop(deployment_id).set()

    def _opened(self, deployment_id: str) -> LogFile:
        try:
            return LogFile(self.directory / f"{deployment_id}{SUFFIX}")
        except OSError as error:
            raise StorageFailed(f"cannot open the log of {deployment_id}: {error.strerror}") from error

    def _let_go(self, opened: DeploymentLog) -> None:
        """Close it if it is broken, and the one that was not used for longest if too many are open."""
        if opened.failure is not None:
            if not opened.users:
                opened.file.close()
            return
        if not opened.users:
            self._logs[opened.deployment_id] = self._logs.pop(opened.deployment_id)
        idle = [one for one in self._logs.values() if not one.users and one.settled]
        for one in idle[: max(0, len(idle) - IDLE_AT_MOST)]:
            self._logs.pop(one.deployment_id).file.close()

    async def _write(self, threads: ThreadPoolExecutor) -> None:
        while True:
            await self._work.wait()
            await self._clock.sleep(GATHER)
            self._work.clear()
            while self._dirty:
                opened = next(iter(self._dirty))
                del self._dirty[opened]
                made, opened.pending = opened.pending, []
                if not made:
                    continue
                block = b"".join([frames.encode(head, content) for head, content in made])
                if await self._done(opened, threads, partial(opened.file.append, block)):
                    opened.written(made)
                    self._unsynced[opened] = self._unsynced.get(opened, 0) + len(block)
                    self._written.set()
                else:
                    self._free(len(block))

    async def _sync(self, threads: ThreadPoolExecutor) -> None:
        while True:
            await self._written.wait()
            self._written.clear()
            try:
                async with asyncio.timeout(self._sync_seconds):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            self._hurry.clear()
            self._low = await _in_a_thread(threads, self._is_low)
            unsynced, self._unsynced = self._unsynced, {}
            for opened, size in unsynced.items():
                position = opened.end
                if await self._done(opened, threads, opened.file.sync):
                    await opened.synced(position)
                self._free(size)

    async def _done(self, opened: DeploymentLog, threads: ThreadPoolExecutor, call: Callable[[], None]) -> bool:
        """Whether a call succeeded; if not, the log is broken."""
        if opened.failure is not None:
            return False
        try:
            await _in_a_thread(threads, call)
        except OSError as error:
            failure = _failure(opened, error)
            log.error("log not written deployment=%s why=%r", opened.deployment_id, failure.message)
            self._free(sum(head.size for head, _ in opened.pending))
            self._logs.pop(opened.deployment_id, None)
            opened.failed(failure)
            self._let_go(opened)
            return False
        return True

    def _free(self, size: int) -> None:
        self._on_the_way -= size
        freed, self._freed = self._freed, asyncio.Event()
        freed.set()

    async def _pack_ended(self, threads: ThreadPoolExecutor) -> None:
        while True:
            await self._clock.sleep(PACK_PAUSE)
            for deployment_id in await _in_a_thread(threads, partial(directory.quiet, self.directory, self._clock.now() - PACK_PAUSE)):
                if deployment_id in self._not_to_pack or not await self._has_ended(deployment_id):
                    continue
                try:
                    await self._pack(deployment_id, threads)
                except (DeployError, OSError) as error:
                    log.error("log not compressed deployment=%s why=%r", deployment_id, str(error))
                    self._not_to_pack.add(deployment_id)  # until the next start: saying it once is enough

    async def _pack(self, deployment_id: DeploymentId, threads: ThreadPoolExecutor) -> None:
        """Compress a log, unless somebody uses it meanwhile: then another time."""
        path, packed = self.directory / f"{deployment_id}{SUFFIX}", self.directory / f"{deployment_id}{PACKING}"
        try:
            async with self.open(deployment_id) as opened:
                size = opened.end
                if opened.users > 1:
                    return
                await _in_a_thread(threads, partial(octets.pack, opened.file.octets, size, packed))
            async with self._opening:
                if self._logs.get(deployment_id) is not opened or opened.users or not opened.settled or opened.end != size:
                    return
                self._logs.pop(deployment_id).file.close()
                saved = await _in_a_thread(threads, partial(directory.replace, path, packed))
                self._total -= saved
                log.info("log compressed deployment=%s bytes=%d saved=%d", deployment_id, size, saved)
        finally:
            packed.unlink(missing_ok=True)

    async def _remove_old(self, threads: ThreadPoolExecutor) -> None:
        while True:
            self._crowded.clear()
            async with self._opening:
                in_use = {name for name, opened in self._logs.items() if opened.users or not opened.settled} | self._being_opened.keys()
                for name in self._logs.keys() - in_use:
                    self._logs.pop(name).file.close()
                oldest, known = self._clock.now() - self._retention.days * DAY, self._total - self._on_the_way
                removal = partial(directory.remove_old, self.directory, in_use, oldest, self._retention.max_bytes)
                left = await _in_a_thread(threads, removal)
                self._total += left - known  # what has come meanwhile is counted already
            self.full = self._total > self._retention.max_bytes
            await self._clock.sleep(RETENTION_PAUSE)
            try:
                async with asyncio.timeout(RETENTION_SECONDS):
                    await self._crowded.wait()
            except TimeoutError:
                continue


def _failure(opened: DeploymentLog, error: OSError) -> DeployError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("cannot keep logs: the coordinator's disk is full; free some space there")
    return StorageFailed(f"cannot keep the log of {opened.deployment_id}: {error.strerror}")


async def _in_a_thread(threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, call)
