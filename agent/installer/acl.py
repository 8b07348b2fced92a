"""POSIX access control lists: what `acls` of an AppSpec say, and the two attributes in which the kernel keeps them.

Written through a descriptor, as everything here, and compared before: what is right already is not touched.
"""

import errno
import grp
import os
import pwd
import stat
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.payload import PayloadError, PayloadErrorCode

_ACCESS, _DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
_VERSION, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_OWNER, _USER, _OWNING_GROUP, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_KINDS = {"u": _USER, "user": _USER, "g": _GROUP, "group": _GROUP, "m": _MASK, "mask": _MASK, "o": _OTHER, "other": _OTHER}
_UNNAMED = {_USER: _OWNER, _GROUP: _OWNING_GROUP}
_NOBODY = 0xFFFFFFFF  # The id of an entry that names nobody.
_BITS = {"r": 4, "w": 2, "x": 1, "-": 0}
_NAMES = {_OWNER: "user", _USER: "user", _OWNING_GROUP: "group", _GROUP: "group", _MASK: "mask", _OTHER: "other"}


@dataclass(frozen=True, slots=True, order=True)
class AclEntry:
    """One entry: whether it is for what will be made in a directory, whose it is in the kernel's terms, and what is allowed."""

    default: bool
    tag: int
    id: int
    bits: int

    def __str__(self) -> str:
        """The entry as setfacl takes it."""
        bits = "".join(letter if self.bits & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))
        return f"{'default:' * self.default}{_NAMES[self.tag]}:{'' if self.id == _NOBODY else self.id}:{bits}"


Acl = tuple[AclEntry, ...]
"""Entries over those that follow from the mode; an empty one stands for the mode alone."""


def read_acl(acls: Sequence[str], whose: str) -> Acl:
    """The entries of an AppSpec, with the ids of this host; refuses names that it does not have, and entries given twice."""
    found: dict[tuple[bool, int, int], AclEntry] = {}
    for text in acls:
        entry = _entry(text, whose)
        key = (entry.default, entry.tag, entry.id)
        if key in found:
            raise _refused(text, whose, "another entry is about the same")
        found[key] = entry
    return tuple(sorted(found.values()))


def is_right(fd: int, acl: Acl, mode: int | None) -> bool:
    """Whether an open file or directory has exactly this ACL already; refuses where the file system keeps none."""
    try:
        return all(_read(fd, name) == wanted for name, wanted in _attributes(fd, acl, mode))
    except OSError as error:
        if error.errno == errno.ENOTSUP and not acl:
            return True
        raise


def give_acl(fd: int, acl: Acl, mode: int | None) -> None:
    """Give it to an open file or directory, in the place of what it has; a mode of None takes the present one for those unnamed."""
    found = stat.S_IMODE(os.fstat(fd).st_mode)
    base = _base(fd, found) if mode is None else _of_mode(mode)
    for name, wanted in _attributes(fd, acl, mode):
        if wanted:
            os.setxattr(fd, name, wanted)
        elif _read(fd, name):
            os.removexattr(fd, name)
            if name == _ACCESS:  # The mode has shown the mask, and shows it still.
                os.fchmod(fd, found & ~0o777 | base[_OWNER] << 6 | base[_OWNING_GROUP] << 3 | base[_OTHER])


def _entry(text: str, whose: str) -> AclEntry:
    *head, bits = text.split(":")
    default = head[0] in ("d", "default")
    head = head[1:] if default else head
    tag = _KINDS.get(head[0], _USER) if head else _USER
    name = head[-1] if len(head) == 2 or (head and head[0] not in _KINDS) else ""
    allowed = int(bits) if bits.isdigit() else sum({_BITS[letter] for letter in bits})
    if not name:
        return AclEntry(default, _UNNAMED.get(tag, tag), _NOBODY, allowed)
    try:
        known = int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid if tag == _USER else grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise _refused(text, whose, f"this host has no {_NAMES[tag]} {name}") from error
    return AclEntry(default, tag, known, allowed)


def _attributes(fd: int, acl: Acl, mode: int | None) -> Iterable[tuple[str, bytes]]:
    """The kernel's attributes with the content that they are to have; without content they are not to be there."""
    found = os.fstat(fd)
    base = _base(fd, stat.S_IMODE(found.st_mode)) if mode is None else _of_mode(mode)
    access, default = [each for each in acl if not each.default], [each for each in acl if each.default]
    yield _ACCESS, _packed(base, access)
    if stat.S_ISDIR(found.st_mode):
        yield _DEFAULT, _packed(base, default, even_if_plain=bool(default))


def _packed(base: dict[int, int], entries: Sequence[AclEntry], *, even_if_plain: bool = False) -> bytes:
    """The bytes of an ACL: the base, the entries over it and, where somebody is named, a mask that takes nothing from them."""
    if not entries and not even_if_plain:
        return b""
    found = {(tag, _NOBODY): bits for tag, bits in base.items()} | {(each.tag, each.id): each.bits for each in entries}
    named = [bits for (tag, _), bits in found.items() if tag in (_USER, _OWNING_GROUP, _GROUP)]
    if any(tag in (_USER, _GROUP) for tag, _ in found):
        found.setdefault((_MASK, _NOBODY), _union(named))
    return _VERSION.pack(2) + b"".join(_ENTRY.pack(tag, bits, id_) for (tag, id_), bits in sorted(found.items()))


def _union(bits: Iterable[int]) -> int:
    whole = 0
    for each in bits:
        whole |= each
    return whole


def _of_mode(mode: int) -> dict[int, int]:
    return {_OWNER: mode >> 6 & 7, _OWNING_GROUP: mode >> 3 & 7, _OTHER: mode & 7}


def _base(fd: int, mode: int) -> dict[int, int]:
    """What owner, group and others may do now; where there is an ACL, the mode shows its mask and not the group."""
    packed = _read(fd, _ACCESS)
    found = [entry for entry in _ENTRY.iter_unpack(packed[_VERSION.size :]) if entry[0] == _OWNING_GROUP] if packed else []
    return {**_of_mode(mode), **{tag: bits for tag, bits, _ in found}}


def _read(fd: int, name: str) -> bytes:
    try:
        return os.getxattr(fd, name)
    except OSError as error:
        if error.errno == errno.ENODATA:
            return b""
        if error.errno == errno.ENOTSUP:
            raise OSError(errno.ENOTSUP, "its file system keeps no ACLs") from error
        raise


def _refused(text: str, whose: str, why: str) -> PayloadError:
    return PayloadError(PayloadErrorCode.BAD_FILES, f"cannot install: the ACL {text} of {whose} cannot be set: {why}")
