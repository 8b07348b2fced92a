"""A coordinator that lends what it is told to, over gRPC on loopback; nothing else of it is there."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

import grpc

from agent.bundle.requests import Lender
from hookline.v1 import agent_pb2 as pb

Call: TypeAlias = grpc.ServicerContext


@dataclass
class Coordinator:
    """Lends what it is told to, or refuses."""

    address: str
    url: str = ""
    bearer: str = ""
    retry_after: int = 0
    refusal: tuple[grpc.StatusCode, str] | None = None
    asked: list[tuple[str, object]] = field(default_factory=list)

    def lend(self, request: pb.LendSourceRequest, context: Call) -> pb.LendSourceResponse:
        """LendSource."""
        self.asked.append((request.instruction_id, dict(context.invocation_metadata()).get("hookline-host-id")))
        if self.refusal is not None:
            context.abort(*self.refusal)
        answer = pb.LendSourceResponse(url=self.url, bearer=self.bearer)
        if self.retry_after:
            answer.retry_after.FromSeconds(self.retry_after)
        return answer

    @property
    def lender(self) -> Lender:
        """How an agent asks it."""
        return Lender(address=self.address, instruction_id="d-1/h/0/1", metadata=(("hookline-host-id", "1" * 32),))


@contextlib.contextmanager
def lending() -> Iterator[Coordinator]:
    """One on a free port."""
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads, options=(("grpc.so_reuseport", 0),))
        made = Coordinator(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
        lend: grpc.RpcMethodHandler[pb.LendSourceRequest, pb.LendSourceResponse] = grpc.unary_unary_rpc_method_handler(
            made.lend, request_deserializer=pb.LendSourceRequest.FromString, response_serializer=pb.LendSourceResponse.SerializeToString
        )
        server.add_registered_method_handlers("hookline.v1.AgentService", {"LendSource": lend})
        server.start()
        yield made
        server.stop(None)
