"""The main story by the command line: a revision reaches a fleet, fails, goes back, and the history remembers it."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bundles import EVENTS, bundle
from tests.e2e.cluster import SOON, Cluster
from tests.e2e.witness import check_history, check_hooks

HOSTS = ("web-1", "web-2", "web-3")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.start_agents(*HOSTS)
        yield cluster


@pytest.mark.timeout(120)
def test_a_revision_reaches_the_fleet_and_a_broken_one_is_rolled_back(cluster: Cluster, tmp_path: Path) -> None:
    cluster.hookline("app", "create", "shop")
    cluster.hookline("group", "create", "shop", "production", "--tag", "role=web", "--auto-rollback", "failure")
    good, broken = push(cluster, bundle(tmp_path / "v1", "v1")), push(cluster, bundle(tmp_path / "v2", "v2", fail=["ValidateService"]))
    first = follow(cluster, good, "CodeDeployDefault.AllAtOnce")
    check_hooks(cluster, first, HOSTS, first=True)
    check_history(cluster, first, HOSTS)
    check_targets(cluster, first)
    for host in cluster.hookline("hosts").json:
        assert [holding["deployed_revision_id"] for holding in host["holdings"]] == [good]
    rolled_back = check_broken(cluster, broken)
    newer = follow(cluster, push(cluster, bundle(tmp_path / "v3", "v3")), "CodeDeployDefault.HalfAtATime")
    check_hooks(cluster, newer, HOSTS, first=False)
    again = check_rollback_by_hand(cluster, good)
    check_stop(cluster, good)
    entries = cluster.hookline("history", "--app", "shop", "--limit", "0").json
    created = [entry["deployment_id"] for entry in reversed(entries) if entry["entry"] == "Created"]
    assert created[:5] == [first, *rolled_back, newer, again]
    assert all(entry["because"] and entry["principal"] for entry in entries)
    for host in HOSTS:
        assert (cluster.directory / "hosts" / host / "srv" / "app" / "VERSION").read_text() == "v1\n"


def push(cluster: Cluster, directory: Path) -> str:
    said = cluster.typed("push", "shop", str(directory))
    assert (said.code, said.err.startswith("Next: hookline deploy shop")) == (0, True), said
    return said.out.strip()


def follow(cluster: Cluster, revision: str, config: str) -> str:
    """Deploy, follow, and return the deployment's id."""
    lines = cluster.hookline("deploy", "shop", "production", "--revision", revision, "--config", config, "--follow").lines
    assert lines[-1]["deployment"]["status"] == "Succeeded"
    return str(lines[-1]["deployment"]["deployment_id"])


def check_targets(cluster: Cluster, deployment_id: str) -> None:
    targets = cluster.hookline("targets", deployment_id).json
    assert [target["host_name"] for target in targets] == list(HOSTS)
    for target in targets:
        assert [(event["lifecycle_event"], event["status"]) for event in target["lifecycle_events"]] == [
            (event, "Succeeded") for event in EVENTS
        ]
        assert all(event["start_time"] <= event["end_time"] for event in target["lifecycle_events"])


def check_broken(cluster: Cluster, broken: str) -> tuple[str, str]:
    """A broken revision fails on one host, the others are left alone, and what was touched goes back. Returns both deployments."""
    said = cluster.typed("--output", "json", "deploy", "shop", "production", "--revision", broken, "--follow")
    assert said.code == 1
    deployments = {line["deployment"]["deployment_id"]: line["deployment"] for line in said.lines if "deployment" in line}
    (failed, rollback) = deployments.values()
    assert (failed["status"], rollback["status"]) == ("Failed", "Succeeded")
    assert failed["rollback_info"]["rollback_deployment_id"] == rollback["deployment_id"]
    assert rollback["rollback_info"]["rollback_triggering_deployment_id"] == failed["deployment_id"]
    assert (rollback["creator"], failed["error_information"]["code"]) == ("codeDeployRollback", "HEALTH_CONSTRAINTS")
    targets = cluster.hookline("targets", failed["deployment_id"]).json
    assert [target["status"] for target in targets] == ["Failed", "Skipped", "Skipped"]
    event = targets[0]["lifecycle_events"][-1]
    assert (event["lifecycle_event"], event["status"], event["diagnostics"]["error_code"]) == ("ValidateService", "Failed", "ScriptFailed")
    assert event["diagnostics"]["script_name"] == "scripts/hook.sh"
    assert "broken on purpose" in event["diagnostics"]["log_tail"]
    assert [target["host_name"] for target in cluster.hookline("targets", rollback["deployment_id"]).json] == [HOSTS[0]]
    return failed["deployment_id"], rollback["deployment_id"]


def check_rollback_by_hand(cluster: Cluster, good: str) -> str:
    """`hookline rollback` after a success deploys the good revision before it."""
    lines = cluster.hookline("rollback", "shop", "production", "--follow").lines
    assert (lines[-1]["deployment"]["status"], lines[-1]["deployment"]["revision_id"]) == ("Succeeded", good)
    return str(lines[-1]["deployment"]["deployment_id"])


def check_stop(cluster: Cluster, good: str) -> None:
    """Ctrl-C leaves a deployment running; `stop` lets the running hook finish and skips the rest."""
    gate = cluster.gate("AfterInstall", HOSTS[0])
    command = cluster.command("--output", "json", "deploy", "shop", "production", "--revision", good, "--follow")
    following = subprocess.Popen(
        command, env=cluster.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert following.stdout is not None
    assert following.stdout.readline()
    deployment_id = str(cluster.rows("SELECT deployment_id FROM v_deployments ORDER BY created_at DESC")[0][0])
    cluster.reached(deployment_id, "AfterInstall", HOSTS[0])
    following.send_signal(signal.SIGINT)
    _, remarks = following.communicate(timeout=SOON)
    assert following.returncode == 130
    assert f"hookline follow {deployment_id}" in remarks.decode()
    assert cluster.status(deployment_id) == "InProgress"
    cluster.hookline("stop", deployment_id)
    gate.let()
    assert cluster.ended(deployment_id) == "Stopped"
    assert cluster.hookline("follow", deployment_id, expected=1).lines[-1]["deployment"]["status"] == "Stopped"
    assert [event for _, event in cluster.times(deployment_id)] == ["ApplicationStop", "BeforeInstall", "AfterInstall"]
    assert "cannot stop" in cluster.typed("stop", deployment_id).err
