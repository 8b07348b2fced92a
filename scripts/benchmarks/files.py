"""Part of `scripts/bench agent`: Install of ten thousand small files, against `cp -a` of the same tree and one flush of its file system.

Install and its floor take turns; before each the disk is made quiet. Figures are medians over the rounds.
"""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Final

from agent.appspec import parse
from agent.installer import Installation, install
from agent.workspace import Workspace
from scripts.benchmarks.figures import Figure

FILES: Final = 10_000
FILES_A_DIRECTORY: Final = 100
FILE_BYTES: Final = 1_024
ROUNDS: Final = 3
GROUP: Final = "bench"
APPSPEC: Final = b"version: 0.0\nos: linux\nfiles:\n  - source: app\n    destination: /srv/app\n"


def tree(root: Path) -> None:
    """Ten thousand small files, each with a content of its own."""
    for number in range(FILES):
        directory = root / f"{number // FILES_A_DIRECTORY:03}"
        if number % FILES_A_DIRECTORY == 0:
            directory.mkdir(parents=True)
        (directory / f"{number:05}.txt").write_bytes(f"{number:05} ".encode() * (FILE_BYTES // 6))


def bring(workspace: Workspace, deployment_id: str, source: Path) -> None:
    """What DownloadBundle leaves on the host."""
    directory = workspace.deployment(GROUP, deployment_id)
    shutil.copytree(source, directory.archive / "app")
    directory.appspec.write_text(parse(APPSPEC, "appspec.yml").to_json())


def installing(workspace: Workspace, deployment_id: str) -> float:
    """Seconds that Install takes."""
    os.sync()
    began = time.monotonic()
    install(
        Installation(group_id=GROUP, deployment_id=deployment_id, revision=deployment_id, file_exists_behavior=None, reserve_bytes=0),
        workspace,
    )
    return time.monotonic() - began


def copying(source: Path, target: Path) -> float:
    """Seconds that `cp -a` and one flush of the file system take."""
    os.sync()
    began = time.monotonic()
    subprocess.run(["cp", "-a", source, target], check=True)
    subprocess.run(["sync", "-f", target], check=True)
    return time.monotonic() - began


def one_round(directory: Path) -> tuple[float, float, float]:
    """Seconds of the floor, of a first Install, and of one that changes a single file."""
    source, root = directory / "tree", directory / "root"
    tree(source)
    root.mkdir()
    workspace = Workspace(root_prefix=root)
    bring(workspace, "d-FIRST0000", source)
    floor = copying(source, directory / "copy")
    first = installing(workspace, "d-FIRST0000")
    next(iter(sorted(source.rglob("*.txt")))).write_text("changed")
    bring(workspace, "d-SECOND000", source)
    again = installing(workspace, "d-SECOND000")
    shutil.rmtree(directory)
    return floor, first, again


async def measure(directory: Path) -> AsyncIterator[Figure]:
    """All figures, after the last round."""
    rounds = []
    for number in range(ROUNDS):
        path = directory / f"files-{number}"
        path.mkdir()
        rounds.append(await asyncio.to_thread(one_round, path))
    floor, first, again = (median(values) for values in zip(*rounds, strict=True))
    yield Figure(name=f"Install of {FILES:,} small files, cp -a and a flush", value=first * 1000, unit="ms", floor=floor * 1000, bar=2.0)
    yield Figure(name="the same with one changed file, the first Install", value=again * 1000, unit="ms", floor=first * 1000, bar=0.3)
