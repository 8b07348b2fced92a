"""Install: what lands where, what is left alone, what is refused, and that a kill at any point is undone or finished."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.appspec import parse
from agent.installer import Installation, install
from agent.installer.attributes import matcher
from agent.payload import PayloadError, PayloadErrorCode
from agent.workspace import Workspace

Files = dict[str, str | None]
"""Path to content; a content of None is a directory, one that begins with -> a symlink."""


class Killed(BaseException):
    """The process was killed here: nothing is tidied up."""


class Host:
    """A host below a prefix, and the deployments that reach it."""

    def __init__(self, root: Path) -> None:
        self.root = root / "host"
        self.root.mkdir()
        self.workspace = Workspace(root_prefix=self.root)
        self._count = 0

    def bring(self, files: Files, appspec: str = "files:\n  - source: app\n    destination: /srv/app\n") -> str:
        """What DownloadBundle leaves: an unpacked bundle and its AppSpec in normal form."""
        self._count += 1
        deployment_id = f"d-{self._count}"
        directory = self.workspace.deployment("g", deployment_id)
        directory.archive.mkdir(parents=True)
        write(directory.archive, files)
        directory.appspec.write_text(parse(f"version: 0.0\nos: linux\n{appspec}".encode(), "appspec.yml").to_json())
        return deployment_id

    def install(
        self,
        deployment_id: str,
        *,
        behavior: str | None = None,
        passed: Callable[[str], None] | None = None,
        reserve: int = 0,
        destinations: tuple[str, ...] | None = None,
    ) -> None:
        installation = Installation(
            group_id="g",
            deployment_id=deployment_id,
            revision=f"r-{deployment_id}",
            file_exists_behavior=behavior,
            reserve_bytes=reserve,
            destinations=destinations,
        )
        install(installation, self.workspace, passed or (lambda point: None))

    def refusal(self, deployment_id: str, *, behavior: str | None = None, reserve: int = 0) -> PayloadError:
        with pytest.raises(PayloadError) as caught:
            self.install(deployment_id, behavior=behavior, reserve=reserve)
        return caught.value

    def files(self, *, modes: bool = False) -> dict[str, str]:
        """Everything on the host but the workspace."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if name.split("/")[0] == "opt":
                continue
            kind = f"-> {os.readlink(path)}" if path.is_symlink() else "directory" if path.is_dir() else path.read_text()
            found[name] = f"{stat.S_IMODE(path.lstat().st_mode):o} {kind}" if modes else kind
        return found

    def cleanup(self) -> list[str]:
        return [os.path.relpath(path, self.root) for path in self.workspace.cleanup("g")]


def write(root: Path, files: Files) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        elif content.startswith("->"):
            path.symlink_to(content[2:].strip())
        else:
            path.write_text(content)


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
        ({"a": "1"}, "files:\n  - {source: a, destination: /d}\npermissions:\n  - {object: /d, owner: nobody-here}\n", "nobody-here"),
        ({"a": "1"}, "files:\n  - {source: a, destination: /d}\npermissions:\n  - {object: /d, acls: ['u:bob:rw']}\n", "u:bob:rw of /d"),
        ({"a": "1"}, "files:\n  - {source: a, destination: /d}\npermissions:\n  - {object: /d, context: {type: t}}\n", "SELinux"),
        (
            {"a": "1"},
            "files:\n  - {source: a, destination: /d}\npermissions:\n  - {object: /d, mode: 600}\n  - {object: /d/a, mode: 644}\n",
            "given twice",
        ),
        (
            {"a": "1"},
            "files:\n  - {source: a, destination: /d}\npermissions:\n  - {object: /d/a, pattern: '*'}\n",
            "takes neither pattern nor except",
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


PERMISSIONS = "files:\n  - {source: app, destination: /srv/app}\npermissions:\n"


@pytest.mark.parametrize(
    "permissions, modes",
    [
        ("  - {object: /srv/app, mode: 600}\n", {"a.sh": "600", "b.txt": "600", "d": "600", "d/c.sh": "600"}),
        ("  - {object: /srv/app, mode: 600, type: [file]}\n", {"a.sh": "600", "b.txt": "600", "d": "755", "d/c.sh": "600"}),
        ("  - {object: /srv/app, mode: 700, type: [directory]}\n", {"a.sh": "644", "b.txt": "644", "d": "700", "d/c.sh": "644"}),
        ("  - {object: /srv/app, pattern: '*', mode: 700}\n", {"a.sh": "700", "b.txt": "700", "d": "700", "d/c.sh": "644"}),
        ("  - {object: /srv/app, pattern: '*.sh', mode: 700}\n", {"a.sh": "700", "b.txt": "644", "d": "755", "d/c.sh": "644"}),
        ("  - {object: /srv/app, except: ['*.txt', d], mode: 700}\n", {"a.sh": "700", "b.txt": "644", "d": "755", "d/c.sh": "700"}),
        ("  - {object: /srv/app/d/c.sh, mode: 4755}\n", {"a.sh": "644", "b.txt": "644", "d": "755", "d/c.sh": "4755"}),
        ("  - {object: /srv/app/d/c.sh, mode: 700, type: [directory]}\n", {"a.sh": "644", "d/c.sh": "644"}),
        ("  - {object: /elsewhere, mode: 700}\n", {"a.sh": "644", "d": "755", "d/c.sh": "644"}),
        ("  - {object: /srv/app, mode: 700, type: []}\n", {"a.sh": "644", "d": "755"}),
    ],
)
def test_permissions_reach_what_the_original_reaches(host: Host, permissions: str, modes: dict[str, str]) -> None:
    host.install(host.bring({"app/a.sh": "", "app/b.txt": "", "app/d/c.sh": ""}, PERMISSIONS + permissions))
    found = {name.removeprefix("srv/app/"): text.split()[0] for name, text in host.files(modes=True).items()}
    assert {name: found[name] for name in modes} == modes
    assert found["srv/app"] == "755"


def test_permissions_do_not_touch_what_was_there_before(host: Host) -> None:
    write(host.root, {"srv/app/old/x": "mine"})
    host.install(host.bring({"app/old/new": ""}, PERMISSIONS + "  - {object: /srv/app, mode: 700}\n"))
    modes = host.files(modes=True)
    assert modes["srv/app/old"].startswith("755")
    assert modes["srv/app/old/x"].startswith("644")
    assert modes["srv/app/old/new"].startswith("700")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_root_gives_files_to_their_owners_and_symlinks_too(host: Host) -> None:
    host.install(
        host.bring(
            {"app/a": "", "app/l": "-> a", "app/d/b": ""},
            PERMISSIONS + "  - {object: /srv/app, owner: daemon, group: daemon, mode: 4750}\n",
        )
    )
    for name in ("a", "l", "d", "d/b"):
        assert (host.root / "srv/app" / name).lstat().st_uid == 1
    assert stat.S_IMODE((host.root / "srv/app/a").stat().st_mode) == 0o4750
    assert (host.root / "srv/app").stat().st_uid == 0


@pytest.mark.parametrize(
    "pattern, fits, misses",
    [
        ("**", ["a", "a/b"], []),
        ("*", ["a", ".a"], ["a/b"]),
        ("*.sh", ["a.sh", ".sh"], ["a.shx", "d/a.sh"]),
        ("a*b*c", ["abc", "aXbXc", "abbc"], ["ab", "acb", "abcX"]),
        ("a", ["a"], ["ab", "ba"]),
        ("a?", ["a?"], ["ab"]),
        ("ab*ba", ["abba", "abXba"], ["aba"]),
        ("*a" * 30, ["a" * 30], ["a" * 29, "b" * 4000]),
    ],
)
def test_patterns_know_only_the_star(pattern: str, fits: list[str], misses: list[str]) -> None:
    assert all(matcher(pattern)(name) for name in fits)
    assert not any(matcher(pattern)(name) for name in misses)


OLD: Files = {"app/keep": "same", "app/change": "old", "app/gone/x": "old", "app/kind": "a file", "app/link": "-> keep"}
NEW: Files = {"app/keep": "same", "app/change": "new", "app/fresh/deep/y": "new", "app/kind/now": "a directory", "app/link": "-> change"}
SPEC = PERMISSIONS + "  - {object: /srv/app, pattern: '*', mode: 750}\n"


def points_of(host: Host, deployment_id: str) -> list[str]:
    points: list[str] = []
    host.install(deployment_id, passed=points.append)
    return points


def kill_at(host: Host, deployment_id: str, at: int) -> None:
    """Install until the point of that number, and no further."""
    points: list[str] = []

    def passed(point: str) -> None:
        points.append(point)
        if len(points) > at:
            raise Killed

    with pytest.raises(Killed):
        host.install(deployment_id, passed=passed)


def prepared(root: Path) -> tuple[Host, str]:
    root.mkdir()
    host = Host(root)
    host.install(host.bring(OLD))
    write(host.root, {"srv/app/gone/mine": "user"})
    return host, host.bring(NEW, SPEC)


def test_a_kill_at_any_point_is_made_good_by_the_same_deployment(tmp_path: Path) -> None:
    host, second = prepared(tmp_path / "whole")
    count = len(points_of(host, second))
    assert count > 15
    expected, expected_list = host.files(modes=True), host.cleanup()
    for at in range(count):
        host, second = prepared(tmp_path / str(at))
        kill_at(host, second, at)
        host.install(second)
        assert host.files(modes=True) == expected
        assert host.cleanup() == expected_list
        assert not any(name.endswith(".new") for name in os.listdir(host.workspace.instructions))


def test_a_kill_at_any_point_leaves_the_old_revision_or_all_of_the_new_one_to_the_next_deployment(tmp_path: Path) -> None:
    host, second = prepared(tmp_path / "whole")
    count = len(points_of(host, second))
    host.install(host.bring(OLD))
    expected, expected_list = host.files(modes=True), host.cleanup()
    for at in range(count):
        host, second = prepared(tmp_path / str(at))
        kill_at(host, second, at)
        host.install(host.bring(OLD))  # Undone or finished first: only then may the directory with the user's file be out of the list.
        assert host.files(modes=True) == expected
        assert set(host.cleanup()) - {"srv/app/gone"} == set(expected_list) - {"srv/app/gone"}


def test_a_kill_during_the_recovery_from_a_kill_is_made_good_too(tmp_path: Path) -> None:
    host, second = prepared(tmp_path / "whole")
    count = len(points_of(host, second))
    expected = host.files(modes=True)
    for first in range(0, count, 3):
        host, second = prepared(tmp_path / str(first))
        kill_at(host, second, first)
        kill_at(host, second, 1)
        host.install(second)
        assert host.files(modes=True) == expected


def test_before_the_commit_nothing_that_was_there_has_changed(tmp_path: Path) -> None:
    host, second = prepared(tmp_path / "whole")
    committed = points_of(host, second).index("the commit record is written")
    for at in range(committed):
        host, second = prepared(tmp_path / str(at))
        before = host.files(modes=True)
        kill_at(host, second, at)
        assert {name: text for name, text in host.files(modes=True).items() if ".hookline-" not in name} == before


@pytest.mark.parametrize("written", ["", '{"revision": "r-2", "ren', "\0" * 40])
def test_a_pending_record_that_was_never_finished_undoes_nothing(host: Host, written: str) -> None:
    host.install(host.bring({"app/a": "old"}))
    host.workspace.pending("g").write_text(written)
    host.install(host.bring({"app/a": "new"}))
    assert host.files()["srv/app/a"] == "new"
    assert not host.workspace.pending("g").exists()


def test_a_failure_while_staging_is_undone_at_once(host: Host) -> None:
    host.install(host.bring({"app/a": "old"}))
    second = host.bring({"app/a": "new", "app/b": "new", "app/d/c": "new"})
    before = host.files()
    source = host.workspace.deployment("g", second).archive / "app/b"

    def passed(point: str) -> None:
        if point.endswith("-0 is staged"):
            source.unlink()

    with pytest.raises(PayloadError, match=r"cannot install .*/app/b: no such file or directory; nothing was changed"):
        host.install(second, passed=passed)
    assert host.files() == before
    assert not host.workspace.pending("g").exists()


@pytest.fixture
def as_nobody(host: Host) -> Iterator[None]:
    """Without root: the host belongs to a user who may do nothing else."""
    if os.geteuid() != 0:
        yield
        return
    for path in [host.root, *host.root.parents]:
        if path.name.startswith("pytest-of-"):
            path.chmod(0o755)
            break
        path.chmod(0o755)
    os.chown(host.root, 65534, 65534)
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.mark.usefixtures("as_nobody")
def test_without_root_files_are_installed_but_not_given_away(host: Host) -> None:
    host.install(host.bring({"app/a": "1", "app/l": "-> a"}, PERMISSIONS + "  - {object: /srv/app, mode: 600}\n"))
    assert host.files(modes=True)["srv/app/a"] == "600 1"
    found = host.refusal(host.bring({"app/a": "2"}, PERMISSIONS + "  - {object: /srv/app, owner: daemon}\n"))
    assert found.code is PayloadErrorCode.NOT_PERMITTED
    assert found.message == (
        f"cannot make daemon the owner of /srv/app: the agent runs as uid {os.geteuid()}, and only root may give files to another user"
    )
    found = host.refusal(host.bring({"app/a": "2"}, PERMISSIONS + "  - {object: /srv/app, group: daemon}\n"))
    assert "cannot give /srv/app to the group daemon" in found.message
    assert host.files()["srv/app/a"] == "1"


@pytest.mark.usefixtures("as_nobody")
def test_without_root_a_place_that_may_not_be_written_is_named_and_nothing_is_changed(host: Host) -> None:
    host.install(host.bring({"app/a": "1"}))
    second = host.bring({"app/a": "2", "app/locked/b": "2"})
    (host.root / "srv/app/locked").mkdir()
    (host.root / "srv/app/locked").chmod(0o555)
    found = host.refusal(second)
    assert str(host.root / "srv/app/locked/.hookline-d-2-1") in found.message
    assert found.message.endswith("permission denied; nothing was changed")
    assert host.files()["srv/app/a"] == "1"


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


def test_permissions_reach_nothing_that_was_not_installed(host: Host) -> None:
    write(host.root, {"etc/shadow": "secret", "srv/app/foreign": "F"})
    before = host.files(modes=True)
    permissions = (
        "permissions:\n  - object: /etc\n    mode: 777\n  - object: /\n    mode: 777\n  - object: /srv/app/foreign\n    mode: 777\n"
    )
    deployment_id = host.bring({"app/a": "A"}, f"files:\n  - source: app\n    destination: /srv/app\n{permissions}")
    host.install(deployment_id, destinations=("/srv/app",))
    after = host.files(modes=True)
    assert {name: after[name] for name in before} == before
