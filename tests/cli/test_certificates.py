"""An operator's own certificate: taken at a login, shown in the place of a token, renewed in time; and what is said when it cannot be."""

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from hookline.v1 import access_pb2 as access
from tests.cli.conftest import Operator
from tests.cli.coordinator import Refused
from tests.cli.guarded import INVITATION, LASTS, TOKEN, GuardedCoordinator

LATE = LASTS * 0.6 + 1
OK = ("login", "certificate", "call", "clock", "own certificate", "permissions")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedCoordinator]:
    """A coordinator that speaks TLS."""
    fake = GuardedCoordinator(tmp_path)
    yield fake
    fake.stop()


def login(guarded: GuardedCoordinator, token: str = INVITATION) -> tuple[str, ...]:
    return ("login", guarded.address, "--ca", guarded.authority.fingerprint, "--token", token)


@pytest.fixture
def anna(guarded: GuardedCoordinator) -> Operator:
    """Somebody who has logged in with a certificate."""
    operator = Operator(guarded)
    made = operator.types_alone(*login(guarded))
    assert made.exit_code == 0, made.output
    guarded.calls.clear()
    return operator


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where a login is kept."""
    return tmp_path / "config" / "hookline"


def methods(guarded: GuardedCoordinator) -> list[str]:
    return [call.method for call in guarded.calls]


def key_in(request: bytes) -> object:
    return x509.load_pem_x509_csr(request).public_key()


def test_a_login_keeps_key_and_certificate_for_their_owner_and_no_token(anna: Operator, guarded: GuardedCoordinator, kept: Path) -> None:
    assert sorted(file.name for file in kept.iterdir()) == ["login.json", "oc-1.pem"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in kept.iterdir()} == {0o600}
    assert not any(INVITATION in file.read_text() for file in kept.iterdir())
    assert json.loads((kept / "login.json").read_text())["coordinator"] == guarded.certified
    shown = anna.types_alone("whoami")
    assert ("operator:anna" in shown.stdout, "oc-1" in shown.stdout) == (True, True)
    assert guarded.certificate in (kept / "oc-1.pem").read_bytes()
    assert "authorization" not in guarded.metadata


def test_a_certificate_is_shown_to_the_coordinator_of_the_login_and_to_no_other(anna: Operator, guarded: GuardedCoordinator) -> None:
    shown = anna.types_alone("--coordinator", guarded.address, "--ca", str(guarded.trust), "whoami")
    assert (shown.exit_code, guarded.certificate) == (1, b"")


def test_what_a_login_kept_is_deleted_by_the_next_and_by_a_logout(anna: Operator, guarded: GuardedCoordinator, kept: Path) -> None:
    assert anna.types_alone(*login(guarded, TOKEN)).exit_code == 0
    assert [file.name for file in kept.iterdir()] == ["login.json"]
    assert anna.types_alone(*login(guarded)).exit_code == 0
    assert anna.types_alone("logout").stdout == "logged out\n"
    assert list(kept.iterdir()) == []


def test_a_certificate_is_renewed_before_it_ends(anna: Operator, guarded: GuardedCoordinator, kept: Path) -> None:
    first = (kept / "oc-1.pem").read_bytes()
    anna.types_alone("whoami")
    assert methods(guarded) == ["WhoAmI"]
    anna.clock.later = LATE
    for _ in range(2):
        assert anna.types_alone("whoami").exit_code == 0
    assert methods(guarded) == ["WhoAmI", "RenewOperatorCertificate", "WhoAmI", "WhoAmI"]
    assert guarded.certificate in (kept / "oc-1.pem").read_bytes()
    assert (kept / "oc-1.pem").read_bytes() != first
    assert not (kept / "oc-1.pem.next").exists()
    anna.clock.later = LATE + LASTS - 10
    assert anna.types_alone("whoami").exit_code == 0


def test_a_renewal_that_was_not_answered_is_said_and_asked_for_again_with_the_same_key(anna: Operator, guarded: GuardedCoordinator) -> None:
    anna.clock.later = LATE
    guarded.faults = [Refused(grpc.StatusCode.INTERNAL, "cannot do this: something broke")]
    shown = anna.types_alone("whoami")
    assert (shown.exit_code, "was not renewed, and ends soon: cannot do this" in shown.stderr) == (0, True)
    guarded.faults = [Refused(grpc.StatusCode.INTERNAL, "cannot do this: something broke")]
    assert "could not be renewed" in anna.types_alone("doctor").stdout
    assert anna.types_alone("whoami").stderr == ""
    asked = [key_in(request.certificate_request) for request in guarded.requests("RenewOperatorCertificate")]
    assert (len(asked), asked[0] == asked[1] == asked[2]) == (3, True)


def test_of_two_commands_at_once_one_renews(anna: Operator, guarded: GuardedCoordinator, kept: Path) -> None:
    anna.clock.later = LATE
    descriptor = os.open(kept / ".renewal.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert anna.types_alone("whoami").exit_code == 0
    os.close(descriptor)
    assert methods(guarded) == ["WhoAmI"]


def test_a_renewal_that_was_kept_before_a_crash_does_not_hinder_the_next(anna: Operator, guarded: GuardedCoordinator, kept: Path) -> None:
    present = (kept / "oc-1.pem").read_bytes()
    key = present[: present.index(b"-----BEGIN CERTIFICATE")]
    (kept / "oc-1.pem.next").write_bytes(key)
    anna.clock.later = LATE
    assert anna.types_alone("whoami").exit_code == 0
    assert not (kept / "oc-1.pem").read_bytes().startswith(key)


def test_a_coordinator_chooses_no_file(guarded: GuardedCoordinator, kept: Path) -> None:
    guarded.certificate_id = "../../oc-1"
    shown = Operator(guarded).types_alone(*login(guarded))
    assert (shown.exit_code, "cannot keep the certificate" in shown.stderr, kept.exists()) == (1, True, False)


def test_a_renewal_that_cannot_be_kept_holds_no_command_up(anna: Operator, guarded: GuardedCoordinator, kept: Path) -> None:
    anna.clock.later = LATE
    (kept / ".oc-1.pem.next.new").mkdir()
    shown = anna.types_alone("whoami")
    assert (shown.exit_code, "was not renewed" in shown.stderr, methods(guarded)) == (0, True, ["WhoAmI"])
    (kept / ".oc-1.pem.next.new").rmdir()
    (kept / ".renewal.lock").unlink()
    (kept / ".renewal.lock").mkdir()
    shown = anna.types_alone("whoami")
    assert (shown.exit_code, "was not renewed" in shown.stderr, methods(guarded)) == (0, True, ["WhoAmI"] * 2)


def test_a_certificate_that_has_ended_is_said_to_have_before_anybody_is_asked(anna: Operator, guarded: GuardedCoordinator) -> None:
    anna.clock.later = LASTS + 1
    shown = anna.types_alone("whoami")
    assert (shown.exit_code, "has ended: have `hookline operator certificate create` run" in shown.stderr) == (1, True)
    assert "has ended" in anna.types_alone("doctor").stdout
    assert not guarded.calls


def test_a_key_that_others_may_read_is_not_used(anna: Operator, kept: Path) -> None:
    os.chmod(kept / "oc-1.pem", 0o640)
    shown = anna.types_alone("whoami")
    assert (shown.exit_code, "others may read it" in shown.stderr) == (1, True)
    (kept / "oc-1.pem").unlink()
    assert "cannot read the certificate" in anna.types_alone("whoami").stderr


def test_doctor_says_what_is_well_and_what_is_wrong_with_a_certificate(
    anna: Operator, guarded: GuardedCoordinator, tmp_path: Path, kept: Path
) -> None:
    well = anna.types_alone("doctor")
    assert well.exit_code == 0, well.output
    assert [line[len("WRONG  ") :].startswith(what) for line, what in zip(well.stdout.splitlines(), OK, strict=True)] == [True] * len(OK)
    assert "is renewed before" in well.stdout
    (kept / "oc-1.pem").write_bytes(b"nothing")
    assert "cannot use the certificate in" in anna.types_alone("doctor").stdout
    other = GuardedCoordinator(tmp_path / "other")
    assert anna.types_alone(*login(other)).exit_code == 0
    stranger = (kept / "oc-1.pem").read_bytes()
    other.stop()
    assert anna.types_alone(*login(guarded)).exit_code == 0
    (kept / "oc-1.pem").write_bytes(stranger)
    assert "hangs up when it sees your certificate" in anna.types_alone("doctor").stdout


def test_a_certificate_is_kept_also_when_its_listener_cannot_be_reached(guarded: GuardedCoordinator, kept: Path) -> None:
    guarded.certified = "127.0.0.1:1"
    shown = Operator(guarded).types_alone(*login(guarded))
    assert (shown.exit_code, "the certificate is kept, but 127.0.0.1:1 cannot be called" in shown.stderr) == (3, True)
    assert (kept / "oc-1.pem").exists()


def test_a_certificate_is_one_command_to_paste(guarded: GuardedCoordinator) -> None:
    boss = Operator(guarded)
    assert boss.types_alone(*login(guarded, TOKEN)).exit_code == 0
    made = boss.types_alone("operator", "certificate", "create", "ci", "--lifetime", "7d", "--grant", "deployer:shop", "--for", "runner")
    assert made.stdout.startswith(f"hookline login 127.0.0.1:8445 --ca {guarded.authority.fingerprint} --token ")
    (request,) = guarded.requests("CreateOperatorToken")
    assert (request.ttl.seconds, request.certificate_lifetime.seconds, request.description) == (900, 7 * 86_400, "runner")
    assert request.grants == [access.Grant(role=access.ROLE_DEPLOYER, application_name="shop")]
    assert "oc-1" in boss.types_alone("operator", "certificate", "list").stdout
    assert boss.types_alone("operator", "certificate", "revoke", "oc-1").stdout == "certificate oc-1 is revoked\n"
    assert json.loads(boss.types_alone("--output", "json", "operator", "certificate", "revoke", "oc-1").stdout) == {}
