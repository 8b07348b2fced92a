"""Asks to become a host, where the coordinator lets machines in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from agent.errors import AgentError
from agent.identity.handshake import Unreachable
from agent.identity.joining import Answer
from hookline.v1 import fleet_pb2, fleet_pb2_grpc

if TYPE_CHECKING:
    from agent.identity.joining import Application

_PATIENCE = 20.0
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
        )


def _refusal(error: grpc.aio.AioRpcError, address: str) -> AgentError:
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return Unreachable(f"cannot reach {address}: {error.details()}")
    return AgentError(error.details() or f"cannot join: the coordinator answers {error.code().name}")
