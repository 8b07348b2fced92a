"""Programs that nobody here wrote: buf and grpcurl by reflection, SQL and sqlite-utils on the live database, a Prometheus parser."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.bundles import bundle
from tests.e2e.cluster import PROGRAMS, Cluster

HOSTS = ("web-1", "web-2")
BUF = shutil.which("buf", path=f"{PROGRAMS}:/usr/local/bin:/usr/bin")
GRPCURL = shutil.which("grpcurl", path=f"{PROGRAMS}:/usr/local/bin:/usr/bin")
SQLITE_UTILS = PROGRAMS / "sqlite-utils"
DATASETTE = PROGRAMS / "datasette"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("fleet")
    with Cluster(directory / "cluster") as cluster:
        cluster.start_agents(*HOSTS)
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
        cluster.hookline("push", "shop", str(bundle(directory / "v1", "v1")))
        yield cluster


def output(*command: str) -> str:
    """What a program prints; fails when it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text: str) -> list[Any]:
    """JSON objects, one after another."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text.rstrip()):
        value, at = decoder.raw_decode(text, at)
        found.append(value)
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


def request(fleet: Cluster) -> str:
    revision = fleet.hookline("revisions", "shop").json[0]["revision_id"]
    return json.dumps({"application_name": "shop", "deployment_group_name": "production", "revision_id": revision})


def check_watched(fleet: Cluster, deployment_id: str, messages: list[Any]) -> None:
    """A deployment was watched from its beginning to its end."""
    assert fleet.status(deployment_id) == "Succeeded"
    seen = [message["deployment"]["status"] for message in messages if "deployment" in message]
    assert seen[-1] == "DEPLOYMENT_STATUS_SUCCEEDED"
    hosts = {target["hostName"] for message in messages for target in message.get("targets", {}).get("targets", [])}
    assert hosts == set(HOSTS)
    assert messages[-1]["bookmark"] == {"complete": True}


@pytest.mark.peer
@pytest.mark.skipif(BUF is None, reason="SKIPPED: buf is missing; install buf-bin")
def test_buf_creates_and_watches_a_deployment_by_reflection(fleet: Cluster) -> None:
    def buf(method: str, said: str) -> str:
        address = f"http://{fleet.addresses['listen']}/hookline.v1.DeploymentService/{method}"
        return output(str(BUF), "curl", "--protocol", "grpc", "--http2-prior-knowledge", "-d", said, address)

    deployment_id = json.loads(buf("CreateDeployment", request(fleet)))["deployment"]["deploymentId"]
    watched = objects(buf("WatchDeployment", json.dumps({"deployment_id": deployment_id})))
    check_watched(fleet, deployment_id, watched)


@pytest.mark.peer
@pytest.mark.skipif(GRPCURL is None, reason="SKIPPED: grpcurl is not on PATH")
def test_grpcurl_creates_and_watches_a_deployment_by_reflection(fleet: Cluster) -> None:
    def grpcurl(method: str, said: str) -> str:
        return output(str(GRPCURL), "-plaintext", "-d", said, fleet.addresses["listen"], f"hookline.v1.DeploymentService/{method}")

    deployment_id = json.loads(grpcurl("CreateDeployment", request(fleet)))["deployment"]["deploymentId"]
    check_watched(fleet, deployment_id, objects(grpcurl("WatchDeployment", json.dumps({"deployment_id": deployment_id}))))


def test_sqlite_utils_datasette_and_sql_read_the_history_while_a_rollout_runs(fleet: Cluster) -> None:
    gate = fleet.gate("AfterInstall", HOSTS[0])
    revision = json.loads(request(fleet))["revision_id"]
    deployment_id = fleet.hookline("deploy", "shop", "production", "--revision", revision).json["deployment_id"]
    fleet.reached(deployment_id, "AfterInstall", HOSTS[0])
    database = str(fleet.data_dir / "hookline.db")
    for view in ("v_deployments", "v_targets", "v_lifecycle_events", "v_host_health", "v_history"):
        rows = json.loads(output(str(SQLITE_UTILS), "rows", database, view))
        assert any(row.get("deployment_id", deployment_id) == deployment_id for row in rows), view
        page = output(str(DATASETTE), database, "--get", f"/hookline/{view}.json?_shape=array&deployment_group_name=production")
        assert json.loads(page), view
    status = "SELECT status FROM v_lifecycle_events WHERE deployment_id = ? AND host_name = ? AND lifecycle_event = ?"
    assert fleet.rows(status, deployment_id, HOSTS[0], "AfterInstall") == [("InProgress",)]
    assert fleet.rows(status, deployment_id, HOSTS[1], "AfterInstall") == [("Pending",)]
    shell = shutil.which("sqlite3")
    if shell is not None:
        query = f"SELECT status FROM v_deployments WHERE deployment_id = '{deployment_id}'"
        assert output(shell, "-readonly", database, query) == "InProgress\n"
    gate.let()
    assert fleet.ended(deployment_id) == "Succeeded"


def test_metrics_are_what_prometheus_reads_and_health_is_200(fleet: Cluster) -> None:
    families = {family.name: family for family in text_string_to_metric_families(fleet.http("/metrics"))}
    assert [sample.value for sample in families["hookline_agents_connected"].samples] == [len(HOSTS)]
    assert all(family.documentation for family in families.values())
    assert all(
        "deployment_id" not in sample.labels and "host" not in sample.labels for family in families.values() for sample in family.samples
    )
    assert json.loads(fleet.http("/healthz"))["status"] == "serving"
