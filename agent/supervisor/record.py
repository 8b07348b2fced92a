"""The record of one instruction's attempt: its lock, its marker, and what began and ended, in one file.

`begun` written under the lock is the single point at which "started" becomes true; whoever loses a race for it learns so and stays silent.
The file is written ahead with zeros, so that a disk that a hook filled can still take its result, and a sync has no sizes to write.
"""

from __future__ import annotations

import errno
import fcntl
import os

from agent.supervisor.frames import Frame, decode, encode

_ROOM = 32 * 1024


class Record:
    """The record, open and locked by this process until it is closed or the process is gone."""

    def __init__(self, fd: int, end: int) -> None:
        self._fd = fd
        self._end = end
        self._room = os.fstat(fd).st_size

    def append(self, frame: Frame, *, spare: int = 0) -> None:
        """Adds a frame, which is on the disk when this returns, and makes sure of spare room after it."""
        octets = encode(frame)
        needed = self._end + len(octets) + spare
        if needed > self._room:
            _write(self._fd, bytes(needed - self._room), self._room)
            self._room = needed
        self._add(octets)
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


def begin(path: str, begun: Frame, *, spare: int) -> Record | None:
    """The record with `begun` in it and on the disk, or None when another supervisor holds it or this event has begun before."""
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        created = _create(path, begun, spare)
        if created is not None:
            return Record(created, len(encode(begun)))
        fd = os.open(path, os.O_RDWR)
    record = _reopen(fd, begun, spare)
    if record is None:
        os.close(fd)
    return record


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


def _create(path: str, begun: Frame, spare: int) -> int | None:
    """The record made, locked and only then visible under its name; None when another one was there first."""
    hidden = f"{path}.{os.getpid()}.new"
    fd = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        octets = encode(begun)
        _write(fd, octets + bytes(max(_ROOM - len(octets), spare)), 0)
        os.fsync(fd)
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            os.link(hidden, path)
        finally:
            os.unlink(hidden)
        _sync_directory(os.path.dirname(path))
    except FileExistsError:
        os.close(fd)
        return None
    return fd


def _reopen(fd: int, begun: Frame, spare: int) -> Record | None:
    """The record of an earlier supervisor, continued: its torn end is wiped before anything is added."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    octets = os.pread(fd, os.fstat(fd).st_size, 0)
    frames, end = _frames(octets)
    event = begun.text("lifecycle_event")
    if any(frame.kind == "begun" and frame.text("lifecycle_event") == event for frame in frames):
        return None
    if any(octets[end:]):
        _write(fd, bytes(len(octets) - end), end)
    record = Record(fd, end)
    record.append(begun, spare=spare)
    return record


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
