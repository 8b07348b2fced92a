"""Asks to become a host, or to be one again, where the coordinator lets machines in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from agent.errors import AgentError
from agent.identity.handshake import Busy, Unreachable
from agent.identity.joining import Answer
from agent.identity.renewal import NotRenewed, Renewed
from hookline.v1 import fleet_pb2, fleet_pb2_grpc

if TYPE_CHECKING:
    from agent.identity.files import Credentials
    from agent.identity.joining import Application

_PATIENCE = 20.0
_BUSY_SECONDS = 5.0
_OPTIONS = (("grpc.enable_http_proxy", 0),)


class EnrolmentDoor:
    """The coordinator's listener for machines that want to become hosts."""

    async def ask(self, application: Application, request: bytes) -> Answer:
        """See `agent.identity.joining.Door`."""
        wanted = fleet_pb2.EnrolRequest(
            join_token=application.token,
            certificate_request=request,
            name=application.name,
            agent_version=application.agent_version,
        )
        credentials = grpc.ssl_channel_credentials(application.root)
        async with grpc.aio.secure_channel(application.enrol_address, credentials, options=_OPTIONS) as channel:
            stub: fleet_pb2_grpc.EnrolmentServiceAsyncStub = fleet_pb2_grpc.EnrolmentServiceStub(channel)
            try:
                answer = await stub.Enrol(wanted, timeout=_PATIENCE)
            except grpc.aio.AioRpcError as error:
                raise _refusal(error, application.enrol_address) from error
        return Answer(
            name=answer.enrolment.name,
            chain=answer.certificate_chain,
            trust=answer.trust,
            retry_seconds=answer.retry_after.ToMilliseconds() / 1000,
            agent_address=answer.agent_address,
            name_taken=bool(answer.enrolment.name_of_host_id),
        )


async def readmit(credentials: Credentials, request: bytes, signature: bytes) -> Renewed:
    """Asks for a certificate in the place of one that has ended. Raises NotRenewed."""
    enrolment = credentials.enrolment
    wanted = fleet_pb2.ReadmitRequest(
        certificate_chain=credentials.chain, generation=enrolment.generation, certificate_request=request, signature=signature
    )
    trusted = grpc.ssl_channel_credentials(credentials.trust)
    async with grpc.aio.secure_channel(enrolment.enrol_address, trusted, options=_OPTIONS) as channel:
        stub: fleet_pb2_grpc.EnrolmentServiceAsyncStub = fleet_pb2_grpc.EnrolmentServiceStub(channel)
        try:
            answer = await stub.Readmit(wanted, timeout=_PATIENCE)
        except grpc.aio.AioRpcError as error:
            raise NotRenewed(str(_refusal(error, enrolment.enrol_address))) from error
    if not answer.certificate_chain:
        raise NotRenewed(
            f"this host was away for so long that an operator has to let it in again: hookline hosts approve {enrolment.name}; it waits"
        )
    return Renewed(chain=answer.certificate_chain, trust=answer.trust, generation=answer.generation)


def _refusal(error: grpc.aio.AioRpcError, address: str) -> AgentError:
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return Unreachable(f"cannot reach {address}: {error.details()}")
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Busy(f"{address} asks to wait: {error.details()}", _BUSY_SECONDS)
    return AgentError(error.details() or f"cannot join: the coordinator answers {error.code().name}")
