"""A restart by the command line: the installed revision stops and starts, nothing is downloaded, and deployments go on as before."""

from pathlib import Path

import pytest

from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster
from tests.e2e.witness import check_hooks

RESTARTED = ["ApplicationStop", "ApplicationStart", "ValidateService"]


@pytest.mark.e2e
@pytest.mark.timeout(120)
def test_a_restart_runs_the_hooks_of_the_installed_revision_again(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.start_agents("web-1")
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web", "--auto-rollback", "failure")
        first = deploy(cluster, bundle(tmp_path / "v1", "v1"))
        check_hooks(cluster, first, ["web-1"], first=True)
        lines = cluster.hookline("restart", "shop", "production", "--follow").lines
        restarted = lines[-1]["deployment"]
        assert (restarted["status"], restarted["deployment_mode"]) == ("Succeeded", "Restart")
        assert [hook.lifecycle_event for hook in cluster.hooks(restarted["deployment_id"])] == RESTARTED
        target = cluster.hookline("target", restarted["deployment_id"], "web-1").json
        assert [event["lifecycle_event"] for event in target["lifecycle_events"]] == RESTARTED
        second = deploy(cluster, bundle(tmp_path / "v2", "v2"))
        check_hooks(cluster, second, ["web-1"], first=False)


def deploy(cluster: Cluster, directory: Path) -> str:
    revision = cluster.typed("push", "shop", str(directory)).out.strip()
    last = cluster.hookline("deploy", "shop", "production", "--revision", revision, "--follow").lines[-1]["deployment"]
    assert last["status"] == "Succeeded"
    return str(last["deployment_id"])
