"""What is said at each port of a coordinator, and what has to be true after any nonsense was."""

import random

from hookline.v1 import agent_pb2, deployments_pb2, fleet_pb2
from tests.e2e.cluster import Cluster
from tests.e2e.frames import PREFACE, Connect, conversation, fuzz, tls, unix

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
    "certificates": (
        conversation("/hookline.v1.DeploymentService/ListDeployments", [LIST]),
        conversation("/hookline.v1.AccessService/RenewOperatorCertificate", [b""]),
    ),
    "admin": (conversation("/hookline.v1.DeploymentService/ListDeployments", [LIST]),),
    "http": ([b"GET /metrics HTTP/1.1\r\n", b"Host: h\r\n", b"Accept: */*\r\n", b"Content-Length: 4\r\n", b"\r\n", b"body"],),
}
PLAINTEXT = ("listen", "bundles", "http")
WITH_TLS = ("listen", "bundles", "enrol", "operators", "certificates", "admin")
HANDSHAKING = ("listen", "bundles", "enrol", "operators", "certificates")
FUZZED_AS = "web-9"
"""A host that has joined and that no agent runs on: who sends mutated frames shows its certificate."""


def secured(cluster: Cluster, port: str) -> Connect:
    """How one gets through to a port where it can be spoken to."""
    address, identity = cluster.addresses[port], cluster.agent_dir(FUZZED_AS) / "identity" / "current"
    match port:
        case "admin":
            return unix(address)
        case "listen" | "bundles" | "certificates":
            return tls(address, (identity / "chain.pem", identity / "key.pem"))
        case _:
            return tls(address)


def survives(cluster: Cluster, port: str, connect: Connect, *, frames: int, seed: str = "") -> None:
    """Send so many mutated frames; then the same coordinator still serves web-1 and operators."""
    coordinator = cluster.processes["coordinator"].pid
    fuzz(random.Random(seed + port), connect, SPOKEN[port], frames, begin=b"" if port == "http" else PREFACE)
    assert cluster.processes["coordinator"].poll() is None
    assert cluster.processes["coordinator"].pid == coordinator
    assert '"serving"' in cluster.http("/healthz")
    assert ("web-1", "Connected") in [(host["name"], host["status"]) for host in cluster.hookline("hosts").json]
    assert "incident=" not in cluster.log("coordinator")
