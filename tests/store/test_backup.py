"""Backups: consistent while the coordinator commits, checked, never half there; and brought back only where nobody is."""

import hashlib
import shutil
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.core.errors import StorageUnusable
from coordinator.store.backup import program
from coordinator.store.backup.backup import back_up
from coordinator.store.backup.restore import restore
from coordinator.store.schema.migrations import MIGRATIONS
from coordinator.store.sqlite import BACKED_UP, SqliteStore
from tests.store.make_version import fill
from tests.store.seeds import opened
from tests.store.things import known

BUNDLE = b"a bundle"
DIGEST = hashlib.sha256(BUNDLE)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A coordinator's data directory in use, with a pushed bundle, one that nobody refers to, keys and output."""
    data_dir = tmp_path / "data"
    for name in ("bundles", "pki", "logs"):
        (data_dir / name).mkdir(parents=True)
    (data_dir / "bundles" / DIGEST.hexdigest()).write_bytes(BUNDLE)
    (data_dir / "bundles" / ("f" * 64)).write_bytes(b"nobody's")
    (data_dir / "pki" / "root.key").write_text("secret")
    (data_dir / "pki" / "root.key").chmod(0o600)
    (data_dir / "pki" / ".server.pem.new").write_text("half")
    (data_dir / "logs" / "d-1.log").write_text("printed")
    store = await opened(data_dir / "hookline.db")
    await fill(store)
    await store.writer.run(lambda db, _: db.execute("UPDATE revision SET sha256 = ? WHERE revision_id = 'r1'", (DIGEST.digest(),)))
    yield store
    store.close()


@pytest.fixture
def data_dir(store: SqliteStore) -> Path:
    """Where the store lies."""
    return store.path.parent


@pytest.fixture
def backup(data_dir: Path, tmp_path: Path) -> Path:
    """A backup of it."""
    back_up(data_dir, tmp_path / "backup")
    return tmp_path / "backup"


async def test_the_coordinator_knows_when_it_was_backed_up_last(store: SqliteStore, data_dir: Path, tmp_path: Path) -> None:
    assert store.sizes().backed_up_at is None
    back_up(data_dir, tmp_path / "one")
    first = store.sizes().backed_up_at
    assert first is not None
    (data_dir / BACKED_UP).chmod(0o400)  # whoever made it, the next one takes its place
    back_up(data_dir, tmp_path / "two")
    assert (store.sizes().backed_up_at or 0) >= first
    assert not (tmp_path / "two" / BACKED_UP).exists()


async def test_a_data_directory_that_may_not_be_written_to_is_backed_up_all_the_same(
    store: SqliteStore, data_dir: Path, tmp_path: Path
) -> None:
    (data_dir / BACKED_UP).mkdir()  # as good as forbidden, also for root
    (data_dir / BACKED_UP / "something").touch()
    back_up(data_dir, tmp_path / "backup")
    assert (tmp_path / "backup" / store.path.name).exists()


def names(directory: Path) -> list[str]:
    """Every file of a directory."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def hosts(path: Path) -> set[str]:
    """The hosts that a database knows."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        return {row[0] for row in db.execute("SELECT name FROM host JOIN name USING (name_no) WHERE removed_at IS NULL")}


def whole(*more: str) -> list[str]:
    """The names of the files of a whole backup, and more."""
    return sorted([f"bundles/{DIGEST.hexdigest()}", "hookline.db", "pki/root.key", *more])


async def test_a_running_coordinator_is_backed_up_with_its_bundles_and_keys(store: SqliteStore, data_dir: Path, tmp_path: Path) -> None:
    await store.commit(known("before"))
    copied = back_up(data_dir, tmp_path / "backup")
    await store.commit(known("after"))
    assert (copied.contents.version, copied.contents.deployments, copied.left_out) == (MIGRATIONS.newest, 3, ())
    assert names(tmp_path / "backup") == whole()
    found = hosts(tmp_path / "backup" / "hookline.db")
    assert "before" in found
    assert "after" not in found


def test_only_the_owner_reads_a_backup(backup: Path) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (backup, *backup.rglob("*"))}
    assert modes["backup"] == modes["pki"] == modes["bundles"] == 0o700
    assert modes["root.key"] == modes["hookline.db"] == modes[DIGEST.hexdigest()] == 0o600


def test_a_backup_is_never_written_over(data_dir: Path, backup: Path) -> None:
    with pytest.raises(StorageUnusable, match=r"cannot back up to .*: it is there already; name a directory that is not"):
        back_up(data_dir, backup)


def test_nothing_is_left_of_a_backup_that_failed(data_dir: Path, tmp_path: Path) -> None:
    shutil.rmtree(data_dir / "bundles")
    (data_dir / "bundles").write_text("no directory")
    with pytest.raises(StorageUnusable, match="cannot back up"):
        back_up(data_dir, tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("content", [None, b"something else"])
def test_a_bundle_that_is_lost_or_damaged_is_said_and_the_rest_is_saved(data_dir: Path, tmp_path: Path, content: bytes | None) -> None:
    bundle = data_dir / "bundles" / DIGEST.hexdigest()
    bundle.unlink()
    if content:
        bundle.write_bytes(content)
    (said,) = back_up(data_dir, tmp_path / "backup").left_out
    assert DIGEST.hexdigest() in said
    assert names(tmp_path / "backup") == ["hookline.db", "pki/root.key"]


def test_a_directory_without_a_database_is_not_backed_up(tmp_path: Path) -> None:
    with pytest.raises(StorageUnusable, match=r"there is no hookline.db in it; name the coordinator's --data-dir"):
        back_up(tmp_path, tmp_path / "backup")


async def test_a_backup_comes_back_to_an_empty_directory_and_a_coordinator_starts_there(backup: Path, tmp_path: Path) -> None:
    copied, aside = restore(backup, tmp_path / "new", replace=False)
    assert (copied.left_out, aside) == ((), None)
    assert names(tmp_path / "new") == whole("hookline.lock")
    store = await opened(tmp_path / "new" / "hookline.db")
    await store.commit(known("later"))
    store.close()


def test_a_directory_in_use_is_not_restored_to(data_dir: Path, backup: Path) -> None:
    with pytest.raises(StorageUnusable, match=r"another coordinator uses it \(process \d+\); stop that one"):
        restore(backup, data_dir, replace=True)


async def test_what_was_there_is_refused_or_put_aside(store: SqliteStore, data_dir: Path, backup: Path) -> None:
    await store.commit(known("later"))
    store.close()
    before = names(data_dir)
    with pytest.raises(StorageUnusable, match=r"it holds bundles, pki, hookline.db already; name an empty directory, or say --replace"):
        restore(backup, data_dir, replace=False)
    assert names(data_dir) == before
    _, aside = restore(backup, data_dir, replace=True)
    assert aside == data_dir / "replaced-1"
    assert "later" in hosts(aside / "hookline.db")
    assert "later" not in hosts(data_dir / "hookline.db")
    assert (data_dir / "logs" / "d-1.log").read_text() == "printed"
    assert restore(backup, data_dir, replace=True)[1] == data_dir / "replaced-2"


def test_a_damaged_backup_is_refused_and_nothing_is_touched(backup: Path, tmp_path: Path) -> None:
    database = backup / "hookline.db"
    content = bytearray(database.read_bytes())
    content[len(content) // 2 :] = b"\x5a" * (len(content) - len(content) // 2)
    database.write_bytes(content)
    with pytest.raises(StorageUnusable, match="use another backup"):
        restore(backup, tmp_path / "new", replace=False)
    assert not (tmp_path / "new").exists()


def test_a_backup_of_a_newer_program_is_refused_naming_both_versions(backup: Path, tmp_path: Path) -> None:
    newer = MIGRATIONS.newest + 1
    with closing(sqlite3.connect(backup / "hookline.db")) as db:
        db.execute("INSERT INTO schema_version (migration_set, name, applied_at) VALUES ('hookline', ?, '')", (str(newer),))
        db.commit()
    with pytest.raises(StorageUnusable, match=f"has version {newer}, this program knows versions up to {newer - 1}"):
        restore(backup, tmp_path / "new", replace=False)


def test_files_that_were_copied_by_hand_are_refused(data_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir, tmp_path / "copy")
    with pytest.raises(StorageUnusable, match="a running coordinator's files were copied; make it with `hookline-coordinator backup`"):
        restore(tmp_path / "copy", tmp_path / "new", replace=False)


def test_the_program_says_what_it_did_and_what_comes_next(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to, new = tmp_path / "backup", tmp_path / "new"
    assert program.main(["backup", "--data-dir", str(data_dir), "--to", str(to)]) == 0
    counts = f"schema {MIGRATIONS.newest}, 3 deployments, 1 bundles, 1 files of certificates and keys; checked"
    assert capsys.readouterr().out == f"backed up {data_dir} to {to}: {counts}\n"
    assert program.main(["restore", "--from", str(to), "--data-dir", str(new)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"restored {to} to {new}: {counts}\nThe history ends at 2027-01-15T08:")
    assert said.endswith(f"Next: start the coordinator with --data-dir {new}\n")
    assert program.main(["restore", "--from", str(to), "--data-dir", str(new)]) == 1
    assert capsys.readouterr().err.startswith(f"hookline-coordinator: cannot restore to {new}: it holds ")
    with pytest.raises(SystemExit, match="2"):
        program.main(["backup"])
