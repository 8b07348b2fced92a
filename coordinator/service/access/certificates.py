"""Operators' certificates: issued for a token that is good for one, renewed by whoever has one, and revoked."""

from contextlib import suppress

from coordinator.core.errors import Conflict, Denied
from coordinator.core.facts import RequestKey
from coordinator.core.identity.access import OperatorCertificate, Principal
from coordinator.engine.ports import Clock
from coordinator.service.access.callers import Callers
from coordinator.service.access.ports import Authority, Certificates, Operators
from coordinator.service.ports import Cursor, Page, Replayed


class CertificateService:
    """Makes operators' certificates, and keeps out whoever shows one that is no good any more."""

    def __init__(
        self, certificates: Certificates, operators: Operators, callers: Callers, *, authority: Authority | None, clock: Clock
    ) -> None:
        """Without an `authority` there are none: everybody calls in plaintext then."""
        self._certificates = certificates
        self._operators = operators
        self._callers = callers
        self._authority = authority
        self._clock = clock

    def check_possible(self) -> None:
        """Raise Conflict where nobody can have a certificate."""
        _ = self._signer

    @property
    def trust(self) -> bytes:
        """The roots that operators have to trust, PEM."""
        return self._signer.trust

    async def issue(self, caller: Principal, request: bytes, key: RequestKey) -> tuple[OperatorCertificate, bytes]:
        """The certificate for which an invited caller shows a token; with the one above it, PEM."""
        digest = self._signer.key_of(request)
        token = await self._operators.token(caller.shown)
        if token.certificate_lifetime is None:
            raise Denied(f"cannot issue a certificate for the {token.named}: it is to call with, and not for one")
        certificate_id = _named_after(token.token_id)
        chain, leaf = self._signer.certify_operator(token.operator, certificate_id, request, lifetime=token.certificate_lifetime)
        now = self._clock.now()
        wanted = OperatorCertificate(
            certificate_id=certificate_id,
            operator=token.operator,
            newest=leaf,
            previous=None,
            key=digest,
            lifetime=token.certificate_lifetime,
            grants=token.grants,
            description=token.description,
            created_at=now,
            created_by=token.created_by,
        )
        issued = await self._certificates.issue(wanted, token.token_id, at=now, key=key)
        self._callers.forget()
        return issued, chain

    async def renew(self, caller: Principal, shown: bytes, request: bytes, key: RequestKey) -> tuple[OperatorCertificate, bytes]:
        """The next certificate of a caller who shows the one with that digest; with the one above it, PEM. Raises Denied, and ends what
        they have open, when there are two of it."""
        digest = self._signer.key_of(request)
        found = await self._certificates.find(caller.shown)
        if found is None:
            raise Conflict(f"cannot renew the certificate of {caller}: this call shows none")
        known = found[0]
        chain, leaf = self._signer.certify_operator(known.operator, known.certificate_id, request, lifetime=known.lifetime)
        now = await self._certificates.renew(known.certificate_id, shown, leaf, digest=digest, at=self._clock.now(), key=key)
        if now.revoked:
            self._callers.end(now.operator)
            raise Denied(
                f"cannot renew the {now.named}: two have renewed it, so one has a copy of its key, and neither is good any more; look at "
                f"the machines of {now.operator}, then have `hookline operator certificate create {now.operator}` run"
            )
        self._callers.forget()
        return now, chain

    async def certificates(self, operator: str, *, size: int, after: Cursor) -> Page[OperatorCertificate]:
        """Those that are still good, the newest first."""
        return await self._certificates.certificates(operator, at=self._clock.now(), size=size, after=after)

    async def revoke(self, certificate_id: str, key: RequestKey) -> None:
        """Make a certificate useless; what its operator has open ends."""
        with suppress(Replayed):
            self._callers.end(await self._certificates.revoke(certificate_id, at=self._clock.now(), key=key))

    @property
    def _signer(self) -> Authority:
        if self._authority is None:
            raise Conflict("cannot make certificates: this coordinator was started with --insecure, and so has no authority")
        return self._authority


def _named_after(token_id: str) -> str:
    """One token, one certificate: "oc-..." for "ot-...", so that a repeat finds what was issued."""
    return "oc-" + token_id.removeprefix("ot-")
