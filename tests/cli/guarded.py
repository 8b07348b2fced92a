"""A coordinator for the command line's tests that speaks TLS, with operators and an audit."""

from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from coordinator.adapters.authority import Authority
from coordinator.adapters.clock import SystemClock
from coordinator.gateway.listeners.tls import PairFile, open_credentials
from hookline.v1 import access_pb2 as access
from tests.cli.coordinator import FakeCoordinator, Refused, at, page

TOKEN = "hlo_anna"


class GuardedCoordinator(FakeCoordinator):
    """Lets in who sends the one token."""

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
        self.verdict = access.VerifyAuditResponse(intact=True, entries=2, head_hash=b"\xab" * 32)
        super().__init__()

    def _open(self, server: grpc.Server, listen: str) -> int:
        return server.add_secure_port(listen, open_credentials(PairFile(self._pki)))

    def WhoAmI(self, request: access.WhoAmIRequest) -> Message:
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

    def ListAudit(self, request: access.ListAuditRequest) -> Message:
        found, token = page(self.audited if request.oldest_first else self.audited[::-1], request)
        return access.ListAuditResponse(entries=found, next_page_token=token)

    def VerifyAudit(self, request: access.VerifyAuditRequest) -> Message:
        return self.verdict
