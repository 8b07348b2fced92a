"""Mutated frames on every port of a coordinator: it does not crash, and serves whoever else is there."""

import os
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.frames import PREFACE, Connect, conversation, tcp
from tests.e2e.ports import AGENT, FUZZED_AS, HANDSHAKING, PLAINTEXT, WITH_TLS, secured, survives

FRAMES = int(os.environ.get("HOOKLINE_FRAMES", "2000"))
"""On each port; `scripts/chaos --frames` sends as many as one likes."""

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
        cluster.join(FUZZED_AS, "--auto-approve")
        yield cluster


@pytest.mark.parametrize("port", PLAINTEXT)
def test_mutated_frames_do_not_end_a_plaintext_port(plain: Cluster, port: str) -> None:
    survives(plain, port, tcp(plain.addresses[port]), frames=FRAMES)


def no_text(path: str) -> bytes:
    """A call whose path is no UTF-8: grpcio's own server ends over it."""
    spoken = conversation(path, [b""])
    spoken[2] = spoken[2].replace(path.encode(), b"\xe2" + path.encode()[1:])
    return PREFACE + b"".join(spoken[:5])


def calls_without_text(cluster: Cluster, port: str, connect: Connect) -> None:
    """Make some, each over a connection of its own; nobody else notices."""
    disconnected = cluster.log("web-1").count("disconnected")
    for _ in range(3):
        with connect() as connection:
            connection.sendall(no_text(AGENT))
            assert connection.recv(65_536)
    survives(cluster, port, connect, frames=0)
    assert "listener has ended" not in cluster.log("coordinator")
    assert "bundle process ended" not in cluster.log("coordinator")
    assert cluster.log("web-1").count("disconnected") == disconnected


@pytest.mark.parametrize("port", ["listen", "bundles"])
def test_a_path_that_is_no_text_ends_no_plaintext_port(plain: Cluster, port: str) -> None:
    calls_without_text(plain, port, tcp(plain.addresses[port]))


@pytest.mark.parametrize("port", WITH_TLS)
def test_a_path_that_is_no_text_ends_no_port_with_tls(secure: Cluster, port: str) -> None:
    calls_without_text(secure, port, secured(secure, port))


@pytest.mark.parametrize("port", WITH_TLS)
def test_mutated_frames_do_not_end_a_port_with_tls(secure: Cluster, port: str) -> None:
    survives(secure, port, secured(secure, port), frames=FRAMES)


@pytest.mark.parametrize("port", HANDSHAKING)
def test_mutated_frames_in_place_of_a_handshake_do_not_end_a_port(secure: Cluster, port: str) -> None:
    survives(secure, port, tcp(secure.addresses[port]), frames=FRAMES)
