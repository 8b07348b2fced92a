"""How the agent of a data directory stands, as its files tell it. Reads only, and takes no lock: a running agent does not notice."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent import journal
from agent.config import LOCK_NAME, agent_version
from agent.errors import AgentError
from agent.facts import Reported
from agent.local import presence
from agent.local.deployment import SUBDIRECTORY
from agent.machine.past import Past
from agent.model import EventStatus
from agent.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.facts import Entry
    from agent.local.presence import Presence
    from agent.machine.past import Course


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An instruction that runs or waits. event is None between events and while it waits, and then since is 0."""

    deployment_id: str
    group_id: str
    group_name: str
    revision_id: str
    event: str | None
    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a deployment group has on this host; None: nothing yet. `local` came from deploy-local."""

    group_id: str
    group_name: str
    installed: str | None
    installed_by: str | None
    deployed: str | None
    local: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Bytes that the agent's own files take, those of all deployments, and how many are free for the latter."""

    data_dir: int
    deployments: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Everything that is known. pid is None when no agent runs; presence is what the running agent says, or the last one said.

    host_id is empty where no agent has run yet.
    """

    data_dir: str
    program_version: str
    host_id: str
    pid: int | None
    presence: Presence | None
    reports: int
    acknowledged: int
    instructions: tuple[Running, ...]
    holdings: tuple[Held, ...]
    disk: Disk


def condition(directory: Path, root_prefix: Path) -> Condition:
    """What the files of a data directory tell. Raises AgentError where they cannot be read."""
    if not directory.exists():
        raise AgentError(f"cannot say how the agent is: there is no data directory {directory}; name it by --data-dir")
    present = presence.read(directory)
    entries = _entries(directory)
    past, local = Past(entries), Past(_entries(directory / SUBDIRECTORY))
    deployments = Workspace(root_prefix=Path(present.root_prefix) if present else root_prefix).deployment_root
    return Condition(
        data_dir=str(directory),
        program_version=agent_version(),
        host_id=_host_id(directory),
        pid=holder(directory / LOCK_NAME),
        presence=present,
        reports=past.last_seq,
        acknowledged=past.acked,
        instructions=tuple(_running(course, entries) for course in past.queue),
        holdings=(*_held(past, local=False), *_held(local, local=True)),
        disk=Disk(data_dir=_size(directory), deployments=_size(deployments), free=_free(deployments)),
    )


def holder(lock: Path) -> int | None:
    """The pid of the process that holds a lock, as it wrote it there; None: nobody does."""
    try:
        inode, pid = lock.stat().st_ino, int(lock.read_text())
        locks = Path("/proc/locks").read_text().splitlines()
    except (OSError, ValueError):
        return None
    # 7: FLOCK  ADVISORY  WRITE 4711 08:01:1048620 0 EOF; the device is not compared, since some file systems show another there.
    fields = (line.split() for line in locks)
    held = any(field[1] == "FLOCK" and field[-3].rpartition(":")[2] == str(inode) for field in fields if "->" not in field)
    return pid if held else None


def _host_id(directory: Path) -> str:
    try:
        return (directory / "host_id").read_text().strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise AgentError(f"cannot read {error.filename}: {str(error.strerror).lower()}; ask as the agent's user") from error


def _entries(directory: Path) -> Sequence[Entry]:
    try:
        return journal.read(directory / "journal")[1]
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise AgentError(f"cannot read {error.filename}: {str(error.strerror).lower()}; ask as the agent's user") from error


def _running(course: Course, entries: Sequence[Entry]) -> Running:
    instruction = course.instruction
    begins = (
        entry.report.at
        for entry in entries
        if isinstance(entry, Reported)
        and entry.report.instruction_id == instruction.instruction_id
        and entry.report.status is EventStatus.IN_PROGRESS
    )
    return Running(
        deployment_id=instruction.deployment_id,
        group_id=instruction.group_id,
        group_name=instruction.group_name,
        revision_id=instruction.revision_id,
        event=course.begun,
        since=0 if course.begun is None else max(begins, default=0),
    )


def _held(past: Past, *, local: bool) -> Iterator[Held]:
    names = {course.group_id: course.instruction.group_name for course in past.courses}
    for group_id, holding in sorted(past.holdings.items()):
        yield Held(
            group_id=group_id,
            group_name=names.get(group_id, ""),
            installed=None if holding.installed is None else holding.installed.revision_id,
            installed_by=None if holding.installed is None else holding.installed.deployment_id,
            deployed=holding.deployed,
            local=local,
        )


def _size(directory: Path) -> int:
    """What the files below a directory take on the disk; what goes away meanwhile is not counted."""
    total = 0
    pending = [str(directory)]
    while pending:
        try:
            with os.scandir(pending.pop()) as found:
                for entry in found:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except OSError:
            continue
    return total


def _free(directory: Path) -> int:
    there = next(path for path in (directory, *directory.parents) if path.exists())
    found = os.statvfs(there)
    return found.f_bavail * found.f_frsize
