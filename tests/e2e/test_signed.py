"""Signed releases by the command line: a host that requires them takes them, goes back to what it ran, and refuses the rest."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.cli.signing.minisign import generate
from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster

pytestmark = pytest.mark.e2e


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    key, policy = generate(), tmp_path / "agent-policy.toml"
    (tmp_path / "release.key").write_text(key.secret_file(None))
    policy.write_text(f'signing_keys = ["{key.public}"]\nrequire_signature = true\ndestinations = ["/srv"]\nhook_environment = ["*"]\n')
    policy.chmod(0o600)
    monkeypatch.setenv("HOOKLINE_AGENT_POLICY", str(policy))
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.start_agents("web-1")
        yield cluster


@pytest.mark.timeout(120)
def test_a_fleet_that_requires_signatures_takes_signed_releases_only(cluster: Cluster, tmp_path: Path) -> None:
    cluster.hookline("app", "create", "shop")
    cluster.hookline("group", "create", "shop", "production", "--tag", "role=web", "--auto-rollback", "failure")
    first = push(cluster, bundle(tmp_path / "v1", "v1"), "--sign", str(tmp_path / "release.key"), "--counter", "1")
    assert deploy(cluster, first)[0] == 0
    unsigned = push(cluster, bundle(tmp_path / "v2", "v2"))
    code, why = deploy(cluster, unsigned)
    assert (code, "it is not signed; see hookline sign (require_signature in" in why) == (1, True)
    broken = push(
        cluster, bundle(tmp_path / "v3", "v3", fail=["ValidateService"]), "--sign", str(tmp_path / "release.key"), "--counter", "3"
    )
    assert deploy(cluster, broken)[0] == 1
    (held,) = cluster.hookline("hosts").json
    assert [holding["deployed_revision_id"] for holding in held["holdings"]] == [first]
    listed = {one["revision_id"]: one for one in cluster.hookline("revisions", "shop").json}
    assert (listed[broken]["signature"]["counter"], "signature" in listed[unsigned]) == (3, False)
    assert "SIGNED" in cluster.typed("revisions", "shop").out
    cluster.hookline("group", "update", "shop", "production", "--require-signature")
    refused = cluster.typed("deploy", "shop", "production", "--revision", unsigned)
    assert (refused.code, "it is not signed, and the group requires signatures" in refused.err) == (1, True)
    assert deploy(cluster, first)[0] == 0


def push(cluster: Cluster, directory: Path, *words: str) -> str:
    """Push a revision; its id."""
    said = cluster.typed("push", "shop", str(directory), *words)
    assert said.code == 0, said
    return said.out.strip()


def deploy(cluster: Cluster, revision: str) -> tuple[int, str]:
    """Deploy a revision and follow it to its end; the exit code, and all that was told."""
    said = cluster.typed("deploy", "shop", "production", "--revision", revision, "--follow")
    return said.code, said.out + said.err
