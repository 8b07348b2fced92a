"""Bundles that were pushed, as files named by their SHA-256, outside the database. Implements the service's port `BundleKeep`.

A bundle is written to `incoming/` and moved into place once it is whole, checked and on the disk; what lies in `incoming/` when the
coordinator starts was broken off and is removed. Bundles that no revision refers to are removed by `tidy`.
"""

import asyncio
import errno
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from coordinator.core.errors import InvalidRevision, StorageFull
from coordinator.store import archive

log = logging.getLogger(__name__)

DIGEST: Final = re.compile(r"[0-9a-f]{64}")

RESERVE: Final = 64 << 20
"""Bytes that stay free on the disk for the history."""


class Bundles:
    """The directory of bundles."""

    def __init__(self, directory: Path) -> None:
        """Make the directory if need be, and clear away what was broken off."""
        self.directory = directory
        self._incoming = directory / "incoming"
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(parents=True, mode=0o700)
        self._held: Counter[bytes] = Counter()
        self._spared: set[bytes] = set()
        """What was held at any time since the present `tidy` began: it asks for what is wanted, and the answer may be older."""
        self._tidying = asyncio.Lock()

    def path(self, sha256: bytes) -> Path:
        """Where the bundle with this digest is kept, if it is."""
        return self.directory / sha256.hex()

    async def has(self, sha256: bytes) -> bool:
        """See `BundleKeep`."""
        return self.path(sha256).is_file()

    @contextmanager
    def hold(self, sha256: bytes) -> Iterator[None]:
        """See `BundleKeep`."""
        self._held[sha256] += 1
        self._spared.add(sha256)
        try:
            yield
        finally:
            self._held[sha256] -= 1

    async def tidy(self, wanted: Callable[[], Awaitable[Collection[bytes]]]) -> None:
        """See `BundleKeep`. A file goes out of sight at once and its bytes a little later; whoever reads it reads on."""
        async with self._tidying:
            self._spared = {sha256 for sha256, holders in self._held.items() if holders}
            kept = await wanted()
            for path, size in self._files():
                digest = bytes.fromhex(path.name)
                if digest in kept or digest in self._spared:
                    continue
                gone = self._incoming / f"{path.name}.removed"
                try:
                    path.rename(gone)
                    await asyncio.to_thread(gone.unlink)
                except OSError as error:
                    log.error("cannot remove a bundle that nobody needs, trying again at the next start path=%s error=%s", path, error)
                else:
                    log.info("bundle removed: no revision refers to it sha256=%s bytes=%d", path.name, size)

    def count(self) -> tuple[int, int]:
        """How many bundles there are, and their bytes."""
        sizes = [size for _, size in self._files()]
        return len(sizes), sum(sizes)

    def _files(self) -> list[tuple[Path, int]]:
        """Kept bundles and their sizes."""
        with os.scandir(self.directory) as entries:
            return [(Path(entry.path), entry.stat().st_size) for entry in entries if DIGEST.fullmatch(entry.name)]

    async def begin(self, size: int, sha256: bytes) -> "Upload":
        """See `BundleKeep`."""
        free = shutil.disk_usage(self.directory).free
        if free < size + RESERVE:
            raise StorageFull(
                f"cannot keep a bundle of {size} bytes: {self.directory} has {free} bytes free and {RESERVE} are kept for the history; "
                "free some space on the coordinator"
            )
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        return Upload(descriptor, Path(name), self.path(sha256))


class Upload:
    """A bundle on its way in."""

    def __init__(self, descriptor: int, path: Path, target: Path) -> None:
        """Made by `Bundles.begin`."""
        self._descriptor = descriptor
        self._path = path
        self._target = target

    async def write(self, chunk: bytes) -> None:
        """See `service.keep.Upload`."""
        try:
            await asyncio.to_thread(_write, self._descriptor, chunk)
        except OSError as error:
            raise self._full(error) from error

    async def finish(self) -> None:
        """See `service.keep.Upload`."""
        try:
            await asyncio.to_thread(os.fsync, self._descriptor)
        except OSError as error:
            raise self._full(error) from error
        wrong = await _verdict(self._path)
        if wrong != "found":
            raise InvalidRevision(f"cannot take the bundle: {wrong}", field="chunk")
        await asyncio.to_thread(_publish, self._path, self._target)

    async def discard(self) -> None:
        """See `service.keep.Upload`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._path.unlink(missing_ok=True)

    def _full(self, error: OSError) -> OSError | StorageFull:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StorageFull(f"cannot keep the bundle: the disk of {self._target.parent} is full; free some space on the coordinator")
        return error


async def _verdict(path: Path) -> str:
    """What the child says of an archive. Started by the standard library in a thread: uvloop's own way to start a process forks,
    and a fork of a process that serves gRPC dies now and then before it comes to exec."""
    command = (sys.executable, "-I", "-S", archive.__file__, str(path))
    try:
        ended = await asyncio.to_thread(subprocess.run, command, stdin=subprocess.DEVNULL, capture_output=True, timeout=2 * archive.SECONDS)
    except subprocess.TimeoutExpired:
        return "it cannot be read in the time that an archive may take"
    return ended.stdout.decode(errors="replace") or "it cannot be read within the memory and time that an archive may take"


def _write(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def _publish(path: Path, target: Path) -> None:
    path.chmod(0o600)
    path.rename(target)
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
