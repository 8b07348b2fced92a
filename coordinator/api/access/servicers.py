"""AccessService and AuditService for gRPC: read requests, ask the services, write answers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from coordinator.api.access.entrance import shown_by
from coordinator.api.calls.principal import caller
from coordinator.api.calls.requests import Context, cursor, page_size, request_key, token
from coordinator.core.errors import Invalid
from coordinator.core.identity.access import Grant, Operator, OperatorCertificate, OperatorToken, Role
from coordinator.service.access.audit import AuditEntry, AuditService, Head
from coordinator.service.access.certificates import CertificateService
from coordinator.service.access.operators import AccessService, WantedOperatorToken
from coordinator.wire import operators as wire
from hookline.v1 import access_pb2 as pb
from hookline.v1.access_pb2_grpc import AccessServiceServicer, AuditServiceServicer


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How operators get here; empty without TLS."""

    fingerprint: str = ""
    """The authority's."""
    tokens: Callable[[], str] = str
    """HOST:PORT where operators connect with tokens."""
    certificates: Callable[[], str] = str
    """And with certificates."""


class AccessServicer(AccessServiceServicer):
    """Operators, their grants, tokens and certificates."""

    def __init__(self, access: AccessService, certificates: CertificateService, way: Way) -> None:
        """`way` is what a login needs besides the token."""
        self._access = access
        self._certificates = certificates
        self._way = way

    async def WhoAmI(self, request: pb.WhoAmIRequest, context: Context) -> pb.WhoAmIResponse:
        """Say who calls."""
        principal = caller.get()
        return pb.WhoAmIResponse(
            principal=str(principal),
            grants=_written(principal.grants),
            token_expire_time=wire.time(principal.expires_at),
            server_time=wire.time(self._access.now()),
            address=principal.address,
            credential_id=principal.shown,
        )

    async def CreateOperator(self, request: pb.CreateOperatorRequest, context: Context) -> pb.CreateOperatorResponse:
        """Make an operator."""
        grants = _read(request.grants, field="grants")
        made = await self._access.create(request.operator_name, grants, request_key("CreateOperator", request))
        return pb.CreateOperatorResponse(operator=_operator(made))

    async def ListOperators(self, request: pb.ListOperatorsRequest, context: Context) -> pb.ListOperatorsResponse:
        """List operators."""
        page = await self._access.operators(size=page_size(request), after=cursor(request, request.page_token))
        found = [_operator(one) for one in page.items]
        return pb.ListOperatorsResponse(operators=found, next_page_token=token(request, page.next))

    async def SuspendOperator(self, request: pb.SuspendOperatorRequest, context: Context) -> pb.SuspendOperatorResponse:
        """Keep an operator out."""
        now = await self._access.suspend(request.operator_name, request.reason, request_key("SuspendOperator", request))
        return pb.SuspendOperatorResponse(operator=_operator(now))

    async def ResumeOperator(self, request: pb.ResumeOperatorRequest, context: Context) -> pb.ResumeOperatorResponse:
        """Let an operator in again."""
        now = await self._access.resume(request.operator_name, request_key("ResumeOperator", request))
        return pb.ResumeOperatorResponse(operator=_operator(now))

    async def GrantRole(self, request: pb.GrantRoleRequest, context: Context) -> pb.GrantRoleResponse:
        """Let an operator do more."""
        (grant,) = _read([request.grant], field="grant")
        now = await self._access.grant(request.operator_name, grant, request_key("GrantRole", request))
        return pb.GrantRoleResponse(operator=_operator(now))

    async def RevokeGrant(self, request: pb.RevokeGrantRequest, context: Context) -> pb.RevokeGrantResponse:
        """Take a grant back."""
        (grant,) = _read([request.grant], field="grant")
        now = await self._access.ungrant(request.operator_name, grant, request_key("RevokeGrant", request))
        return pb.RevokeGrantResponse(operator=_operator(now))

    async def CreateOperatorToken(self, request: pb.CreateOperatorTokenRequest, context: Context) -> pb.CreateOperatorTokenResponse:
        """Make a token."""
        if request.HasField("certificate_lifetime"):
            self._certificates.check_possible()
        wanted = WantedOperatorToken(
            operator=request.operator_name,
            ttl=request.ttl.ToMilliseconds(),
            grants=_read(request.grants, field="grants"),
            description=request.description,
            certificate_lifetime=wire.read_duration(request.certificate_lifetime) if request.HasField("certificate_lifetime") else None,
        )
        made, text = await self._access.create_token(wanted, request_key("CreateOperatorToken", request))
        return pb.CreateOperatorTokenResponse(
            operator_token=_token(made), text=text, authority_fingerprint=self._way.fingerprint, operator_address=self._way.tokens()
        )

    async def ListOperatorTokens(self, request: pb.ListOperatorTokensRequest, context: Context) -> pb.ListOperatorTokensResponse:
        """List tokens that are still good."""
        after = cursor(request, request.page_token)
        page = await self._access.tokens(request.operator_name, size=page_size(request), after=after)
        found = [_token(one) for one in page.items]
        return pb.ListOperatorTokensResponse(operator_tokens=found, next_page_token=token(request, page.next))

    async def RevokeOperatorToken(self, request: pb.RevokeOperatorTokenRequest, context: Context) -> pb.RevokeOperatorTokenResponse:
        """Make a token useless."""
        await self._access.revoke_token(request.operator_token_id, request_key("RevokeOperatorToken", request))
        return pb.RevokeOperatorTokenResponse()

    async def IssueOperatorCertificate(
        self, request: pb.IssueOperatorCertificateRequest, context: Context
    ) -> pb.IssueOperatorCertificateResponse:
        """Give the caller the certificate that their token is for."""
        key = request_key("IssueOperatorCertificate", request)
        issued, chain = await self._certificates.issue(caller.get(), request.certificate_request, key)
        return pb.IssueOperatorCertificateResponse(
            operator_certificate=_certificate(issued),
            certificate_chain=chain,
            trust=self._certificates.trust,
            certificate_address=self._way.certificates(),
        )

    async def RenewOperatorCertificate(
        self, request: pb.RenewOperatorCertificateRequest, context: Context
    ) -> pb.RenewOperatorCertificateResponse:
        """Give the caller the next certificate."""
        key = request_key("RenewOperatorCertificate", request)
        now, chain = await self._certificates.renew(caller.get(), shown_by(context), request.certificate_request, key)
        return pb.RenewOperatorCertificateResponse(
            operator_certificate=_certificate(now), certificate_chain=chain, trust=self._certificates.trust
        )

    async def ListOperatorCertificates(
        self, request: pb.ListOperatorCertificatesRequest, context: Context
    ) -> pb.ListOperatorCertificatesResponse:
        """List certificates that are still good."""
        after = cursor(request, request.page_token)
        page = await self._certificates.certificates(request.operator_name, size=page_size(request), after=after)
        found = [_certificate(one) for one in page.items]
        return pb.ListOperatorCertificatesResponse(operator_certificates=found, next_page_token=token(request, page.next))

    async def RevokeOperatorCertificate(
        self, request: pb.RevokeOperatorCertificateRequest, context: Context
    ) -> pb.RevokeOperatorCertificateResponse:
        """Make a certificate useless."""
        await self._certificates.revoke(request.operator_certificate_id, request_key("RevokeOperatorCertificate", request))
        return pb.RevokeOperatorCertificateResponse()


class AuditServicer(AuditServiceServicer):
    """What operators have done and tried."""

    def __init__(self, audit: AuditService) -> None:
        """`audit` remembers."""
        self._audit = audit

    async def ListAudit(self, request: pb.ListAuditRequest, context: Context) -> pb.ListAuditResponse:
        """List calls."""
        after = cursor(request, request.page_token)
        page = await self._audit.entries(request.principal, oldest_first=request.oldest_first, size=page_size(request), after=after)
        return pb.ListAuditResponse(entries=[_entry(one) for one in page.items], next_page_token=token(request, page.next))

    async def VerifyAudit(self, request: pb.VerifyAuditRequest, context: Context) -> pb.VerifyAuditResponse:
        """Say whether the chain is whole."""
        noted = Head(number=request.noted_audit_no, hash=request.noted_hash) if request.noted_audit_no else None
        verdict = await self._audit.verify(noted)
        return pb.VerifyAuditResponse(
            intact=not verdict.problem,
            entries=verdict.entries,
            head_hash=verdict.head.hash,
            broken_audit_no=verdict.broken,
            problem=verdict.problem,
        )


def _read(grants: Iterable[pb.Grant], *, field: str) -> tuple[Grant, ...]:
    roles = {role.value for role in Role}
    for one in grants:
        if one.role not in roles:
            raise Invalid(f"cannot grant role {one.role}: there is no such role", field=f"{field}.role")
    return tuple(Grant(Role(one.role), one.application_name, one.deployment_group_name) for one in grants)


def _written(grants: Iterable[Grant]) -> list[pb.Grant]:
    return [pb.Grant(role=pb.Role.ValueType(one.role), application_name=one.application, deployment_group_name=one.group) for one in grants]


def _operator(record: Operator) -> pb.Operator:
    return pb.Operator(
        operator_name=record.name,
        status=pb.OperatorStatus.ValueType(record.status),
        grants=_written(record.grants),
        create_time=wire.time(record.created_at),
        created_by=record.created_by,
    )


def _certificate(record: OperatorCertificate) -> pb.OperatorCertificate:
    return pb.OperatorCertificate(
        operator_certificate_id=record.certificate_id,
        operator_name=record.operator,
        expire_time=wire.time(record.expires_at),
        grants=_written(record.grants),
        description=record.description,
        create_time=wire.time(record.created_at),
        created_by=record.created_by,
        renew_time=wire.time(record.renewed_at),
    )


def _token(record: OperatorToken) -> pb.OperatorToken:
    return pb.OperatorToken(
        operator_token_id=record.token_id,
        operator_name=record.operator,
        expire_time=wire.time(record.expires_at),
        grants=_written(record.grants),
        description=record.description,
        create_time=wire.time(record.created_at),
        created_by=record.created_by,
        certificate_lifetime=None if record.certificate_lifetime is None else wire.duration(record.certificate_lifetime),
    )


def _entry(record: AuditEntry) -> pb.AuditEntry:
    call = record.call
    return pb.AuditEntry(
        audit_no=record.number,
        time=wire.time(call.at),
        principal=call.principal,
        address=call.address,
        method=call.method,
        request=call.request,
        reason=call.reason,
        code=call.code,
        subject=call.subject,
        previous_hash=record.previous,
        hash=record.hash,
    )
