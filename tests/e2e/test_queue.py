"""Deployments that wait for their turn, with real processes: over a killed coordinator, and with a host that joins meanwhile."""

from pathlib import Path

import pytest

from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster


@pytest.mark.timeout(180)
def test_what_waits_outlives_a_killed_coordinator_and_goes_to_the_hosts_that_there_are_then(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.start_agents("web-1")
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web", "--queueing", "QUEUE")
        one, two, three = (
            str(cluster.hookline("push", "shop", str(bundle(tmp_path / version, version))).json["revision_id"])
            for version in ("v1", "v2", "v3")
        )
        gate = cluster.gate("ValidateService", "web-1")
        first = _deploy(cluster, one)
        cluster.reached(first, "ValidateService", "web-1")
        second, third = _deploy(cluster, two), _deploy(cluster, three)
        shown = cluster.typed("status", second)
        assert f"waits behind {first}" in shown.out
        refused = cluster.typed("group", "delete", "shop", "production", "--yes")
        assert refused.code != 0
        assert cluster.hookline("stop", third).json["deployment"]["status"] == "Stopped"
        cluster.kill_coordinator()
        cluster.start_coordinator()
        cluster.start_agents("web-2")
        gate.let()
        assert cluster.ended(first) == "Succeeded"
        assert cluster.ended(second) == "Succeeded"
        hosts = cluster.rows("SELECT host_name FROM v_targets WHERE deployment_id = ? ORDER BY host_name", second)
        assert [host for (host,) in hosts] == ["web-1", "web-2"]
        assert cluster.status(third) == "Stopped"


@pytest.mark.timeout(120)
def test_a_start_time_is_waited_for(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.start_agents("web-1")
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
        revision = str(cluster.hookline("push", "shop", str(bundle(tmp_path / "v1", "v1"))).json["revision_id"])
        later = _deploy(cluster, revision, "--at", "+8s")
        assert "waits until" in cluster.typed("status", later).out
        assert cluster.ended(later) == "Succeeded"
        ((asked, began),) = cluster.rows("SELECT start_at, started_at FROM deployment WHERE deployment_id = ?", later)
        assert began >= asked
        past = cluster.typed("deploy", "shop", "production", "--revision", revision, "--at", "2020-01-01T00:00Z")
        assert past.code != 0
        assert "cannot start a deployment in the past" in past.err


def _deploy(cluster: Cluster, revision: str, *options: str) -> str:
    return str(cluster.hookline("deploy", "shop", "production", "--revision", revision, *options).json["deployment_id"])
