"""`hookline-agent gc`: removes deployments of the past, by the agent's own rule, now."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from agent import journal as journals
from agent.errors import AgentError
from agent.local.deployment import SUBDIRECTORY
from agent.local.parts import retention
from agent.local.settings import add_arguments as add_settings
from agent.local.settings import settings
from agent.machine.past import Past
from agent.workspace import Workspace
from agent.workspace.retention import deployments, remove, surplus

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from pathlib import Path

    from agent.workspace.retention import Past as Deployment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.description = (
        "Removes deployments of the past from the disk: all but the newest of each group, and then the oldest of all groups until"
        " they take no more room than they may. The revision that is installed, the one that was downloaded last, the newest, and those"
        " of deployments that run are never removed. The agent does the same after each deployment, and may run meanwhile."
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    add_settings(parser, ("data_dir", "root_prefix", "max_revisions", "max_revision_bytes"))


def run(args: argparse.Namespace) -> int:
    """Removes what may go, and says so line by line."""
    told = settings(args, os.environ)
    running = {*_running(told.data_dir / "journal"), *_running(told.data_dir / SUBDIRECTORY / "journal")}
    try:
        found = deployments(Workspace(root_prefix=told.root_prefix), running)
        limits = retention(told)
        going = surplus(found, limits)
        for deployment in going:
            if not args.dry_run:
                remove(deployment.directory)
            sys.stdout.write(f"{deployment.group_id} {deployment.directory.deployment_id} {_room(deployment.size)}\n")
    except OSError as error:
        raise AgentError(f"cannot remove {error.filename}: {(error.strerror or str(error)).lower()}") from error
    verb = "would be removed" if args.dry_run else "removed"
    left = _bytes(found) - _bytes(going)
    sys.stdout.write(f"{len(going)} {verb}, {_room(_bytes(going))}; {len(found) - len(going)} stay, {_room(left)}\n")
    if left > limits.max_bytes:
        sys.stdout.write(f"they take more than the {_room(limits.max_bytes)} that they may, and each of them is needed\n")
    return 0


def _running(journal: Path) -> set[str]:
    """The deployments that have not ended."""
    try:
        entries = journals.read(journal)[1]
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise AgentError(f"cannot read {journal}: {(error.strerror or str(error)).lower()}; run this as the agent's user") from error
    return {course.instruction.deployment_id for course in Past(entries).queue}


def _bytes(found: Iterable[Deployment]) -> int:
    return sum(deployment.size for deployment in found)


def _room(size: int) -> str:
    return f"{size / 1024**2:.1f} MiB"
