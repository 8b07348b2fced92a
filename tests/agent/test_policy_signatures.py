"""Only what somebody has signed whom the policy of a host trusts is deployed there, and only as it was signed."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from agent.bundle import PayloadError
from agent.bundle.download import download
from agent.bundle.requests import decode, encode
from agent.model import Instruction, Location, Place, Signature
from agent.policy import Guard
from agent.policy.signatures import BadSignature, public_key, verify
from agent.policy.statement import UnreadableStatement, parse
from tests.agent.admission import admitted, refusal, request
from tests.agent.releases import (
    KEY,
    OTHER_KEY,
    STRANGER,
    Host,
    begin,
    bundle,
    ordered,
    release,
    unsigned,
)


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
