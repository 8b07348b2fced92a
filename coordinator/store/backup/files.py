"""Copying the files of a data directory, each one whole and on the disk."""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Final

from coordinator.core.errors import StorageUnusable

PIECE: Final = 1 << 20


def copy(source: Path, target: Path) -> bytes:
    """Copy a file with its mode; returns the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with source.open("rb") as reading:
        mode = os.fstat(reading.fileno()).st_mode & 0o700  # what only its owner may read stays so, and so does the rest
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as writing:
            while piece := reading.read(PIECE):
                digest.update(piece)
                writing.write(piece)
            writing.flush()
            os.fsync(descriptor)
    return digest.digest()


def copy_bundles(source: Path, target: Path, wanted: frozenset[bytes]) -> list[str]:
    """Copy the wanted bundles; returns a sentence for each that is not there or not what its name says, and is left out."""
    target.mkdir(mode=0o700)
    left_out = []
    for sha256 in sorted(wanted):
        name = sha256.hex()
        try:
            found = copy(source / name, target / name)
        except FileNotFoundError:
            left_out.append(f"cannot copy the bundle {name}: it is not there; hosts that need it will fail, push it again")
            continue
        if found != sha256:
            (target / name).unlink()
            left_out.append(f"cannot copy the bundle {name}: it is damaged; hosts that need it will fail, push it again")
    sync(target)
    return left_out


def copy_keys(source: Path, target: Path) -> int:
    """Copy the authority's files, those that are just being written aside; returns how many."""
    if not source.is_dir():
        return 0
    target.mkdir(mode=0o700)
    names = sorted(path.name for path in source.iterdir() if path.is_file() and not path.name.startswith("."))
    for name in names:
        copy(source / name, target / name)
    sync(target)
    return len(names)


def touch(path: Path) -> None:
    """Make an empty file of this moment, whoever made the one before, where that is allowed."""
    new = path.with_name(f".{path.name}.new")
    with contextlib.suppress(OSError):
        new.touch(mode=0o644)
        new.replace(path)


def sync(directory: Path) -> None:
    """Let a power cut not take back what was made, renamed or removed in a directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refusal(what: str, error: OSError) -> StorageUnusable:
    """What went wrong with the files, as a sentence."""
    where = f": {error.filename}" if error.filename else ""
    return StorageUnusable(f"{what}{where}: {(error.strerror or str(error)).lower()}")
