"""Reads a directory on this host as if it were a bundle, under the same rules."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.bundle.archives.archive import Limits, Member, MemberKind, unsafe
from agent.workspace.tree import Tree

_CHUNK = 1024 * 1024


class DirectoryReader:
    """A directory with everything below it."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits

    def members(self) -> Iterator[tuple[Member, Iterable[bytes]]]:
        """Every entry, parents first, with the content of a file."""
        with Tree(self._path) as tree:
            todo = [""]
            while todo:
                above = todo.pop()
                for name in tree.names(above):
                    path = f"{above}/{name}" if above else name
                    if path.count("/") > self._limits.depth:
                        raise unsafe(path, f"lies deeper than {self._limits.depth} directories")
                    member = _member(tree, path)
                    if member is None:
                        continue
                    yield member, _content(tree, path) if member.kind is MemberKind.FILE else ()
                    if member.kind is MemberKind.DIRECTORY:
                        todo.append(path)


def _member(tree: Tree, path: str) -> Member | None:
    found = tree.stat(path)
    if found is None:  # Removed since its directory was read.
        return None
    if stat.S_ISDIR(found.st_mode):
        return Member(name=path, kind=MemberKind.DIRECTORY)
    if stat.S_ISLNK(found.st_mode):
        return Member(name=path, kind=MemberKind.SYMLINK, target=tree.target(path))
    if stat.S_ISREG(found.st_mode):
        mode = stat.S_IMODE(found.st_mode)
        return Member(name=path, kind=MemberKind.FILE, size=found.st_size, mode=mode, mtime_ns=found.st_mtime_ns)
    raise unsafe(path, "is neither file, directory nor symlink")


def _content(tree: Tree, path: str) -> Iterator[bytes]:
    fd = tree.open(path)
    try:
        while chunk := os.read(fd, _CHUNK):
            yield chunk
    finally:
        os.close(fd)
