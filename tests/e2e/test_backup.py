"""A coordinator whose data directory is lost in mid-rollout comes back from a backup: the rollout goes on, and nothing runs twice."""

import datetime
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.bundles import bundle
from tests.e2e.cluster import PROGRAMS, Cluster, until
from tests.e2e.witness import check_hooks, check_once, integrity

pytestmark = pytest.mark.timeout(180)

HOSTS = ("web-1", "web-2", "web-3", "web-4")


def keep(*words: str, expected: int = 0) -> str:
    """Run `hookline admin backup` or `restore`, which become `hookline-coordinator`; what was said."""
    done = subprocess.run(
        [str(PROGRAMS / "hookline"), "admin", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout + done.stderr


def begun(backup: Path) -> list[str]:
    """The hosts that had been instructed when a backup was made."""
    with closing(sqlite3.connect(f"{(backup / 'hookline.db').as_uri()}?mode=ro", uri=True)) as db:
        return [row[0] for row in db.execute("SELECT host_name FROM v_targets WHERE started_at IS NOT NULL ORDER BY 1")]


def test_a_rollout_goes_on_from_a_backup_that_is_older_than_what_its_hosts_did(tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    with Cluster(tmp_path / "cluster", secure=True) as cluster:
        data_dir = str(cluster.data_dir)
        cluster.start_agents(*HOSTS)
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
        revision = cluster.hookline("push", "shop", str(bundle(tmp_path / "v1", "v1"))).json["revision_id"]
        gates = [cluster.gate("AfterInstall", "web-1"), cluster.gate("ValidateService", "web-2")]
        words = ("deploy", "shop", "production", "--revision", revision, "--config", "CodeDeployDefault.HalfAtATime")
        deployment_id = str(cluster.hookline(*words).json["deployment_id"])
        cluster.reached(deployment_id, "AfterInstall", "web-1")
        assert "checked" in keep("backup", "--data-dir", data_dir, "--to", str(backup))
        assert begun(backup) == ["web-1", "web-2"]
        assert "uses it (process" in keep("restore", "--from", str(backup), "--data-dir", data_dir, expected=1)

        for gate in gates:
            gate.let()
        cluster.reached(deployment_id, "AfterInstall", "web-3")  # beyond the backup: hosts that it has never instructed
        cluster.kill_coordinator()
        shutil.rmtree(cluster.data_dir)
        assert "Next: start the coordinator" in keep("restore", "--from", str(backup), "--data-dir", data_dir)
        cluster.start_coordinator()

        assert cluster.ended(deployment_id, 90) == "Succeeded"
        check_hooks(cluster, deployment_id, HOSTS, first=True)
        check_once(cluster, deployment_id)
        integrity(cluster)
        until(lambda: cluster.connected == len(HOSTS), "all hosts are back")
        now = datetime.datetime.now(datetime.UTC).isoformat()
        (standing,) = cluster.hookline("history", "--host", "web-1", "--at", now).json["groups"]
        assert (standing["deployed"]["deployment_id"], standing["installed_revision_id"]) == (deployment_id, revision)
