"""Making keys and signing bundles, with minisign as the witness."""

import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from coordinator.cli.pack import pack
from coordinator.cli.signing.minisign import SecretKey, generate, read_secret
from coordinator.cli.signing.statement import appspec_of
from tests.cli.conftest import Operator

APPSPEC = "version: 0.0\nos: linux\n"
CHEAP = {"operations": 2**19, "memory": 2**24}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory that commands run in, with a small application below it."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "appspec.yml").write_text(APPSPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def key(here: Path) -> SecretKey:
    """A key without a password, in release.key."""
    made = generate()
    (here / "release.key").write_text(made.secret_file(None))
    (here / "release.key.pub").write_text(made.public_file)
    return made


def minisign(*words: str, answer: str = "") -> str:
    """What minisign says; skipped where it is not installed."""
    if shutil.which("minisign") is None:
        pytest.skip("minisign is not installed: apt install minisign")
    done = subprocess.run(["minisign", *words], input=answer, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_key_pair_is_made_and_its_secret_half_is_for_nobody_else(operator: Operator, here: Path) -> None:
    made = operator.types_alone("keygen", "--no-password", "--out", "release.key")
    assert made.exit_code == 0
    assert (here / "release.key.pub").read_text().splitlines()[1] == made.stdout.strip()
    assert stat.S_IMODE((here / "release.key").stat().st_mode) == 0o600
    assert read_secret("release.key", lambda: pytest.fail("no password is needed")).public == made.stdout.strip()


def test_a_key_is_never_overwritten(operator: Operator, key: SecretKey) -> None:
    made = operator.types_alone("keygen", "--no-password", "--out", "release.key")
    assert made.exit_code == 1
    assert "cannot write release.key: it is there already" in made.stderr


def test_an_encrypted_key_needs_its_password(here: Path) -> None:
    key = generate()
    (here / "k").write_text(key.secret_file("correct horse", **CHEAP))
    assert read_secret("k", lambda: "correct horse") == key
    with pytest.raises(Exception, match="cannot use the key k: the password is wrong"):
        read_secret("k", lambda: "battery staple")


def test_a_statement_says_which_bundle_for_whom_and_until_when(operator: Operator, here: Path, key: SecretKey) -> None:
    words = ("--counter", "42", "--group", "shop/staging", "--group", "shop/production", "--expires", "2027-01-31")
    signed = operator.types_alone("sign", "shop", "app", "--key", "release.key", *words)
    assert (signed.exit_code, signed.stdout) == (0, "shop-42.statement.minisig\n")
    bundle = pack("app")
    assert (here / "shop-42.statement").read_text() == (
        "hookline-statement: 1\n"
        "application: shop\n"
        "counter: 42\n"
        f"bundle-sha256: {bundle.sha256.hex()}\n"
        f"bundle-size: {bundle.size}\n"
        f"appspec-sha256: {hashlib.sha256(APPSPEC.encode()).hexdigest()}\n"
        "groups: shop/production shop/staging\n"
        "not-after: 2027-01-31T00:00:00Z\n"
    )


def test_the_same_words_give_the_same_signature(operator: Operator, here: Path, key: SecretKey) -> None:
    for out in ("a", "b"):
        assert operator.types_alone("sign", "shop", "app", "--key", "release.key", "--counter", "1", "--out", out).exit_code == 0
    assert (here / "a.minisig").read_bytes() == (here / "b.minisig").read_bytes()


@pytest.mark.parametrize(
    "words, why",
    [
        ((), "cannot sign without --counter N"),
        (("--counter", "0"), "cannot use 0 as the counter"),
        (("--counter", "1", "--group", "production"), "write shop/GROUP"),
        (("--counter", "1", "--group", "bank/production"), "write shop/GROUP"),
        (("--counter", "1", "--expires", "soon"), "cannot read --expires soon"),
        (("--counter", "1", "--expires", "2020-01-01"), "that is past"),
    ],
)
def test_what_cannot_be_signed_is_refused(operator: Operator, key: SecretKey, words: tuple[str, ...], why: str) -> None:
    signed = operator.types_alone("sign", "shop", "app", "--key", "release.key", *words)
    assert signed.exit_code == 2
    assert why in signed.stderr


def test_push_signs_on_the_way(operator: Operator, key: SecretKey) -> None:
    assert operator.types("push", "shop", "app", "--sign", "release.key", "--counter", "7").exit_code == 0
    (pushed,) = operator.coordinator.revisions.values()
    assert operator.types_alone("sign", "shop", "app", "--key", "release.key", "--counter", "7").exit_code == 0
    assert operator.types("push", "shop", "app", "--signature", "shop-7.statement.minisig").exit_code == 0
    (again,) = operator.coordinator.revisions.values()
    assert pushed.signature.statement.decode().startswith("hookline-statement: 1\napplication: shop\ncounter: 7\n")
    assert pushed.signature == again.signature


def test_register_sends_a_signature_along(operator: Operator, here: Path, key: SecretKey) -> None:
    assert operator.types_alone("sign", "shop", "app", "--key", "release.key", "--counter", "7").exit_code == 0
    assert operator.types("register", "shop", "--file", "/srv/shop.tgz", "--signature", "shop-7.statement.minisig").exit_code == 0
    (request,) = operator.coordinator.requests("RegisterRevision")
    assert request.signature.signature == (here / "shop-7.statement.minisig").read_bytes()


@pytest.mark.parametrize(
    "words, why",
    [
        (("--counter", "1"), "cannot use --counter, --group or --expires without --sign KEY"),
        (("--sign", "release.key"), "cannot sign without --counter N"),
        (("--sign", "release.key", "--counter", "1", "--signature", "x.minisig"), "cannot use both --sign and --signature"),
        (("--signature", "shop-7.statement"), "whose name ends with .minisig"),
    ],
)
def test_signing_options_that_do_not_fit_together_are_refused(operator: Operator, key: SecretKey, words: tuple[str, ...], why: str) -> None:
    pushed = operator.types("push", "shop", "app", *words)
    assert pushed.exit_code == 2
    assert why in pushed.stderr


@pytest.mark.parametrize("prefix", ["", "./", "shop-4.2/"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_the_appspec_of_a_packed_bundle_is_found_where_agents_find_it(prefix: str, kind: str) -> None:
    packed = io.BytesIO()
    files = {f"{prefix}sub/appspec.yml": b"not this one", f"{prefix}appspec.yaml": b"nor this", f"{prefix}appspec.yml": b"this one"}
    if kind == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    assert appspec_of(packed, "x") == b"this one"


def test_a_bundle_without_an_appspec_or_that_is_none_is_not_signed(operator: Operator, here: Path, key: SecretKey) -> None:
    (here / "noise.tgz").write_bytes(os.urandom(100))
    signed = operator.types_alone("sign", "shop", "noise.tgz", "--key", "release.key", "--counter", "1")
    assert "cannot sign noise.tgz: it is no tar, tgz or zip archive" in signed.stderr
    with zipfile.ZipFile(here / "empty.zip", "w") as archive:
        archive.writestr("readme", "")
    signed = operator.types_alone("sign", "shop", "empty.zip", "--key", "release.key", "--counter", "1")
    assert "cannot sign empty.zip: there is no appspec.yml" in signed.stderr


@pytest.mark.peer
def test_minisign_verifies_what_is_signed_here(operator: Operator, key: SecretKey) -> None:
    assert operator.types_alone("sign", "shop", "app", "--key", "release.key", "--counter", "42").exit_code == 0
    assert "Signature and comment signature verified" in minisign("-Vm", "shop-42.statement", "-p", "release.key.pub")


@pytest.mark.peer
def test_minisign_signs_with_a_key_made_here(here: Path) -> None:
    key = generate()
    (here / "k").write_text(key.secret_file("correct horse", **CHEAP))
    (here / "k.pub").write_text(key.public_file)
    (here / "text").write_text("hello")
    minisign("-Sm", "text", "-s", "k", answer="correct horse\n")
    assert "verified" in minisign("-Vm", "text", "-p", "k.pub")
    assert "verified" in minisign("-Vm", "text", "-P", key.public)


@pytest.mark.peer
def test_a_key_that_minisign_made_signs_here(operator: Operator, here: Path) -> None:
    minisign("-G", "-W", "-p", "m.pub", "-s", "m.key")
    assert operator.types_alone("sign", "shop", "app", "--key", "m.key", "--counter", "42").exit_code == 0
    assert "Signature and comment signature verified" in minisign("-Vm", "shop-42.statement", "-p", "m.pub")
