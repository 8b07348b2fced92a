"""Many TLS handshakes at once, with a coordinator that changes what it shows meanwhile."""

import secrets
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from coordinator.adapters.authority import Authority
from coordinator.adapters.clock import SystemClock
from tests.e2e.cluster import Cluster

THREADS = 24


def handshakes(cluster: Cluster, listener: str, *, rounds: int, at_once: int) -> set[bytes]:
    """Shake hands so often at a listener in each round, and renew the certificate after it; the certificates that were shown.

    Whether the coordinator is still there afterwards is the caller's to look at.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    host, _, port = cluster.addresses[listener].rpartition(":")
    shown = set[bytes]()

    def shake(_: int) -> None:
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=30) as plain, context.wrap_socket(plain) as connection:
            shown.add(connection.getpeercert(binary_form=True) or b"")

    def renew() -> None:
        Authority.open(cluster.data_dir / "pki", SystemClock(), names=("localhost", "127.0.0.1", secrets.token_hex(4))).renew()

    with ThreadPoolExecutor(THREADS) as threads:
        for _ in range(rounds):
            renewal = threads.submit(renew)
            list(threads.map(shake, range(at_once)))
            renewal.result()
    return shown
