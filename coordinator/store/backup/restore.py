"""A backup brought back to a data directory that no coordinator uses."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from coordinator.core.errors import StorageUnusable
from coordinator.store.backup import files
from coordinator.store.backup.backup import Copied, copy_beside
from coordinator.store.backup.checked import contents
from coordinator.store.connections.files import claim
from coordinator.store.sqlite import FILE_NAME

ONES: Final = (f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", "bundles", "pki", FILE_NAME)
"""What a backup takes the place of, in the order in which that goes and comes: the database last."""


def restore(backup: Path, data_dir: Path, *, replace: bool) -> tuple[Copied, Path | None]:
    """Bring a backup back, and say where what was there before has been put aside.

    Raises StorageUnusable: for a backup that is not whole, a directory in use, and one that holds something unless it is to be replaced.
    """
    database = backup / FILE_NAME
    if not database.is_file():
        raise StorageUnusable(f"cannot restore {backup}: there is no {FILE_NAME} in it; name a directory that a backup has made")
    if (backup / f"{FILE_NAME}-wal").exists():
        why = f"there is a {FILE_NAME}-wal in it, so a running coordinator's files were copied"
        raise StorageUnusable(f"cannot restore {backup}: {why}; make it with `hookline-coordinator backup`")
    told = contents(database)
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with claim(data_dir / FILE_NAME):
            there = [name for name in ONES if os.path.lexists(data_dir / name)]
            if there and not replace:
                what = "name an empty directory, or say --replace, which puts them aside"
                raise StorageUnusable(f"cannot restore to {data_dir}: it holds {', '.join(there)} already; {what}")
            making = Path(tempfile.mkdtemp(prefix=".restoring.", dir=data_dir))
            try:
                files.copy(database, making / FILE_NAME)
                copied = copy_beside(told, backup, making)
                _own(data_dir, making)
                aside = _put_aside(data_dir, there)
                _take(making, data_dir)
            finally:
                shutil.rmtree(making, ignore_errors=True)
    except OSError as error:
        raise files.refusal(f"cannot restore {backup} to {data_dir}", error) from error
    return copied, aside


def _put_aside(data_dir: Path, there: list[str]) -> Path | None:
    if not there:
        return None
    number = 1
    while os.path.lexists(aside := data_dir / f"replaced-{number}"):
        number += 1
    aside.mkdir(mode=0o700)
    for name in there:
        (data_dir / name).rename(aside / name)
    files.sync(aside)
    return aside


def _take(making: Path, data_dir: Path) -> None:
    files.sync(making)
    for name in ONES:
        if (making / name).exists():
            (making / name).rename(data_dir / name)
    files.sync(data_dir)


def _own(data_dir: Path, making: Path) -> None:
    """Give what root restores to whom the data directory belongs: that is who the coordinator runs as."""
    if os.geteuid() == 0:
        owner = data_dir.stat()
        for path in (data_dir / FILE_NAME).with_suffix(".lock"), making, *making.rglob("*"):
            os.chown(path, owner.st_uid, owner.st_gid)
