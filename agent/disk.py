"""What makes files outlive a power cut, with as few waits for the disk as that takes.

The writing of everything is begun before anything is waited for: the first wait then brings the whole batch to the disk, and the others
find it there.
"""

import ctypes
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
_BEGIN_TO_WRITE = 2  # SYNC_FILE_RANGE_WRITE


def settle(files: Sequence[int]) -> None:
    """Return when open files and directories are on the disk."""
    if len(files) > 1:
        for fd in files:
            _LIBC.sync_file_range(fd, 0, 0, _BEGIN_TO_WRITE)  # A hint: where it is refused, the waits below do everything.
    for fd in files:
        os.fsync(fd)


def settle_directories(paths: Iterable[Path]) -> None:
    """Return when the entries of directories are on the disk."""
    for path in paths:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def settle_file_system(fd: int) -> None:
    """Return when everything in the file system of an open file is on the disk."""
    if _LIBC.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def write_new(path: Path, content: str) -> None:
    """Write a file under its own name and return when it is on the disk; a kill on the way leaves a piece of it."""
    fd = _begun(path, content)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    settle_directories((path.parent,))


def replace_whole(contents: Mapping[Path, str]) -> None:
    """Replace files, each whole or not at all, by way of temporary ones; all are on the disk on return."""
    written: list[int] = []
    try:
        for path, content in contents.items():
            written.append(_begun(_temporary(path), content))
        settle(written)
    finally:
        for fd in written:
            os.close(fd)
    for path in contents:
        _temporary(path).rename(path)
    settle_directories(dict.fromkeys(path.parent for path in contents))


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _begun(path: Path, content: str) -> int:
    """A new file with its content, which may not be on the disk yet; the caller closes it."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(fd, "w", encoding="utf-8", errors="surrogateescape", newline="", closefd=False) as file:
        file.write(content)
    return fd
