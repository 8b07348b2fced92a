"""Looks for an AppSpec file in an archive, as a short-lived process of its own: archives come from anybody.

`python -I archive.py PATH` prints "found", or a sentence that says what is wrong. Uses nothing but the standard library, and limits
its own memory and time first.
"""

import resource
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from typing import Final

MEMORY: Final = 512 << 20
SECONDS: Final = 60
ENTRIES: Final = 200_000
NAMES: Final = ("appspec.yml", "appspec.yaml")


def names(path: str) -> Iterator[str]:
    """The entries of a tar, tgz or zip archive, whichever it is. Raises ValueError when it is none of them."""
    with open(path, "rb") as opened:
        start = opened.read(4)
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        with zipfile.ZipFile(path) as archive:
            yield from archive.namelist()
        return
    with tarfile.open(path, "r:gz" if start[:2] == b"\x1f\x8b" else "r:") as tar:
        for member in tar:
            if member.size < 0:
                raise ValueError(f"its entry {member.name!r} has a negative size")
            yield member.name


def verdict(path: str) -> str:
    """ "found", or what is wrong. The AppSpec may stand in the root, or in the one directory that is the root."""
    top: set[str] = set()
    below = False
    try:
        for count, name in enumerate(names(path)):
            parts = [part for part in name.split("/") if part not in ("", ".")]
            if parts and parts[-1] in NAMES:
                if len(parts) == 1:
                    return "found"
                below = below or len(parts) == 2
            top.update(parts[:1])
            if count >= ENTRIES:
                return f"it has more than {ENTRIES} entries"
    except (tarfile.TarError, zipfile.BadZipFile, ValueError, EOFError, OSError, MemoryError) as error:
        return f"it is no readable tar, tgz or zip archive ({str(error) or type(error).__name__})"
    if below and len(top) == 1:
        return "found"
    return "it has no AppSpec file: put an appspec.yml into its root"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    sys.stdout.write(verdict(sys.argv[1]))
