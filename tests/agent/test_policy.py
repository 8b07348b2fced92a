"""What a host's policy lets a coordinator ask for, whether or not it is signed: groups, places, users, time and room."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.appspec import AppSpec, FileMapping, Permission, Script
from agent.model import Location, Place
from agent.policy.rules import check_appspec, check_script
from agent.policy.terms import Policy
from tests.agent.admission import admitted, install_request, refusal, request
from tests.agent.releases import (
    Host,
    begin,
    ordered,
    release,
    unsigned,
)


def test_a_frozen_host_begins_nothing_and_thaws_without_a_restart(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    guard, order = host.guard(), begin(ordered(release()))
    guard.admit(order)
    host.rule("freeze = true\n")
    assert refusal(lambda: guard.admit(order)) == f"cannot deploy revision r-42: this host is frozen (freeze in {host.file})"
    host.rule("freeze = false\n")
    guard.admit(order)


def test_a_policy_that_vanishes_or_breaks_allows_nothing(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    guard, order = host.guard(), begin(ordered(release()))
    guard.admit(order)
    host.rule("frieze = true\n")
    assert "there is no such rule; did you mean freeze?" in refusal(lambda: guard.admit(order))
    host.file.unlink()
    assert "there is no such file" in refusal(lambda: guard.admit(order))


def test_a_host_takes_part_only_in_the_groups_of_its_policy(tmp_path: Path) -> None:
    host = Host.at(tmp_path, 'groups = ["shop/production"]\n')
    assert admitted(host, ordered(release()))
    assert "this host takes no part in deployment group shop/canary" in refusal(
        lambda: host.guard().admit(begin(ordered(release(), group="canary")))
    )


def test_names_that_a_script_could_mistake_for_commands_are_refused(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    assert "is no name of an application, group or revision" in refusal(
        lambda: host.guard().admit(begin(ordered(release(), group="x; rm -rf /")))
    )


@pytest.mark.parametrize(
    "allowed, place, words, allows",
    [
        ("coordinator", Place.COORDINATOR, {}, True),
        ("s3", Place.COORDINATOR, {}, False),
        ("s3://shop-bundles/", Place.S3, {"bucket": "shop-bundles", "key": "a/b.tgz"}, True),
        ("s3://shop-bundles", Place.S3, {"bucket": "shop-bundles", "key": "b.tgz"}, True),
        ("s3://shop", Place.S3, {"bucket": "shop-bundles", "key": "b.tgz"}, False),
        ("s3://b/shop", Place.S3, {"bucket": "b", "key": "shop/x.tgz"}, True),
        ("s3://b/shop", Place.S3, {"bucket": "b", "key": "shop2/x.tgz"}, False),
        ("s3://b/shop", Place.S3, {"bucket": "b", "key": "shop/../bank/x.tgz"}, False),
        ("github:example/", Place.GITHUB, {"repository": "example/shop", "commit_id": "1"}, True),
        ("github:example/shop", Place.GITHUB, {"repository": "example/shop2", "commit_id": "1"}, False),
        ("file:/srv/bundles", Place.FILE, {"path": "/srv/bundles/a.tgz"}, True),
        ("file:/srv/bundles", Place.FILE, {"path": "/srv/bundles/../../etc/shadow"}, False),
        ("https://host.example/shop/", Place.HTTP, {"url": "https://host.example/shop/a.tgz"}, True),
        ("https://host.example/shop/", Place.HTTP, {"url": "https://HOST.example:443/shop/a.tgz?token=1"}, True),
        ("https://host.example/shop/", Place.HTTP, {"url": "https://host.example/bank/a.tgz"}, False),
        ("https://host.example/shop/", Place.HTTP, {"url": "https://host.example/shop/../bank/a.tgz"}, False),
        ("https://host.example/shop/", Place.HTTP, {"url": "https://host.example/shop/%2e%2e/bank/a.tgz"}, False),
        ("https://host.example/shop/", Place.HTTP, {"url": "https://host.example/shop/..%2fbank/a.tgz"}, False),
        ("https://host.example/shop/", Place.HTTP, {"url": "https://host.example/shop/%252e%252e/a.tgz"}, False),
        ("https://host.example/shop/", Place.HTTP, {"url": "http://host.example/shop/a.tgz"}, False),
        ("https://host.example", Place.HTTP, {"url": "https://host.example.evil/a.tgz"}, False),
        ("https://host.example/", Place.HTTP, {"url": "https://host.example:8443/a.tgz"}, False),
        ("https://host.example/", Place.HTTP, {"url": "https://host.example@evil/a.tgz"}, False),
        ("https://host.example/", Place.HTTP, {"url": "https://evil/\\@host.example/a.tgz"}, False),
        ("http", Place.HTTP, {"url": "https://anything.example/a.tgz"}, True),
    ],
)
def test_bundles_come_from_allowed_places_only(tmp_path: Path, allowed: str, place: Place, words: dict[str, str], allows: bool) -> None:
    host = Host.at(tmp_path, f'origins = ["{allowed}"]\n')
    location = Location(place=place, words=tuple(words.items()), sha256=release().sha256)
    assert admitted(host, replace(ordered(release()), location=location)) == allows


@pytest.mark.parametrize(
    "destination, allows",
    [
        ("/srv/shop", True),
        ("/srv/shop/", True),
        ("/srv/shop/current", True),
        ("srv/shop", True),
        ("//srv//shop", True),
        ("/srv/shop/../shop/x", True),
        ("/srv/shop2", False),
        ("/srv", False),
        ("/", False),
        ("/etc/sudoers.d", False),
        ("/srv/shop/../../etc", False),
        ("/srv/shop/..", False),
    ],
)
def test_files_go_to_allowed_directories_only(destination: str, allows: bool) -> None:
    policy = Policy(file="p", destinations=("/srv/shop",))
    appspec = AppSpec(files=(FileMapping(source="", destination=destination),))
    if allows:
        check_appspec(policy, appspec)
    else:
        assert "(destinations in p)" in refusal(lambda: check_appspec(policy, appspec))


def test_scripts_run_as_allowed_users_only() -> None:
    policy = Policy(file="p", runas=frozenset({"www-data"}))
    check_script(policy, "a.sh", runas="www-data", sudo=False)
    check_script(policy, "a.sh", runas=None, sudo=False)
    assert refusal(lambda: check_script(policy, "a.sh", runas="bob; reboot", sudo=False)) == (
        "cannot run the script a.sh as user bob; reboot: only www-data is allowed (runas in p)"
    )


def test_no_hook_becomes_root_where_none_may() -> None:
    policy = Policy(file="p", root_hooks=False)
    for runas, sudo in (("root", False), ("root", True), (None, True)):
        assert "(root_hooks in p)" in refusal(lambda runas=runas, sudo=sudo: check_script(policy, "a.sh", runas=runas, sudo=sudo))  # type: ignore[misc]
    check_script(policy, "a.sh", runas="nobody", sudo=False)
    setuid = AppSpec(permissions=(Permission(object="/srv/shop/tool", mode=0o4755),))
    assert "mode 4755: whoever runs a file with the setuid or setgid bit becomes its owner" in refusal(
        lambda: check_appspec(policy, setuid)
    )


def test_secrets_come_from_commands_only_where_they_may() -> None:
    hooks = {"AfterInstall": (Script(location="a.sh", timeout=1, runas=None, sudo=False, env=(("A", "{file:/run/a}"), ("B", "plain"))),)}
    asked = AppSpec(hooks=hooks, env=(("C", "{command:vault read -field=value c}"),))
    check_appspec(Policy(file="p"), asked)
    check_appspec(Policy(file="p", secret_commands=False), AppSpec(hooks=hooks))
    assert refusal(lambda: check_appspec(Policy(file="p", secret_commands=False), asked)) == (
        "cannot run the script a.sh: its variable C stands for what a command says; refer to a file instead (secret_commands in p)"
    )


def test_all_that_an_appspec_asks_for_is_looked_at_before_anything_of_it_is_done(tmp_path: Path) -> None:
    host = Host.at(tmp_path, 'runas = ["www-data"]\n')
    instruction = ordered(release())
    late = Script(location="late.sh", timeout=1, runas="bob", sudo=False)
    hooks = {"ValidateService": (late,)}
    for appspec in (AppSpec(hooks=hooks), AppSpec(always=hooks), AppSpec(on_failure=hooks), AppSpec(probe=late)):
        host.unpack(instruction, appspec.to_json())
        assert "cannot run the script late.sh as user bob" in refusal(lambda: host.guard().downloaded(instruction))
        assert host.memory.verified("g-production/d-1") is None


def test_the_coordinator_gets_no_more_room_and_time_than_the_policy_gives(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.rule("max_bundle_bytes = 1000\nmax_unpacked_bytes = 2000\nmax_event_seconds = 30\n")
    instruction = ordered(unsigned(release()))
    guard = host.guard()
    held = guard.download(instruction, request(instruction))
    assert (held.limits.packed_bytes, held.limits.unpacked_bytes, held.timeout) == (1000, 2000, 30)
    assert guard.admit(begin(instruction)).timeout_seconds == 30
    assert guard.install(instruction, install_request(instruction)).timeout == 30
    host.rule("max_bundle_bytes = 9000000000\nmax_event_seconds = 90\n")
    assert guard.download(instruction, request(instruction)).limits.packed_bytes == request(instruction).limits.packed_bytes
    assert guard.admit(begin(instruction)).timeout_seconds == 60


def test_a_signed_bundle_that_is_too_large_is_refused_before_it_is_fetched(tmp_path: Path) -> None:
    host, wanted = Host.at(tmp_path, "max_bundle_bytes = 1000\n"), ordered(release())
    assert "and 1000 are allowed (max_bundle_bytes" in refusal(lambda: host.guard().download(wanted, request(wanted)))
