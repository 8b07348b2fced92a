"""Asks the coordinator for a way to read a bundle that lies elsewhere: an address that is good for minutes, written down nowhere."""

import grpc

from agent.bundle.requests import Lender
from agent.bundle.sources.coordinator import channel_to
from agent.bundle.sources.incoming import FetchInterrupted, unavailable
from hookline.v1 import agent_pb2, agent_pb2_grpc

_WITHIN = 10.0
_NONE = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED)
_NEVER = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)


def lent(lender: Lender, source: str) -> str | None:
    """The address; None when the coordinator has no credential for the source, so that the host's own are to be used.

    Raises PayloadError when this host may not read it, FetchInterrupted when the coordinator cannot say just now.
    """
    with channel_to(lender.address, lender.data_dir, source) as channel:
        stub = agent_pb2_grpc.AgentServiceStub(channel)
        request = agent_pb2.LendSourceRequest(instruction_id=lender.instruction_id)
        try:
            answer = stub.LendSource(request, metadata=lender.metadata, timeout=_WITHIN)
        except grpc.RpcError as error:
            status, why = error.code(), error.details() or "no reason given"
            if status in _NONE:
                return None
            if status in _NEVER:
                raise unavailable(source, f"{why} ({status.name})") from error
            raise FetchInterrupted(f"{source}: the coordinator at {lender.address} does not say how to read it: {why}") from error
    url: str = answer.url
    return url
