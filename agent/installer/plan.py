"""What an Install is going to do, found out completely before anything on the host is changed.

Reads the unpacked bundle, the normalised AppSpec, the list of what the group installed before and what is on the disk; writes nothing.
"""

import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.appspec import AppSpec, FileMapping
from agent.installer.attributes import Attributes, attributes_of
from agent.payload import PayloadError, PayloadErrorCode
from agent.workspace.tree import Tree, ancestors, split

_MEMBERS = 200_000
_DEPTH = 80
_BLOCK = 4096
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One thing that is to be there: a directory (no source), a file, or a symlink (a target)."""

    source: str = ""
    target: str = ""
    size: int = 0
    mtime_ns: int = 0
    attributes: Attributes = Attributes()

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return not self.source and not self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything an Install does. Paths are relative to the root prefix; `stage` is in order, parents first.

    `stage` is made beside its final place first; each of `renames` (staged path, final name) puts a staged thing where it belongs.
    """

    stage: Mapping[str, Wanted]
    renames: tuple[tuple[str, str], ...]
    remove: tuple[str, ...]
    adjust: Mapping[str, Attributes]
    cleanup: tuple[str, ...]
    wanted: Mapping[str, Wanted]

    @property
    def changes_nothing(self) -> bool:
        """Whether everything is as it is to be."""
        return not self.stage and not self.remove and not self.adjust


class Planner:
    """Finds the plan of one Install."""

    def __init__(
        self,
        tree: Tree,
        *,
        archive: Path,
        before: Sequence[str],
        behavior: str,
        token: str,
        had_acls: Collection[str] = (),
        destinations: Sequence[str] | None = None,
    ) -> None:
        self._had_acls = had_acls
        self._roots = None if destinations is None else tuple(tree.resolve(root.lstrip("/")) for root in destinations)
        self._tree = tree
        self._archive = os.path.realpath(archive)
        self._before = before
        self._mine = frozenset(before)
        self._behavior = behavior
        self._token = token
        self._wanted: dict[str, Wanted] = {}
        self._unchanged: set[str] = set()
        self._conflicts: dict[str, str] = {}
        self._missing: list[str] = []
        self._preserves = False
        self._visited = 0
        self._seen: dict[str, os.stat_result | None] = {"": tree.stat("")}

    def plan(self, appspec: AppSpec, reserve_bytes: int) -> Plan:
        """The plan, or one sentence that names every file that stands in the way."""
        self._preserves = appspec.preserve_directory_symlinks
        for mapping in appspec.files:
            self._add_mapping(mapping)
        self._check_conflicts()
        kinds = {path: "directory" if wanted.is_directory else "file" for path, wanted in self._wanted.items()}
        for path, attributes in attributes_of(self._tree, appspec.permissions, kinds):
            self._wanted[path] = replace(self._wanted[path], attributes=attributes.over(self._wanted[path].attributes))
        for path in self._had_acls:  # What an earlier revision allowed somebody ends with it.
            if path in self._wanted:
                wanted = self._wanted[path]
                self._wanted[path] = replace(wanted, attributes=wanted.attributes.over(Attributes(acl=())))
        stage, renames = self._staging()
        self._check_room(stage, reserve_bytes)
        return Plan(
            stage=stage,
            renames=renames,
            remove=tuple(self._obsolete()),
            adjust=dict(self._adjustments()),
            cleanup=tuple(self._tree.full(path) for path in self._wanted),
            wanted=self._wanted,
        )

    def _add_mapping(self, mapping: FileMapping) -> None:
        source = os.path.join(self._archive, mapping.source) if mapping.source else self._archive
        real = os.path.realpath(source)
        if not self._is_in_archive(real) or not os.path.lexists(source):
            self._missing.append(mapping.source)
            return
        destination = self._tree.resolve(mapping.destination)
        if self._roots is not None and not any(destination == root or root in ("", *ancestors(destination)) for root in self._roots):
            why = f"{self._tree.full(destination)} is none of the destinations that the policy of this host allows"
            raise PayloadError(PayloadErrorCode.NOT_PERMITTED, f"cannot install to {mapping.destination}: {why}")
        for above in [*list(ancestors(destination))[::-1], destination]:
            if above and not self._add_directory(above):
                return
        if os.path.isdir(real):
            self._add_content(real, destination, seen=(real,))
        else:
            self._add_leaf(source, _join(destination, os.path.basename(source)))

    def _is_in_archive(self, real: str) -> bool:
        return real == self._archive or real.startswith(self._archive + "/")

    def _add_content(self, source: str, destination: str, seen: tuple[str, ...]) -> None:
        if len(seen) > _DEPTH:
            raise _bad(f"{source} lies too deep")
        with os.scandir(source) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            path = _join(destination, entry.name)
            self._visited += 1  # Symlinks to directories can make few entries many.
            if self._visited > _MEMBERS:
                raise _bad(f"more than {_MEMBERS} files")
            if "\n" in entry.name:
                raise _bad(f"the name {entry.name!r} has a line end")
            if not entry.is_dir(follow_symlinks=not self._preserves):
                self._add_leaf(entry.path, path)
                continue
            real = os.path.realpath(entry.path)  # A symlink to a directory is copied as the directory, unless the AppSpec says otherwise.
            if not self._is_in_archive(real):
                raise _bad(f"{entry.path} is a symlink to {real}, outside the bundle")
            if real in seen:
                raise _bad(f"{entry.path} is a symlink to a directory that holds it")
            if self._add_directory(path):
                self._add_content(real, path, (*seen, real))

    def _add_directory(self, path: str) -> bool:
        """Want a directory unless a foreign one is there; False when something stands in its way."""
        wanted = self._wanted.get(path)
        if wanted is not None:
            if not wanted.is_directory:
                self._conflicts[path] = "two entries of files make it, one as a file and one as a directory"
            return wanted.is_directory
        found = self._look(path)
        if found is None or path in self._mine:
            self._wanted[path] = Wanted()
            return True
        if not stat.S_ISDIR(found.st_mode):
            self._conflicts[path] = "it is not a directory"
            return False
        return True

    def _add_leaf(self, source: str, path: str) -> None:
        """Want a file or symlink, unless one is there that is to be left alone."""
        status = os.lstat(source)
        if stat.S_ISLNK(status.st_mode):
            wanted = Wanted(target=os.readlink(source))
        elif stat.S_ISREG(status.st_mode):
            mode = stat.S_IMODE(status.st_mode)
            owner = (status.st_uid, status.st_gid) if os.geteuid() == 0 else (None, None)
            attributes = Attributes(mode=mode, uid=owner[0], gid=owner[1])
            wanted = Wanted(source=source, size=status.st_size, mtime_ns=status.st_mtime_ns, attributes=attributes)
        else:
            raise _bad(f"{source} is neither file, directory nor symlink")
        if path in self._wanted:
            self._conflicts[path] = "two entries of files copy to it"
            return
        found = self._look(path)
        if found is not None and path not in self._mine and not self._may_replace(path, found):
            return
        if found is not None and stat.S_ISDIR(found.st_mode) and not self._vanishes(path):
            self._conflicts[path] = "it is a directory with files that this deployment group did not install"
            return
        if found is not None and self._is_same(path, found, wanted):
            self._unchanged.add(path)
        self._wanted[path] = wanted

    def _look(self, path: str) -> os.stat_result | None:
        """What is at a path, asked of the disk once; nothing is below what is no directory."""
        if path not in self._seen:
            parent = split(path)[0]
            self._seen[path] = self._tree.stat(path) if self._is_directory(parent) else None
        return self._seen[path]

    def _is_directory(self, path: str) -> bool:
        found = self._look(path)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def _may_replace(self, path: str, found: os.stat_result) -> bool:
        """Whether something that this group did not install gives way; RETAIN leaves it and wants nothing there."""
        if self._behavior == "RETAIN":
            return False
        if self._behavior == "OVERWRITE" and (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
            return True
        self._conflicts[path] = "it exists already" if stat.S_ISREG(found.st_mode) else "it exists already, and is no file"
        return False

    def _vanishes(self, path: str) -> bool:
        """Whether everything in a directory was installed by this group, so that it goes with the old revision."""
        for name in self._tree.names(path):
            below = _join(path, name)
            if below not in self._mine or (self._is_directory(below) and not self._vanishes(below)):
                return False
        return True

    def _is_same(self, path: str, found: os.stat_result, wanted: Wanted) -> bool:
        if wanted.target:
            return stat.S_ISLNK(found.st_mode) and self._tree.target(path) == wanted.target
        if not stat.S_ISREG(found.st_mode) or found.st_size != wanted.size:
            return False
        with open(wanted.source, "rb") as new, open(self._tree.open(path), "rb") as old:
            while chunk := new.read(_CHUNK):
                if chunk != old.read(_CHUNK):
                    return False
        return True

    def _check_conflicts(self) -> None:
        if self._missing:
            raise _bad("the bundle has no " + ", ".join(name or "/" for name in self._missing))
        if self._conflicts:
            listed = "; ".join(f"{self._tree.full(path)}: {why}" for path, why in self._conflicts.items())
            count = len(self._conflicts)
            counted = "1 path stands" if count == 1 else f"{count} paths stand"
            hint = "remove what is foreign, or deploy with file_exists_behavior OVERWRITE or RETAIN"
            raise PayloadError(
                PayloadErrorCode.FILE_EXISTS, f"cannot install: {counted} in the way ({listed}); nothing was changed; {hint}"
            )

    def _staging(self) -> tuple[dict[str, Wanted], tuple[tuple[str, str], ...]]:
        """What is made beside its place: whole new directories as one, files that are new or changed one by one."""
        stage: dict[str, Wanted] = {}
        renames: list[tuple[str, str]] = []
        moved: dict[str, str] = {}
        for path, wanted in self._wanted.items():
            parent, name = split(path)
            if parent in moved:
                staged = _join(moved[parent], name)
            elif wanted.is_directory and self._is_directory(path) or path in self._unchanged:
                continue
            else:
                staged = _join(parent, f".hookline-{self._token}-{len(renames)}")
                renames.append((staged, name))
            if wanted.is_directory:
                moved[path] = staged
            stage[staged] = wanted
        return stage, tuple(renames)

    def _obsolete(self) -> Iterator[str]:
        """What the group installed before and does not want any more, or wants as something else; children first."""
        for path in reversed(self._before):
            found = self._look(path)
            if found is None:
                continue
            wanted = self._wanted.get(path)
            if wanted is None or wanted.is_directory != stat.S_ISDIR(found.st_mode):
                yield path

    def _adjustments(self) -> Iterator[tuple[str, Attributes]]:
        """What stays as it is but for its owner or mode."""
        for path, wanted in self._wanted.items():
            if path in self._unchanged or (wanted.is_directory and self._is_directory(path)):
                found = self._look(path)
                if found is not None and wanted.attributes.differ_at(self._tree, path, found):
                    yield path, wanted.attributes

    def _check_room(self, stage: Mapping[str, Wanted], reserve: int) -> None:
        needed: dict[int, tuple[str, int]] = {}
        for path, wanted in stage.items():
            place = next((above for above in ancestors(path) if self._look(above) is not None), "")
            found = self._look(place)
            device = found.st_dev if found is not None else 0
            first, so_far = needed.get(device, (place, 0))
            needed[device] = (first, so_far + (wanted.size // _BLOCK + 1) * _BLOCK)
        for place, count in needed.values():
            free = self._tree.free_bytes(place)
            if count + reserve > free:
                why = f"it needs {count} bytes, and {free} are free of which {reserve} are kept in reserve"
                raise PayloadError(PayloadErrorCode.DISK_FULL, f"cannot install into {self._tree.full(place)}: the disk is full: {why}")


def _join(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name


def _bad(why: str) -> PayloadError:
    return PayloadError(PayloadErrorCode.BAD_FILES, f"cannot install: {why}")
