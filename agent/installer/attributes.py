"""Owners, modes and ACLs: which entry of `permissions` speaks of what, and whether this agent may do what it says.

Only what this deployment copies or creates is ever touched; the object directory itself and what the host had before are not.
"""

import dataclasses
import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.appspec import Permission
from agent.installer.acl import Acl, AclEntry, give_acl, is_right, read_acl
from agent.payload import PayloadError, PayloadErrorCode
from agent.workspace.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """Mode, owner and ACL as they are to be; None leaves a thing as it is."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    acl: Acl | None = None

    def over(self, other: "Attributes") -> "Attributes":
        """These, and another's where these say nothing."""
        return Attributes(
            mode=other.mode if self.mode is None else self.mode,
            uid=other.uid if self.uid is None else self.uid,
            gid=other.gid if self.gid is None else self.gid,
            acl=other.acl if self.acl is None else self.acl,
        )

    def differ_at(self, tree: Tree, path: str, found: os.stat_result) -> bool:
        """Whether anything has to be changed; a symlink's mode means nothing, and where there is an ACL, it tells of the mode."""
        is_link = stat.S_ISLNK(found.st_mode)
        compared = 0 if is_link else ~0o777 if self.acl else ~0
        pairs = (
            (self.mode if self.mode is None else self.mode & compared, stat.S_IMODE(found.st_mode) & compared),
            (self.uid, found.st_uid),
            (self.gid, found.st_gid),
        )
        return any(wanted is not None and wanted != there for wanted, there in pairs) or (not is_link and self._acl_differs(tree, path))

    def _acl_differs(self, tree: Tree, path: str) -> bool:
        if self.acl is None:
            return False
        fd = tree.reach(path)
        try:
            return not is_right(fd, self.acl, self.mode)
        except OSError as error:
            raise OSError(error.errno, error.strerror, tree.full(path)) from error
        finally:
            os.close(fd)

    def apply(self, tree: Tree, path: str) -> None:
        """Change what differs, through a descriptor and never through a symlink."""
        found = tree.stat(path)
        if found is None or not self.differ_at(tree, path, found):
            return
        if stat.S_ISLNK(found.st_mode):
            tree.set_owner_of_symlink(path, uid=-1 if self.uid is None else self.uid, gid=-1 if self.gid is None else self.gid)
            return
        fd = tree.reach(path)
        try:
            self.give(fd)
        finally:
            os.close(fd)

    def give(self, fd: int) -> None:
        """Give them to an open file or directory."""
        found = os.fstat(fd)
        uid, gid = -1 if self.uid is None else self.uid, -1 if self.gid is None else self.gid
        if uid not in (-1, found.st_uid) or gid not in (-1, found.st_gid):
            os.fchown(fd, uid, gid)  # Before the mode: a change of owner takes setuid away.
        if self.mode is not None:
            os.fchmod(fd, self.mode)
        if self.acl is not None and not is_right(fd, self.acl, self.mode):
            give_acl(fd, self.acl, self.mode)

    def to_list(self) -> list[object]:
        """What `from_list` takes."""
        return [self.mode, self.uid, self.gid, None if self.acl is None else [dataclasses.astuple(entry) for entry in self.acl]]

    @classmethod
    def from_list(cls, found: Sequence[Any]) -> "Attributes":  # Any: whatever JSON holds, which only to_list has written.
        """Read them back; a record of an earlier version has no ACL."""
        mode, uid, gid, *rest = found
        acl = None if not rest or rest[0] is None else tuple(AclEntry(*entry) for entry in rest[0])
        return cls(mode=mode, uid=uid, gid=gid, acl=acl)


def attributes_of(tree: Tree, permissions: tuple[Permission, ...], kinds: Mapping[str, str]) -> Iterator[tuple[str, Attributes]]:
    """What `permissions` says of each path; `kinds` tells "file" or "directory" of all that this deployment copies or creates."""
    spoken: dict[str, str] = {}
    for permission in permissions:
        place = tree.resolve(permission.object)
        _refuse_unsupported(permission)
        acl = read_acl(permission.acls, permission.object) if permission.acls else None
        attributes = Attributes(mode=permission.mode, uid=_uid(permission), gid=_gid(permission), acl=acl)
        for path in _matched(permission, place, kinds):
            if kinds[path] == "file" and any(entry.default for entry in acl or ()):
                why = f"{tree.full(path)} is a file, and a default ACL is for directories; add type: [directory]"
                raise _not_possible(f"the acls of {permission.object} cannot be set: {why}")
            if path in spoken:
                where = tree.full(path)
                twice = f"are given twice, by the objects {spoken[path]} and {permission.object}; let one leave it out, with except"
                raise _not_possible(f"permissions of {where} {twice}")
            spoken[path] = permission.object
            yield path, attributes


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a relative path fits a pattern: ** fits everything; else only * is special, and only names directly below fit."""
    if pattern == "**":
        return lambda _: True
    first, *rest = pattern.split("*")

    def fits(name: str) -> bool:
        if "/" in name or not name.startswith(first):
            return False
        if not rest:
            return name == first
        at = len(first)
        for part in rest[:-1]:
            at = name.find(part, at)
            if at < 0:
                return False
            at += len(part)
        return name.endswith(rest[-1]) and len(name) - len(rest[-1]) >= at

    return fits


def _matched(permission: Permission, place: str, kinds: Mapping[str, str]) -> Iterator[str]:
    if kinds.get(place) == "file":
        if permission.pattern != "**" or permission.except_:
            why = "is a file, which takes neither pattern nor except; remove them, or name its directory"
            raise _not_possible(f"the object {permission.object} of permissions {why}")
        if "file" in permission.type:
            yield place
        return
    fits = matcher(permission.pattern)
    spared = [matcher(each) for each in permission.except_]
    below = f"{place}/" if place else ""
    for path, kind in kinds.items():
        if not path.startswith(below) or path == place or kind not in permission.type:
            continue
        name = path[len(below) :]
        if fits(name) and not any(each(name) for each in spared):
            yield path


def _uid(permission: Permission) -> int | None:
    if permission.owner is None:
        return None
    try:
        uid = pwd.getpwnam(permission.owner).pw_uid
    except KeyError as error:
        why = "is no user of this host; create it before Install, in a BeforeInstall script for example"
        raise _not_possible(f"the owner {permission.owner} of {permission.object} {why}") from error
    if os.geteuid() not in (0, uid):
        why = f"the agent runs as uid {os.geteuid()}, and only root may give files to another user"
        raise PayloadError(PayloadErrorCode.NOT_PERMITTED, f"cannot make {permission.owner} the owner of {permission.object}: {why}")
    return uid


def _gid(permission: Permission) -> int | None:
    if permission.group is None:
        return None
    try:
        gid = grp.getgrnam(permission.group).gr_gid
    except KeyError as error:
        why = "is no group of this host; create it before Install, in a BeforeInstall script for example"
        raise _not_possible(f"the group {permission.group} of {permission.object} {why}") from error
    if os.geteuid() != 0 and gid not in (os.getegid(), *os.getgroups()):
        why = f"the agent runs as uid {os.geteuid()}, which is neither root nor a member of that group"
        raise PayloadError(PayloadErrorCode.NOT_PERMITTED, f"cannot give {permission.object} to the group {permission.group}: {why}")
    return gid


def _refuse_unsupported(permission: Permission) -> None:
    """An access rule that this agent cannot set is never left out silently: what it protects would lie open."""
    if permission.context is not None:
        why = "this agent does not speak to SELinux; remove context, or use semanage and restorecon in an AfterInstall script"
        raise PayloadError(PayloadErrorCode.NOT_PERMITTED, f"cannot set the SELinux context of {permission.object}: {why}")


def _not_possible(why: str) -> PayloadError:
    return PayloadError(PayloadErrorCode.BAD_FILES, f"cannot install: {why}")
