"""Who gets in: machines that join real coordinators over TLS, renew, are revoked, and are copied; and everybody who has to stay outside."""

import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from hookline.v1 import agent_pb2, agent_pb2_grpc
from tests.e2e.bundles import HOOKED, bundle
from tests.e2e.cluster import Cluster, until
from tests.e2e.renewals import RenewalKills, cluster_of_short_lives

pytestmark = pytest.mark.e2e
KILLS = 6


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster", secure=True) as cluster:
        yield cluster


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster in which certificates last for seconds."""
    with Cluster(tmp_path / "cluster", secure=True, options=("--certificate-lifetime", "12s")) as cluster:
        yield cluster


def deployed(cluster: Cluster, *options: str) -> str:
    """Create the application and its group, push and deploy; the deployment. Machines that come later are not deployed to by themselves."""
    cluster.hookline("app", "create", "shop")
    cluster.hookline("group", "create", "shop", "production", "--tag", "role=web", "--outdated-instances-strategy", "IGNORE")
    revision = cluster.hookline("push", "shop", str(bundle(cluster.directory / "bundle", "v1"))).json["revision_id"]
    return str(cluster.hookline("deploy", "shop", "production", "--revision", revision, *options).json["deployment_id"])


def renewed(cluster: Cluster, host: str, times: int) -> None:
    """Wait until an agent has renewed its certificate so often."""
    until(lambda: cluster.log(host).count("certificate renewed") >= times, f"{host} has renewed {times} times", 60)


def doctor(cluster: Cluster, host: str, *verdicts: str) -> dict[str, str]:
    """What `hookline-agent doctor` finds on a host, by its checks: what is wrong, if nothing else is asked for."""
    words = ("doctor", "--json", "--data-dir", str(cluster.agent_dir(host)), "--root-prefix", str(cluster.directory / "hosts" / host))
    done = subprocess.run(
        [str(cluster.programs / "hookline-agent"), *words], capture_output=True, text=True, env=cluster.environment, timeout=90, check=False
    )
    return {each["check"]: each["found"] for each in json.loads(done.stdout) if each["verdict"] in (verdicts or ("fail",))}


def test_a_machine_waits_until_it_is_approved_and_is_deployed_to(cluster: Cluster) -> None:
    command = cluster.join_command("web-1", "--tag", "role=web")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=cluster.environment) as waiting:
        assert waiting.stderr is not None
        key = waiting.stderr.readline().strip().removeprefix("This machine's key is ")
        assert key in cluster.typed("hosts").out
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(10) == 130
        assert "the same command goes on with it" in waiting.stderr.read()
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=cluster.environment) as waiting:
        assert waiting.stderr is not None
        assert key in waiting.stderr.readline()  # it went on with the same key, although its token is used up
        assert cluster.typed("hosts", "approve", "web-1").code == 0
        assert waiting.wait(20) == 0
    assert (cluster.agent_dir("web-1") / "identity" / "current" / "key.pem").stat().st_mode & 0o777 == 0o600
    again = subprocess.run(command, capture_output=True, text=True, env=cluster.environment, check=False)
    assert (again.returncode, "--again makes it a new host" in again.stderr) == (2, True)
    cluster.start_agents("web-1", tags=())
    assert cluster.ended(deployed(cluster)) == "Succeeded"
    host = cluster.hookline("hosts", "web-1").json
    assert host["host_id"] == (cluster.agent_dir("web-1") / "host_id").read_text().strip()
    assert host["tags"] == {"role": "web"}


def test_a_machine_that_has_not_joined_is_told_to(cluster: Cluster) -> None:
    run = [str(cluster.programs / "hookline-agent"), "run", "--data-dir", str(cluster.agent_dir("web-1"))]
    said = subprocess.run(run, capture_output=True, text=True, env=cluster.environment, check=False)
    assert (said.returncode, "join with the command that `hookline token create` prints" in said.stderr) == (2, True)


def test_the_stream_of_a_revoked_host_ends_at_once_and_its_agent_says_why(cluster: Cluster) -> None:
    cluster.start_agents("web-1", "web-2")
    assert doctor(cluster, "web-1") == {}
    assert "it goes with the coordinator's, and " in doctor(cluster, "web-1", "ok", "warn")["clock"]
    cluster.hookline("hosts", "revoke", "web-1", "--reason", "stolen")
    until(lambda: cluster.connected == 1, "the stream of the revoked host ends", 5)
    until(lambda: "its identity was revoked" in cluster.log("web-1"), "its agent says why")
    assert "its identity was revoked" in doctor(cluster, "web-1")["coordinator"]
    assert "for ever" in cluster.hookline("hosts", "approve", "web-1", expected=1).err
    assert "web-1" not in cluster.typed("hosts").out
    cluster.kill("web-1", signal.SIGTERM)
    shut_out = (cluster.agent_dir("web-1") / "host_id").read_text()
    command = [*cluster.join_command("web-1", "--auto-approve"), "--again"]  # its name is free
    subprocess.run(command, env=cluster.environment, check=True, timeout=60)
    assert (cluster.agent_dir("web-1") / "host_id").read_text() != shut_out
    cluster.start_agent("web-1")
    cluster.wait_for_agents()


def test_a_machine_that_was_installed_anew_takes_the_place_that_it_had(cluster: Cluster) -> None:
    cluster.start_agents("web-1")
    assert cluster.ended(deployed(cluster)) == "Succeeded"
    cluster.hookline("tag", "add", "web-1", "stage=production")
    before = cluster.hookline("hosts", "web-1").json
    cluster.kill("web-1")
    shutil.rmtree(cluster.agent_dir("web-1"))
    command = cluster.join_command("web-1", "--auto-approve")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=cluster.environment) as waiting:
        assert waiting.stderr is not None
        waiting.stderr.readline()
        assert "hookline hosts adopt web-1" in waiting.stderr.readline()
        assert "hookline hosts adopt web-1" in cluster.typed("hosts").err
        cluster.hookline("hosts", "adopt", "web-1", "--reason", "new disk")
        assert waiting.wait(20) == 0
    cluster.start_agent("web-1")
    cluster.wait_for_agents()
    after = cluster.hookline("hosts", "web-1").json
    assert after["host_id"] != before["host_id"]
    assert (after["operator_tags"], after.get("holdings", [])) == ({"stage": "production"}, [])
    assert before["host_id"] in str(cluster.rows("SELECT message FROM v_history WHERE entry = 'HostAdopted'"))
    assert cluster.rows("SELECT count(*) FROM v_targets WHERE host_name = 'web-1'") == [(1,)]


def test_a_copied_data_directory_is_locked_within_one_renewal(hasty: Cluster) -> None:
    hasty.start_agents("web-1")
    shutil.copytree(hasty.agent_dir("web-1"), hasty.agent_dir("copy"), symlinks=True)
    hasty.start_agent("copy")

    def is_locked() -> bool:
        return "Locked" in hasty.typed("hosts").out

    until(is_locked, "the copy shows", 30)
    until(lambda: hasty.connected == 0, "neither is let in", 5)
    until(lambda: "two machines have used its identity" in hasty.log("web-1"), "the agent says why")
    assert hasty.rows("SELECT count(*) FROM v_history WHERE entry = 'HostLocked'") == [(1,)]
    hasty.kill("copy")
    shutil.rmtree(hasty.agent_dir("copy"))


def test_certificates_are_renewed_in_the_middle_of_a_rollout_and_nothing_is_lost(hasty: Cluster) -> None:
    hasty.start_agents("web-1", "web-2", "web-3")
    gates = [hasty.gate("AfterInstall", host) for host in hasty.hosts]
    deployment = deployed(hasty, "--config", "CodeDeployDefault.AllAtOnce")
    for host in hasty.hosts:
        hasty.reached(deployment, "AfterInstall", host)
    before = {host: hasty.log(host).count("certificate renewed") for host in hasty.hosts}
    for host in hasty.hosts:
        renewed(hasty, host, before[host] + 2)
    for gate in gates:
        gate.let()
    assert hasty.ended(deployment) == "Succeeded"
    assert set(hasty.times(deployment).items()) == {((host, event), 1) for host in hasty.hosts for event in HOOKED[1:]}
    for host in hasty.hosts:
        assert "disconnected" not in hasty.log(host)


def ended(cluster: Cluster, host: str) -> None:
    """Wait until the certificate of an agent that is not there has ended."""
    enrolment = cluster.agent_dir(host) / "identity" / "current" / "enrolment.json"
    ends_at = json.loads(enrolment.read_text())["ends_at"]
    until(lambda: time.time() * 1000 > ends_at, "its certificate has ended", 20)


def test_a_host_that_was_away_for_longer_than_its_certificate_lasts_comes_back_by_itself(hasty: Cluster) -> None:
    hasty.start_agents("web-1")
    hasty.kill("web-1")
    ended(hasty, "web-1")
    assert "asks 127.0.0.1" in doctor(hasty, "web-1")["identity"]
    hasty.start_agent("web-1")
    hasty.wait_for_agents()
    assert "certificate renewed" in hasty.log("web-1")
    assert hasty.rows("SELECT count(*) FROM v_history WHERE entry = 'HostReadmitted'") == [(1,)]
    assert hasty.ended(deployed(hasty)) == "Succeeded"
    assert "Readmit" in hasty.typed("audit", "list").out


def test_a_copy_that_comes_back_first_locks_both_when_the_host_does(hasty: Cluster) -> None:
    hasty.start_agents("web-1")
    hasty.kill("web-1")
    shutil.copytree(hasty.agent_dir("web-1"), hasty.agent_dir("copy"), symlinks=True)
    ended(hasty, "web-1")
    hasty.start_agent("copy")
    until(lambda: hasty.connected == 1, "the copy is let in")
    hasty.start_agent("web-1")
    until(lambda: "Locked" in hasty.typed("hosts").out, "the host shows the older key")
    until(lambda: hasty.connected == 0, "neither is let in", 5)
    until(lambda: "two machines have used its identity" in hasty.log("web-1"), "its agent says why")
    hasty.kill("copy")
    shutil.rmtree(hasty.agent_dir("copy"))


def test_a_host_that_was_away_for_too_long_waits_for_an_operator(tmp_path: Path) -> None:
    options = ("--certificate-lifetime", "12s", "--readmit-within", "0s")
    with Cluster(tmp_path / "cluster", secure=True, options=options) as strict:
        strict.start_agents("web-1")
        strict.kill("web-1")
        ended(strict, "web-1")
        strict.start_agent("web-1")
        until(lambda: "away for so long that an operator has to let it in" in strict.log("web-1"), "its agent says what it waits for")
        assert "Away" in strict.typed("hosts").out
        strict.hookline("hosts", "approve", "web-1")
        strict.wait_for_agents()


def test_an_agent_that_is_killed_while_it_renews_comes_back_with_a_certificate_that_works(hasty: Cluster) -> None:
    hasty.start_agents("web-1")
    identity = hasty.agent_dir("web-1") / "identity"
    for generation in (1, 2):
        until((identity / str(generation)).exists, f"renewal {generation} begins")
        hasty.kill("web-1")
        hasty.start_agent("web-1")
        hasty.wait_for_agents()
    assert "HostLocked" not in str(hasty.rows("SELECT entry FROM v_history"))


@pytest.mark.timeout(300)
def test_kills_in_the_midst_of_renewals_and_rollouts_lose_no_hook_and_lock_nobody_out(tmp_path: Path) -> None:
    with cluster_of_short_lives(tmp_path / "cluster") as cluster:
        killed = RenewalKills(cluster, random.Random(4), ["web-1", "web-2", "web-3"])
        while killed.kills < KILLS:
            killed.rollout(KILLS - killed.kills)
        killed.check()


def test_a_host_fetches_no_bundle_that_it_was_not_instructed_to_deploy(cluster: Cluster) -> None:
    cluster.start_agents("web-1")
    cluster.start_agents("db-1", tags=("role=db",))
    gate = cluster.gate("AfterInstall", "web-1")
    deployment = deployed(cluster)
    cluster.reached(deployment, "AfterInstall", "web-1")
    (digest,) = (bytes.fromhex(path.name) for path in (cluster.data_dir / "bundles").iterdir() if len(path.name) == 64)

    def fetched(host: str) -> tuple[grpc.StatusCode, str]:
        current = cluster.agent_dir(host) / "identity" / "current"
        shown = grpc.ssl_channel_credentials(*((current / name).read_bytes() for name in ("trust.pem", "key.pem", "chain.pem")))
        with grpc.secure_channel(cluster.addresses["bundles"], shown) as channel:
            call = agent_pb2_grpc.AgentServiceStub(channel).FetchBundle(agent_pb2.FetchBundleRequest(sha256=digest), timeout=30)
            try:
                kinds = {response.WhichOneof("message") for response in call}
            except grpc.RpcError as error:
                return error.code(), error.details() or ""
            return grpc.StatusCode.OK, " ".join(sorted(str(kind) for kind in kinds))

    assert fetched("web-1") == (grpc.StatusCode.OK, "chunk size")
    assert fetched("db-1") == (grpc.StatusCode.OK, "retry_after")  # the coordinator has just begun: it may have forgotten what it granted
    gate.let()
    assert cluster.ended(deployment) == "Succeeded"
    assert fetched("web-1") == (grpc.StatusCode.OK, "retry_after")
