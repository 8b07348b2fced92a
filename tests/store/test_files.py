"""The database file: who may use it, which versions it may have, what a full disk does to it."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from coordinator.core.errors import StorageFailed, StorageFull, StorageUnusable
from coordinator.core.lifecycle import DeploymentStatus
from coordinator.core.model import DeploymentId, HostId
from coordinator.core.orders import Changes
from coordinator.engine.ports import StoreBroken
from coordinator.store.connections.files import prepare
from coordinator.store.connections.numbers import Numbers
from coordinator.store.schema.migrations import MIGRATIONS, VersionedMigrations
from tests.store.make_version import VERSIONS
from tests.store.seeds import opened
from tests.store.things import WEB, created, deployment, known, plan, success

NEWEST = MIGRATIONS.newest
NEWER = NEWEST + 1


def later(statement: str) -> VersionedMigrations:
    """The migrations of a program that is one version newer than this one."""
    migrations = VersionedMigrations("hookline")
    for known_one in MIGRATIONS.pending(Database(memory=True)):
        migrations(name=known_one.name)(known_one.fn)

    @migrations(name=str(NEWER))
    def newer(db: Database) -> None:
        db.execute("ALTER TABLE host ADD COLUMN zone TEXT")
        db.execute(statement)

    return migrations


def schema(path: Path) -> list[tuple[str, str]]:
    """Names and DDL of what migrations make in a database. The views are made anew at each start."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type <> 'view' ORDER BY name").fetchall()


async def test_a_second_coordinator_is_refused_with_the_first_ones_process(tmp_path: Path) -> None:
    store = await opened(tmp_path / "hookline.db")
    with pytest.raises(StorageUnusable, match=f"another coordinator uses it \\(process {os.getpid()}\\)"):
        await opened(tmp_path / "hookline.db")
    store.close()
    (await opened(tmp_path / "hookline.db")).close()


async def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageUnusable, match="No such file or directory"):
        await opened(tmp_path / "none" / "hookline.db")


async def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hookline.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE recipes (name)")
    before = path.read_bytes()
    with pytest.raises(StorageUnusable, match="a database of something else"):
        await opened(path)
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hookline.db"
    path.write_bytes(b"not a database at all " * 100)
    with pytest.raises(StorageUnusable, match="file is not a database"):
        await opened(path)


async def test_a_newer_schema_is_refused_naming_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "hookline.db"
    prepare(path, later("SELECT 1")).close()
    with pytest.raises(StorageUnusable, match=rf"its schema has version {NEWER}, this program knows versions up to {NEWEST}"):
        await opened(path)
    assert not list(tmp_path.glob("*.version-*"))


async def test_an_older_schema_is_copied_and_migrated(tmp_path: Path) -> None:
    path = tmp_path / "hookline.db"
    shutil.copy(VERSIONS / f"{NEWEST}.db", path)
    prepare(path, later("SELECT 1")).close()
    with closing(sqlite3.connect(path)) as db:
        versions = [row[0] for row in db.execute("SELECT name FROM schema_version ORDER BY id")]
        assert versions == [str(number) for number in range(1, NEWER + 1)]
        assert db.execute("SELECT count(zone), count(*) FROM host").fetchone() == (0, 3)
        assert db.execute("SELECT count(*) FROM v_targets").fetchone() == (6,)
    assert schema(tmp_path / f"hookline.db.version-{NEWEST}") == schema(VERSIONS / f"{NEWEST}.db")


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hookline.db"
    shutil.copy(VERSIONS / f"{NEWEST}.db", path)
    before = schema(path)
    with pytest.raises(StorageFailed, match="no such table: nowhere"):
        prepare(path, later("DELETE FROM nowhere"))
    assert schema(path) == before
    (await opened(path)).close()


@pytest.mark.parametrize("version", range(1, NEWER))
async def test_a_database_of_every_version_can_be_used(tmp_path: Path, version: int) -> None:
    path = tmp_path / "hookline.db"
    shutil.copy(VERSIONS / f"{version}.db", path)
    store = await opened(path)
    try:
        assert await store.live_groups() == [WEB]
        live = (await store.group(WEB)).deployment
        assert live is not None
        assert list(live.targets) == ["id-h2", "id-h1"]
        failed = await store.history.deployment(DeploymentId("d-2"))
        assert (failed.status, failed.plan.last_successful) == (DeploymentStatus.Failed, success("d-1"))
        await store.commit(known("h7"))
    finally:
        store.close()


def test_a_migration_that_was_released_is_not_changed(tmp_path: Path) -> None:
    prepare(tmp_path / "hookline.db").close()
    assert schema(tmp_path / "hookline.db") == schema(VERSIONS / f"{NEWEST}.db")


def much() -> Changes:
    """More than fits where there is little room."""
    names = [f"{number:05d}" + "x" * 200 for number in range(4_000)]
    return known(*names)


async def test_when_the_disk_is_full_nothing_is_stored_and_the_store_goes_on(tmp_path: Path) -> None:
    store = await opened(tmp_path / "hookline.db")

    def limit(pages: int) -> None:
        store.writer._db.execute(f"PRAGMA max_page_count = {pages}")

    try:
        await store.commit(known("h1"))
        limit(200)
        with pytest.raises(StorageFull, match=r"cannot store this: the disk that holds .*hookline\.db is full"):
            await store.commit(much())
        assert [session.name for session in await store.sessions()] == ["h1"]
        number = await store.commit(known("h2"))
        limit(1 << 30)
        assert await store.commit(much()) == number + 1
        assert len(await store.sessions()) == 4_002
    finally:
        store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", place], capture_output=True, check=False).returncode
    ):
        pytest.skip("only root can mount a small file system here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


async def test_a_disk_that_is_really_full_is_called_so_until_there_is_room(small_disk: Path) -> None:
    store = await opened(small_disk / "hookline.db")
    try:
        await store.commit(known("h1"))
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * (2 << 20))
        for _ in range(3):
            with pytest.raises(StorageFull):
                await store.commit(much())
        assert [session.name for session in await store.sessions()] == ["h1"]
        ballast.unlink()
        await store.commit(created(deployment(plan("d-1"), "h1")))
        assert await store.live_groups() == [WEB]
    finally:
        store.close()


async def test_a_disk_with_little_room_is_noticed_before_anything_has_to_be_written(small_disk: Path, tmp_path: Path) -> None:
    roomy, tight = await opened(tmp_path / "hookline.db"), await opened(small_disk / "hookline.db")
    try:
        assert roomy.shortage() == ""
        assert tight.shortage().startswith(f"cannot go on for long: the disk that holds {tight.path} has ")
    finally:
        roomy.close()
        tight.close()


async def test_what_cannot_be_stored_takes_nothing_else_with_it(tmp_path: Path) -> None:
    store = await opened(tmp_path / "hookline.db")
    try:
        changes = known("h1")
        strange = deployment(plan("d-1"), "h1", "nobody")
        changes.created[strange.deployment_id] = changes.deployments[strange.deployment_id] = strange
        with pytest.raises(StoreBroken, match="host id-nobody"):
            await store.commit(changes)
        assert await store.sessions() == []
        await store.commit(known("h1", "nobody"))
        await store.commit(created(strange))
        assert await store.live_groups() == [WEB]
    finally:
        store.close()


@pytest.mark.parametrize("session_epoch", [None, 1 << 63, "nought"])
async def test_a_row_that_the_database_can_never_take_is_a_bug_and_no_trouble_that_passes(tmp_path: Path, session_epoch: object) -> None:
    store = await opened(tmp_path / "hookline.db")
    try:
        changes = known("h1", "h2")
        changes.hosts[HostId("id-h2")].session_epoch = session_epoch  # type: ignore[assignment]  # the bug
        for store_it in (store.commit, store.rehearse):
            with pytest.raises(StoreBroken, match="cannot store what was decided"):
                await store_it(changes)
        assert await store.sessions() == []
    finally:
        store.close()


async def test_somebody_elses_lock_is_an_error_that_passes(tmp_path: Path) -> None:
    store = await opened(tmp_path / "hookline.db")
    try:
        store.writer._db.execute("PRAGMA busy_timeout = 1")
        with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageFailed, match="database is locked"):
                await store.commit(known("h1"))
        await store.commit(known("h1"))
    finally:
        store.close()


async def test_readers_cannot_write(tmp_path: Path) -> None:
    store = await opened(tmp_path / "hookline.db")
    try:
        with pytest.raises(StorageFailed, match="readonly"):
            await store.reader.run(lambda db: db.execute("DELETE FROM host"))
    finally:
        store.close()


async def test_the_write_connection_is_set_up_to_survive_a_power_cut(tmp_path: Path) -> None:
    store = await opened(tmp_path / "hookline.db")

    def settings(db: sqlite3.Connection, _numbers: Numbers) -> list[object]:
        return [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")]

    try:
        assert await store.writer.run(settings) == ["wal", 2, 1]
        sizes = store.sizes()
        assert min(sizes.database, sizes.wal, sizes.free) > 0
    finally:
        store.close()
