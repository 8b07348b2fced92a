"""Install: the `files` and `permissions` of an AppSpec, so that a host is never left with half a revision.

Everything is planned first, then staged beside its place, and only when all of it is on the disk is a commit record written; from
there on old files go and new ones get their names. What a kill before the commit record left is undone by the next run; what one after
it left is finished.
"""

import errno
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.appspec import AppSpec
from agent.installer.attributes import Attributes
from agent.installer.plan import Plan, Planner, Wanted
from agent.payload import PayloadError, PayloadErrorCode, of_system
from agent.workspace import InstalledRevision, Workspace, disk
from agent.workspace.tree import Tree, split, write_all

_CHUNK = 1024 * 1024
_DEFAULT_BEHAVIOR = "DISALLOW"

Passed = Callable[[str], None]
"""Told the name of every point at which a kill must be harmless; tests stop there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What to install: whose, which revision, what the deployment says of existing files, and the bytes to keep free.

    `destinations` are the directories in which anything may be installed; None: anywhere.
    """

    group_id: str
    deployment_id: str
    revision: str
    file_exists_behavior: str | None
    reserve_bytes: int
    destinations: tuple[str, ...] | None = None


def install(installation: Installation, workspace: Workspace, passed: Passed = lambda point: None) -> None:
    """Bring the files of a downloaded revision to their places; raises PayloadError and then has changed nothing."""
    directory = workspace.deployment(installation.group_id, installation.deployment_id)
    appspec = AppSpec.from_json(directory.appspec.read_bytes())
    workspace.instructions.mkdir(parents=True, exist_ok=True)
    with Tree(workspace.root_prefix) as tree:
        installer = _Installer(tree, workspace, installation.group_id, passed)
        installer.recover()
        plan = installer.plan(installation, appspec, directory.archive)
        installed = InstalledRevision(revision=installation.revision, deployment_id=installation.deployment_id)
        installer.carry_out(plan, installed)


class _Installer:
    """Carries out plans of one deployment group, and what a killed predecessor left."""

    def __init__(self, tree: Tree, workspace: Workspace, group_id: str, passed: Passed) -> None:
        self._tree = tree
        self._workspace = workspace
        self._group_id = group_id
        self._pending = workspace.pending(group_id)
        self._commit = workspace.commit(group_id)
        self._passed = passed

    def recover(self) -> None:
        """Undo an installation that had not committed; finish one that had."""
        if self._commit.exists():
            record = _Record.from_json(self._commit.read_text())
            disk.write_beside(self._lists(record))  # They may have got their names before the kill.
            self._finish(record)
        elif self._pending.exists():
            self._undo_pending()

    def plan(self, installation: Installation, appspec: AppSpec, archive: Path) -> Plan:
        inside = (self._tree.inside(path) for path in self._workspace.cleanup(self._group_id))
        planner = Planner(
            self._tree,
            archive=archive,
            before=[path for path in inside if path],
            behavior=appspec.file_exists_behavior or installation.file_exists_behavior or _DEFAULT_BEHAVIOR,
            token=installation.deployment_id,
            had_acls=self._had_acls(),
            destinations=installation.destinations,
        )
        return planner.plan(appspec, installation.reserve_bytes)

    def _had_acls(self) -> list[str]:
        """What the last installation gave an ACL."""
        try:
            steps = self._workspace.install_steps(self._group_id).read_text()
        except FileNotFoundError:
            return []
        if '"setfacl"' not in steps:
            return []
        paths = (self._tree.inside(step["file"]) for step in json.loads(steps)["instructions"] if step["type"] == "setfacl")
        return [path for path in paths if path]

    def carry_out(self, plan: Plan, installed: InstalledRevision) -> None:
        if plan.changes_nothing:
            self._workspace.record_installed(self._group_id, installed, cleanup=plan.cleanup, steps=_steps(plan, self._tree))
            self._passed("the new list of installed files is written")
            return
        record = _Record(
            installed=installed,
            renames=plan.renames,
            remove=plan.remove,
            adjust=dict(plan.adjust),
            cleanup=plan.cleanup,
            steps=_steps(plan, self._tree),
        )
        disk.write_new(self._pending, record.to_json())
        self._passed("the pending record is written")
        try:
            self._stage(plan, self._lists(record))
        except (OSError, PayloadError) as error:
            self._undo(record)
            raise _staging_failed(error) from error
        self._pending.rename(self._commit)
        disk.settle_directories((self._commit.parent,))
        self._passed("the commit record is written")
        self._finish(record)

    def _lists(self, record: "_Record") -> Mapping[Path, str]:
        return self._workspace.installed(self._group_id, record.installed, cleanup=record.cleanup, steps=record.steps)

    def _stage(self, plan: Plan, lists: Mapping[Path, str]) -> None:
        for path, wanted in plan.stage.items():
            if wanted.is_directory:
                self._tree.make_directory(path)
            elif wanted.target:
                self._tree.make_symlink(path, wanted.target)
            else:
                _copy(self._tree, path, wanted)
            self._passed(f"{path} is staged")
        settled = [path for path, wanted in plan.stage.items() if not wanted.target]
        with disk.begun_beside(lists) as beside:
            self._passed("the new list of installed files is staged")
            self._tree.settle([*settled, *sorted({split(path)[0] for path in plan.stage} - set(settled))], beside)
        for path in reversed(list(plan.stage)):  # After what is in it, for a directory's mode may shut us out.
            if not plan.stage[path].source:
                plan.stage[path].attributes.apply(self._tree, path)
        self._passed("everything staged is on the disk")

    def _undo_pending(self) -> None:
        try:
            record = _Record.from_json(self._pending.read_text())
        except ValueError:  # A kill or a power cut came before all of it was on the disk, and so before anything was staged.
            self._forget(self._pending)
        else:
            self._undo(record)

    def _undo(self, record: "_Record") -> None:
        for staged, _ in record.renames:
            self._tree.remove_all(staged)
            self._passed(f"{staged} is undone")
        disk.discard_beside(self._lists(record))
        self._forget(self._pending)

    def _finish(self, record: "_Record") -> None:
        """Every step may be repeated, and all are on the disk before the record that repeats them goes."""
        for path in record.remove:
            self._tree.remove(path)
            self._passed(f"{path} is removed")
        for staged, name in record.renames:
            if self._tree.stat(staged) is not None:
                self._tree.rename(staged, name)
            self._passed(f"{staged} is in its place")
        for path, attributes in record.adjust.items():
            attributes.apply(self._tree, path)
            self._passed(f"{path} is adjusted")
        touched = {split(path)[0] for path in (*record.remove, *(staged for staged, _ in record.renames))}
        disk.give_names(self._lists(record))
        self._passed("the new list of installed files is in its place")
        lists = os.open(self._workspace.instructions, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._tree.settle(sorted(path for path in touched if self._tree.is_directory(path)), (lists,))
        finally:
            os.close(lists)
        self._passed("every change is on the disk")
        self._forget(self._commit)

    def _forget(self, record: Path) -> None:
        record.unlink()
        disk.settle_directories((record.parent,))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """What a later run needs in order to undo or to finish an installation."""

    installed: InstalledRevision
    renames: tuple[tuple[str, str], ...]
    remove: tuple[str, ...]
    adjust: dict[str, Attributes]
    cleanup: tuple[str, ...]
    steps: str

    def to_json(self) -> str:
        adjust = {path: each.to_list() for path, each in self.adjust.items()}
        found = {
            "revision": self.installed.revision,
            "deployment_id": self.installed.deployment_id,
            "renames": self.renames,
            "remove": self.remove,
            "adjust": adjust,
            "cleanup": self.cleanup,
            "steps": self.steps,
        }
        return json.dumps(found)

    @classmethod
    def from_json(cls, text: str) -> "_Record":
        found = json.loads(text)
        return cls(
            installed=InstalledRevision(revision=found["revision"], deployment_id=found["deployment_id"]),
            renames=tuple((staged, name) for staged, name in found["renames"]),
            remove=tuple(found["remove"]),
            adjust={path: Attributes.from_list(each) for path, each in found["adjust"].items()},
            cleanup=tuple(found["cleanup"]),
            steps=found["steps"],
        )


def _copy(tree: Tree, path: str, wanted: Wanted) -> None:
    left = wanted.size
    target = tree.create(path)
    try:
        source = os.open(wanted.source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            while chunk := os.read(source, _CHUNK):
                left -= len(chunk)
                write_all(target, chunk)
        finally:
            os.close(source)
        if left != 0:
            raise OSError(errno.EIO, "the file changed while it was copied", wanted.source)
        wanted.attributes.give(target)
        os.utime(target, ns=(wanted.mtime_ns, wanted.mtime_ns))
    except OSError as error:
        raise OSError(error.errno, error.strerror, error.filename or tree.full(path)) from error
    finally:
        os.close(target)


def _staging_failed(error: OSError | PayloadError) -> PayloadError:
    failure = of_system("install", error) if isinstance(error, OSError) else error
    return PayloadError(PayloadErrorCode(failure.code), f"{failure.message}; nothing was changed")


def _steps(plan: Plan, tree: Tree) -> str:
    """The list of steps as CodeDeploy's agent writes it down."""
    return json.dumps({"instructions": list(_each_step(plan, tree))})


def _each_step(plan: Plan, tree: Tree) -> Iterable[dict[str, str | int | list[str]]]:
    for path, wanted in plan.wanted.items():
        full = tree.full(path)
        if wanted.is_directory:
            yield {"type": "mkdir", "directory": full}
        else:
            yield {"type": "copy", "source": wanted.source or wanted.target, "destination": full}
        if wanted.attributes.mode is not None:
            yield {"type": "chmod", "mode": f"{wanted.attributes.mode:o}", "file": full}
        if wanted.attributes.acl:
            yield {"type": "setfacl", "acl": [str(entry) for entry in wanted.attributes.acl], "file": full}
        if wanted.attributes.uid is not None:
            yield {"type": "chown", "owner": wanted.attributes.uid, "group": wanted.attributes.gid or 0, "file": full}
