"""Certificates and requests, made and read: P-256 keys throughout, since gRPC's TLS refuses leafs with Ed25519 keys.

What is for whom stands in the extended key usage, who it is in one URI, `spiffe://CLUSTER/KIND/NAME`. Knows no files and no clock.
"""

import datetime
import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from coordinator.core.errors import Denied, Invalid

Key = ec.EllipticCurvePrivateKey

BACKDATED: Final = datetime.timedelta(minutes=10)
"""How far before its making a certificate begins: clocks differ."""

REQUEST_BYTES: Final = 8 << 10
CHAIN_BYTES: Final = 16 << 10


class Unusable(Exception):
    """A file of the authority that cannot be used, in a sentence with what to do."""


def new_key() -> Key:
    """A random key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: Key) -> bytes:
    """As it lies in a file: PKCS#8, not encrypted, since whoever may read the file is the coordinator."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def to_pem(*certificates: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    """A chain, a bundle, or a request."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 over the certificate, 64 lower-case hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def root(key: Key, cluster: str, begins: datetime.datetime, lifetime: datetime.timedelta) -> x509.Certificate:
    """A root that signs issuing authorities and nothing else."""
    name = _name(f"{cluster} root")
    builder = _builder(name, name, key.public_key(), begins, lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
    return builder.add_extension(_AUTHORITY_USAGE, critical=True).sign(key, hashes.SHA256())


def issuing(
    request: x509.CertificateSigningRequest,
    signer: tuple[Key, x509.Certificate],
    begins: datetime.datetime,
    lifetime: datetime.timedelta,
) -> x509.Certificate:
    """An issuing authority, from the request that `issuing_request` made."""
    (key, above), public_key = signer, request.public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise Unusable("cannot sign the request of an issuing authority: its key is not an elliptic-curve key")
    builder = _builder(request.subject, above.subject, public_key, begins, lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return _signed_below(builder.add_extension(_AUTHORITY_USAGE, critical=True), key, above)


def issuing_request(key: Key, cluster: str) -> x509.CertificateSigningRequest:
    """What an offline root is given to sign."""
    return x509.CertificateSigningRequestBuilder().subject_name(_name(f"{cluster} issuing")).sign(key, hashes.SHA256())


def leaf(
    public_key: ec.EllipticCurvePublicKey,
    signer: tuple[Key, x509.Certificate],
    *,
    uri: str,
    common: str = "",
    names: Sequence[str] = (),
    begins: datetime.datetime,
    lifetime: datetime.timedelta,
) -> x509.Certificate:
    """A certificate for a client or, with `names` (DNS names and addresses), for a server that is a client as well. Its common name is the
    end of its URI, or `common`."""
    key, above = signer
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH] + [ExtendedKeyUsageOID.SERVER_AUTH] * bool(names)
    alternatives = [x509.UniformResourceIdentifier(uri), *map(_alternative, names)]
    builder = _builder(_name(common or uri.rpartition("/")[2]), above.subject, public_key, begins, lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_LEAF_USAGE, critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return _signed_below(builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False), key, above)


def read_request(pem: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a request whose sender holds its private half. Raises Invalid: what else a request asks for is never looked at."""
    try:
        if len(pem) > REQUEST_BYTES:
            raise ValueError("it is too long")
        request = x509.load_pem_x509_csr(pem)
        public_key = request.public_key()
        if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(public_key.curve, ec.SECP256R1):
            raise ValueError("its key is not a P-256 key")
        if not request.is_signature_valid:
            raise ValueError("it is not signed with its own key")
    except (ValueError, TypeError, InvalidSignature) as error:
        raise Invalid(f"cannot read the certificate request: {error}", field="certificate_request") from error
    return public_key


def read_shown(chain: bytes, roots: Iterable[x509.Certificate]) -> x509.Certificate:
    """The first certificate of a chain, which stands below an issuing authority and that below a root, whatever their dates say. Raises
    Denied."""
    try:
        shown, above = x509.load_pem_x509_certificates(chain[:CHAIN_BYTES])[:2]
        authority = above.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound) as error:
        raise Denied("cannot let this host in again: it shows no certificate with the one above it") from error
    if not authority or not signed_by(shown, above) or not any(signed_by(above, one) for one in roots):
        raise Denied("cannot let this host in again: another authority has given it its certificate; join again with a join token")
    return shown


def signer_of(shown: x509.Certificate, signature: bytes, said: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a certificate, which has signed what is said. Raises Denied."""
    key = shown.public_key()
    try:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise InvalidSignature
        key.verify(signature, said, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise Denied("cannot let this host in again: its request is not signed with the key of the certificate that it shows") from error
    return key


def uris_of(certificate: x509.Certificate) -> list[str]:
    """Who a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def key_digest(public_key: ec.EllipticCurvePublicKey) -> str:
    """By which a key is known again: SHA-256 over its SubjectPublicKeyInfo, hexadecimal."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()


def load_certificates(pem: bytes, where: object) -> list[x509.Certificate]:
    """All certificates of a file, at least one. Raises Unusable."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise Unusable(f"cannot use {where}: it holds no certificate ({error})") from error


def load_key(pem: bytes, where: object) -> Key:
    """Raises Unusable."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise Unusable(f"cannot use {where}: it holds no key, or an encrypted one ({error})") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Unusable(f"cannot use {where}: its key is not an elliptic-curve key; P-256 is what works everywhere")
    return key


def check_below(certificate: x509.Certificate, roots: Iterable[x509.Certificate], where: object) -> None:
    """Raise Unusable unless one of the roots has signed the certificate."""
    if not any(signed_by(certificate, one) for one in roots):
        raise Unusable(f"cannot use {where}: no root that is trusted here has signed it")


def signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether an authority has signed a certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def names_of(certificate: x509.Certificate) -> set[str]:
    """The DNS names and addresses that a server is called by."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def same_key(key: Key, certificate: x509.Certificate) -> bool:
    """Whether a certificate is for a key."""
    return key.public_key() == certificate.public_key()


_AUTHORITY_USAGE: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
_LEAF_USAGE: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    begins: datetime.datetime,
    lifetime: datetime.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins - BACKDATED)
        .not_valid_after(begins + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _signed_below(builder: x509.CertificateBuilder, key: Key, above: x509.Certificate) -> x509.Certificate:
    identifier = above.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    return builder.add_extension(authority, critical=False).sign(key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
