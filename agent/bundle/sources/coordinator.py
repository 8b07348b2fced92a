"""Fetches a bundle from the coordinator's store, going on where a cut stream left off. Protobuf stops here.

A connection takes about as long as a small bundle, so it may be begun before the bundle is asked for.
"""

import contextlib
from collections.abc import Iterable

import grpc
import grpc.experimental

from agent.bundle.requests import CoordinatorSource
from agent.bundle.sources.incoming import FetchInterrupted, Incoming, SourceBusy, unavailable
from hookline.v1 import agent_pb2, agent_pb2_grpc

_OPTIONS = (
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.enable_http_proxy", 0),
    (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),  # A second thread would pass every message on to the first.
)
_FOR_GOOD = (
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.OUT_OF_RANGE,
)


def make_ready() -> None:
    """Have gRPC set itself up while nobody waits; the first channel of a process takes several milliseconds."""
    with grpc.insecure_channel("127.0.0.1:1") as channel:  # Nothing is connected before the first call.
        agent_pb2_grpc.AgentServiceStub(channel)


class Line:
    """The connection to the coordinator's store."""

    def __init__(self) -> None:
        self._address = ""
        self._channel: grpc.Channel | None = None

    def connect(self, address: str) -> None:
        """Begin to connect to an address, without waiting for it."""
        channel = self.to(address)
        channel.subscribe(_nothing, try_to_connect=True)
        channel.unsubscribe(_nothing)  # A subscriber would make closing wait.

    def to(self, address: str) -> grpc.Channel:
        """A channel to an address, the one that was there before if there was one."""
        if self._channel is None or self._address != address:
            self.close()
            self._address = address
            self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        return self._channel

    def close(self) -> None:
        """End it: every attempt has a connection of its own."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def fetch_from_coordinator(source: CoordinatorSource, sha256: str, incoming: Incoming, line: Line) -> None:
    """Fetch what is missing over a line, and close it."""
    request = agent_pb2.FetchBundleRequest(sha256=bytes.fromhex(sha256), offset=incoming.offset)
    with contextlib.closing(line):
        stub = agent_pb2_grpc.AgentServiceStub(line.to(source.address))
        call = stub.FetchBundle(request, metadata=source.metadata)
        try:
            size = _receive(call, incoming)
        except grpc.RpcError as error:
            raise _failure(call.code(), call.details() or "no reason given", incoming) from error
    if size is None or incoming.offset < size:
        raise FetchInterrupted(f"{incoming.source} ended the stream after {incoming.offset} of {size or 'unknown'} bytes")


def _nothing(_connectivity: grpc.ChannelConnectivity) -> None:
    """How far the connection has come shows when it is used."""


def _receive(call: Iterable[agent_pb2.FetchBundleResponse], incoming: Incoming) -> int | None:
    """Take the stream to its end; the size of the whole bundle, None when the stream did not say."""
    size = None
    for response in call:
        match response.WhichOneof("message"):
            case "size":
                size = response.size
                incoming.begin(size)
            case "chunk":
                incoming.write(response.chunk)
            case "retry_after":
                raise SourceBusy(response.retry_after.ToMilliseconds() / 1000)
            case None:
                raise unavailable(incoming.source, "it speaks a newer language than this agent; upgrade the agent")
    return size


def _failure(status: grpc.StatusCode, details: str, incoming: Incoming) -> Exception:
    if status is grpc.StatusCode.OUT_OF_RANGE and incoming.offset:
        incoming.restart()
        return FetchInterrupted(f"{incoming.source}: {details}")
    if status in _FOR_GOOD:
        return unavailable(incoming.source, f"{details} ({status.name})")
    return FetchInterrupted(f"{incoming.source}: {details} ({status.name})")
