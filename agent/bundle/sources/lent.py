"""Asks the coordinator for a way to read a bundle that lies elsewhere: an address or a token that ends soon, written down nowhere."""

import re
from dataclasses import dataclass, field

import grpc

from agent.bundle.requests import Lender
from agent.bundle.sources.coordinator import channel_to
from agent.bundle.sources.incoming import FetchInterrupted, SourceBusy, unavailable
from hookline.v1 import agent_pb2, agent_pb2_grpc

_WITHIN = 10.0
_NEVER = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]{1,8192}=*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """An address, a bearer, or nothing and why. `trouble` says that the coordinator could not say; then what the host has itself is tried,
    and where that does not do, the coordinator is asked again."""

    url: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)
    why_none: str = "this host asks no coordinator"
    trouble: FetchInterrupted | None = None


def borrowed(lender: Lender | None, source: str) -> Loan:
    """What the coordinator lends. Raises PayloadError when this host may not read the source, SourceBusy when it has to wait."""
    if lender is None:
        return Loan()
    with channel_to(lender.address, lender.data_dir, source) as channel:
        stub = agent_pb2_grpc.AgentServiceStub(channel)
        request = agent_pb2.LendSourceRequest(instruction_id=lender.instruction_id)
        try:
            answer = stub.LendSource(request, metadata=lender.metadata, timeout=_WITHIN)
        except grpc.RpcError as error:
            return _nothing(error.code(), error.details() or "no reason given", lender, source)
    if answer.HasField("retry_after"):
        raise SourceBusy(answer.retry_after.ToMilliseconds() / 1000)
    if answer.bearer and not _BEARER.fullmatch(answer.bearer):
        raise unavailable(source, "what the coordinator lent is no token")
    return Loan(url=answer.url, bearer=answer.bearer)


def _nothing(status: grpc.StatusCode, why: str, lender: Lender, source: str) -> Loan:
    if status is grpc.StatusCode.NOT_FOUND:
        return Loan(why_none=f"the coordinator says: {why}")
    if status is grpc.StatusCode.UNIMPLEMENTED:
        return Loan(why_none="the coordinator is too old to lend any")
    if status in _NEVER:
        raise unavailable(source, f"{why} ({status.name})")
    trouble = FetchInterrupted(f"{source}: the coordinator at {lender.address} does not say how to read it: {why}")
    return Loan(why_none=f"the coordinator at {lender.address} does not say", trouble=trouble)
