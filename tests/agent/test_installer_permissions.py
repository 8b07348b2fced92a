"""Install gives files the owners and modes that an AppSpec names, as far as the agent may."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.installer.attributes import matcher
from agent.payload import PayloadErrorCode
from tests.agent.installations import PERMISSIONS, Host, write


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


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
