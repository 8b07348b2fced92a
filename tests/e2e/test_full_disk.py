"""A full disk at the coordinator in the middle of a rollout: operators are told so, nothing is lost, and room is all that it takes."""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from hookline.v1 import deployments_pb2, deployments_pb2_grpc
from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster, until
from tests.e2e.refusals import refused
from tests.e2e.witness import check_history, check_hooks, integrity

HOSTS = ("web-1", "web-2", "web-3")
DISK = "80m"
"""More than the reserve that bundles leave to the history."""

ANSWERED_WITHIN = 8.0
"""Seconds: the coordinator gives itself five, a busy machine needs some more."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own for the coordinator's data."""
    if os.geteuid() != 0:
        pytest.skip("SKIPPED: only root can mount the small file system that this test fills up")
    disk = tmp_path / "cluster" / "coordinator"
    disk.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "hookline", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"SKIPPED: no file system can be mounted here, so that none can be filled up: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def cluster(small_disk: Path, tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(small_disk.parent) as cluster:
        cluster.start_agents(*HOSTS)
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web", "--config", "CodeDeployDefault.AllAtOnce")
        cluster.hookline("push", "shop", str(bundle(tmp_path / "v1", "v1")))
        yield cluster


def fill(disk: Path) -> Path:
    """Leave not a byte free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        with suppress(OSError):  # each write takes what there is room for; the first that finds none is an error
            while file.write(bytes(1 << 16)):
                pass
    assert shutil.disk_usage(disk).free == 0
    return filler


@pytest.mark.timeout(180)
def test_a_rollout_waits_for_room_and_goes_on_by_itself(cluster: Cluster, small_disk: Path, tmp_path: Path) -> None:
    gates = [cluster.gate("AfterInstall", host) for host in HOSTS]
    revision = cluster.hookline("revisions", "shop").json[0]["revision_id"]
    deployment_id = cluster.hookline("deploy", "shop", "production", "--revision", revision).json["deployment_id"]
    for host in HOSTS:
        cluster.reached(deployment_id, "AfterInstall", host)
    filler = fill(small_disk)
    for gate in gates:
        gate.let()
    until(lambda: sum(hook.lifecycle_event == "ValidateService" for hook in cluster.finished()) == len(HOSTS), "the hosts finish", 60)
    check_operators(cluster, deployment_id, bundle(tmp_path / "v2", "v2"))
    assert cluster.processes["coordinator"].poll() is None
    filler.unlink()
    relieved_at = time.monotonic()
    assert cluster.ended(deployment_id) == "Succeeded"
    sys.stdout.write(f"it had ended {time.monotonic() - relieved_at:.2f} s after there was room\n")
    check_hooks(cluster, deployment_id, HOSTS, first=True)
    check_history(cluster, deployment_id, HOSTS)
    integrity(cluster)
    cluster.hookline("app", "create", "another")
    assert '"ok"' in cluster.http("/healthz")


def check_operators(cluster: Cluster, deployment_id: str, directory: Path) -> None:
    """Whoever wants to change something is told that the disk is full; whoever looks is answered; nothing is written."""
    before = cluster.kept()
    stop = deployments_pb2.StopDeploymentRequest(deployment_id=deployment_id)
    with grpc.insecure_channel(cluster.addresses["listen"]) as channel:
        deployments = deployments_pb2_grpc.DeploymentServiceStub(channel)
        asked_at = time.monotonic()
        status, why = refused(lambda: deployments.StopDeployment(stop, timeout=30))
    assert time.monotonic() - asked_at < ANSWERED_WITHIN
    assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "is full" in why
    for words in (("app", "create", "another"), ("push", "shop", str(directory)), ("tag", "add", HOSTS[0], "zone=a")):
        said = cluster.typed(*words)
        assert said.code == 1, (words, said)
        assert "is full" in said.err or "free some space" in said.err, (words, said)
    assert cluster.hookline("status", deployment_id).json["status"] == "InProgress"
    with pytest.raises(urllib.error.HTTPError) as unhealthy:
        cluster.http("/healthz")
    assert unhealthy.value.code == 503
    assert cluster.kept() == before
