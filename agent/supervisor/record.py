"""The record of one instruction's attempt: its lock, its marker, and what began and ended, in one file.

`begun` written under the lock is the single point at which "started" becomes true; whoever loses a race for it learns so and stays silent.
The file is written ahead with zeros, so that a disk that a hook filled can still take its result, and a sync has no sizes to write.
"""

from __future__ import annotations

import errno
import fcntl
import os

from agent.supervisor.frames import Frame, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_ROOM = 32 * 1024


class Record:
    """The record, open and locked by this process until it is closed or the process is gone."""

    def __init__(self, fd: int, frames: Iterable[Frame] = (), end: int = 0) -> None:
        self._fd = fd
        self._end = end
        self._room = os.fstat(fd).st_size
        self._begun = {frame.text("lifecycle_event") for frame in frames if frame.kind == "begun"}

    def begin(self, begun: Frame, *, spare: int) -> bool:
        """Adds `begun`, with room for what will follow; False when its event has begun before, which nothing can undo."""
        if begun.text("lifecycle_event") in self._begun:
            return False
        self.append_begun(begun, spare=spare)
        self.sync()
        return True

    def append_begun(self, begun: Frame, *, spare: int) -> None:
        """Adds `begun`, with room for what will follow; its event may run when that is on the disk."""
        self.append(begun, spare=spare)
        self._begun.add(begun.text("lifecycle_event"))

    def append(self, frame: Frame, *, spare: int = 0) -> None:
        """Adds a frame and makes sure of spare room after it; `sync` brings it to the disk."""
        octets = encode(frame)
        needed = self._end + len(octets) + spare
        if needed > self._room:
            _write(self._fd, bytes(needed - self._room), self._room)
            self._room = needed
        self._add(octets)

    def sync(self) -> None:
        """Returns when everything that was added is on the disk."""
        os.fdatasync(self._fd)

    def note(self, frame: Frame) -> None:
        """Adds a frame that only a killed supervisor leaves for others to need: it outlives the process, not the machine."""
        try:
            self._add(encode(frame))
        except OSError:  # a full disk: the note is lost, the hook goes on
            return

    def close(self) -> None:
        """Gives the unused room back and releases the lock."""
        os.ftruncate(self._fd, self._end)
        os.close(self._fd)

    def _add(self, octets: bytes) -> None:
        _write(self._fd, octets, self._end)
        self._end += len(octets)
        self._room = max(self._room, self._end)


class Blank:
    """A record without a name yet: hidden, its room taken, on the disk. Made ahead, because that is most of the time a record takes."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, f"{os.getpid()}.new")
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write(self._fd, bytes(_ROOM), 0)
            os.fsync(self._fd)
        except OSError:
            self.discard()
            raise

    def become(self, path: str, begun: Frame, *, spare: int) -> Record | None:
        """The record with `begun` in it, locked and only then visible under its name; None when another one was there first.

        Nothing has run before both the content and the name are on the disk, so whichever a power cut loses, nothing ran.
        """
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            record = Record(self._fd)
            record.append_begun(begun, spare=spare)
            os.link(self._path, path)
        except OSError as error:
            self.discard()
            if isinstance(error, FileExistsError):
                return None
            raise
        self._unname()
        try:
            record.sync()
            _sync_directory(os.path.dirname(path))
        except OSError:
            os.unlink(path)
            os.close(self._fd)
            raise
        return record

    def discard(self) -> None:
        """Removes it again."""
        os.close(self._fd)
        self._unname()

    def _unname(self) -> None:
        try:
            os.unlink(self._path)
        except FileNotFoundError:  # an agent that started meanwhile has swept it away
            return


def begin(path: str, begun: Frame, *, spare: int, blank: Blank | None = None) -> Record | None:
    """The record with `begun` in it and on the disk, or None when another supervisor holds it or this event has begun before."""
    if os.path.exists(path):
        if blank is not None:
            blank.discard()
    else:
        try:
            record = (blank or Blank(os.path.dirname(path))).become(path, begun, spare=spare)
        except FileNotFoundError:  # swept away
            record = Blank(os.path.dirname(path)).become(path, begun, spare=spare)
        if record is not None:
            return record
    fd = os.open(path, os.O_RDWR)
    continued = _reopen(fd, begun, spare)
    if continued is None:
        os.close(fd)
    return continued


def read(path: str) -> list[Frame]:
    """The frames of a record up to its torn end, if it has one; empty when there is no record."""
    try:
        with open(path, "rb") as file:
            return _frames(file.read())[0]
    except FileNotFoundError:
        return []


def wait_until_free(path: str) -> bool:
    """Blocks until no supervisor holds the record; False when there is no record."""
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)
    return True


def _reopen(fd: int, begun: Frame, spare: int) -> Record | None:
    """The record of an earlier supervisor, continued: its torn end is wiped before anything is added."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    octets = os.pread(fd, os.fstat(fd).st_size, 0)
    frames, end = _frames(octets)
    if any(octets[end:]):
        _write(fd, bytes(len(octets) - end), end)
    record = Record(fd, frames, end)
    return record if record.begin(begun, spare=spare) else None


def _frames(octets: bytes) -> tuple[list[Frame], int]:
    frames: list[Frame] = []
    end = 0
    while (found := decode(octets, end)) is not None:
        frame, end = found
        frames.append(frame)
    return frames, end


def _write(fd: int, octets: bytes, offset: int) -> None:
    written = os.pwrite(fd, octets, offset)
    if written < len(octets):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
