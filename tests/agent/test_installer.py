"""Install: what lands where, what is left alone and what is refused."""

import json
import os
import stat
from pathlib import Path

import pytest

from agent.payload import PayloadError, PayloadErrorCode
from tests.agent.installations import Files, Host, write


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_contents_of_a_directory_land_in_the_destination(host: Host) -> None:
    deployment_id = host.bring({"app/a": "A", "app/sub/b": "B", "app/empty": None, "other": "no"})
    host.install(deployment_id)
    assert host.files() == {
        "srv": "directory",
        "srv/app": "directory",
        "srv/app/a": "A",
        "srv/app/empty": "directory",
        "srv/app/sub": "directory",
        "srv/app/sub/b": "B",
    }
    assert host.cleanup() == ["srv", "srv/app", "srv/app/a", "srv/app/empty", "srv/app/sub", "srv/app/sub/b"]
    assert host.workspace.last_successful("g") == host.workspace.deployment("g", deployment_id)
    installed = host.workspace.installed_revision("g")
    assert installed is not None
    assert installed.revision == f"r-{deployment_id}"
    steps = json.loads(host.workspace.install_steps("g").read_text())["instructions"]
    assert [step["type"] for step in steps][:3] == ["mkdir", "mkdir", "copy"]


def test_a_file_lands_in_the_destination_directory_and_a_slash_is_the_whole_bundle(host: Host) -> None:
    one = host.bring(
        {"a.txt": "A", "s/x": "X"}, "files:\n  - source: a.txt\n    destination: /x/a.txt\n  - source: /\n    destination: whole/\n"
    )
    host.install(one)
    assert host.files()["x/a.txt/a.txt"] == "A"
    assert host.files()["whole/s/x"] == "X"


def test_two_directories_may_be_merged_into_one(host: Host) -> None:
    host.install(host.bring({"a/x": "1", "b/y": "2"}, "files:\n  - {source: a, destination: /d}\n  - {source: b, destination: /d}\n"))
    assert host.files() == {"d": "directory", "d/x": "1", "d/y": "2"}


def test_files_keep_mode_and_time_and_directories_get_0755(host: Host) -> None:
    deployment_id = host.bring({"app/run": "#!", "app/d/x": ""})
    archive = host.workspace.deployment("g", deployment_id).archive
    (archive / "app/run").chmod(0o500)
    (archive / "app/d").chmod(0o700)
    os.utime(archive / "app/run", ns=(5, 123_456_789))
    host.install(deployment_id)
    found = (host.root / "srv/app/run").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o500, 123_456_789)
    assert stat.S_IMODE((host.root / "srv/app/d").stat().st_mode) == 0o755


def test_symlinks_to_files_stay_symlinks_and_those_to_directories_become_directories(host: Host) -> None:
    host.install(host.bring({"app/real/x": "X", "app/file": "-> real/x", "app/dir": "-> real", "app/dangling": "-> nothing"}))
    found = host.files()
    assert found["srv/app/file"] == "-> real/x"
    assert found["srv/app/dangling"] == "-> nothing"
    assert found["srv/app/dir"] == "directory"
    assert found["srv/app/dir/x"] == "X"


def test_symlinks_to_directories_stay_symlinks_where_the_appspec_says_so_and_may_change_from_one_to_the_other(host: Host) -> None:
    files: Files = {"app/v2/x": "X", "app/current": "-> v2", "app/loop/back": "-> ..", "app/dangling": "-> nothing"}
    copied = "files:\n  - source: app\n    destination: /srv/app\n"
    preserved = f"{copied}x-hookline: {{directory_symlinks: preserve}}\n"
    del (plain := dict(files))["app/loop/back"]
    for spec, current in ((preserved, "-> v2"), (copied, "directory"), (preserved, "-> v2")):
        host.install(host.bring(files if spec is preserved else plain, spec))
        found = host.files()
        assert (found["srv/app/current"], found["srv/app/v2/x"]) == (current, "X")
        assert found.get("srv/app/loop/back") == ("-> .." if spec is preserved else None)
        assert ("srv/app/current/x" in found) == (spec is copied)


def test_a_symlink_to_a_directory_that_holds_it_is_refused(host: Host) -> None:
    assert "holds it" in host.refusal(host.bring({"app/a/loop": "-> .."})).message


def test_the_next_revision_replaces_removes_and_adds(host: Host) -> None:
    host.install(host.bring({"app/keep": "same", "app/change": "old", "app/gone/x": "old"}))
    host.install(host.bring({"app/keep": "same", "app/change": "new", "app/fresh/y": "new"}))
    assert host.files() == {
        "srv": "directory",
        "srv/app": "directory",
        "srv/app/change": "new",
        "srv/app/fresh": "directory",
        "srv/app/fresh/y": "new",
        "srv/app/keep": "same",
    }
    assert "srv/app/gone" not in host.cleanup()


def test_what_people_put_beside_our_files_survives(host: Host) -> None:
    host.install(host.bring({"app/d/x": "X"}))
    write(host.root, {"srv/app/d/mine": "user", "srv/app/log/today": "line"})
    host.install(host.bring({"app/y": "Y"}))
    found = host.files()
    assert found["srv/app/d/mine"] == "user"
    assert found["srv/app/log/today"] == "line"
    assert "srv/app/d/x" not in found
    host.install(host.bring({"app/z": "Z"}))
    assert host.files()["srv/app/d/mine"] == "user"


def test_a_redeploy_of_the_same_files_touches_none(host: Host) -> None:
    host.install(host.bring({"app/a": "A", "app/d/b": "B", "app/l": "-> a"}))
    before = {path: path.lstat() for path in (host.root / "srv").rglob("*")}
    host.install(host.bring({"app/a": "A", "app/d/b": "B", "app/l": "-> a"}))
    for path, found in before.items():
        assert (path.lstat().st_ino, path.lstat().st_ctime_ns) == (found.st_ino, found.st_ctime_ns)


def test_only_the_changed_file_is_written(host: Host) -> None:
    host.install(host.bring({"app/a": "A", "app/b": "B"}))
    inode = (host.root / "srv/app/a").stat().st_ino
    host.install(host.bring({"app/a": "A", "app/b": "C"}))
    assert (host.root / "srv/app/a").stat().st_ino == inode
    assert (host.root / "srv/app/b").read_text() == "C"


def test_a_mode_that_somebody_changed_is_set_right_without_writing_the_file(host: Host) -> None:
    host.install(host.bring({"app/a": "A"}))
    (host.root / "srv/app/a").chmod(0o600)
    inode = (host.root / "srv/app/a").stat().st_ino
    host.install(host.bring({"app/a": "A"}))
    found = (host.root / "srv/app/a").stat()
    assert (found.st_ino, stat.S_IMODE(found.st_mode)) == (inode, 0o644)


@pytest.mark.parametrize(
    "old, new",
    [
        ({"app/p": "file"}, {"app/p/x": "now a directory"}),
        ({"app/p/x": "dir", "app/p/q/z": "deep"}, {"app/p": "now a file"}),
        ({"app/p": "-> q"}, {"app/p/x": "now a directory"}),
        ({"app/p/x": "dir"}, {"app/p": "-> nowhere"}),
        ({"app/p": "-> q"}, {"app/p": "a file"}),
        ({"app/p": "file"}, {"app/p": "-> q"}),
        ({"app/p": "-> q"}, {"app/p": "-> other"}),
    ],
)
def test_what_was_one_kind_of_thing_may_become_another(host: Host, old: Files, new: Files) -> None:
    host.install(host.bring(old))
    host.install(host.bring(new))
    expected = {f"srv/{name}": content for name, content in new.items() if content is not None}
    found = host.files()
    assert {name: found[name] for name in expected} == expected
    assert len(found) == len(expected) + len({parent for name in expected for parent in Path(name).parents} - {Path()})


def test_every_file_in_the_way_is_named_and_nothing_is_changed(host: Host) -> None:
    host.install(host.bring({"app/a": "old", "app/b": "old"}))
    write(host.root, {"srv/app/x": "mine", "srv/app/y/z": "mine", "srv/app/w": "mine"})
    before, list_before = host.files(), host.cleanup()
    found = host.refusal(host.bring({"app/a": "new", "app/x": "1", "app/y": "2", "app/w/v": "3"}))
    assert found.code is PayloadErrorCode.FILE_EXISTS
    assert "3 paths stand in the way" in found.message
    for name in ("x", "y", "w"):
        assert str(host.root / "srv/app" / name) in found.message
    assert host.files() == before
    assert host.cleanup() == list_before


def test_overwrite_replaces_files_and_records_them(host: Host) -> None:
    write(host.root, {"srv/app/a": "mine", "srv/app/l": "-> /etc/passwd"})
    host.install(host.bring({"app/a": "new", "app/l": "new"}), behavior="OVERWRITE")
    assert host.files()["srv/app/a"] == "new"
    assert host.files()["srv/app/l"] == "new"
    assert host.cleanup() == ["srv/app/a", "srv/app/l"]


def test_overwrite_replaces_a_symlink_and_never_what_it_points_to(host: Host) -> None:
    write(host.root, {"precious": "keep me", "srv/app/a": "-> ../../precious"})
    host.install(host.bring({"app/a": "new"}), behavior="OVERWRITE")
    assert host.files()["precious"] == "keep me"
    assert host.files()["srv/app/a"] == "new"


def test_retain_leaves_the_file_alone_and_does_not_record_it(host: Host) -> None:
    write(host.root, {"srv/app/a": "mine"})
    spec = "files:\n  - {source: app, destination: /srv/app}\npermissions:\n  - {object: /srv/app, mode: 600}\n"
    host.install(host.bring({"app/a": "new", "app/b": "new"}, spec), behavior="RETAIN")
    assert host.files(modes=True)["srv/app/a"] == "644 mine"
    assert host.files(modes=True)["srv/app/b"] == "600 new"
    assert host.cleanup() == ["srv/app/b"]


def test_the_appspec_overrules_the_deployment_about_existing_files(host: Host) -> None:
    write(host.root, {"srv/app/a": "mine"})
    spec = "files:\n  - {source: app, destination: /srv/app}\nfile_exists_behavior: RETAIN\n"
    host.install(host.bring({"app/a": "new"}, spec), behavior="OVERWRITE")
    assert host.files()["srv/app/a"] == "mine"


@pytest.mark.parametrize(
    "files, spec, says",
    [
        ({"a": "1"}, "files:\n  - {source: /, destination: /d}\n  - {source: a, destination: /d}\n", "two entries of files copy to it"),
        (
            {"a/p": "1", "b/p/q": "2"},
            "files:\n  - {source: a, destination: /d}\n  - {source: b, destination: /d}\n",
            "one as a file and one as a directory",
        ),
        ({"a": "1"}, "files:\n  - {source: b, destination: /d}\n  - {source: c/d, destination: /d}\n", "the bundle has no b, c/d"),
        ({"a": "1"}, "files:\n  - {source: '*.txt', destination: /d}\n", "the bundle has no *.txt"),
        (
            {"a": "1"},
            "files:\n  - {source: a, destination: /d}\npermissions:\n  - {object: /d, owner: nobody-here}\n",
            "nobody-here of /d is no user of this host; create it before Install",
        ),
        ({"a": "1"}, "files:\n  - {source: a, destination: /d}\npermissions:\n  - {object: /d, acls: ['u:bob:rw']}\n", "u:bob:rw of /d"),
        ({"a": "1"}, "files:\n  - {source: a, destination: /d}\npermissions:\n  - {object: /d, context: {type: t}}\n", "SELinux"),
        (
            {"a": "1"},
            "files:\n  - {source: a, destination: /d}\npermissions:\n  - {object: /d, mode: 600}\n  - {object: /d/a, mode: 644}\n",
            "given twice, by the objects /d and /d/a; let one leave it out",
        ),
        (
            {"a": "1"},
            "files:\n  - {source: a, destination: /d}\npermissions:\n  - {object: /d/a, pattern: '*'}\n",
            "takes neither pattern nor except; remove them, or name its directory",
        ),
    ],
)
def test_what_cannot_be_installed_is_refused_before_anything_is_changed(host: Host, files: Files, spec: str, says: str) -> None:
    assert says in host.refusal(host.bring(files, spec)).message
    assert host.files() == {}
    assert host.workspace.last_successful("g") is None


def test_a_full_disk_is_foreseen_with_path_and_bytes(host: Host) -> None:
    found = host.refusal(host.bring({"app/a": "x" * 5000}), reserve=2**60)
    assert found.code is PayloadErrorCode.DISK_FULL
    assert "it needs 16384 bytes" in found.message
    assert str(host.root) in found.message


def test_a_symlink_below_the_destination_is_never_followed(host: Host) -> None:
    write(host.root, {"etc/app/x": "precious", "srv/app/conf": "-> ../../etc/app"})
    found = host.refusal(host.bring({"app/conf/x": "new"}), behavior="OVERWRITE")
    assert str(host.root / "srv/app/conf") in found.message
    assert host.files()["etc/app/x"] == "precious"


def test_a_destination_behind_an_administrators_symlink_is_meant(host: Host) -> None:
    write(host.root, {"usr/lib/existing": "x", "lib": "-> usr/lib"})
    spec = "files:\n  - {source: a, destination: /lib/units}\npermissions:\n  - {object: /lib/units, mode: 600}\n"
    host.install(host.bring({"a": "new"}, spec))
    assert host.files(modes=True)["usr/lib/units/a"] == "600 new"
    assert host.cleanup() == ["usr/lib/units", "usr/lib/units/a"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a symlink belong to somebody else")
def test_a_destination_behind_somebody_elses_symlink_is_refused(host: Host) -> None:
    write(host.root, {"etc/x": "precious", "srv/app": "-> ../etc"})
    os.chown(host.root / "srv/app", 65534, 65534, follow_symlinks=False)
    assert "belongs to uid 65534" in host.refusal(host.bring({"app/x": "new"}), behavior="OVERWRITE").message
    assert host.files()["etc/x"] == "precious"


def test_a_symlink_out_of_the_prefix_is_refused(host: Host, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (host.root / "srv").symlink_to(tmp_path / "outside")
    assert "leads out of" in host.refusal(host.bring({"app/x": "new"})).message


@pytest.mark.parametrize(
    "destination, allowed, allows",
    [
        ("/srv/app", "/srv", True),
        ("/srv/app", "/srv/app", True),
        ("/srv/app", "/srv/app/deeper", False),
        ("/srv/apple", "/srv/app", False),
        ("/srv/app/../../etc", "/srv", False),
        ("/etc/sudoers.d", "/srv", False),
        ("/", "/srv", False),
        ("/srv/to-etc", "/srv", False),
        ("/srv/to-etc/sudoers.d", "/srv", False),
        ("/srv/to-etc", "/etc", True),
        ("/srv/data/app", "/www", True),
        ("/www/app", "/srv/data", True),
        ("/anything", "/", True),
    ],
)
def test_files_land_below_allowed_destinations_after_symlinks_are_followed(
    host: Host, destination: str, allowed: str, allows: bool
) -> None:
    write(host.root, {"etc": None, "srv/to-etc": "-> ../etc", "srv/data": None, "www": "-> srv/data"})
    before = host.files()
    deployment_id = host.bring({"app/a": "A"}, f"files:\n  - source: app\n    destination: {destination}\n")
    if allows:
        host.install(deployment_id, destinations=(allowed,))
        assert host.files() != before
    else:
        with pytest.raises(PayloadError, match="is none of the destinations that the policy of this host allows"):
            host.install(deployment_id, destinations=(allowed,))
        assert host.files() == before
