"""A rollout in stages, with real processes: a canary that fails is tried again, the coordinator is killed, and somebody opens the gate."""

from pathlib import Path

import pytest

from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster, until


@pytest.mark.timeout(180)
def test_a_canary_is_tried_again_and_a_gate_outlives_a_killed_coordinator(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.start_agents("web-1", "web-2", "web-3")
        cluster.hookline("app", "create", "shop")
        cluster.hookline(
            "config", "create", "careful", "--minimum-healthy-hosts", "HOST_COUNT:0", "--step", "67%+bake=1s", "--step", "100%"
        )
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web", "--config", "careful")
        revision = str(cluster.hookline("push", "shop", str(bundle(tmp_path / "v1", "v1"))).json["revision_id"])
        breaks = cluster.gate("ValidateService", "web-2")
        named = ("--canary", "web-1", "--canary", "web-2", "--canary-gate", "any:1h")
        made = str(cluster.hookline("deploy", "shop", "production", "--revision", revision, *named).json["deployment_id"])
        cluster.reached(made, "ValidateService", "web-2")
        breaks.let("fail")
        _waits(cluster, made, "GATE")
        assert "any approver has to approve" in cluster.typed("status", made).out
        cluster.hookline("retry", made, "web-2", "--reason", "once more")
        until(lambda: _status(cluster, made, "web-2") == "Succeeded", "web-2 succeeds", 40)
        _waits(cluster, made, "GATE")
        cluster.kill_coordinator()
        cluster.start_coordinator()
        assert _status(cluster, made, "web-3") == "Pending"
        cluster.hookline("pause", made)
        assert cluster.typed("approve", made).code != 0
        cluster.hookline("resume", made)
        cluster.hookline("approve", made, "--reason", "looks right")
        assert cluster.ended(made) == "Succeeded"
        tried = (
            "SELECT attempt, status FROM v_lifecycle_events WHERE deployment_id = ? AND host_name = 'web-2' AND lifecycle_event = 'Install'"
        )
        assert cluster.rows(f"{tried} ORDER BY attempt", made) == [(1, "Succeeded"), (2, "Succeeded")]
        assert cluster.times(made)["web-2", "ValidateService"] == 2
        told = [entry for (entry,) in cluster.rows("SELECT entry FROM v_history WHERE deployment_id = ? AND host_id IS NULL", made)]
        for entry in ("StageBegan", "GateAwaited", "GatePassed", "Paused", "Resumed", "Succeeded"):
            assert entry in told


def _waits(cluster: Cluster, deployment_id: str, what: str) -> None:
    def found() -> bool:
        return what in str(cluster.hookline("status", deployment_id).json["waiting"]["waiting_for"]).upper()

    until(found, f"{deployment_id} waits for {what}", 40)


def _status(cluster: Cluster, deployment_id: str, host: str) -> str:
    ((status,),) = cluster.rows("SELECT status FROM v_targets WHERE deployment_id = ? AND host_name = ?", deployment_id, host)
    return str(status)
