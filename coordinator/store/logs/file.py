"""One deployment's log file: read whole at its opening, appended to, read in parts. Everything here blocks, and belongs in a thread."""

import bisect
import os
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from coordinator.core.errors import StorageFailed
from coordinator.store.logs import frames
from coordinator.store.logs.frames import Head, Kind
from coordinator.store.logs.octets import Octets

UNSURE: Final = 16 << 20
"""Bytes at the end of a file whose content is checked when it is opened: more than is ever on its way to the disk at once."""

AT_ONCE: Final = 256 << 10
"""Bytes that are read at a time."""


class End(NamedTuple):
    """How far a stream has come."""

    offset: int = 0
    complete: bool = False


class Places:
    """Where the frames of one host lie."""

    __slots__ = ("offsets", "positions", "total")

    def __init__(self) -> None:
        """None yet."""
        self.positions = array("Q")
        self.offsets = array("Q")
        self.total = 0


class Index:
    """What a file holds."""

    def __init__(self) -> None:
        """Nothing."""
        self.size = 0
        self.ends: dict[str, End] = {}
        self.hosts: dict[str, Places] = {}

    def add(self, head: Head) -> None:
        """The next frame."""
        places = self.hosts.setdefault(head.host_id, Places())
        places.positions.append(self.size)
        places.offsets.append(head.host_offset)
        places.total = head.host_offset + head.length
        self.ends[head.name] = End(head.offset + head.length, head.kind is Kind.COMPLETE)
        self.size += head.size

    def positions(self, host_id: str, position: int) -> Sequence[int]:
        """Where the next frames of a host lie, from a position on; as many as are worth reading at a time."""
        places = self.hosts.get(host_id, Places())
        begin = bisect.bisect_left(places.positions, position)
        return places.positions[begin : begin + 64]

    def start_of(self, host_id: str, offset: int) -> int:
        """Where the frame lies that holds an offset of a host, or the end."""
        places = self.hosts.get(host_id)
        if places is None or offset >= places.total:
            return self.size
        return places.positions[max(bisect.bisect_right(places.offsets, offset) - 1, 0)]


class LogFile:
    """The file, which is made when something is written to it."""

    def __init__(self, path: Path) -> None:
        """Opens what is there and cuts off what a crash left half-written. Raises StorageFailed when it is damaged."""
        self._path = path
        self.descriptor = -1
        try:
            self.descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            self.index = Index()
            return
        try:
            self.octets = Octets(self.descriptor, path)
            self.index = self._scanned()
        except BaseException:
            self.close()
            raise

    def append(self, octets: bytes) -> None:
        """Writes all of it, or raises OSError."""
        if self.descriptor < 0:
            self.descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
            self.octets = Octets(self.descriptor, self._path)
        view = memoryview(octets)
        while view:
            view = view[os.write(self.descriptor, view) :]

    def sync(self) -> None:
        """Returns when what was written survives a power cut."""
        if self.descriptor >= 0:
            os.fdatasync(self.descriptor)

    def close(self) -> None:
        """Lets go of the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def read_on(self, position: int, size: int) -> list[tuple[Head, bytes]] | None:
        """The next frames before `size`; None when none begins at the position."""
        octets = self.octets.read(min(max(AT_ONCE, frames.LARGEST), size - position), position)
        found: list[tuple[Head, bytes]] = []
        at = 0
        while at < len(octets):
            head = frames.decode(octets, at)
            if head is None and not found:
                return None
            if head is None or at + head.size > len(octets):
                break
            found.append((head, octets[at + head.size - head.content_size : at + head.size]))
            at += head.size
        return found

    def read_at(self, positions: Iterable[int]) -> list[tuple[Head, bytes]]:
        """The frames that lie at these positions, as far as they are read at a time."""
        found: list[tuple[Head, bytes]] = []
        total = 0
        for position in positions:
            octets = self.octets.read(frames.LARGEST, position)
            head = frames.decode(octets)
            if head is None:
                raise StorageFailed(f"cannot read {self._path}: it is damaged at byte {position}")
            found.append((head, octets[head.size - head.content_size : head.size]))
            total += head.size
            if total >= AT_ONCE:
                break
        return found

    def _scanned(self) -> Index:
        index = Index()
        size = self.octets.size
        octets, begin = b"", 0
        while index.size < size:
            at = index.size - begin
            if at + frames.BARE + 255 > len(octets):
                octets, begin, at = self.octets.read(AT_ONCE, index.size), index.size, 0
            head = frames.decode(octets, at)
            if head is None or index.size + head.size > size:
                break
            if size - index.size <= UNSURE:
                content = index.size + head.size - head.content_size
                if not frames.is_whole(head, self.octets.read(head.content_size, content)):
                    break
            index.add(head)
        if size - index.size > UNSURE:
            raise StorageFailed(f"cannot read {self._path}: it is damaged at byte {index.size}; move it away to go on without it")
        if index.size < size:
            self.octets.cut(index.size)
        return index
