"""The authority: what it makes at the first start, whom it issues certificates to, and how its own are renewed."""

import base64
import datetime
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from coordinator.adapters.authority import Authority, Unusable, certificates, fingerprint
from coordinator.core.errors import Denied, Invalid
from coordinator.service.enrolment import Certificate, Returning
from tests.store.things import FixedClock

DAY = 86_400_000
NOW = 1_790_000_000_000


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(at=NOW)


@pytest.fixture
def authority(tmp_path: Path, clock: FixedClock) -> Authority:
    return opened(tmp_path, clock)


def opened(directory: Path, clock: FixedClock) -> Authority:
    return Authority.open(directory / "pki", clock, names=("hookline.example", "127.0.0.1", "::1"))


def request_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    wanted = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root of all hosts")])
    return certificates.to_pem(x509.CertificateSigningRequestBuilder().subject_name(wanted).sign(key, algorithm))


def verified(authority: Authority, issued: Certificate, clock: FixedClock) -> list[str]:
    """The identities of a client's certificate, as a verifier that nobody here wrote reads them."""
    leaf, *above = x509.load_pem_x509_certificates(issued.chain)
    when = datetime.datetime.fromtimestamp(clock.at / 1000, datetime.UTC)
    verifier = PolicyBuilder().store(Store(x509.load_pem_x509_certificates(authority.trust))).time(when).build_client_verifier()
    subjects = verifier.verify(leaf, above).subjects
    return [str(subject.value) for subject in subjects or ()]


def test_the_first_start_makes_an_authority_and_the_next_finds_it(tmp_path: Path, clock: FixedClock, authority: Authority) -> None:
    again = opened(tmp_path, clock)
    assert (again.trust, again.fingerprint, again.cluster) == (authority.trust, authority.fingerprint, "hookline")
    assert authority.fingerprint == fingerprint(x509.load_pem_x509_certificates(authority.trust)[0])
    modes = {path.name: f"{path.stat().st_mode & 0o777:o}" for path in (tmp_path / "pki").iterdir()}
    assert modes == {"cluster": "644", "trust.crt": "644", "root.key": "600", "issuing.pem": "600"}


def test_a_first_start_that_was_killed_is_begun_anew(tmp_path: Path, clock: FixedClock, authority: Authority) -> None:
    (tmp_path / "pki" / "trust.crt").unlink()
    again = opened(tmp_path, clock)
    assert again.fingerprint != authority.fingerprint
    assert verified(again, again.issue("agent", "a1", request_of(certificates.new_key())), clock)


def test_a_certificate_says_who_its_holder_is_and_nothing_that_the_request_asked_for(authority: Authority, clock: FixedClock) -> None:
    issued = authority.issue("agent", "0123", request_of(certificates.new_key()))
    assert verified(authority, issued, clock) == ["spiffe://hookline/agent/0123"]
    leaf = x509.load_pem_x509_certificates(issued.chain)[0]
    assert "root of all hosts" not in leaf.subject.rfc4514_string()
    assert issued.expires_at == NOW + DAY


def test_a_certificate_ends(authority: Authority, clock: FixedClock) -> None:
    issued = authority.issue("agent", "0123", request_of(certificates.new_key()))
    clock.at += DAY + 1_000
    with pytest.raises(VerificationError):
        verified(authority, issued, clock)


def test_an_agents_certificate_makes_no_server_and_signs_nobody(authority: Authority) -> None:
    leaf = x509.load_pem_x509_certificates(authority.issue("agent", "0123", request_of(certificates.new_key())).chain)[0]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert leaf.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign is False


@pytest.mark.parametrize(
    "request_pem, why",
    [
        (b"", "cannot read the certificate request"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "cannot read the certificate request"),
        (b"x" * 9_000, "too long"),
        (request_of(rsa.generate_private_key(public_exponent=65_537, key_size=2_048)), "not a P-256 key"),
        (request_of(ed25519.Ed25519PrivateKey.generate()), "not a P-256 key"),
        (request_of(ec.generate_private_key(ec.SECP384R1())), "not a P-256 key"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused(authority: Authority, request_pem: bytes, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        authority.issue("agent", "0123", request_pem)


def test_a_request_signed_with_another_key_is_refused(authority: Authority) -> None:
    one, other = (x509.load_pem_x509_csr(request_of(certificates.new_key())) for _ in range(2))
    mixed = one.public_bytes(Encoding.DER).replace(one.signature, other.signature)
    assert mixed != one.public_bytes(Encoding.DER)
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(mixed) + b"-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(Invalid):
        authority.issue("agent", "0123", pem)


def test_a_server_is_called_by_its_names_and_renews_itself(tmp_path: Path, authority: Authority, clock: FixedClock) -> None:
    path = tmp_path / "pki" / "server.pem"
    authority.renew()
    first = path.read_bytes()
    names = x509.load_pem_x509_certificates(first)[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["hookline.example"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://hookline/coordinator/hookline"]
    assert f"{path.stat().st_mode & 0o777:o}" == "600"
    opened(tmp_path, clock).renew()
    assert path.read_bytes() == first
    clock.at += 5 * DAY
    authority.renew()
    assert path.read_bytes() != first


def test_a_server_shows_its_root_to_machines_that_know_its_fingerprint_alone(tmp_path: Path, authority: Authority) -> None:
    authority.renew()
    file = tmp_path / "pki" / "server.pem"
    shown = x509.load_pem_x509_certificates(file.read_bytes())
    assert fingerprint(shown[-1]) == authority.fingerprint
    without = file.read_bytes().replace(certificates.to_pem(shown[-1]), b"")
    file.write_bytes(without)
    authority.renew()
    assert file.read_bytes() != without


def test_a_server_that_is_called_otherwise_gets_another_certificate(tmp_path: Path, authority: Authority, clock: FixedClock) -> None:
    authority.renew()
    Authority.open(tmp_path / "pki", clock, names=("other.example",)).renew()
    shown = x509.load_pem_x509_certificates((tmp_path / "pki" / "server.pem").read_bytes())[0]
    assert certificates.names_of(shown) == {"other.example"}


def test_the_issuing_authority_is_renewed_by_a_root_that_is_there(tmp_path: Path, clock: FixedClock, authority: Authority) -> None:
    before = (tmp_path / "pki" / "issuing.pem").read_bytes()
    clock.at += 300 * DAY
    assert authority.renew() == ""
    assert (tmp_path / "pki" / "issuing.pem").read_bytes() != before
    assert verified(authority, authority.issue("agent", "0123", request_of(certificates.new_key())), clock)


def test_an_offline_root_signs_elsewhere(tmp_path: Path, clock: FixedClock, authority: Authority) -> None:
    pki = tmp_path / "pki"
    away = pki.rename(tmp_path / "away")
    pki.mkdir()
    for name in ("cluster", "trust.crt", "issuing.pem"):
        (pki / name).write_bytes((away / name).read_bytes())
    (pki / "issuing.pem").chmod(0o600)
    authority = opened(tmp_path, clock)
    clock.at += 300 * DAY
    assert "have" in authority.renew()
    assert "issuing.csr signed where the root is kept" in authority.renew()
    issued = authority.issue("agent", "0123", request_of(certificates.new_key()))  # there is time
    assert verified(authority, issued, clock)
    root_key = certificates.load_key((away / "root.key").read_bytes(), "root.key")
    root = x509.load_pem_x509_certificates((away / "trust.crt").read_bytes())[0]
    asked = x509.load_pem_x509_csr((pki / "issuing.csr").read_bytes())
    when = datetime.datetime.fromtimestamp(clock.at / 1000, datetime.UTC)
    signed = certificates.issuing(asked, (root_key, root), when, datetime.timedelta(days=365))
    (pki / "issuing.crt").write_bytes(certificates.to_pem(signed))
    assert authority.renew() == ""
    assert sorted(path.name for path in pki.iterdir()) == ["cluster", "issuing.pem", "server.pem", "trust.crt"]
    clock.at += 100 * DAY
    assert verified(authority, authority.issue("agent", "0123", request_of(certificates.new_key())), clock)


def test_nothing_is_issued_once_the_issuing_authority_has_ended(tmp_path: Path, clock: FixedClock, authority: Authority) -> None:
    (tmp_path / "pki" / "root.key").unlink()
    clock.at += 366 * DAY
    with pytest.raises(Unusable, match="cannot issue certificates: .* signed where the root is kept"):
        authority.issue("agent", "0123", request_of(certificates.new_key()))


def test_a_key_that_others_may_read_is_refused(tmp_path: Path, clock: FixedClock, authority: Authority) -> None:
    (tmp_path / "pki" / "issuing.pem").chmod(0o640)
    with pytest.raises(Unusable, match="others may read it; run `chmod 600"):
        opened(tmp_path, clock)
    assert authority.cluster == "hookline"


def test_an_issuing_authority_of_another_cluster_is_refused(tmp_path: Path, clock: FixedClock, authority: Authority) -> None:
    other = Authority.open(tmp_path / "other", clock, names=("x",))
    (tmp_path / "pki" / "issuing.pem").write_bytes((tmp_path / "other" / "issuing.pem").read_bytes())
    with pytest.raises(Unusable, match="no root that is trusted here has signed it"):
        opened(tmp_path, clock)
    assert other.fingerprint != authority.fingerprint


def test_a_cluster_has_a_name_that_fits_into_an_identity(tmp_path: Path, clock: FixedClock) -> None:
    with pytest.raises(Unusable, match="cluster's name"):
        Authority.open(tmp_path / "pki", clock, names=("x",), cluster="Not A Name")
    assert not (tmp_path / "pki").exists()


HOST_ID = "0123456789abcdef" * 2


def returning(
    issued: Certificate, key: ec.EllipticCurvePrivateKey, *, generation: int = 3, said: str = "", chain: bytes = b""
) -> Returning:
    """A host that shows a certificate and signs as it should, or something else."""
    request = request_of(certificates.new_key())
    said = said or f"hookline readmission 1\n{HOST_ID}\n{generation}\n{hashlib.sha256(request).hexdigest()}\n"
    signature = key.sign(said.encode(), ec.ECDSA(hashes.SHA256()))
    return Returning(chain=chain or issued.chain, generation=generation, request=request, signature=signature, address="10.0.0.1")


def test_a_host_is_known_by_a_certificate_that_has_ended(authority: Authority, clock: FixedClock) -> None:
    key = certificates.new_key()
    issued = authority.issue("agent", HOST_ID, request_of(key))
    clock.at += 30 * DAY
    holder = authority.holder(returning(issued, key))
    assert (holder.host_id, holder.key, holder.ended_at) == (HOST_ID, certificates.key_digest(key.public_key()), issued.expires_at)


def test_who_does_not_hold_the_key_of_a_certificate_or_signs_something_else_is_nobody(authority: Authority) -> None:
    key = certificates.new_key()
    issued = authority.issue("agent", HOST_ID, request_of(key))
    good = returning(issued, key)
    for bad in (
        returning(issued, certificates.new_key()),
        returning(issued, key, said="anything"),
        replace(good, generation=4),
        replace(good, request=request_of(certificates.new_key())),
        replace(good, signature=b""),
    ):
        with pytest.raises(Denied, match="not signed with the key"):
            authority.holder(bad)


def test_only_a_hosts_certificate_of_this_authority_brings_a_host_back(tmp_path: Path, authority: Authority, clock: FixedClock) -> None:
    key = certificates.new_key()
    mine = authority.issue("agent", HOST_ID, request_of(key))
    other = opened(tmp_path / "other", clock).issue("agent", HOST_ID, request_of(key))
    leaf, above = x509.load_pem_x509_certificates(mine.chain)
    forged = certificates.leaf(
        key.public_key(),
        (key, leaf),
        uri=f"spiffe://hookline/agent/{'f' * 32}",
        begins=leaf.not_valid_before_utc,
        lifetime=datetime.timedelta(1),
    )
    for chain in (
        other.chain,
        certificates.to_pem(leaf),
        certificates.to_pem(forged, leaf),
        certificates.to_pem(above, above),
        b"",
        b"nothing",
    ):
        with pytest.raises(Denied, match="cannot let this host in again"):
            authority.holder(returning(mine, key, chain=chain or b"-"))
    for kind, name in (("operator", "anna"), ("agent", "0123"), ("coordinator", HOST_ID)):
        with pytest.raises(Denied, match="no certificate of an agent of cluster hookline"):
            authority.holder(returning(authority.issue(kind, name, request_of(key)), key))
