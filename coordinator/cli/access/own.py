"""This operator's own certificate: its key is made here and goes nowhere; taken at a login, renewed before it ends."""

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from coordinator.cli import protos
from coordinator.cli.access import kept
from coordinator.cli.clock import Clock
from coordinator.cli.connection import Connection
from coordinator.cli.refusals import Refusal
from coordinator.cli.wording.text import clean

if TYPE_CHECKING:
    from hookline.v1.access_pb2 import OperatorCertificate

TOKEN_PREFIX = "hlc_"  # of tokens that are each good for one certificate
_ID = re.compile(r"oc-[0-9A-Z]{1,40}")
RENEWED_AFTER = 0.6
"""Of its time: by then the certificate before it has ended, of which two at most may be good."""
RENEWING = 10.0
"""Seconds that a renewal may take: the command that it comes before waits for it."""


def take(way: Connection, address: str, clock: Clock) -> kept.Login:
    """Have a certificate issued for the token that `way` calls with, and keep it; `address` is where that goes."""
    key = _new_key()
    asked = protos.access.IssueOperatorCertificateRequest(certificate_request=_request(key))
    answer = way.ask(way.access.IssueOperatorCertificate, asked)
    issued = answer.operator_certificate
    if not _ID.fullmatch(issued.operator_certificate_id):  # it becomes the name of a file
        raise Refusal(f"cannot keep the certificate: the coordinator calls it {clean(issued.operator_certificate_id)[:40]!r}")
    certificate = _kept(f"{issued.operator_certificate_id}.pem", issued, clock)
    port = answer.certificate_address.rpartition(":")[2]
    login = kept.Login(coordinator=f"{address.rpartition(':')[0]}:{port}", trust=answer.trust.decode("ascii"), certificate=certificate)
    kept.keep(certificate.file, key + answer.certificate_chain)
    kept.write(login)
    return login


def current(login: kept.Login, certificate: kept.Certificate, clock: Clock, remark: Callable[[str], None] | None) -> bytes:
    """The certificate of a login with its key, PEM, renewed when it is time; not when nobody can be told with a `remark` that it could not
    be. Raises a Refusal when it has ended."""
    now = clock.now().timestamp()
    if now >= certificate.until:
        raise Refusal(
            f"the certificate for {login.coordinator} has ended: have `hookline operator certificate create` run, and log in with what it "
            "prints"
        )
    if now >= certificate.renew_at and remark is not None:
        try:
            return _renewed(login, certificate, clock)
        except (click.ClickException, OSError) as error:
            said = error.format_message() if isinstance(error, click.ClickException) else f"{error.filename}: {error.strerror}"
            remark(f"The certificate was not renewed, and ends soon: {said}")
    return kept.pair_of(certificate)


def _renewed(login: kept.Login, certificate: kept.Certificate, clock: Clock) -> bytes:
    """The next one, which is kept. Its key is kept before it is asked for: who asks again has to ask with the same."""
    with _alone() as alone:
        if not alone or kept.read() != login:  # another command renews it, or has done so
            return kept.pair_of(certificate)
        present, waiting = kept.pair_of(certificate), kept.path().with_name(kept.next_of(certificate))
        if not waiting.exists() or present.startswith(waiting.read_bytes()):  # the crash of another left the key of what it had kept
            kept.keep(waiting.name, _new_key())
        key = waiting.read_bytes()
        way = Connection(login.coordinator, insecure=False, timeout=RENEWING, clock=clock, trust=login.trust, pair=present)
        try:
            asked = protos.access.RenewOperatorCertificateRequest(certificate_request=_request(key))
            answer = way.ask(way.access.RenewOperatorCertificate, asked)
        finally:
            way.close()
        pair = key + answer.certificate_chain
        kept.keep(certificate.file, pair)
        waiting.unlink(missing_ok=True)
        kept.write(
            replace(login, trust=answer.trust.decode("ascii"), certificate=_kept(certificate.file, answer.operator_certificate, clock))
        )
        return pair


def _kept(file: str, issued: "OperatorCertificate", clock: Clock) -> kept.Certificate:
    """By this machine's clock, whatever the coordinator's says."""
    begun = issued.renew_time if issued.HasField("renew_time") else issued.create_time
    now, lasts = clock.now().timestamp(), issued.expire_time.seconds - begun.seconds
    return kept.Certificate(file=file, renew_at=now + lasts * RENEWED_AFTER, until=now + lasts)


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether no other command of this user renews a certificate just now."""
    lock = kept.path().with_name(".renewal.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _new_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _request(key: bytes) -> bytes:
    """A certificate request, of which nothing but the key counts."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = serialization.load_pem_private_key(key, password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(private, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)
