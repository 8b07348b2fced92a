"""Packing a directory as a bundle, so that the same directory always gives the same bytes and so the same revision.

Names are sorted, times are 1970, owners are root, permissions and symbolic links are kept; nothing is left out.
"""

import gzip
import hashlib
import os
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

import click

APPSPEC_NAMES = ("appspec.yml", "appspec.yaml")
COMPRESSION = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A packed directory in a temporary file that vanishes when it is closed."""

    file: IO[bytes]
    size: int
    sha256: bytes

    def chunks(self, size: int, read: Callable[[int], None]) -> Iterator[bytes]:
        """The bytes from the beginning, in pieces; `read` is told how many were taken so far."""
        self.file.seek(0)
        taken = 0
        while piece := self.file.read(size):
            taken += len(piece)
            read(taken)
            yield piece


def check_directory(directory: str) -> None:
    """Refuse what cannot be a bundle before anything is packed."""
    if not os.path.isdir(directory):
        raise click.UsageError(f"cannot push {directory}: it is {'not a directory' if os.path.exists(directory) else 'not there'}")
    if not any(os.path.isfile(os.path.join(directory, name)) for name in APPSPEC_NAMES):
        raise click.UsageError(
            f"cannot push {directory}: there is no appspec.yml (or appspec.yaml) directly in it; a bundle cannot be deployed without"
        )


def pack(directory: str, packed: Callable[[int], None] = lambda _count: None) -> Bundle:
    """Pack a directory; `packed` is told how many files are in the bundle so far."""
    check_directory(directory)
    file = tempfile.TemporaryFile(prefix="hookline-push-")
    try:
        # mtime=0 and an empty name: gzip would write both into the file.
        with (
            gzip.GzipFile("", mode="wb", compresslevel=COMPRESSION, fileobj=file, mtime=0) as compressed,
            tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for count, path in enumerate(_entries(directory), start=1):
                _add(archive, directory, path)
                packed(count)
        size = file.tell()
        file.seek(0)
        return Bundle(file=file, size=size, sha256=hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        file.close()
        raise click.ClickException(f"cannot pack {error.filename or directory}: {error.strerror or error}") from None
    except BaseException:
        file.close()
        raise


def _entries(directory: str) -> Iterator[str]:
    """Relative paths of everything below a directory, in an order that depends on the names alone."""
    pending = sorted(os.listdir(directory), key=os.fsencode, reverse=True)
    while pending:
        path = pending.pop()
        yield path
        full = os.path.join(directory, path)
        if os.path.isdir(full) and not os.path.islink(full):
            pending.extend(os.path.join(path, name) for name in sorted(os.listdir(full), key=os.fsencode, reverse=True))


def _add(archive: tarfile.TarFile, directory: str, path: str) -> None:
    full = os.path.join(directory, path)
    found = os.lstat(full)
    entry = tarfile.TarInfo(path)
    entry.mode = stat.S_IMODE(found.st_mode) & 0o777
    if stat.S_ISLNK(found.st_mode):
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, os.readlink(full), 0o777
        archive.addfile(entry)
    elif stat.S_ISDIR(found.st_mode):
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    elif stat.S_ISREG(found.st_mode):
        with open(full, "rb") as content:
            entry.size = os.fstat(content.fileno()).st_size
            archive.addfile(entry, content)
    else:
        raise click.ClickException(f"cannot pack {full}: it is neither a file nor a directory nor a symbolic link")
