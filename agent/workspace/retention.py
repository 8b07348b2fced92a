"""Which deployments of the past stay on a host: so many of each group, and no more bytes than all groups may have together.

What a later deployment may still need is never removed, whatever the limits say: the revision that is installed (ApplicationStop runs
its scripts), the last one that was downloaded, the newest one, and those that run.
"""

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from agent.workspace import DeploymentDirectory, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How much may stay: deployments of each group, the newest one counted, and bytes of all groups together."""

    max_revisions: int = 5
    max_bytes: int = 20 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A deployment on the disk."""

    group_id: str
    directory: DeploymentDirectory
    changed_ns: int
    size: int
    is_needed: bool


def deployments(workspace: Workspace, running: Collection[str] = ()) -> Sequence[Past]:
    """All deployments on the disk, the newest first; `running` are the ids of those that have not ended."""
    found = [past for group_id in workspace.group_ids() for past in _of_group(workspace, group_id, running)]
    return sorted(found, key=lambda past: (past.changed_ns, past.directory.deployment_id), reverse=True)


def surplus(found: Sequence[Past], retention: Retention) -> Sequence[Past]:
    """Those that are to go, of deployments that stand newest first."""
    going: list[Past] = []
    spare = {past.group_id: retention.max_revisions for past in found}
    for past in found:
        spare[past.group_id] -= past.is_needed
    for past in found:
        if past.is_needed:
            continue
        spare[past.group_id] -= 1
        if spare[past.group_id] < 0:
            going.append(past)
    left = sum(past.size for past in found) - sum(past.size for past in going)
    for past in reversed(found):
        if left > retention.max_bytes and not past.is_needed and past not in going:
            going.append(past)
            left -= past.size
    return going


def collect(workspace: Workspace, retention: Retention, running: Collection[str] = ()) -> Sequence[Past]:
    """Remove what is to go; may be killed at any instant, and repeated."""
    going = surplus(deployments(workspace, running), retention)
    for past in going:
        remove(past.directory)
    return going


def remove(directory: DeploymentDirectory) -> None:
    """Remove a deployment, and first what says that it is complete."""
    directory.bundle_source.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):  # Somebody else removes it as well.
        shutil.rmtree(directory.path)


def _of_group(workspace: Workspace, group_id: str, running: Collection[str]) -> Iterator[Past]:
    pointed = (workspace.last_successful(group_id), workspace.most_recent(group_id))
    needed = {directory.deployment_id for directory in pointed if directory is not None} | set(running)
    found = []
    for directory in workspace.deployments(group_id):
        with contextlib.suppress(FileNotFoundError):
            found.append((directory.path.stat().st_mtime_ns, directory.deployment_id, directory))
    newest = max(found, default=(0, "", None))[1]
    for changed_ns, deployment_id, directory in found:
        yield Past(
            group_id=group_id,
            directory=directory,
            changed_ns=changed_ns,
            size=_size(directory.path),
            is_needed=deployment_id in needed or deployment_id == newest,
        )


def _size(path: str | os.PathLike[str]) -> int:
    """What a directory takes of the disk; what vanishes meanwhile takes nothing."""
    size = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                found = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    size += found.st_blocks * 512 + _size(entry.path)
                else:
                    size += found.st_blocks * 512 // max(found.st_nlink, 1)
    return size
