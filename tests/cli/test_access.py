"""Logging in over TLS, and what the commands about operators and the audit ask and show."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookline.v1 import access_pb2 as access
from tests.cli.conftest import Operator
from tests.cli.coordinator import FakeCoordinator
from tests.cli.guarded import TOKEN, GuardedCoordinator


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedCoordinator]:
    """A coordinator that speaks TLS."""
    fake = GuardedCoordinator(tmp_path)
    yield fake
    fake.stop()


@pytest.fixture
def anna(guarded: GuardedCoordinator) -> Operator:
    """Somebody who has logged in."""
    operator = Operator(guarded)
    assert operator.types_alone("login", guarded.address, "--ca", guarded.authority.fingerprint, "--token", TOKEN).exit_code == 0
    guarded.calls.clear()
    return operator


def kept(tmp_path: Path) -> Path:
    return tmp_path / "config" / "hookline" / "login.json"


def test_a_login_is_kept_for_its_owner_and_used_from_then_on(anna: Operator, guarded: GuardedCoordinator, tmp_path: Path) -> None:
    assert stat.S_IMODE(kept(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(kept(tmp_path).parent.stat().st_mode) == 0o700
    shown = anna.types_alone("whoami")
    assert "operator:anna" in shown.stdout
    assert "deployer:shop" in shown.stdout
    assert anna.types_alone("app", "create", "shop").exit_code == 0
    assert guarded.metadata["authorization"] == f"Bearer {TOKEN}"
    assert anna.types_alone("logout").stdout == "logged out\n"
    assert anna.types_alone("logout").stdout == "nobody was logged in\n"
    assert "cannot trust" in anna.types_alone("--coordinator", guarded.address, "whoami").stderr


def test_another_root_is_not_trusted_and_nothing_is_sent(guarded: GuardedCoordinator, tmp_path: Path) -> None:
    refused = Operator(guarded).types_alone("login", guarded.address, "--ca", "ab" * 32, "--token", TOKEN)
    assert refused.exit_code == 1
    assert "cannot trust" in refused.stderr
    assert "Nothing was sent" in refused.stderr
    assert not guarded.calls
    assert not kept(tmp_path).exists()


def test_a_wrong_token_is_not_kept(guarded: GuardedCoordinator, tmp_path: Path) -> None:
    refused = Operator(guarded).types_alone("login", guarded.address, "--ca", guarded.authority.fingerprint, "--token", "hlo_bert")
    assert (refused.exit_code, "unknown here" in refused.stderr) == (1, True)
    assert not kept(tmp_path).exists()
    assert Operator(guarded).types_alone("login", guarded.address, "--ca", "ab" * 32, "--token", "hlj_host").exit_code == 2


def test_a_name_that_the_certificate_does_not_have_is_refused(tmp_path: Path) -> None:
    fake = GuardedCoordinator(tmp_path, names=("deploy.example",))
    refused = Operator(fake).types_alone("login", fake.address, "--ca", fake.authority.fingerprint, "--token", TOKEN)
    fake.stop()
    assert (refused.exit_code, "IP address mismatch" in refused.stderr) == (1, True)


def test_environment_and_a_file_do_without_a_login(guarded: GuardedCoordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKLINE_TOKEN", TOKEN)
    shown = Operator(guarded).types_alone("--coordinator", guarded.address, "--ca", str(guarded.trust), "whoami")
    assert "operator:anna" in shown.stdout
    monkeypatch.setenv("HOOKLINE_CA", str(guarded.trust))
    assert Operator(guarded).types_alone("--coordinator", guarded.address, "whoami").exit_code == 0


def test_a_token_is_sent_to_the_coordinator_of_the_login_and_to_no_other(anna: Operator, tmp_path: Path) -> None:
    other = GuardedCoordinator(tmp_path / "other")
    shown = anna.types_alone("--coordinator", other.address, "--ca", str(other.trust), "whoami")
    other.stop()
    assert (shown.exit_code, "authorization" in other.metadata) == (1, False)


def test_a_login_that_others_may_read_is_not_used(anna: Operator, tmp_path: Path) -> None:
    os.chmod(kept(tmp_path), 0o644)
    shown = anna.types_alone("whoami")
    assert (shown.exit_code, "others may read it" in shown.stderr) == (1, True)
    os.chmod(kept(tmp_path), 0o600)
    kept(tmp_path).write_text("{}")
    assert "cannot read the login" in anna.types_alone("whoami").stderr


def test_doctor_says_what_is_well(anna: Operator) -> None:
    shown = anna.types_alone("doctor")
    assert shown.exit_code == 0, shown.output
    assert [line.split()[:2] for line in shown.stdout.splitlines()] == [
        ["ok", what] for what in ("login", "certificate", "call", "clock", "token", "permissions")
    ]


def test_doctor_says_what_is_wrong(anna: Operator, guarded: GuardedCoordinator) -> None:
    guarded.who.server_time.seconds -= 3_600
    guarded.who.token_expire_time.seconds = guarded.who.server_time.seconds + 60
    del guarded.who.grants[:]
    shown = anna.types_alone("doctor")
    assert (shown.exit_code, "3 of 6 things need you: clock, token, permissions" in shown.stderr) == (1, True)
    assert "60m ahead of the coordinator's" in shown.stdout or "1h" in shown.stdout
    guarded.stop()
    assert "cannot reach" in anna.types_alone("doctor").stdout
    anna.types_alone("logout")
    assert "nobody is logged in" in anna.types_alone("--coordinator", guarded.address, "doctor").stdout


def test_operators_are_made_and_changed(anna: Operator, guarded: GuardedCoordinator) -> None:
    anna.types_alone("operator", "create", "ci", "--grant", "deployer:shop/production", "--grant", "viewer")
    (made,) = guarded.requests("CreateOperator")
    assert [(one.role, one.application_name, one.deployment_group_name) for one in made.grants] == [
        (access.ROLE_DEPLOYER, "shop", "production"),
        (access.ROLE_VIEWER, "", ""),
    ]
    assert "approver:shop" in anna.types_alone("operator", "grant", "anna", "approver:shop").stdout
    assert "approver:shop" in anna.types_alone("operator", "list").stdout
    assert "nothing" in anna.types_alone("operator", "ungrant", "anna", "approver:shop").stdout
    assert "Suspended" in anna.types_alone("operator", "suspend", "anna", "--reason", "left").stdout
    assert guarded.requests("SuspendOperator")[0].reason == "left"
    anna.types_alone("operator", "resume", "anna")
    assert all(call.request.request_id for call in guarded.calls if call.method != "ListOperators")


@pytest.mark.parametrize("grant", ["boss", "viewer:", "viewer:shop/", "viewer/shop", ":shop"])
def test_a_grant_that_cannot_be_read_is_refused_before_anything_is_asked(anna: Operator, guarded: GuardedCoordinator, grant: str) -> None:
    shown = anna.types_alone("operator", "grant", "anna", grant)
    assert (shown.exit_code, guarded.calls) == (2, [])


def test_a_token_is_one_command_to_paste(anna: Operator, guarded: GuardedCoordinator) -> None:
    made = anna.types_alone("operator", "token", "create", "ci", "--ttl", "90d", "--grant", "deployer:shop", "--for", "the runner")
    assert made.stdout == f"hookline login 127.0.0.1:8445 --ca {guarded.authority.fingerprint} --token {TOKEN}\n"
    (request,) = guarded.requests("CreateOperatorToken")
    assert (request.ttl.seconds, request.description, request.grants[0].application_name) == (90 * 86_400, "the runner", "shop")
    assert anna.types_alone("operator", "token", "create", "ci", "--ttl", "soon").exit_code == 2
    assert "ot-1" in anna.types_alone("operator", "token", "list").stdout
    assert anna.types_alone("operator", "token", "revoke", "ot-1").stdout == "token ot-1 is revoked\n"


def test_the_audit_is_listed_exported_and_verified(anna: Operator, guarded: GuardedCoordinator) -> None:
    assert [line.split()[0] for line in anna.types_alone("audit", "list").stdout.splitlines()] == ["NO", "2", "1"]
    exported = [json.loads(line) for line in anna.types_alone("audit", "export", "--by", "local").stdout.splitlines()]
    assert [one["audit_no"] for one in exported] == [1, 2]
    assert guarded.requests("ListAudit")[-1].principal == "local"
    whole = anna.types_alone("audit", "verify", "--noted", f"2:{'ab' * 32}")
    assert (whole.exit_code, f"--noted 2:{'ab' * 32}" in whole.stdout) == (0, True)
    assert guarded.requests("VerifyAudit")[-1].noted_audit_no == 2
    guarded.verdict.CopyFrom(access.VerifyAuditResponse(broken_audit_no=1, problem="row 1 is not as it was written"))
    broken = anna.types_alone("audit", "verify")
    assert (broken.exit_code, "row 1 is not as it was written" in broken.stderr) == (1, True)


def test_with_insecure_no_token_is_sent(coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKLINE_TOKEN", TOKEN)
    assert Operator(coordinator).types("app", "create", "shop").exit_code == 0
    assert "authorization" not in coordinator.metadata
