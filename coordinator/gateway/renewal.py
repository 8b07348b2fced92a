"""RenewCertificate, on the agents' own listener: whoever has a certificate that still opens it may have the next one."""

import grpc
import grpc.aio

from coordinator.engine.ports import Clock
from coordinator.gateway.identity import Callers, Context
from coordinator.service.enrolment import EnrolmentService
from coordinator.wire.clock import time_told
from hookline.v1 import agent_pb2 as pb


class RenewalServicer:
    """Renews agents' certificates."""

    def __init__(self, enrolment: EnrolmentService, callers: Callers, clock: Clock) -> None:
        """`callers` says whose call it is."""
        self._enrolment = enrolment
        self._callers = callers
        self._clock = clock

    def register(self, server: grpc.aio.Server) -> None:
        """Serve RenewCertificate on `server`."""
        renew: grpc.RpcMethodHandler[pb.RenewCertificateRequest, pb.RenewCertificateResponse] = grpc.unary_unary_rpc_method_handler(
            self.renew_certificate,
            request_deserializer=pb.RenewCertificateRequest.FromString,
            response_serializer=pb.RenewCertificateResponse.SerializeToString,
        )
        server.add_registered_method_handlers("hookline.v1.AgentService", {"RenewCertificate": renew})

    async def renew_certificate(self, request: pb.RenewCertificateRequest, context: Context) -> pb.RenewCertificateResponse:
        """The next certificate of the caller, who is told the time whatever comes of it."""
        await context.send_initial_metadata(time_told(self._clock.now()))
        host_id = self._callers.host(context)
        enrolment, certificate = await self._enrolment.renew(host_id, request.certificate_request, generation=request.generation)
        return pb.RenewCertificateResponse(
            certificate_chain=certificate.chain, trust=self._enrolment.trust, generation=enrolment.generation
        )
