"""From a verified bundle to a directory: recognise its type, judge it, see that there is room, write it."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from agent.bundle.archives.archive import Limits, Reader, broken, extract, survey
from agent.bundle.archives.directory import DirectoryReader
from agent.bundle.archives.tar import TarReader
from agent.bundle.archives.zip import ZipReader
from agent.model import BundleType
from agent.payload import PayloadError, PayloadErrorCode
from agent.workspace.tree import Tree

_BLOCK = 4096


def unpack(bundle: Path, destination: Path, limits: Limits, said: BundleType = BundleType.GUESSED) -> Sequence[str]:
    """Unpack a bundle, a file or a directory, into a new directory; what was there from an interrupted attempt is removed.

    The bundle's own first bytes decide how it is read, and it is refused when they are not what was said of it. Returns the paths in
    the new directory that `Tree.settle` has to bring to the disk.
    """
    found = BundleType.DIRECTORY if bundle.is_dir() else _type(bundle)
    is_directory = found is BundleType.DIRECTORY
    # GNU tar, and so the original, unpacks a compressed file that was called a tar file.
    if said not in (BundleType.GUESSED, found) and (said, found) != (BundleType.TAR, BundleType.TGZ):
        raise broken(f"the revision says that it is a {said}, and it is a {found}; register it as what it is")
    reader = _reader(bundle, limits, found)
    packed = limits.unpacked_bytes if is_directory else bundle.stat().st_size
    members = survey(reader, limits, packed, single_root=not is_directory)
    if destination.exists():
        shutil.rmtree(destination)
    destination.mkdir(parents=True)
    needed = sum((member.size // _BLOCK + 1) * _BLOCK for member in members if member is not None)
    check_room(destination, needed, limits.reserve_bytes, "unpack the bundle into")
    with Tree(destination) as tree:
        return extract(reader, members, tree)


def check_room(directory: Path, needed: int, reserve: int, action: str) -> None:
    """Raise when a file system has not so many bytes left, beside a reserve."""
    found = os.statvfs(directory)
    free = found.f_bavail * found.f_frsize
    if needed + reserve > free:
        why = f"it needs {needed} bytes, and {free} are free of which {reserve} are kept in reserve"
        raise PayloadError(PayloadErrorCode.DISK_FULL, f"cannot {action} {directory}: the disk is full: {why}")


def _type(bundle: Path) -> BundleType:
    with bundle.open("rb") as file:
        start = file.read(512)
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return BundleType.ZIP
    if start.startswith(b"\x1f\x8b"):
        return BundleType.TGZ
    if len(start) < 512:
        raise broken("it is neither tar, tgz nor zip")
    return BundleType.TAR


def _reader(bundle: Path, limits: Limits, found: BundleType) -> Reader:
    match found:
        case BundleType.DIRECTORY:
            return DirectoryReader(bundle, limits)
        case BundleType.ZIP:
            return ZipReader(bundle, limits)
        case _:
            return TarReader(bundle, limits, compressed=found is BundleType.TGZ)
