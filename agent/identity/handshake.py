"""TLS handshakes that are looked at closely: whom to trust before anything is trusted, and why a coordinator cannot be spoken to.

gRPC says of a handshake that failed only that it did; the standard library says why. No work goes over these connections.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import ssl
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

_PATIENCE = 10.0
_DER = 2  # _ssl.ENCODING_DER
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_HANGS_UP = (
    "it hangs up when it sees this host's certificate: another coordinator's authority has signed it, or it is not valid by the"
    " coordinator's clock"
)


class Unreachable(AgentError):
    """Nobody answers; it may be different the next time."""

    exit_code = 1


class Busy(Unreachable):
    """It has too much to do just now, and may be asked again after some seconds."""

    def __init__(self, message: str, retry_seconds: float) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


async def root_of(address: str, fingerprint: str) -> bytes:
    """The root certificate with this SHA-256 fingerprint, PEM, that the server at HOST:PORT stands below and names itself by.

    Raises AgentError: nobody else is trusted, the first time as little as later.
    """
    wanted = fingerprint.lower().replace(":", "")
    if not _FINGERPRINT.fullmatch(wanted):
        raise AgentError(f"cannot use {fingerprint!r} as --ca: it is the 64 digits of 0-9 a-f that `hookline token create` prints")
    shown = await _shown_by(address)
    found = next((each for each in shown if hashlib.sha256(each).hexdigest() == wanted), None)
    if found is None:
        top = hashlib.sha256(shown[-1]).hexdigest()
        raise AgentError(
            f"cannot trust {address}: it does not stand below the certificate with the fingerprint {wanted}, but below {top}; either"
            " somebody stands in between, or the command is for another coordinator. Nothing was sent"
        )
    root = ssl.DER_cert_to_PEM_cert(found).encode()
    why = await why_not(address, root)
    if why is not None:
        raise AgentError(f"cannot trust {address}: {why}. Nothing was sent")
    return root


async def why_not(address: str, trust: bytes, chain: Path | None = None, key: Path | None = None) -> str | None:
    """Why a server cannot be spoken to by who trusts these roots (PEM) and shows this certificate; None: it can.

    Raises ssl.SSLError for a certificate, key or root that is none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(cadata=trust.decode())
    if chain is not None:
        context.load_cert_chain(chain, key)
    try:
        async with _connected(address, context) as (reader, _):
            return await _word_of(reader) if chain is not None else None
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not good here: {error.verify_message.lower().rstrip('.')}{_clock_advice(error.verify_message)}"
    except ssl.SSLError as error:
        return _said(error)
    except Unreachable as error:
        return str(error)


async def _word_of(reader: asyncio.StreamReader) -> str | None:
    """A server refuses a client's certificate after the handshake, and gRPC's hangs up then; one that accepts it says its settings."""
    try:
        first = await reader.read(1)
    except OSError:  # a TLS alert is one as well
        first = b""
    return None if first else _HANGS_UP


def _said(error: ssl.SSLError) -> str:
    reason = str(error.reason or "it hangs up").lower().replace("_", " ")
    return f"it does not speak TLS 1.3 as a coordinator does ({reason})"


def _clock_advice(message: str) -> str:
    return "; is this host's clock right?" if "expired" in message or "not yet valid" in message else ""


async def _shown_by(address: str) -> list[bytes]:
    """The certificates that a server shows, DER, its own first. Nothing about them has been verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        async with _connected(address, context) as (_, writer):
            return list(_chain(writer.get_extra_info("ssl_object")))
    except ssl.SSLError as error:
        raise AgentError(f"cannot join by {address}: {_said(error)}; is it the coordinator's --enrol-listen?") from error


def _chain(connection: ssl.SSLObject) -> Iterator[bytes]:
    if sys.version_info >= (3, 13):
        yield from connection.get_unverified_chain()
    else:
        # Python has it since 3.10, and under a public name since 3.13.
        for each in connection._sslobj.get_unverified_chain():  # type: ignore[attr-defined]
            yield each.public_bytes(_DER)


@asynccontextmanager
async def _connected(address: str, context: ssl.SSLContext) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to HOST:PORT, whose handshake is done; nothing on it takes long. Raises Unreachable, ssl.SSLError."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise AgentError(f"cannot use {address!r} as an address: it has to be HOST:PORT")
    bare = host.strip("[]")
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection(bare, int(port), ssl=context, server_hostname=bare)
            try:
                yield reader, writer
            finally:
                writer.transport.abort()
    except ssl.SSLError:
        raise
    except TimeoutError:
        raise Unreachable(f"cannot reach {address}: no answer within {_PATIENCE:.0f} s") from None
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise Unreachable(f"cannot reach {address}: {why.lower()}") from error
