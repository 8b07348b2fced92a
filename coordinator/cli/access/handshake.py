"""TLS handshakes that are looked at closely: whom to trust before anything is trusted, and why a coordinator cannot be spoken to.

gRPC says of a handshake that failed only that it did; the standard library says why. No call goes over these connections.
"""

import hashlib
import re
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from coordinator.cli.refusals import Refusal, Unreachable

PATIENCE = 10.0
DER = 2  # _ssl.ENCODING_DER
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a handshake has shown of a server that is trusted."""

    until: float
    """When its certificate ends, in seconds since 1970."""
    names: tuple[str, ...]


def is_fingerprint(typed: str) -> bool:
    """Whether it may be the SHA-256 of a certificate."""
    return _FINGERPRINT.fullmatch(_bare(typed)) is not None


def root_of(address: str, fingerprint: str) -> str:
    """The root certificate with this fingerprint, PEM, below which the server at HOST:PORT stands. Nobody else is trusted."""
    wanted = _bare(fingerprint)
    shown = _shown_by(address)
    found = next((each for each in shown if hashlib.sha256(each).hexdigest() == wanted), None)
    if found is None:
        raise Refusal(
            f"cannot trust {address}: it does not stand below the certificate with the fingerprint {wanted}; either somebody stands in "
            "between, or this is another coordinator. Nothing was sent"
        )
    return ssl.DER_cert_to_PEM_cert(found)


def look(address: str, trust: str) -> Seen:
    """A handshake as every call makes one. Raises a Refusal that says why it cannot be made."""
    context = ssl.create_default_context(cadata=trust)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    with closing(_connected(address, context)) as connection:
        shown = connection.getpeercert() or {}
    names = tuple(str(value) for kind, value in _pairs(shown.get("subjectAltName")) if kind in ("DNS", "IP Address"))
    return Seen(until=ssl.cert_time_to_seconds(str(shown.get("notAfter"))), names=names)


def _pairs(names: object) -> Iterator[tuple[object, object]]:
    for pair in names if isinstance(names, tuple) else ():
        if isinstance(pair, tuple) and len(pair) == 2:
            yield pair[0], pair[1]


def _bare(fingerprint: str) -> str:
    return fingerprint.lower().replace(":", "")


def _shown_by(address: str) -> list[bytes]:
    """The certificates that a server shows, DER, its own first. Nothing about them has been verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with closing(_connected(address, context)) as connection:
        if sys.version_info >= (3, 13):
            return list(connection.get_unverified_chain())
        # Python has it since 3.10, and under a public name since 3.13.
        return [each.public_bytes(DER) for each in connection._sslobj.get_unverified_chain()]  # type: ignore[attr-defined]


def _connected(address: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    host, _, port = address.rpartition(":")
    bare = host.strip("[]")
    try:
        plain = socket.create_connection((bare, int(port)), timeout=PATIENCE)
    except OSError as error:
        raise Unreachable(f"cannot reach {address}: {(error.strerror or str(error)).lower()}") from None
    try:
        return context.wrap_socket(plain, server_hostname=bare)
    except OSError as error:
        plain.close()
        raise _why(address, error) from None


def _why(address: str, error: OSError) -> Refusal:
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message.rstrip(".")
        clock = "; is this machine's clock right?" if "expired" in said or "not yet valid" in said else ""
        return Refusal(f"cannot trust {address}: {said}{clock}")
    if isinstance(error, ssl.SSLError):
        said = str(error.reason or "it hangs up").lower().replace("_", " ")
        return Refusal(f"cannot speak TLS with {address} ({said}): is it the coordinator's --operator-listen?")
    return Unreachable(f"cannot reach {address}: {(error.strerror or str(error)).lower()}")
