"""Operators from elsewhere, with the installed programs: logged in by a token, they do what they were granted, and the audit knows."""

import json
import shlex
from pathlib import Path

import pytest

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
