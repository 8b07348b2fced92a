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
from pathlib import Path

from coordinator.cli.refusals import Refusal, Unreachable

PATIENCE = 10.0
DER = 2  # _ssl.ENCODING_DER
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What an HTTP/2 client begins with, and no settings."""
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


def look(address: str, trust: str, own: Path | None = None) -> Seen:
    """A handshake as every call makes one, with a certificate and its key (PEM) if there is one to show. Raises a Refusal that says why it
    cannot be made."""
    context = ssl.create_default_context(cadata=trust)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    if own is not None:
        _show(own, context)
    with closing(_connected(address, context)) as connection:
        shown = connection.getpeercert() or {}
        _check_taken(address, connection, own)
    names = tuple(str(value) for kind, value in _pairs(shown.get("subjectAltName")) if kind in ("DNS", "IP Address"))
    return Seen(until=ssl.cert_time_to_seconds(str(shown.get("notAfter"))), names=names)


def _show(own: Path, context: ssl.SSLContext) -> None:
    try:
        context.load_cert_chain(own)
    except OSError as error:  # ssl.SSLError is one as well
        why = getattr(error, "reason", None) or error.strerror or str(error)
        raise Refusal(f"cannot use the certificate in {own}: {str(why).lower().replace('_', ' ')}; log in anew") from None


def _check_taken(address: str, connection: ssl.SSLSocket, own: Path | None) -> None:
    """A server refuses a client's certificate after the handshake, and hangs up then; one that takes it answers to HTTP/2's first words."""
    try:
        connection.sendall(PREFACE)
        first = connection.recv(1)
    except OSError:  # a TLS alert is one as well
        first = b""
    again = "have `hookline operator certificate create` run, and log in with what it prints"
    if not first and own is None:
        raise Refusal(f"{address} hangs up on whoever shows no certificate: it is the coordinator's --certificate-listen; {again}")
    if not first:
        raise Refusal(
            f"{address} hangs up when it sees your certificate: another authority has signed it, it is not for clients, or by the "
            f"coordinator's clock it is not good yet or has ended; {again}"
        )


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
