"""A coordinator for the command line's tests that speaks TLS, with operators and an audit."""

from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from coordinator.adapters.authority import Authority
from coordinator.adapters.clock import SystemClock
from coordinator.gateway.listeners.tls import PairFile, certificate_credentials, open_credentials
from hookline.v1 import access_pb2 as access
from tests.cli.coordinator import FakeCoordinator, Refused, at, page

TOKEN, INVITATION = "hlo_anna", "hlc_anna"
LASTS = 30 * 86_400


class GuardedCoordinator(FakeCoordinator):
    """Lets in who sends the one token; at another port, who shows a certificate of its authority."""

    services: Any = (*FakeCoordinator.services, (access, "AccessService"), (access, "AuditService"))

    def __init__(self, directory: Path, *, names: tuple[str, ...] = ("127.0.0.1",)) -> None:
        self.authority = Authority.open(directory / "pki", SystemClock(), names=names)
        self.authority.renew()
        self.trust = directory / "pki" / "trust.crt"
        self._pki = directory / "pki"
        self.operators = [
            access.Operator(operator_name="anna", status=access.OPERATOR_STATUS_ACTIVE, create_time=at(0), created_by="local")
        ]
        self.who = access.WhoAmIResponse(
            principal="operator:anna",
            grants=[access.Grant(role=access.ROLE_DEPLOYER, application_name="shop")],
            token_expire_time=at(30 * 86_400),
            server_time=at(300),
            address="192.0.2.7",
        )
        self.audited = [
            access.AuditEntry(audit_no=number, principal="local", method="/a.B/Stop", code="OK", time=at(number)) for number in (1, 2)
        ]
        self.certified, self.certificate_id = "", "oc-1"
        self.verdict = access.VerifyAuditResponse(intact=True, entries=2, head_hash=b"\xab" * 32)
        super().__init__()

    def _open(self, server: grpc.Server, listen: str) -> int:
        pairs = PairFile(self._pki)
        self.certified = f"127.0.0.1:{server.add_secure_port(listen, certificate_credentials(pairs))}"
        return server.add_secure_port(listen, open_credentials(pairs))

    def WhoAmI(self, request: access.WhoAmIRequest) -> Message:
        if self.certificate:
            return access.WhoAmIResponse(
                principal="operator:anna",
                grants=self.who.grants,
                token_expire_time=at(LASTS),
                server_time=at(300),
                credential_id="oc-1",
            )
        if self.metadata.get("authorization") != f"Bearer {TOKEN}":
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, "cannot let you in: this token is unknown here", "UNAUTHENTICATED")
        return self.who

    def CreateOperator(self, request: access.CreateOperatorRequest) -> Message:
        made = access.Operator(operator_name=request.operator_name, status=access.OPERATOR_STATUS_ACTIVE, grants=request.grants)
        return access.CreateOperatorResponse(operator=made)

    def ListOperators(self, request: access.ListOperatorsRequest) -> Message:
        found, token = page(self.operators, request)
        return access.ListOperatorsResponse(operators=found, next_page_token=token)

    def SuspendOperator(self, request: access.SuspendOperatorRequest) -> Message:
        self.operators[0].status = access.OPERATOR_STATUS_SUSPENDED
        return access.SuspendOperatorResponse(operator=self.operators[0])

    def ResumeOperator(self, request: access.ResumeOperatorRequest) -> Message:
        return access.ResumeOperatorResponse(operator=self.operators[0])

    def GrantRole(self, request: access.GrantRoleRequest) -> Message:
        self.operators[0].grants.append(request.grant)
        return access.GrantRoleResponse(operator=self.operators[0])

    def RevokeGrant(self, request: access.RevokeGrantRequest) -> Message:
        self.operators[0].grants.remove(request.grant)
        return access.RevokeGrantResponse(operator=self.operators[0])

    def CreateOperatorToken(self, request: access.CreateOperatorTokenRequest) -> Message:
        token = access.OperatorToken(operator_token_id="ot-1", operator_name=request.operator_name, expire_time=at(request.ttl.seconds))
        return access.CreateOperatorTokenResponse(
            operator_token=token, text=TOKEN, authority_fingerprint=self.authority.fingerprint, operator_address="0.0.0.0:8445"
        )

    def ListOperatorTokens(self, request: access.ListOperatorTokensRequest) -> Message:
        token = access.OperatorToken(operator_token_id="ot-1", operator_name="anna", expire_time=at(600), description="ci")
        return access.ListOperatorTokensResponse(operator_tokens=[token])

    def RevokeOperatorToken(self, request: access.RevokeOperatorTokenRequest) -> Message:
        return access.RevokeOperatorTokenResponse()

    def IssueOperatorCertificate(self, request: access.IssueOperatorCertificateRequest) -> Message:
        if self.metadata.get("authorization") != f"Bearer {INVITATION}":
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, "cannot let you in: this token is unknown here", "UNAUTHENTICATED")
        chain = self.issued(request.certificate_request)
        made = access.OperatorCertificate(
            operator_certificate_id=self.certificate_id, operator_name="anna", create_time=at(0), expire_time=at(LASTS)
        )
        return access.IssueOperatorCertificateResponse(
            operator_certificate=made, certificate_chain=chain, trust=self.authority.trust, certificate_address=self.certified
        )

    def RenewOperatorCertificate(self, request: access.RenewOperatorCertificateRequest) -> Message:
        made = access.OperatorCertificate(
            operator_certificate_id="oc-1",
            operator_name="anna",
            create_time=at(0),
            renew_time=at(LASTS // 2),
            expire_time=at(LASTS // 2 + LASTS),
        )
        chain = self.issued(request.certificate_request)
        return access.RenewOperatorCertificateResponse(operator_certificate=made, certificate_chain=chain, trust=self.authority.trust)

    def issued(self, request: bytes) -> bytes:
        """A certificate with the one above it."""
        return self.authority.certify_operator("anna", "oc-1", request, lifetime=LASTS * 1000)[0]

    def ListOperatorCertificates(self, request: access.ListOperatorCertificatesRequest) -> Message:
        made = access.OperatorCertificate(operator_certificate_id="oc-1", operator_name="anna", expire_time=at(600), description="laptop")
        return access.ListOperatorCertificatesResponse(operator_certificates=[made])

    def RevokeOperatorCertificate(self, request: access.RevokeOperatorCertificateRequest) -> Message:
        return access.RevokeOperatorCertificateResponse()

    def ListAudit(self, request: access.ListAuditRequest) -> Message:
        found, token = page(self.audited if request.oldest_first else self.audited[::-1], request)
        return access.ListAuditResponse(entries=found, next_page_token=token)

    def VerifyAudit(self, request: access.VerifyAuditRequest) -> Message:
        return self.verdict
