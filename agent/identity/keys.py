"""Keys, certificate requests, and what a certificate says. P-256, as the coordinator wants it.

The library takes 90 ms and 10 MiB to load: it is imported when a host joins and at the first renewal, not by an agent that starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import AgentError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a host's certificate says; times are milliseconds since 1970."""

    cluster: str
    host_id: str
    serial: str
    begins_at: int
    ends_at: int


def new_key() -> bytes:
    """A random key, PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def request(key: bytes) -> bytes:
    """A request to have a key certified, PEM. It claims nothing: who a host is, the coordinator says."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(_private(key), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def signature(key: bytes, said: bytes) -> bytes:
    """What shows that whoever says something holds a key."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return _private(key).sign(said, ec.ECDSA(hashes.SHA256()))


def fingerprint(key: bytes) -> str:
    """By which an operator knows a key again: SHA-256 of its public half, hexadecimal."""
    import hashlib

    return hashlib.sha256(_public(_private(key).public_key())).hexdigest()


def read(chain: bytes, key: bytes) -> Certificate:
    """What the first certificate of a chain says, which has to be for a key. Raises AgentError."""
    from cryptography import x509
    from cryptography.x509.extensions import ExtensionNotFound

    try:
        shown = x509.load_pem_x509_certificate(chain)
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        scheme, empty, cluster, kind, host_id = uris[0].split("/")
    except (ValueError, ExtensionNotFound, IndexError) as error:
        raise AgentError(f"cannot use the certificate that the coordinator has sent: it is not that of a host ({error})") from error
    if (scheme, empty, kind) != ("spiffe:", "", "agent"):
        raise AgentError(f"cannot use the certificate that the coordinator has sent: it is for {uris[0]}, which is no host")
    if _public(shown.public_key()) != _public(_private(key).public_key()):
        raise AgentError("cannot use the certificate that the coordinator has sent: it is for another key than this host's")
    return Certificate(
        cluster=cluster,
        host_id=host_id,
        serial=f"{shown.serial_number:x}",
        begins_at=round(shown.not_valid_before_utc.timestamp() * 1000),
        ends_at=round(shown.not_valid_after_utc.timestamp() * 1000),
    )


def _private(key: bytes) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        loaded = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:
        raise AgentError(f"cannot read this host's key: {error}; join again with `hookline-agent join --again`") from error
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise AgentError("cannot use this host's key: it is not an elliptic-curve key; join again with `hookline-agent join --again`")
    return loaded


def _public(key: CertificatePublicKeyTypes) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
