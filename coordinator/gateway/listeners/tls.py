"""TLS on the listeners: client certificates are required or not asked for, and what the coordinator shows changes without a restart."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import grpc

SERVER_FILE: Final = "server.pem"
TRUST_FILE: Final = "trust.crt"
SETTLES: Final = 0.05
"""Seconds before what a listener shows is exchanged; see `Shown`."""
_END_OF_KEY: Final = b"-----END PRIVATE KEY-----\n"


class Pairs(Protocol):
    """What a listener shows and whom it trusts, as it is now. Asked at every handshake, so it has to cost next to nothing."""

    def now(self) -> grpc.ServerCertificateConfiguration:
        """The same object for as long as nothing changes."""
        ...


class PairFile:
    """Reads the authority's files when they have changed; they are replaced whole."""

    def __init__(self, directory: Path) -> None:
        """`directory` is the authority's."""
        self._server, self._trust = directory / SERVER_FILE, directory / TRUST_FILE
        self._seen: tuple[int, int] | None = None
        self._configuration: grpc.ServerCertificateConfiguration | None = None

    def now(self) -> grpc.ServerCertificateConfiguration:
        """See `Pairs`."""
        seen = (os.stat(self._server).st_mtime_ns, os.stat(self._trust).st_mtime_ns)
        if self._configuration is None or seen != self._seen:
            key, end, chain = self._server.read_bytes().partition(_END_OF_KEY)
            self._configuration = grpc.ssl_server_certificate_configuration([(key + end, chain)], self._trust.read_bytes())
            self._seen = seen
        return self._configuration


class Shown:
    """What one listener shows. gRPC asks at every handshake, and is told only what has changed.

    gRPC frees what it has when it is given something new, while another thread may be about to use it for a handshake: told the same again
    and again, it died of many handshakes at once. It asks one thread at a time, so a moment's wait before something new is given lets those
    that were answered before take what they need; who comes meanwhile waits for the answer.
    """

    def __init__(self, pairs: Pairs, settle: Callable[[], object] = lambda: threading.Event().wait(SETTLES)) -> None:
        """Begins with what `pairs` says now; `settle` is waited for before something new is given."""
        self._pairs = pairs
        self._settle = settle
        self.first = self._last = pairs.now()

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What is to be shown from now on; None: the same."""
        now = self._pairs.now()
        if now is self._last:
            return None
        self._settle()
        self._last = now
        return now


def certificate_credentials(pairs: Pairs) -> grpc.ServerCredentials:
    """For listeners where who has no certificate of the cluster does not get in."""
    return _credentials(pairs, require=True)


def open_credentials(pairs: Pairs) -> grpc.ServerCredentials:
    """For listeners where a certificate is not asked for."""
    return _credentials(pairs, require=False)


def _credentials(pairs: Pairs, *, require: bool) -> grpc.ServerCredentials:
    shown = Shown(pairs)
    changed = shown.changed  # None for no change, as gRPC's documentation says and its type stubs do not
    return grpc.dynamic_ssl_server_credentials(shown.first, changed, require_client_authentication=require)  # type: ignore[arg-type]
