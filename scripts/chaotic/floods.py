"""Nonsense and hurry at every port of a coordinator, which is to outlive both."""

from pathlib import Path

from tests.e2e.cluster import Cluster
from tests.e2e.frames import Connect, tcp
from tests.e2e.ports import FUZZED_AS, HANDSHAKING, PLAINTEXT, WITH_TLS, secured, survives
from tests.e2e.shaking import handshakes

ROUND = 1_000
"""Handshakes between two renewals of the coordinator's certificate."""


def frames(directory: Path, seed: int, count: int) -> str:
    """Send so many mutated frames to each port, over plaintext, over TLS and in place of a handshake; what was seen."""
    with Cluster(directory / "plain", quiet=True) as plain:
        plain.start_agents("web-1")
        ports = [_flood(plain, port, tcp(plain.addresses[port]), f"{seed} plaintext ", count) for port in PLAINTEXT]
    with Cluster(directory / "secure", secure=True, quiet=True) as cluster:
        cluster.start_agents("web-1")
        cluster.join(FUZZED_AS, "--auto-approve")
        ports += [_flood(cluster, port, secured(cluster, port), f"{seed} TLS ", count) for port in WITH_TLS]
        ports += [_flood(cluster, port, tcp(cluster.addresses[port]), f"{seed} handshake ", count) for port in HANDSHAKING]
    return f"mutated frames: {count:,} at each of {len(ports)} ports, {count * len(ports):,} in all, and the coordinator lives"


def _flood(cluster: Cluster, port: str, connect: Connect, seed: str, count: int) -> str:
    survives(cluster, port, connect, frames=count, seed=seed)
    print(f"{seed}{port}: {count:,} frames", flush=True)
    return port


def shake(directory: Path, count: int) -> str:
    """Shake hands so often at each listener with TLS while the coordinator's certificate is renewed; what was seen."""
    rounds = -(-count // ROUND)
    with Cluster(directory, secure=True, quiet=True) as cluster:
        for listener in HANDSHAKING:
            shown = handshakes(cluster, listener, rounds=rounds, at_once=ROUND)
            assert cluster.processes["coordinator"].poll() is None, f"the coordinator died of handshakes at {listener}"
            print(f"{listener}: {rounds * ROUND:,} handshakes, {len(shown)} certificates", flush=True)
    return f"handshakes: {rounds * ROUND:,} at each of {len(HANDSHAKING)} listeners, and the coordinator lives"
