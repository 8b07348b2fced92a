"""The authority's files, and what it hands out. Below the data directory, in `pki/`, made at the first start:

    cluster          the name in every identity, `spiffe://CLUSTER/...`
    trust.crt        the roots that everybody has to trust, one after the other
    root.key         the newest root's key; move it away for an offline root, and put it back, or sign elsewhere, once a year
    issuing.pem      what signs agents, operators and servers: key and certificate
    server.pem       what the coordinator shows: key and certificates
    issuing.csr      there when it is time to renew that and root.key is not here: have it signed where the root is kept, and put the
                     certificate here as issuing.crt (its key waits in issuing.key)

Private keys are readable by the coordinator's user alone, and anything else is refused.
"""

import datetime
import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cryptography import x509

from coordinator.adapters.authority import certificates
from coordinator.adapters.authority.certificates import Key, Unusable
from coordinator.core.errors import Denied
from coordinator.core.identity.access import Leaf
from coordinator.core.identity.enrolment import Holder
from coordinator.core.model import HostId
from coordinator.engine.ports import Clock
from coordinator.service.enrolment import Certificate, Returning

CLUSTER: Final = "hookline"
_HOST_ID: Final = re.compile(r"[0-9a-f]{32}")
_CLUSTER: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long certificates are valid (spec 2.3: root 10 years, issuing 1 year, agents 24 h, servers 7 days); operators' are asked for with
    a lifetime of their own."""

    root: datetime.timedelta = datetime.timedelta(days=3653)
    issuing: datetime.timedelta = datetime.timedelta(days=365)
    server: datetime.timedelta = datetime.timedelta(days=7)
    agent: datetime.timedelta = datetime.timedelta(hours=24)


class Authority:
    """Issues certificates; its own are renewed when two thirds of their time are over."""

    def __init__(self, directory: Path, clock: Clock, names: Sequence[str], lifetimes: Lifetimes) -> None:
        """Use `open`."""
        self._directory = directory
        self._clock = clock
        self._names = tuple(names)
        self._lifetimes = lifetimes
        self.cluster = (directory / "cluster").read_text().strip()
        self._roots = certificates.load_certificates((directory / "trust.crt").read_bytes(), directory / "trust.crt")
        self._issuing_key, self._issuing = _load_issuing(directory, self._roots)

    @classmethod
    def open(
        cls, directory: Path, clock: Clock, *, names: Sequence[str], cluster: str = CLUSTER, lifetimes: Lifetimes | None = None
    ) -> Self:
        """The authority that lies in `directory`, made where there is none. `names`: what clients call the server, DNS names and
        addresses. Raises Unusable, OSError."""
        lifetimes = lifetimes or Lifetimes()
        if not (directory / "trust.crt").exists():
            _found(directory, clock, cluster, lifetimes)
        return cls(directory, clock, names, lifetimes)

    @property
    def trust(self) -> bytes:
        """The roots, PEM: what everybody has to trust."""
        return certificates.to_pem(*self._roots)

    @property
    def fingerprint(self) -> str:
        """Of the newest root: what a person compares, or a join command carries."""
        return certificates.fingerprint(self._roots[-1])

    def uri(self, kind: str, name: str) -> str:
        """An identity; `kind` is agent, operator or coordinator."""
        return f"spiffe://{self.cluster}/{kind}/{name}"

    def key_of(self, request: bytes) -> str:
        """The digest of the key of a request. Raises Invalid when whoever sent it does not hold that key."""
        return certificates.key_digest(certificates.read_request(request))

    def certify(self, host_id: HostId, request: bytes) -> Certificate:
        """A host's certificate. Raises Invalid for a request that proves nothing, Unusable once the issuing authority has ended."""
        return self.issue("agent", host_id, request)

    def holder(self, returning: Returning) -> Holder:
        """Who has shown that they hold the key of a host's certificate, which may have ended. Raises Denied."""
        shown, prefix = certificates.read_shown(returning.chain, self._roots), self.uri("agent", "")
        uris = certificates.uris_of(shown)
        host_id = uris[0].removeprefix(prefix) if len(uris) == 1 and uris[0].startswith(prefix) else ""
        if not _HOST_ID.fullmatch(host_id):
            raise Denied(f"cannot let this host in again: what it shows is no certificate of an agent of cluster {self.cluster}")
        requested = hashlib.sha256(returning.request).hexdigest()
        said = f"hookline readmission 1\n{host_id}\n{returning.generation}\n{requested}\n"
        key = certificates.signer_of(shown, returning.signature, said.encode())
        return Holder(
            host_id=HostId(host_id), key=certificates.key_digest(key), ended_at=round(shown.not_valid_after_utc.timestamp() * 1000)
        )

    def certify_operator(self, name: str, certificate_id: str, request: bytes, *, lifetime: int) -> tuple[bytes, Leaf]:
        """An operator's certificate, and by what it is known again; its common name is the id. Raises as `certify` does."""
        public_key, lasts = certificates.read_request(request), datetime.timedelta(milliseconds=lifetime)
        uri = self.uri("operator", name)
        made = certificates.leaf(public_key, self._signer(), uri=uri, common=certificate_id, begins=self._now(), lifetime=lasts)
        issued = self._issued(made)
        return issued.chain, Leaf(bytes.fromhex(certificates.fingerprint(made)), issued.expires_at)

    def issue(self, kind: str, name: str, request: bytes) -> Certificate:
        """A client's certificate for the key of a request (PEM). Raises Invalid for a request that proves nothing."""
        public_key, lifetime = certificates.read_request(request), self._lifetimes.agent
        made = certificates.leaf(public_key, self._signer(), uri=self.uri(kind, name), begins=self._now(), lifetime=lifetime)
        return self._issued(made)

    def renew(self) -> str:
        """Look after the coordinator's own certificates, to be called once in a while: what an operator has to do about them, in a
        sentence; empty when nothing. Raises Unusable for files that cannot be what they should be."""
        trouble = self._renew_issuing()
        self._renew_server()
        return trouble

    def _renew_server(self) -> None:
        path = self._directory / "server.pem"
        if path.exists():
            shown, *above = certificates.load_certificates(path.read_bytes(), path)
            fresh = shown.not_valid_after_utc - self._now() > self._lifetimes.server / 3
            if fresh and certificates.names_of(shown) == set(self._names) and above == self._above:
                return
        key = certificates.new_key()
        made = certificates.leaf(
            key.public_key(),
            self._signer(),
            uri=self.uri("coordinator", self.cluster),
            names=self._names,
            begins=self._now(),
            lifetime=self._lifetimes.server,
        )
        _write(path, certificates.key_to_pem(key) + certificates.to_pem(made, *self._above), 0o600)

    @property
    def _above(self) -> list[x509.Certificate]:
        """What the server shows beside its own: up to the root, which a machine that joins knows by its fingerprint alone."""
        return [self._issuing, *(root for root in self._roots if certificates.signed_by(self._issuing, root))]

    def _renew_issuing(self) -> str:
        directory, left = self._directory, self._issuing.not_valid_after_utc - self._now()
        if left > self._lifetimes.issuing / 3:
            return ""
        if (directory / "issuing.crt").exists():
            _take_signed(directory, self._roots)
        elif (directory / "root.key").exists():
            _make_issuing(directory, self.cluster, self._roots[-1], self._now(), self._lifetimes)
        else:
            _ask_for_issuing(directory, self.cluster)
            return (
                f"the issuing authority ends in {left.days} days: have {directory / 'issuing.csr'} signed where the root is kept and put "
                f"the certificate beside it as issuing.crt, or put root.key there"
            )
        self._issuing_key, self._issuing = _load_issuing(directory, self._roots)
        return ""

    def _signer(self) -> tuple[Key, x509.Certificate]:
        """What signs now. Raises Unusable once it has ended."""
        trouble = self._renew_issuing()
        if self._issuing.not_valid_after_utc <= self._now():
            raise Unusable(f"cannot issue certificates: {trouble}")
        return self._issuing_key, self._issuing

    def _issued(self, made: x509.Certificate) -> Certificate:
        return Certificate(
            chain=certificates.to_pem(made, self._issuing),
            expires_at=round(made.not_valid_after_utc.timestamp() * 1000),
        )

    def _now(self) -> datetime.datetime:
        return _date(self._clock.now())


def _found(directory: Path, clock: Clock, cluster: str, lifetimes: Lifetimes) -> None:
    """Make a root and an issuing authority. `trust.crt` comes last: what a crash leaves before it is made anew."""
    if not _CLUSTER.fullmatch(cluster):
        raise Unusable(f"cannot use {cluster!r} as the cluster's name: it takes lower-case letters, digits, '.', '_' and '-', at most 64")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = _date(clock.now())
    key = certificates.new_key()
    root = certificates.root(key, cluster, now, lifetimes.root)
    _write(directory / "cluster", f"{cluster}\n".encode(), 0o644)
    _write(directory / "root.key", certificates.key_to_pem(key), 0o600)
    _make_issuing(directory, cluster, root, now, lifetimes)
    _write(directory / "trust.crt", certificates.to_pem(root), 0o644)


def _make_issuing(directory: Path, cluster: str, root: x509.Certificate, now: datetime.datetime, lifetimes: Lifetimes) -> None:
    root_key, key = _private(directory / "root.key"), certificates.new_key()
    if not certificates.same_key(root_key, root):
        raise Unusable(f"cannot use {directory / 'root.key'}: it is not the key of the newest root in trust.crt")
    request = certificates.issuing_request(key, cluster)
    made = certificates.issuing(request, (root_key, root), now, lifetimes.issuing)
    _write(directory / "issuing.pem", certificates.key_to_pem(key) + certificates.to_pem(made), 0o600)


def _ask_for_issuing(directory: Path, cluster: str) -> None:
    if not (directory / "issuing.csr").exists():
        key = certificates.new_key()
        _write(directory / "issuing.key", certificates.key_to_pem(key), 0o600)
        _write(directory / "issuing.csr", certificates.to_pem(certificates.issuing_request(key, cluster)), 0o644)


def _take_signed(directory: Path, roots: Sequence[x509.Certificate]) -> None:
    """Use what an offline root has signed. A crash in between leaves files that say the same again."""
    path = directory / "issuing.crt"
    made = certificates.load_certificates(path.read_bytes(), path)[0]
    key = _private(directory / "issuing.key")
    _check_issuing(key, made, roots, path)
    _write(directory / "issuing.pem", certificates.key_to_pem(key) + certificates.to_pem(made), 0o600)
    for name in ("issuing.crt", "issuing.csr", "issuing.key"):
        (directory / name).unlink(missing_ok=True)


def _load_issuing(directory: Path, roots: Sequence[x509.Certificate]) -> tuple[Key, x509.Certificate]:
    path = directory / "issuing.pem"
    key = _private(path)
    made = certificates.load_certificates(path.read_bytes(), path)[0]
    _check_issuing(key, made, roots, path)
    return key, made


def _check_issuing(key: Key, made: x509.Certificate, roots: Sequence[x509.Certificate], path: Path) -> None:
    certificates.check_below(made, roots, path)
    if not certificates.same_key(key, made):
        raise Unusable(f"cannot use {path}: the certificate is for another key")


def _private(path: Path) -> Key:
    try:
        mode = path.stat().st_mode
        pem = path.read_bytes()
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise Unusable(f"cannot use {path}: others may read it; run `chmod 600 {path}`, and make new keys if somebody did")
    return certificates.load_key(pem, path)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and on the disk."""
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    beside.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _date(milliseconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
