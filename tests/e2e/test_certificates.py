"""Operators with certificates, with the installed programs and real processes: one command to log in, renewed in use, out when revoked."""

import json
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from coordinator.adapters.authority import Authority
from coordinator.adapters.clock import SystemClock
from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster

pytestmark = pytest.mark.e2e


def test_an_operator_with_a_certificate_deploys_renews_and_is_out_when_it_is_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    kept = tmp_path / "config" / "hookline"
    with Cluster(tmp_path / "cluster", secure=True) as cluster:
        cluster.start_agents("web-1")
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
        cluster.hookline("operator", "create", "vera", "--grant", "deployer:shop")
        login = shlex.split(cluster.typed("operator", "certificate", "create", "vera").out)
        assert cluster.typed(*login[1:]).code == 0
        assert "used already" in cluster.typed(*login[1:]).err
        assert [file.name for file in kept.glob("oc-*")] == [next(kept.glob("oc-*.pem")).name]
        vera = ("--coordinator", cluster.addresses["certificates"])  # as logged in; without it by the admin socket
        certificate = cluster.hookline(*vera, "whoami").json["credential_id"]
        doctor = cluster.typed(*vera, "doctor")
        assert (doctor.code, "own certificate" in doctor.out) == (0, True), doctor.out
        revision = cluster.hookline(*vera, "push", "shop", str(bundle(cluster.directory / "bundle", "v1"))).json["revision_id"]
        done = cluster.typed(*vera, "deploy", "shop", "production", "--revision", revision, "--follow")
        assert (done.code, "Succeeded" in done.out) == (0, True), done.err
        _make_due(kept)
        before = next(kept.glob("oc-*.pem")).read_bytes()
        assert cluster.hookline(*vera, "whoami").json["credential_id"] == certificate
        assert next(kept.glob("oc-*.pem")).read_bytes() != before
        assert cluster.hookline("operator", "certificate", "list").json[0]["renew_time"]
        _what_runs_ends_when_it_is_revoked(cluster, vera, certificate)
        refused = cluster.hookline(*vera, "whoami", expected=1).err
        assert f"the certificate {certificate} was revoked" in refused
        said = cluster.rows("SELECT entry FROM v_history WHERE entry LIKE 'OperatorCertificate%' ORDER BY history_id")
        assert said == [("OperatorCertificateIssued",), ("OperatorCertificateRevoked",)]


def _make_due(kept: Path) -> None:
    """Let it be time for a renewal."""
    login = json.loads((kept / "login.json").read_text())
    login["certificate"]["renew_at"] = 0
    (kept / "login.json").write_text(json.dumps(login))


def _what_runs_ends_when_it_is_revoked(cluster: Cluster, vera: tuple[str, ...], certificate: str) -> None:
    """And goes on while the coordinator's own certificate is renewed."""
    gate = cluster.gate("AfterInstall", "web-1")
    revision = cluster.hookline("push", "shop", str(bundle(cluster.directory / "next", "v2"))).json["revision_id"]
    deployment = cluster.hookline("deploy", "shop", "production", "--revision", revision).json["deployment_id"]
    cluster.reached(deployment, "AfterInstall", "web-1")
    following = subprocess.Popen(
        cluster.command(*vera, "follow", deployment), env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert following.stdout is not None
        following.stdout.readline()
        Authority.open(cluster.data_dir / "pki", SystemClock(), names=("localhost", "127.0.0.1", "renewed")).renew()
        assert "renewed" in cluster.typed(*vera, "doctor").out
        assert following.poll() is None
        cluster.hookline("operator", "certificate", "revoke", certificate)
        begun = time.monotonic()
        _, said = following.communicate(timeout=30)
        assert time.monotonic() - begun < 5
        assert (following.returncode, b"cannot go on with this call" in said) == (1, True), said
    finally:
        if following.poll() is None:
            following.kill()
            following.wait()
    gate.let()
    assert cluster.ended(deployment) == "Succeeded"
