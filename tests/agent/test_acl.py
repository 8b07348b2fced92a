"""ACLs of an AppSpec: what setfacl would have set, kept as it is, taken back, and refused where it cannot be."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.appspec import parse
from agent.installer import Installation, install
from agent.installer.acl import AclEntry
from agent.installer.attributes import Attributes
from agent.payload import PayloadError, PayloadErrorCode
from agent.workspace import Workspace

ENTRY = "files: [{source: app, destination: /srv/app}]\npermissions:\n  - object: /srv/app\n    acls: [%s]\n"


class Killed(BaseException):
    """The process was killed here: nothing is tidied up."""


class Host:
    """A host below a prefix that is brought one revision after the other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.workspace = Workspace(root_prefix=root)
        self._count = 0

    def deploy(self, appspec: str, mode: int = 0o640, passed: Callable[[str], None] = lambda point: None) -> None:
        """Brings app/a and app/d/b, and installs them."""
        self._count += 1
        directory = self.workspace.deployment("g", f"d-{self._count}")
        (directory.archive / "app/d").mkdir(parents=True)
        for name in ("a", "d/b"):
            (directory.archive / "app" / name).write_text("content")
            (directory.archive / "app" / name).chmod(mode)
        directory.appspec.write_text(parse(f"version: 0.0\nos: linux\n{appspec}".encode(), "appspec.yml").to_json())
        installation = Installation(
            group_id="g", deployment_id=f"d-{self._count}", revision=f"r-{self._count}", file_exists_behavior=None, reserve_bytes=0
        )
        install(installation, self.workspace, passed)

    def acl(self, name: str) -> list[str]:
        """What getfacl says of something installed."""
        return listed(self.root / "srv/app" / name)


def listed(path: Path) -> list[str]:
    told = subprocess.run(
        ["getfacl", "--omit-header", "--numeric", "--no-effective", str(path)], capture_output=True, text=True, check=True
    )
    return sorted(told.stdout.split())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    if shutil.which("getfacl") is None or shutil.which("setfacl") is None:
        pytest.skip("needs getfacl and setfacl, which tell the truth about ACLs")
    (tmp_path / "probe").touch()
    if subprocess.run(["setfacl", "-m", "u:1:r", str(tmp_path / "probe")], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs a file system that keeps ACLs")
    return Host(tmp_path)


@pytest.mark.parametrize(
    "acls",
    [
        ["u:daemon:rw"],
        ["daemon:7", "g:daemon:r-x"],
        ["user:1234:rwx", "mask::r"],
        ["group:daemon:4", "u:bin:0", "m::7"],
    ],
)
def test_an_acl_is_what_setfacl_makes_of_it_and_the_mode(host: Host, acls: list[str]) -> None:
    host.deploy(ENTRY % ", ".join(f"'{acl}'" for acl in acls))
    reference = host.root / "reference"
    reference.touch()
    entries = [f"u:{acl}" if acl.count(":") == 1 else acl for acl in acls]
    subprocess.run(["setfacl", "--set", ",".join(["u::rw,g::r,o::-", *entries]), str(reference)], check=True)
    assert host.acl("a") == host.acl("d/b") == listed(reference)


def test_default_acls_of_directories_are_what_setfacl_makes_of_them(host: Host) -> None:
    host.deploy(ENTRY % "'d:u:daemon:rwx', 'default:g::r', 'u:bin:r'" + "    type: [directory]\n    mode: 2750\n")
    reference = host.root / "reference"
    reference.mkdir()
    subprocess.run(["setfacl", "--set", "u::rwx,g::rx,o::-,d:u:daemon:rwx,d:g::r,u:bin:r", str(reference)], check=True)
    assert host.acl("d") == listed(reference)
    assert (host.root / "srv/app/d").stat().st_mode & 0o7000 == 0o2000
    assert host.acl("a") == ["group::r--", "other::---", "user::rw-"]


def test_the_same_acl_again_touches_nothing(host: Host) -> None:
    host.deploy(ENTRY % "'u:daemon:rw'" + "    mode: 750\n")
    before = {name: (host.root / "srv/app" / name).stat().st_ctime_ns for name in ("a", "d", "d/b")}
    host.deploy(ENTRY % "'u:daemon:rw'" + "    mode: 750\n")
    assert {name: (host.root / "srv/app" / name).stat().st_ctime_ns for name in before} == before


def test_another_acl_replaces_the_old_one_and_a_missing_one_takes_it_back(host: Host) -> None:
    host.deploy(ENTRY % "'u:daemon:rw', 'g:daemon:rwx'")
    host.deploy(ENTRY % "'u:bin:r'")
    assert host.acl("a") == ["group::r--", "mask::r--", "other::---", "user:2:r--", "user::rw-"]
    assert "user:1:rw-" not in host.acl("d")
    host.deploy(ENTRY % "'u:bin:rwx'")
    host.deploy("files: [{source: app, destination: /srv/app}]\n")
    assert host.acl("a") == ["group::r--", "other::---", "user::rw-"]
    assert host.acl("d") == ["group::r-x", "other::r-x", "user::rwx"]


def test_a_kill_at_any_point_leaves_the_right_acl_to_the_next_deployment(host: Host) -> None:
    old, new = ENTRY % "'u:daemon:rw'", ENTRY % "'u:bin:r', 'g:daemon:7'"
    host.deploy(new)
    right = {name: host.acl(name) for name in ("a", "d", "d/b")}
    at, was_killed = 0, True
    while was_killed:
        host.deploy(old)
        points: list[str] = []

        def passed(point: str, points: list[str] = points, last: int = at) -> None:
            points.append(point)
            if len(points) > last:
                raise Killed

        was_killed = False
        try:
            host.deploy(new, passed=passed)
        except Killed:
            was_killed = True
        host.deploy(new)
        assert {name: host.acl(name) for name in right} == right
        at += 1
    assert at > 5


def test_what_somebody_changed_is_set_right(host: Host) -> None:
    host.deploy(ENTRY % "'u:daemon:rw'")
    right = host.acl("a")
    subprocess.run(["setfacl", "-m", "u:bin:rwx", str(host.root / "srv/app/a")], check=True)
    host.deploy(ENTRY % "'u:daemon:rw'")
    assert host.acl("a") == right


@pytest.mark.parametrize(
    "acls, says",
    [
        ("'u:no-such-user:rw'", "cannot install: the ACL u:no-such-user:rw of /srv/app cannot be set: this host has no user no-such-user"),
        ("'g:no-such-group:rw'", "this host has no group no-such-group"),
        ("'u:daemon:rw', 'daemon:r'", "the ACL daemon:r of /srv/app cannot be set: another entry is about the same"),
        ("'d:u:daemon:rw'", "/srv/app/a is a file, and a default ACL is for directories; add type: [directory]"),
    ],
)
def test_an_acl_that_cannot_be_set_is_refused_before_anything_is_changed(host: Host, acls: str, says: str) -> None:
    with pytest.raises(PayloadError) as caught:
        host.deploy(ENTRY % acls)
    assert caught.value.code is PayloadErrorCode.BAD_FILES
    assert says in caught.value.message
    assert not os.path.lexists(host.root / "srv")


def test_a_record_of_attributes_reads_back_and_so_does_one_from_before_there_were_acls() -> None:
    whole = Attributes(mode=0o750, uid=1, gid=None, acl=(AclEntry(False, 2, 1, 6),))
    for attributes in (whole, Attributes(mode=1), Attributes(acl=())):
        assert Attributes.from_list(attributes.to_list()) == attributes
    assert Attributes.from_list([0o644, None, 5]) == Attributes(mode=0o644, gid=5)
