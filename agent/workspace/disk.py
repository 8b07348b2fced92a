"""What makes files outlive a power cut, with as few waits for the disk as that takes.

Every wait costs the disk's time and, on a busy host, a turn of the processor. So a batch is one wait for the whole file system when little
in it is waiting to be written; otherwise the writing of everything is begun before anything is waited for.
"""

import contextlib
import ctypes
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
_BEGIN_TO_WRITE = 2  # SYNC_FILE_RANGE_WRITE
_LITTLE_KIB = 4 * 1024
_WAITING_TO_BE_WRITTEN = (b"Dirty:", b"Writeback:")
_FIRST_KERNEL = (5, 8)
"""Since then a wait for a file system tells of files that could not be written."""


def settle(files: Sequence[int]) -> None:
    """Return when open files and directories are on the disk."""
    if len(files) > 1 and _whole_is_little():
        for fd in {os.fstat(fd).st_dev: fd for fd in files}.values():
            settle_file_system(fd)
        return
    if len(files) > 1:
        for fd in files:
            _LIBC.sync_file_range(fd, 0, 0, _BEGIN_TO_WRITE)  # A hint: where it is refused, the waits below do everything.
    for fd in files:
        os.fsync(fd)


def settle_directories(paths: Iterable[Path]) -> None:
    """Return when the entries of directories are on the disk."""
    opened: list[int] = []
    try:
        opened.extend(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) for path in paths)
        settle(opened)
    finally:
        for fd in opened:
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
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            settle((fd, directory))
        finally:
            os.close(directory)
    finally:
        os.close(fd)


def replace_whole(contents: Mapping[Path, str], *, above: Iterable[Path] = ()) -> None:
    """Replace files, each whole or not at all, by way of temporary ones.

    On return they are on the disk, and so are the entries of directories `above` them.
    """
    write_beside(contents)
    replace(contents, above=above)


def write_beside(contents: Mapping[Path, str]) -> None:
    """Write what is to replace files beside them, and return when it is on the disk."""
    with begun_beside(contents) as written:
        settle(written)


@contextlib.contextmanager
def begun_beside(contents: Mapping[Path, str]) -> Iterator[Sequence[int]]:
    """Write what is to replace files beside them; the open files, which may not be on the disk before the caller has settled them."""
    written: list[int] = []
    try:
        for path, content in contents.items():
            written.append(_begun(_temporary(path), content))
        yield written
    finally:
        for fd in written:
            os.close(fd)


def discard_beside(paths: Iterable[Path]) -> None:
    """Remove what was written beside files."""
    for path in paths:
        _temporary(path).unlink(missing_ok=True)


def replace(paths: Iterable[Path], *, above: Iterable[Path] = ()) -> None:
    """Give what was written beside files their names, and return when those are on the disk, and the entries of directories `above`."""
    replaced = tuple(paths)
    give_names(replaced)
    settle_directories(dict.fromkeys((*(path.parent for path in replaced), *above)))


def give_names(paths: Iterable[Path]) -> None:
    """Give what was written beside files their names, which may not be on the disk yet."""
    for path in paths:
        _temporary(path).rename(path)


def _whole_is_little() -> bool:
    """Whether what all programs of this host have written, and is not on a disk yet, is soon there."""
    if tuple(int(part) for part in os.uname().release.split(".")[:2]) < _FIRST_KERNEL:
        return False
    with open("/proc/meminfo", "rb", buffering=0) as file:
        words = (line.split() for line in file.read().splitlines())
        return sum(int(found[1]) for found in words if found[0] in _WAITING_TO_BE_WRITTEN) <= _LITTLE_KIB


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _begun(path: Path, content: str) -> int:
    """A new file with its content, which may not be on the disk yet; the caller closes it."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(fd, "w", encoding="utf-8", errors="surrogateescape", newline="", closefd=False) as file:
        file.write(content)
    return fd
