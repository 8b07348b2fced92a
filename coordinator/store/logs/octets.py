"""The bytes of a log file by their position, wherever they lie: a log that has ended is compressed, and positions in it stay the same.

A file that begins with `MAGIC` has a table of compressed blocks and the blocks; whatever came after the compression follows plain.
Everything here waits for the disk, and belongs in a thread.
"""

import os
import struct
import zlib
from array import array
from itertools import accumulate
from pathlib import Path
from typing import Final

from coordinator.core.errors import StorageFailed

MAGIC: Final = b"HLZ1"
BLOCK: Final = 256 << 10
"""Bytes that are compressed together: what a reader who wants one of them has to unpack."""

WORTH_IT: Final = 4 << 10
"""Plain bytes of which compression would save nothing, since disks count in such pieces."""

_FIELDS: Final = struct.Struct(">4sQI")  # magic, size of what is compressed, checksum of the table


class Octets:
    """A log file's bytes. One thread writes, many may read."""

    def __init__(self, descriptor: int, path: Path) -> None:
        """Of an open file, which stays the caller's. Raises StorageFailed when its table is damaged."""
        self._descriptor = descriptor
        self._path = path
        self._packed = 0
        self._places: array[int] = array("Q", [0])
        self._last = (-1, b"")
        head = os.pread(descriptor, _FIELDS.size, 0)
        if len(head) == _FIELDS.size and head.startswith(MAGIC):
            self._read_table(head)

    @property
    def size(self) -> int:
        """How many there are."""
        return os.fstat(self._descriptor).st_size - self._places[-1] + self._packed

    @property
    def plain(self) -> int:
        """How many of them are not compressed."""
        return self.size - self._packed

    def read(self, size: int, position: int) -> bytes:
        """So many from a position on, fewer at the end. Raises StorageFailed when they are damaged."""
        parts = []
        while size > 0 and position < self._packed:
            octets = self._block(position // BLOCK)[position % BLOCK :][:size]
            parts.append(octets)
            position += len(octets)
            size -= len(octets)
        if size > 0:
            parts.append(os.pread(self._descriptor, size, position - self._packed + self._places[-1]))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def cut(self, size: int) -> None:
        """Leave the first so many. Raises StorageFailed where that is impossible."""
        if size < self._packed:
            raise self._damaged(size)
        os.ftruncate(self._descriptor, size - self._packed + self._places[-1])

    def _read_table(self, head: bytes) -> None:
        _, size, checksum = _FIELDS.unpack(head)
        count = -(-size // BLOCK)
        table = os.pread(self._descriptor, 4 * count, _FIELDS.size)
        if zlib.crc32(table, size & 0xFFFFFFFF) != checksum:
            raise self._damaged(0)
        begin = _FIELDS.size + len(table)
        self._packed = size
        self._places = array("Q", accumulate(struct.unpack(f">{count}I", table), initial=begin))
        if os.fstat(self._descriptor).st_size < self._places[-1]:
            raise self._damaged(size)

    def _block(self, number: int) -> bytes:
        last, octets = self._last
        if last != number:
            begin, end = self._places[number], self._places[number + 1]
            try:
                octets = zlib.decompress(os.pread(self._descriptor, end - begin, begin))
            except zlib.error as error:
                raise self._damaged(number * BLOCK) from error
            self._last = (number, octets)
        return octets

    def _damaged(self, position: int) -> StorageFailed:
        return StorageFailed(f"cannot read {self._path}: it is damaged at byte {position}; move it away to go on without it")


def pack(octets: Octets, size: int, target: Path) -> None:
    """Write the first `size` bytes to another file, compressed; when this returns, it survives a power cut."""
    sizes = []
    with target.open("wb") as file:
        file.seek(_FIELDS.size + 4 * -(-size // BLOCK))
        for position in range(0, size, BLOCK):
            block = zlib.compress(octets.read(min(BLOCK, size - position), position))
            sizes.append(file.write(block))
        table = struct.pack(f">{len(sizes)}I", *sizes)
        file.seek(0)
        file.write(_FIELDS.pack(MAGIC, size, zlib.crc32(table, size & 0xFFFFFFFF)) + table)
        file.flush()
        os.fsync(file.fileno())


def is_worth_packing(path: Path) -> bool:
    """Whether a file has plain bytes that would become fewer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return Octets(descriptor, path).plain > WORTH_IT
    finally:
        os.close(descriptor)
