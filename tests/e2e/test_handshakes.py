"""Everybody who must not get in, at each listener of a real coordinator; and what the agent then says about it."""

import asyncio
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.identity import handshake
from coordinator.adapters.authority import certificates
from coordinator.api import server
from coordinator.cli.access import kept
from hookline.v1 import access_pb2, access_pb2_grpc, agent_pb2, agent_pb2_grpc
from tests.e2e.cluster import Cluster
from tests.e2e.refusals import refused
from tests.e2e.shaking import handshakes

pytestmark = pytest.mark.e2e

HOST = "spiffe://hookline/agent/" + "1" * 32
OPERATOR = "spiffe://hookline/operator/alice"
NOW = datetime.datetime.now(datetime.UTC)  # what the coordinator is shown has to be wrong by its own clock
DAY = datetime.timedelta(days=1)


def why_not(address: str, trust: bytes, *pair: Path) -> str | None:
    """What the agent says of a coordinator that it cannot speak to."""
    return asyncio.run(handshake.why_not(address, trust, *pair))


@dataclass
class Shown:
    """What a client shows: nothing, unless it is told otherwise."""

    key: bytes | None = None
    chain: bytes | None = None


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("handshakes") / "cluster", secure=True, quiet=True) as cluster:
        yield cluster


def made(
    signer: tuple[certificates.Key, x509.Certificate],
    *,
    uri: str = HOST,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    begins: datetime.datetime = NOW,
    lifetime: datetime.timedelta = DAY,
) -> Shown:
    """A certificate that anybody who had the authority's key could make."""
    key = certificates.new_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]))
        .issuer_name(signer[1].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins - datetime.timedelta(minutes=10))
        .not_valid_after(begins + lifetime)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
    )
    made = builder.sign(signer[0], hashes.SHA256())
    return Shown(certificates.key_to_pem(key), certificates.to_pem(made, signer[1]))


def strangers() -> tuple[certificates.Key, x509.Certificate]:
    """An authority that nobody has heard of, with the name of the right one."""
    root_key, key = certificates.new_key(), certificates.new_key()
    root = certificates.root(root_key, "hookline", NOW, 10 * DAY)
    return key, certificates.issuing(certificates.issuing_request(key, "hookline"), (root_key, root), NOW, 10 * DAY)


def unwelcome(case: str, cluster: Cluster) -> Shown:
    """Somebody who must not get in."""
    pem = (cluster.data_dir / "pki" / "issuing.pem").read_bytes()
    ours = certificates.load_key(pem, ""), certificates.load_certificates(pem, "")[0]
    match case:
        case "no certificate":
            return Shown()
        case "expired":
            return made(ours, begins=NOW - 3 * DAY)
        case "not yet valid":
            return made(ours, begins=NOW + DAY)
        case "wrong CA":
            return made(strangers())
        case "wrong usage":
            return made(ours, usage=ExtendedKeyUsageOID.SERVER_AUTH)
        case "an operator's":
            return made(ours, uri=OPERATOR)
        case "an agent's":
            return made(ours)
        case "another cluster's":
            return made(ours, uri=HOST.replace("hookline", "elsewhere"))
        case "an operator's of another cluster":
            return made(ours, uri=OPERATOR.replace("hookline", "elsewhere"))
        case "no URI of ours":
            return made(ours, uri="https://hookline/agent/" + "1" * 32)
        case "a host that never enrolled":
            return made(ours)
        case _:
            raise AssertionError(case)


AT_THE_DOOR = ("no certificate", "expired", "not yet valid", "wrong CA", "wrong usage")
NO_OPERATOR = {
    "an operator's": "unknown here",  # signed, and never issued
    "an agent's": "is for operators",
    "an operator's of another cluster": "is for operators",
    "no URI of ours": "is for operators",
}
"""What is said to those whose certificate the authority has signed, where operators show theirs."""
INSIDE = ("an operator's", "another cluster's", "no URI of ours", "a host that never enrolled")


@pytest.mark.parametrize("listener", ["listen", "bundles"])
@pytest.mark.parametrize("case", [*AT_THE_DOOR, *INSIDE])
def test_whoever_does_not_belong_is_refused(cluster: Cluster, case: str, listener: str) -> None:
    shown = unwelcome(case, cluster)
    credentials = grpc.ssl_channel_credentials((cluster.data_dir / "pki" / "trust.crt").read_bytes(), shown.key, shown.chain)
    with grpc.secure_channel(cluster.addresses[listener], credentials) as channel:
        stub = agent_pb2_grpc.AgentServiceStub(channel)

        def call() -> object:
            if listener == "bundles":
                return next(stub.FetchBundle(agent_pb2.FetchBundleRequest(sha256=b"x" * 32), timeout=10))
            hello = agent_pb2.AgentMessage(hello=agent_pb2.Hello(host_id="1" * 32, name="liar", journal_id="j" * 32))
            return next(stub.Connect(iter([hello]), timeout=10))

        code, _ = refused(call)
    assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
    assert (code is grpc.StatusCode.UNAVAILABLE) == (case in AT_THE_DOOR)


@pytest.mark.parametrize("case", [*AT_THE_DOOR, *NO_OPERATOR])
def test_whoever_does_not_belong_is_refused_where_operators_show_certificates_and_doctor_says_why(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    shown = unwelcome(case, cluster)
    address, trust = cluster.addresses["certificates"], (cluster.data_dir / "pki" / "trust.crt").read_bytes()
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(trust, shown.key, shown.chain)) as channel:
        stub = access_pb2_grpc.AccessServiceStub(channel)
        code, _ = refused(lambda: stub.WhoAmI(access_pb2.WhoAmIRequest(), timeout=10))
    assert code is (grpc.StatusCode.UNAVAILABLE if case in AT_THE_DOOR else grpc.StatusCode.UNAUTHENTICATED)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    certificate = kept.Certificate(file="oc-1.pem", renew_at=4e9, until=4e9)
    kept.write(kept.Login(coordinator=address, trust=trust.decode(), certificate=certificate if shown.key else None))
    kept.keep("oc-1.pem", (shown.key or b"") + (shown.chain or b""))
    doctor = cluster.typed("--coordinator", address, "doctor")
    said = (
        "whoever shows no certificate"
        if case == "no certificate"
        else "when it sees your certificate"
        if case in AT_THE_DOOR
        else NO_OPERATOR[case]
    )
    assert (doctor.code, said in doctor.out) == (1, True), doctor.out


@pytest.mark.parametrize("case", AT_THE_DOOR[1:])
def test_the_agent_can_say_that_it_is_the_certificate(cluster: Cluster, tmp_path: Path, case: str) -> None:
    shown = unwelcome(case, cluster)
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(shown.chain or b"")
    key.write_bytes(shown.key or b"")
    said = why_not(cluster.addresses["listen"], (cluster.data_dir / "pki" / "trust.crt").read_bytes(), chain, key)
    assert said is not None
    assert "it hangs up when it sees this host's certificate" in said


def test_a_host_can_do_nothing_but_enrol_where_machines_enrol(cluster: Cluster) -> None:
    cluster.join("web-1", "--auto-approve")
    current = cluster.agent_dir("web-1") / "identity" / "current"
    trust, key, chain = ((current / name).read_bytes() for name in ("trust.pem", "key.pem", "chain.pem"))
    with grpc.secure_channel(cluster.addresses["enrol"], grpc.ssl_channel_credentials(trust, key, chain)) as channel:
        stub = agent_pb2_grpc.AgentServiceStub(channel)
        hello = agent_pb2.AgentMessage(hello=agent_pb2.Hello(host_id="1" * 32, name="liar", journal_id="j" * 32))
        assert refused(lambda: next(stub.Connect(iter([hello]), timeout=10)))[0] is grpc.StatusCode.UNIMPLEMENTED
    assert why_not(cluster.addresses["listen"], trust, current / "chain.pem", current / "key.pem") is None


def test_nothing_of_the_operators_is_served_where_hosts_and_machines_call(cluster: Cluster) -> None:
    cluster.join("curious-1", "--auto-approve")
    current = cluster.agent_dir("curious-1") / "identity" / "current"
    shown = grpc.ssl_channel_credentials(*((current / name).read_bytes() for name in ("trust.pem", "key.pem", "chain.pem")))
    for listener, own in (("listen", "AgentService"), ("bundles", "AgentService"), ("enrol", "EnrolmentService")):
        others = [method for method in server.methods() if f".{own}/" not in method]
        assert len(others) > 60
        with grpc.secure_channel(cluster.addresses[listener], shown) as channel:
            for method in others:
                call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
                assert refused(partial(call, b"", timeout=30))[0] is grpc.StatusCode.UNIMPLEMENTED, (listener, method)


@pytest.mark.parametrize("listener", ["listen", "bundles", "enrol", "certificates"])
def test_neither_plaintext_nor_an_older_tls_gets_anywhere(cluster: Cluster, listener: str) -> None:
    with grpc.insecure_channel(cluster.addresses[listener]) as channel:
        stub = agent_pb2_grpc.AgentServiceStub(channel)
        code, _ = refused(lambda: stub.RenewCertificate(agent_pb2.RenewCertificateRequest(), timeout=10))
        assert code is grpc.StatusCode.UNAVAILABLE


def test_a_coordinator_with_another_name_or_authority_is_not_spoken_to(cluster: Cluster) -> None:
    trust = (cluster.data_dir / "pki" / "trust.crt").read_bytes()
    port = cluster.addresses["enrol"].rpartition(":")[2]
    assert why_not(f"127.0.0.1:{port}", trust) is None
    said = why_not(f"127.0.0.2:{port}", trust)
    assert said is not None
    other = certificates.to_pem(certificates.root(certificates.new_key(), "hookline", NOW, DAY))
    assert "its certificate is not good here" in str(why_not(f"127.0.0.1:{port}", other))


@pytest.mark.parametrize("listener", ["listen", "operators", "certificates"])
def test_many_handshakes_at_once_leave_the_coordinator_alive_also_while_its_certificate_is_renewed(cluster: Cluster, listener: str) -> None:
    shown = handshakes(cluster, listener, rounds=3, at_once=500)
    assert cluster.processes["coordinator"].poll() is None, cluster.log("coordinator")[-2_000:]
    assert len(shown) >= 3
