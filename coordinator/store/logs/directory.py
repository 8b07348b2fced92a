"""The files of logs that nobody uses: which are worth compressing, and which are too old or too many.

Everything here waits for the disk, and belongs in a thread.
"""

import logging
import os
from pathlib import Path
from typing import Final

from coordinator.core.errors import StorageFailed
from coordinator.core.model import DeploymentId
from coordinator.store.logs.octets import is_worth_packing

log = logging.getLogger(__name__)

SUFFIX: Final = ".log"


def quiet(directory: Path, since: int) -> list[DeploymentId]:
    """The deployments whose log is worth compressing, and to which nothing has come for a while."""
    found = []
    for path in directory.glob(f"*{SUFFIX}"):
        try:
            if path.stat().st_mtime_ns // 1_000_000 <= since and is_worth_packing(path):
                found.append(DeploymentId(path.stem))
        except (OSError, StorageFailed):
            continue  # who reads it is told why that is impossible
    return found


def replace(path: Path, packed: Path) -> int:
    """Put the compressed file in the place of the other, with its time; how many bytes that saves."""
    before, after = path.stat(), packed.stat()
    os.utime(packed, ns=(before.st_atime_ns, before.st_mtime_ns))
    packed.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return before.st_size - after.st_size


def remove_old(directory: Path, in_use: set[str], oldest: int, max_bytes: int) -> int:
    """Remove logs that nobody uses: those that are too old, and the oldest while there are too many bytes. Returns what is left."""
    try:
        found = sorted(((entry.stat(), Path(entry.path)) for entry in os.scandir(directory)), key=lambda each: each[0].st_mtime_ns)
    except OSError as error:
        log.error("old logs not looked for why=%r", error.strerror)
        return 0
    total = sum(status.st_size for status, _ in found)
    crowded = total > max_bytes * 9 // 10
    for status, path in found:
        if path.stem in in_use:
            continue
        if status.st_mtime_ns // 1_000_000 < oldest or (crowded and total > max_bytes * 9 // 10):
            try:
                path.unlink()
            except OSError as error:
                log.error("log not removed path=%s why=%r", path, error.strerror)
                continue
            total -= status.st_size
            log.info("log removed deployment=%s bytes=%d", path.stem, status.st_size)
    return total
