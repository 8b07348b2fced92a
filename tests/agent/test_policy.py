"""What a host's policy lets a coordinator do: which releases may be deployed, what they may ask for, and what is remembered of them."""

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.appspec import AppSpec, FileMapping, Permission, Script
from agent.bundle import DownloadRequest, InstallRequest, PayloadError, PayloadErrorCode, UrlSource
from agent.bundle.download import download
from agent.bundle.requests import decode, encode
from agent.errors import AgentError
from agent.hooks import EventRun, ScriptRun
from agent.model import Installed, Instruction, LifecycleEvent, Location, Place, Signature
from agent.policy import Guard, Memory
from agent.policy.rules import check_appspec, check_script
from agent.policy.signatures import BadSignature, public_key, verify
from agent.policy.statement import UnreadableStatement, parse
from agent.policy.terms import Policy
from tests.agent.instructions import SEVEN
from tests.agent.releases import (
    KEY,
    NOON,
    OTHER_KEY,
    STRANGER,
    Host,
    begin,
    bundle,
    ordered,
    release,
    unsigned,
)

HOUR = 3_600_000


def refusal(act: Callable[[], object]) -> str:
    """The sentence that something is refused with."""
    with pytest.raises(PayloadError) as refused:
        act()
    assert refused.value.code is PayloadErrorCode.NOT_PERMITTED
    return refused.value.message


def admitted(host: Host, instruction: Instruction) -> bool:
    """Whether an agent that starts now would begin this."""
    try:
        host.guard().admit(begin(instruction))
    except PayloadError:
        return False
    return True


# -------------------------------------------------------------------------------------------------------------------- signatures


def test_a_signed_release_may_be_deployed(tmp_path: Path) -> None:
    assert admitted(Host.at(tmp_path), ordered(release()))


def test_an_unsigned_release_may_not(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    why = refusal(lambda: host.guard().admit(begin(ordered(unsigned(release())))))
    assert why == f"cannot deploy revision r-42: it is not signed; see hookline sign (require_signature in {host.file})"


def test_what_need_not_be_signed_is_verified_when_it_is(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.rule(f'signing_keys = ["{KEY.public}"]\n')
    assert admitted(host, ordered(unsigned(release())))
    assert not admitted(host, ordered(release(key=STRANGER)))


def test_a_strangers_signature_counts_for_nothing(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    why = refusal(lambda: host.guard().admit(begin(ordered(release(key=STRANGER)))))
    assert f"it is signed with key {STRANGER.name}, which is none of signing_keys ({KEY.name})" in why


def test_a_strangers_signature_under_a_known_id_counts_for_nothing(tmp_path: Path) -> None:
    assert "does not belong to its statement" in refusal(
        lambda: Host.at(tmp_path).guard().admit(begin(ordered(release(key=replace(STRANGER, id=KEY.id)))))
    )


def test_keys_are_rotated_by_listing_both_for_a_while(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    old, new = ordered(release(1)), ordered(release(2, key=OTHER_KEY))
    assert (admitted(host, old), admitted(host, new)) == (True, False)
    host.rule(f'signing_keys = ["{KEY.public}", "{OTHER_KEY.public}"]\nrequire_signature = true\n')
    assert (admitted(host, old), admitted(host, new)) == (True, True)
    host.rule(f'signing_keys = ["{OTHER_KEY.public}"]\nrequire_signature = true\n')
    assert (admitted(host, old), admitted(host, new)) == (False, True)


def test_a_statement_is_about_one_application_and_the_groups_that_it_names(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    assert "it is signed for application bank" in refusal(lambda: host.guard().admit(begin(ordered(release(application="bank")))))
    both = release(groups=["shop/production", "shop/staging"])
    assert admitted(host, ordered(both))
    assert admitted(host, ordered(both, group="staging"))
    assert "it is signed for shop/production, shop/staging, and this is shop/canary" in refusal(
        lambda: host.guard().admit(begin(ordered(both, group="canary")))
    )


def test_a_statement_is_about_one_bundle(tmp_path: Path) -> None:
    host, one, other = Host.at(tmp_path), release(1), release(2)
    assert "its statement is about bundle" in refusal(lambda: host.guard().admit(begin(ordered(replace(one, bundle=other.bundle)))))


def test_a_location_without_a_digest_is_held_to_that_of_the_statement(tmp_path: Path) -> None:
    host, wanted = Host.at(tmp_path), release()
    instruction = ordered(wanted)
    instruction = replace(instruction, location=Location(place=Place.S3, words=(("bucket", "b"), ("key", "k"))))
    asked = request(instruction)
    assert not asked.sha256
    held = host.guard().download(instruction, asked)
    assert (held.sha256, held.limits.packed_bytes) == (wanted.sha256, len(wanted.bundle))
    assert len(held.appspec_sha256) == 64


@pytest.mark.parametrize(
    "old, new",
    [
        ("hookline-statement: 1", "hookline-statement: 2"),
        ("counter: 42", "counter: 042"),
        ("counter: 42", "counter: 0"),
        ("counter: 42", "counter: -1"),
        ("groups: *", "groups: bank/production"),
        ("groups: *", "groups: shop/b shop/a"),
        ("groups: *", "groups: shop/a shop/a"),
        ("groups: *", "groups: shop/a  shop/b"),
        ("groups: *", "groups: "),
        ("not-after: never", "not-after: 2027-02-30T00:00:00Z"),
        ("not-after: never", "not-after: 2027-01-01"),
        ("not-after: never\n", "not-after: never"),
        ("not-after: never\n", "not-after: never\n\n"),
        ("not-after: never\n", "not-after: never\r\n"),
        ("application: shop\n", "application: shop\napplication: bank\n"),
        ("application: shop\n", ""),
        ("application: shop", "application:  shop"),
        ("application: shop", "application: sh\u00f6p"),
    ],
)
def test_a_statement_is_written_in_one_way_only(old: str, new: str) -> None:
    good = release().signature
    assert good is not None
    text = good.statement.decode()
    assert old in text
    with pytest.raises(UnreadableStatement):
        parse(text.replace(old, new).encode())


@pytest.mark.parametrize("where", ["statement", "signature", "bundle"])
def test_no_release_with_a_flipped_byte_is_ever_unpacked(tmp_path: Path, where: str) -> None:
    chance = random.Random(where)
    good = release(groups=["shop/production"])
    assert good.signature is not None
    host = Host.at(tmp_path)
    guard = host.guard()
    for _ in range(334):
        statement, signature, packed = good.signature.statement, good.signature.signature, good.bundle
        (tmp_path / "bundle").write_bytes(flip(packed, chance) if where == "bundle" else packed)
        flipped = Signature(
            flip(statement, chance) if where == "statement" else statement, flip(signature, chance) if where == "signature" else signature
        )
        with pytest.raises(PayloadError):
            deliver(host, guard, replace(ordered(good), signature=flipped))


def deliver(host: Host, guard: Guard, instruction: Instruction) -> None:
    """What the executor and the unpacking process do up to the point where a bundle is opened; that is not to be reached."""
    guard.admit(begin(instruction))
    wanted = guard.download(instruction, request(instruction, host.folder / "bundle"))
    download(wanted, host.workspace, lambda done, total: None, lambda: pytest.fail("a bundle with a flipped byte is unpacked"))


def test_the_same_release_without_a_flipped_byte_is_unpacked(tmp_path: Path) -> None:
    host, good = Host.at(tmp_path), release()
    (tmp_path / "bundle").write_bytes(good.bundle)
    held = host.guard().download(ordered(good), request(ordered(good), tmp_path / "bundle"))
    download(held, host.workspace, lambda done, total: None, lambda: None)
    assert (host.workspace.deployment("g-production", "d-1").archive / "hook.sh").exists()


def flip(content: bytes, chance: random.Random) -> bytes:
    """The same with one byte that is another."""
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ chance.randrange(1, 256)]) + content[at + 1 :]


def request(instruction: Instruction, path: Path = Path("/bundle")) -> DownloadRequest:
    """The download that an executor would ask for."""
    return DownloadRequest(
        group_id=instruction.group_id,
        deployment_id=instruction.deployment_id,
        revision=instruction.revision_id,
        source=UrlSource(url=path.as_uri()),
        sha256=instruction.location.sha256,
        timeout=60.0,
    )


def test_a_bundle_whose_appspec_is_not_the_signed_one_is_not_unpacked_for_good(tmp_path: Path) -> None:
    host, wanted = Host.at(tmp_path), release(appspec=b"version: 0.0\nos: linux\n")
    packed = bundle()
    lying = replace(release(content=packed, appspec=b"version: 0.0\nos: linux\n"), counter=wanted.counter)
    (tmp_path / "bundle").write_bytes(packed)
    held = host.guard().download(ordered(lying), request(ordered(lying), tmp_path / "bundle"))
    with pytest.raises(PayloadError, match="cannot use appspec.yml of the bundle: its SHA-256 is"):
        download(held, host.workspace, lambda done, total: None, lambda: None)
    assert not host.workspace.deployment("g-production", "d-1").archive.exists()


def test_the_origins_of_the_policy_go_with_the_download_for_what_redirects(tmp_path: Path) -> None:
    host, wanted = Host.at(tmp_path, 'origins = ["coordinator", "https://artifacts.example/shop/"]\n'), release()
    held = host.guard().download(ordered(wanted), request(ordered(wanted)))
    assert held.origins == ("coordinator", "https://artifacts.example/shop/")
    assert decode(encode(held, "/"))[0] == held


def test_a_directory_has_no_digest_and_so_is_never_what_was_signed(tmp_path: Path) -> None:
    host, wanted = Host.at(tmp_path), release()
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "appspec.yml").write_text("version: 0.0\nos: linux\n")
    held = host.guard().download(ordered(wanted), request(ordered(wanted), tmp_path / "bundle"))
    with pytest.raises(PayloadError, match="it is a directory, which has no SHA-256"):
        download(held, host.workspace, lambda done, total: None, lambda: None)


def test_minisigns_old_signatures_without_a_hash_are_refused() -> None:
    good = release().signature
    assert good is not None
    keys = {KEY.name: public_key(KEY.public)}
    assert verify(keys, good.statement, good.signature).id == KEY.name
    old = good.signature.replace(b"RU", b"RW", 1)
    with pytest.raises(BadSignature):
        verify(keys, good.statement, old)


def test_a_statement_that_was_verified_once_vouches_for_nothing_else(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    guard, good = host.guard(), ordered(release(groups=["shop/production"]))
    guard.admit(begin(good))
    elsewhere = replace(good, group_name="canary")
    assert "it is signed for shop/production" in refusal(lambda: guard.admit(begin(elsewhere)))
    assert good.signature is not None
    other = replace(good, signature=Signature(good.signature.statement.replace(b"42", b"43"), good.signature.signature))
    assert "does not belong to its statement" in refusal(lambda: guard.admit(begin(other)))
    host.rule(f'signing_keys = ["{OTHER_KEY.public}"]\nrequire_signature = true\n')
    assert "which is none of signing_keys" in refusal(lambda: guard.admit(begin(good)))


# ----------------------------------------------------------------------------------------------------------------------- counters


@pytest.mark.parametrize(
    "counter, lowest, highest, ran", list(itertools.product([1, 5, 9], [None, 1, 5, 9], [None, 1, 5, 9], [False, True]))
)
def test_a_release_is_new_enough_or_ran_here_before(
    tmp_path: Path, counter: int, lowest: int | None, highest: int | None, ran: bool
) -> None:
    host = Host.at(tmp_path, f"lowest_counter.shop = {lowest}\n" if lowest else "")
    wanted, memory = release(counter), host.memory
    if ran:
        memory.succeeded("shop", counter, wanted.sha256)
    if highest is not None:
        memory.succeeded("shop", highest, release(highest, content=bundle("another")).sha256)
    floor = max(lowest or 0, highest or 0, counter if ran else 0)
    assert admitted(host, ordered(wanted)) == (counter >= floor or ran)


def test_a_host_goes_back_only_to_what_it_ran(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.deploy(release(40), deployment="d-1")
    host.deploy(release(42), deployment="d-2")
    assert admitted(host, ordered(release(40)))
    why = refusal(lambda: host.guard().admit(begin(ordered(release(41)))))
    assert "its counter is 41, and 42 is the lowest here for what has not run on this host before" in why
    assert admitted(host, ordered(release(43)))


def test_a_release_that_failed_here_raises_nothing(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.deploy(release(42), succeeds=False)
    assert admitted(host, ordered(release(41)))


def test_only_a_deployment_with_an_install_makes_a_release_one_that_ran(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    alone = ordered(release(42), events=[LifecycleEvent.DOWNLOAD_BUNDLE])
    host.guard().succeeded(begin(alone))
    assert host.memory.highest("shop") == 0


def test_an_application_with_a_lowest_counter_is_signed_even_where_others_need_not_be(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.rule(f'signing_keys = ["{KEY.public}"]\nlowest_counter.shop = 5\n')
    assert "it is not signed, and so has no counter" in refusal(lambda: host.guard().admit(begin(ordered(unsigned(release())))))


def test_a_denied_bundle_is_refused_even_when_it_ran_before(tmp_path: Path) -> None:
    host, bad = Host.at(tmp_path), release(40)
    host.deploy(bad)
    host.rule(f'signing_keys = ["{KEY.public}"]\nrequire_signature = true\ndenied_bundles = ["{bad.sha256}"]\n')
    assert f"its bundle {bad.sha256} is denied" in refusal(lambda: host.guard().admit(begin(ordered(bad))))


# ------------------------------------------------------------------------------------------------------------------------- expiry


def test_a_statement_ends(tmp_path: Path) -> None:
    host, wanted = Host.at(tmp_path), release(not_after=NOON + HOUR)
    assert admitted(host, ordered(wanted))
    host.clock.ms = NOON + HOUR
    assert admitted(host, ordered(wanted))
    host.clock.ms = NOON + HOUR + 1000
    why = refusal(lambda: host.guard().admit(begin(ordered(wanted))))
    assert "good until 2026-11-23T13:00:00Z, and this host's clock says 2026-11-23T13:00:01Z; set the clock, or sign it again" in why


def test_a_clock_that_is_set_back_does_not_give_an_ended_statement_its_life_back(tmp_path: Path) -> None:
    host, short = Host.at(tmp_path), release(1, not_after=NOON + HOUR)
    host.clock.ms = NOON + 2 * HOUR
    host.deploy(release(1, content=bundle("long")))
    host.clock.ms = 0
    why = refusal(lambda: host.guard().admit(begin(ordered(short))))
    assert "but it was 2026-11-23T14:00:00Z here once: the clock was set back, or was wrong then" in why
    assert admitted(host, ordered(release(2)))


def test_what_was_begun_in_time_may_be_finished(tmp_path: Path) -> None:
    host, instruction = Host.at(tmp_path), ordered(release(not_after=NOON))
    host.clock.ms = NOON + HOUR
    guard = host.guard()
    for event in (LifecycleEvent.APPLICATION_STOP, LifecycleEvent.DOWNLOAD_BUNDLE):
        with pytest.raises(PayloadError):
            guard.admit(begin(instruction, event))
    assert guard.admit(begin(instruction, LifecycleEvent.AFTER_INSTALL)).event is LifecycleEvent.AFTER_INSTALL


# ------------------------------------------------------------------------------------------------------- what lies on the disk


def test_only_what_was_found_good_is_installed_and_run(tmp_path: Path) -> None:
    host, instruction = Host.at(tmp_path), ordered(release(), events=SEVEN[2:])
    host.unpack(instruction)
    guard = host.guard()
    unpacked = "what deployment d-1 has unpacked here was never found to be signed"
    assert unpacked in refusal(lambda: guard.install(instruction, install_request(instruction)))
    assert unpacked in refusal(lambda: guard.scripts(begin(instruction, LifecycleEvent.AFTER_INSTALL), event_run()))
    host.deploy(release(), succeeds=False)
    host.guard().install(instruction, install_request(instruction))
    host.guard().scripts(begin(instruction, LifecycleEvent.AFTER_INSTALL), event_run())


def test_another_release_than_the_unpacked_one_vouches_for_nothing(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.deploy(release(42), succeeds=False)
    other = ordered(release(43), events=SEVEN[2:])
    assert "deployment d-1 has unpacked another release here" in refusal(lambda: host.guard().install(other, install_request(other)))


def test_what_is_about_to_be_replaced_is_good_for_nothing(tmp_path: Path) -> None:
    host, instruction = Host.at(tmp_path), ordered(release())
    host.deploy(release(), succeeds=False)
    host.guard().replaces(instruction)
    assert "never found to be signed" in refusal(lambda: host.guard().install(instruction, install_request(instruction)))


def test_a_normal_form_that_has_changed_is_not_followed(tmp_path: Path) -> None:
    host, instruction = Host.at(tmp_path), ordered(release())
    host.deploy(release(), succeeds=False)
    host.unpack(instruction, AppSpec(env=(("A", "b"),)).to_json())
    assert "has changed since it was found good" in refusal(lambda: host.guard().install(instruction, install_request(instruction)))


def test_the_scripts_of_an_old_revision_that_was_never_signed_do_not_run(tmp_path: Path) -> None:
    host, new = Host.at(tmp_path), ordered(release(), deployment="d-2")
    old = Installed(revision_id=new.revision_id, deployment_id=ordered(release()).deployment_id)
    host.unpack(ordered(release()))
    order = replace(begin(new), serving=old)
    why = refusal(lambda: host.guard().scripts(order, event_run()))
    assert "what deployment d-1 has unpacked here was never found to be signed; deploy it signed once before signatures are required" in why
    host.deploy(release())
    host.guard().scripts(order, event_run())


def test_deployments_that_are_gone_from_the_disk_are_forgotten(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.deploy(release(1), deployment="d-1")
    (tmp_path / "root").rename(tmp_path / "elsewhere")
    host.deploy(release(2), deployment="d-2")
    assert host.memory.verified("g-production/d-1") is None
    assert host.memory.verified("g-production/d-2") is not None


def install_request(instruction: Instruction) -> InstallRequest:
    """The installation that an executor would ask for."""
    return InstallRequest(
        group_id=instruction.group_id, deployment_id=instruction.deployment_id, revision=instruction.revision_id, timeout=60.0
    )


def event_run(*scripts: ScriptRun) -> EventRun:
    """The event that an executor would run."""
    return EventRun(
        instruction_id="i", attempt=1, lifecycle_event="", deployment_id="d-1", scripts=scripts, environment={}, cwd="/",
        scripts_log="", timeout=1,
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------------------------- other rules


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


# ------------------------------------------------------------------------------------------------------------------------- memory


def test_what_ran_is_known_after_a_restart(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.deploy(release(7))
    assert (host.memory.highest("shop"), host.memory.ran("shop", release(7).sha256)) == (7, True)
    assert host.memory.highest("bank") == 0


def test_the_highest_counter_never_goes_down(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "releases.json")
    for counter in (5, 9, 7):
        memory.succeeded("shop", counter, f"{counter:064x}")
    assert Memory(tmp_path / "releases.json").highest("shop") == 9


def test_a_writing_that_a_crash_cut_off_changes_nothing(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "releases.json")
    memory.succeeded("shop", 5, "a" * 64)
    (tmp_path / ".releases.json.new").write_text('{"format": 1, "lat')
    again = Memory(tmp_path / "releases.json")
    assert again.highest("shop") == 5
    again.succeeded("shop", 6, "b" * 64)
    assert Memory(tmp_path / "releases.json").highest("shop") == 6


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "latest": 0, "applications": 1, "verified": {}}'])
def test_a_damaged_memory_keeps_the_agent_from_starting(tmp_path: Path, content: str) -> None:
    (tmp_path / "releases.json").write_text(content)
    with pytest.raises(AgentError, match="it is damaged"):
        Memory(tmp_path / "releases.json")
