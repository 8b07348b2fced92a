"""Unpacking an untrusted bundle: first every header is judged, then, and only if all are fine, anything is written.

Standard unpackers trust names, links and sizes that a stranger chose. Here only files, directories, symlinks that stay inside and hard
links to earlier files exist; every budget is counted while bytes stream; and every write goes through directory descriptors.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from agent.payload import PayloadError, PayloadErrorCode
from agent.workspace.tree import Tree, ancestors, split, write_all

_MODE = 0o755  # What a bundle may set: no setuid, setgid, sticky, nothing for the world to write.
_TARGET_PARTS = 64
_SYMLINKS_IN_A_ROW = 40
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")
"""Nearly all names: of those that are short, too, there is nothing to clean."""
_SHORT_NAME = 255


class MemberKind(Enum):
    """What a bundle may hold."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARD_LINK = "hard link"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry of a bundle; `target` is what a link points to and empty for all others."""

    name: str
    kind: MemberKind
    size: int = 0
    mode: int = 0o644
    mtime_ns: int = 0
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a bundle may be."""

    packed_bytes: int = 2 * 1024**3
    unpacked_bytes: int = 10 * 1024**3
    free_ratio_bytes: int = 100 * 1024**2
    ratio: int = 100
    members: int = 200_000
    depth: int = 64
    reserve_bytes: int = 64 * 1024**2


class Reader(Protocol):
    """A bundle that can be read from its beginning as often as wanted."""

    def members(self) -> Iterator[tuple[Member, Iterable[bytes]]]:
        """Every entry in order, with the content of a file; content that is not read is skipped. Raises PayloadError."""
        ...


class Budget:
    """Counts what comes out of a bundle against what a bundle of its packed size may hold."""

    def __init__(self, limits: Limits, packed: int) -> None:
        self._most = min(limits.unpacked_bytes, max(limits.free_ratio_bytes, limits.ratio * packed))
        self._spent = 0

    def spend(self, count: int) -> None:
        """Count bytes that came out; raises when they are too many."""
        self._spent += count
        if self._spent > self._most:
            raise PayloadError(
                PayloadErrorCode.TOO_LARGE, f"cannot unpack the bundle: it expands to more than the {self._most} bytes that it may hold"
            )


def unsafe(name: str, why: str) -> PayloadError:
    """The refusal of an entry, by its name."""
    return PayloadError(PayloadErrorCode.UNSAFE_BUNDLE, f"cannot unpack the bundle: the entry {name[:200]!r} {why}")


def broken(why: str) -> PayloadError:
    """The refusal of a bundle that cannot be read."""
    return PayloadError(PayloadErrorCode.BROKEN_BUNDLE, f"cannot unpack the bundle: {why}")


def survey(reader: Reader, limits: Limits, packed: int, *, single_root: bool) -> Sequence[Member | None]:
    """Judge every entry; the entries as they are to be written, None where nothing is to be written for one."""
    members: list[Member] = []
    budget = Budget(limits, packed)
    for member, _ in reader.members():
        if len(members) >= limits.members:
            raise PayloadError(PayloadErrorCode.TOO_LARGE, f"cannot unpack the bundle: it has more than {limits.members} entries")
        members.append(_clean(member, limits))
        budget.spend(member.size)
    root = _single_directory(members) if single_root else None
    rooted = members if root is None else [_below(root, member) for member in members]
    _judge_together(rooted)
    return [member if member.name else None for member in rooted]


def extract(reader: Reader, members: Sequence[Member | None], tree: Tree) -> Sequence[str]:
    """Write surveyed entries below an empty directory; the files and directories that `Tree.settle` has to bring to the disk."""
    written: list[str] = []
    for member, (_, content) in zip(members, reader.members(), strict=True):
        if member is None:
            continue
        tree.make_directories(split(member.name)[0])
        if member.kind is MemberKind.DIRECTORY:
            tree.make_directories(member.name)
        elif member.kind is MemberKind.SYMLINK:
            tree.make_symlink(member.name, member.target)
        elif member.kind is MemberKind.HARD_LINK:
            tree.make_link(member.name, member.target)
        else:
            _write(tree, member, content)
            written.append(member.name)
    directories = {parent for member in members if member is not None for parent in ancestors(member.name)}
    directories.update(member.name for member in members if member is not None and member.kind is MemberKind.DIRECTORY)
    return [*written, *sorted(directories, reverse=True), ""]


def _write(tree: Tree, member: Member, content: Iterable[bytes]) -> None:
    fd = tree.create(member.name)
    try:
        left = member.size
        for chunk in content:
            left -= len(chunk)
            if left < 0:
                break
            write_all(fd, chunk)
        if left != 0:
            raise broken(f"the content of {member.name!r} is not as long as its header says")
        os.fchmod(fd, member.mode & _MODE)
        os.utime(fd, ns=(member.mtime_ns, member.mtime_ns))
    finally:
        os.close(fd)


def _clean(member: Member, limits: Limits) -> Member:
    name = _clean_name(member.name, limits, may_be_empty=member.kind is MemberKind.DIRECTORY)
    target = _clean_name(member.target, limits) if member.kind is MemberKind.HARD_LINK else member.target
    mtime_ns = min(max(member.mtime_ns, 0), 2**62)
    if (name, target, mtime_ns) == (member.name, member.target, member.mtime_ns):
        return member
    return replace(member, name=name, target=target, mtime_ns=mtime_ns)


def _clean_name(name: str, limits: Limits, *, may_be_empty: bool = False) -> str:
    if len(name) <= _SHORT_NAME and name.count("/") < limits.depth and _PLAIN_NAME.fullmatch(name):
        return name
    if name.startswith("/"):
        raise unsafe(name, "has an absolute path")
    if "\0" in name or "\n" in name:
        raise unsafe(name, "has a control character in its name")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise unsafe(name, "leads out of the bundle by ..")
    if not parts and not may_be_empty:
        raise unsafe(name, "has no name")
    if len(parts) > limits.depth:
        raise unsafe(name, f"lies deeper than {limits.depth} directories")
    encoded = os.fsencode("/".join(parts))
    if len(encoded) > 4000 or any(len(part) > 255 for part in encoded.split(b"/")):
        raise unsafe(name, "has a name that is too long")
    return "/".join(parts)


def _single_directory(members: Sequence[Member]) -> str | None:
    """The one directory at the top of the bundle, when it holds the AppSpec (as in an archive made by GitHub)."""
    tops = {member.name.partition("/")[0] for member in members if member.name}
    if len(tops) != 1:
        return None
    root = tops.pop()
    if any(member.name == root and member.kind is not MemberKind.DIRECTORY for member in members):
        return None
    below = (member.name[len(root) + 1 :].partition("/")[0] for member in members)
    return root if any("appspec" in name.lower() for name in below) else None


def _below(root: str, member: Member) -> Member:
    target = member.target[len(root) + 1 :] if member.kind is MemberKind.HARD_LINK else member.target
    return replace(member, name=member.name[len(root) + 1 :], target=target)


def _judge_together(members: Sequence[Member]) -> None:
    """What can only be said when all entries are known: doubles, entries below something that is no directory, links."""
    kinds: dict[str, MemberKind] = {}
    symlinks: dict[str, str] = {}
    for member in members:
        before = kinds.get(member.name)
        if before is not None and not (before is member.kind is MemberKind.DIRECTORY):
            raise unsafe(member.name, "is there twice")
        kinds[member.name] = member.kind
        if member.kind is MemberKind.SYMLINK:
            symlinks[member.name] = member.target
        elif member.kind is MemberKind.HARD_LINK:
            if kinds.get(member.target) not in (MemberKind.FILE, MemberKind.HARD_LINK) or member.target == member.name:
                raise unsafe(member.name, f"is a hard link to {member.target!r}, which is no earlier file of the bundle")
    seen: set[str] = set()
    for name in kinds:
        for above in ancestors(name):
            if above in seen:
                break
            seen.add(above)
            if kinds.get(above, MemberKind.DIRECTORY) is not MemberKind.DIRECTORY:
                raise unsafe(name, f"lies below {above!r}, which is a {kinds[above].value}")
    for name, target in symlinks.items():
        _judge_symlink(name, target, symlinks)


def _judge_symlink(name: str, target: str, symlinks: dict[str, str]) -> None:
    """Follow a symlink as the kernel would, through the bundle's other symlinks; it may end nowhere but not outside."""
    position = name.split("/")[:-1]
    todo = _parts(name, target)
    followed = 0
    while todo:
        part = todo.pop()
        if part == "..":
            if not position:
                raise unsafe(name, f"is a symlink to {target!r}, outside the bundle")
            position.pop()
            continue
        position.append(part)
        onward = symlinks.get("/".join(position))
        if onward is not None:
            followed += 1
            if followed > _SYMLINKS_IN_A_ROW:
                raise unsafe(name, "is a symlink that leads in circles")
            position.pop()
            todo.extend(_parts(name, onward))


def _parts(name: str, target: str) -> list[str]:
    if target.startswith("/") or "\0" in target or not target:
        raise unsafe(name, f"is a symlink to {target!r}; only targets inside the bundle, relative to the symlink, are allowed")
    parts = [part for part in target.split("/") if part not in ("", ".")]
    if len(parts) > _TARGET_PARTS or len(target) > 4000:
        raise unsafe(name, "is a symlink with a target that is too long")
    return parts[::-1]
