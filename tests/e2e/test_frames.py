"""Mutated frames on every port of a coordinator: it does not crash, and serves whoever else is there."""

import os
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hookline.v1 import agent_pb2, deployments_pb2, fleet_pb2
from tests.e2e.cluster import Cluster, until
from tests.e2e.frames import PREFACE, Connect, conversation, fuzz, tcp, tls, unix

HELLO = agent_pb2.AgentMessage(hello=agent_pb2.Hello(host_id="f" * 32, name="web-9", journal_id="j", last_seq=3)).SerializeToString()
REPORTS = agent_pb2.AgentMessage(
    reports=agent_pb2.Reports(first_seq=1, reports=[agent_pb2.Report(instruction_id=f"d-GONE00000/{'f' * 32}/0/1")])
).SerializeToString()
PIECE = agent_pb2.PublishLogsRequest(instruction_id=f"d-GONE00000/{'f' * 32}/0/1", content=b"text").SerializeToString()
LIST = deployments_pb2.ListDeploymentsRequest(page_size=10).SerializeToString()
AGENT = "/hookline.v1.AgentService"
SPOKEN = {
    "listen": (
        conversation(f"{AGENT}/Connect", [HELLO, REPORTS]),
        conversation(f"{AGENT}/PublishLogs", [PIECE]),
        conversation("/hookline.v1.DeploymentService/ListDeployments", [LIST]),
    ),
    "bundles": (conversation(f"{AGENT}/FetchBundle", [agent_pb2.FetchBundleRequest(sha256=bytes(32)).SerializeToString()]),),
    "enrol": (
        conversation("/hookline.v1.EnrolmentService/Enrol", [fleet_pb2.EnrolRequest(join_token="hlj_x", name="w").SerializeToString()]),
    ),
    "operators": (
        conversation("/hookline.v1.DeploymentService/ListDeployments", [LIST], token="hlo_x"),
        conversation("/hookline.v1.AccessService/WhoAmI", [b""]),
        conversation("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", [b"\x3a\x00"]),
    ),
    "admin": (conversation("/hookline.v1.DeploymentService/ListDeployments", [LIST]),),
    "http": ((b"GET /metrics HTTP/1.1\r\n", b"Host: h\r\n", b"Accept: */*\r\n", b"Content-Length: 4\r\n", b"\r\n", b"body"),),
}
FRAMES = int(os.environ.get("HOOKLINE_FRAMES", "500"))
"""On each port; 50,000 take some minutes."""

pytestmark = pytest.mark.timeout(60 + FRAMES // 50)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("plain") / "cluster") as cluster:
        cluster.start_agents("web-1")
        yield cluster


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("secure") / "cluster", secure=True) as cluster:
        cluster.start_agents("web-1")
        yield cluster


def survives(cluster: Cluster, port: str, connect: Connect) -> None:
    coordinator = cluster.processes["coordinator"].pid
    fuzz(random.Random(port), connect, SPOKEN[port], FRAMES, begin=b"" if port == "http" else PREFACE)
    assert cluster.processes["coordinator"].poll() is None
    assert cluster.processes["coordinator"].pid == coordinator
    assert '"serving"' in cluster.http("/healthz")
    assert ("web-1", "Connected") in [(host["name"], host["status"]) for host in cluster.hookline("hosts").json]
    assert "incident=" not in cluster.log("coordinator")


@pytest.mark.parametrize("port", ["listen", "bundles", "http"])
def test_mutated_frames_do_not_end_a_plaintext_port(plain: Cluster, port: str) -> None:
    survives(plain, port, tcp(plain.addresses[port]))


def fatal(path: str) -> bytes:
    """A call whose path is no UTF-8: grpcio's server ends over it."""
    spoken = conversation(path, [b""])
    spoken[2] = spoken[2].replace(path.encode(), b"\xe2" + path.encode()[1:])
    return PREFACE + b"".join(spoken[:4])


def test_a_coordinator_whose_listener_has_ended_ends_so_that_it_is_started_again(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        with suppress(OSError), tcp(cluster.addresses["listen"])() as connection:
            connection.sendall(fatal(AGENT))
            while connection.recv(65_536):
                pass
        assert cluster.processes["coordinator"].wait(20) == 1
        assert "its listener has ended" in cluster.log("coordinator")
        cluster.kill("coordinator")
        cluster.start_coordinator()
        assert cluster.typed("hosts").code == 0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("port", ["enrol", "operators"])
def test_a_listener_for_strangers_that_has_ended_is_opened_again_and_no_agent_notices(secure: Cluster, port: str) -> None:
    coordinator, ended = secure.processes["coordinator"].pid, "is opened again address=" + secure.addresses[port]
    before = secure.log("coordinator").count(ended), secure.log("web-1").count("disconnected")
    for times in (1, 2):
        with suppress(OSError), tls(secure.addresses[port])() as connection:
            connection.sendall(fatal(AGENT))
            while connection.recv(65_536):
                pass
        until(lambda times=times: secure.log("coordinator").count(ended) == before[0] + times, "it is opened again")  # type: ignore[misc]
        until(lambda: answers(secure.addresses[port]), "it answers")
    assert secure.processes["coordinator"].poll() is None
    assert secure.processes["coordinator"].pid == coordinator
    assert secure.log("web-1").count("disconnected") == before[1]


def answers(address: str) -> bool:
    """Whether a server speaks HTTP/2 there."""
    with suppress(OSError), tls(address)() as connection:
        connection.sendall(PREFACE + conversation(AGENT, [])[0])
        return bool(connection.recv(9))
    return False


@pytest.mark.parametrize("port", ["listen", "bundles", "enrol", "operators", "admin"])
def test_mutated_frames_do_not_end_a_port_with_tls(secure: Cluster, port: str) -> None:
    address = secure.addresses[port]
    connect = unix(address) if port == "admin" else tls(address) if port in ("enrol", "operators") else tcp(address)
    survives(secure, port, connect)
