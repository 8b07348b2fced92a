"""Operators from elsewhere, with the installed programs: logged in by a token, they do what they were granted, and the audit knows."""

import json
import shlex
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster


def test_an_operator_logs_in_does_what_was_granted_and_is_kept_out_when_suspended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with Cluster(tmp_path, secure=True) as cluster:
        cluster.hookline("app", "create", "web")
        cluster.hookline("operator", "create", "vera", "--grant", "viewer:web")
        login = shlex.split(cluster.typed("operator", "token", "create", "vera").out)
        assert login[:3] == ["hookline", "login", cluster.addresses["operators"]]
        assert cluster.typed(*login[1:]).code == 0
        vera = ("--coordinator", cluster.addresses["operators"])  # as logged in; without it by the admin socket
        assert cluster.hookline(*vera, "whoami").json["principal"] == "operator:vera"
        assert cluster.typed(*vera, "doctor").code == 0
        cluster.hookline(*vera, "app", "show", "web")
        assert "vera may not" in cluster.hookline(*vera, "app", "create", "other", expected=1).err
        cluster.hookline("operator", "suspend", "vera", "--reason", "left")
        assert "suspended" in cluster.hookline(*vera, "app", "show", "web", expected=1).err
        rows = [json.loads(line) for line in cluster.typed("audit", "export").out.splitlines()]
        assert [(row["principal"], row["method"].rpartition("/")[2], row["code"]) for row in rows] == [
            ("local", "CreateApplication", "OK"),
            ("local", "CreateOperator", "OK"),
            ("local", "CreateOperatorToken", "OK"),
            ("operator:vera", "CreateApplication", "PERMISSION_DENIED"),
            ("local", "SuspendOperator", "OK"),
        ]
        assert cluster.hookline("audit", "verify").json["intact"] is True


def test_an_operator_logs_in_with_the_word_of_an_identity_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    key = ec.generate_private_key(ec.SECP256R1())
    shown = {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), "kid": "1"}
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [shown]}))
    (tmp_path / "oidc.toml").write_text('issuer = "https://id.example"\naudience = "hookline"\nkeys = "keys.json"\n')

    def word(name: str) -> str:
        now = int(time.time())
        said = {"iss": "https://id.example", "aud": "hookline", "iat": now, "exp": now + 600, "email": name, "email_verified": True}
        return jwt.encode(said, key, algorithm="ES256", headers={"kid": "1"})

    with Cluster(tmp_path / "cluster", secure=True, options=("--oidc", str(tmp_path / "oidc.toml"))) as cluster:
        cluster.hookline("operator", "create", "vera@example.com", "--grant", "viewer")
        root = str(cluster.data_dir / "pki" / "trust.crt")
        login = ("login", cluster.addresses["operators"], "--ca", root, "--token")
        assert "there is no operator of that name here" in cluster.typed(*login, word("eve@example.com")).err
        assert cluster.typed(*login, word("vera@example.com")).code == 0
        vera = ("--coordinator", cluster.addresses["operators"])
        assert cluster.hookline(*vera, "whoami").json["principal"] == "operator:vera@example.com"
        assert "may not" in cluster.hookline(*vera, "app", "create", "other", expected=1).err
        cluster.hookline("operator", "suspend", "vera@example.com")
        assert "suspended" in cluster.hookline(*vera, "whoami", expected=1).err


def test_a_deployment_begins_when_a_second_person_has_approved_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with Cluster(tmp_path / "cluster", secure=True) as cluster:
        cluster.start_agents("web-1")
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web", "--require-approval")
        revision = cluster.hookline("push", "shop", str(bundle(cluster.directory / "bundle", "v1"))).json["revision_id"]
        made = cluster.typed("deploy", "shop", "production", "--revision", revision)
        deployment = made.out.strip()
        assert f"waits for somebody other than local: hookline approve {deployment}" in made.err
        assert "local created it" in cluster.hookline("approve", deployment, expected=1).err
        cluster.hookline("operator", "create", "eve", "--grant", "approver:shop/production")
        login = shlex.split(cluster.typed("operator", "token", "create", "eve").out)
        assert cluster.typed(*login[1:]).code == 0
        cluster.kill_coordinator()
        cluster.start_coordinator()
        cluster.wait_for_agents()
        assert cluster.status(deployment) == "Created"
        assert cluster.times(deployment) == {}
        approved = cluster.typed("--coordinator", cluster.addresses["operators"], "approve", deployment, "--reason", "seen", "--follow")
        assert (approved.code, "Succeeded" in approved.out) == (0, True)
        said = cluster.rows(
            "SELECT entry, principal, message FROM v_history WHERE entry IN ('ApprovalAwaited', 'Approved') ORDER BY history_id"
        )
        assert said == [("ApprovalAwaited", "local", "somebody other than local has to approve it"), ("Approved", "operator:eve", "seen")]
