"""Fetches a bundle from the coordinator's store, going on where a cut stream left off. Protobuf stops here."""

from collections.abc import Iterable
from pathlib import Path

import grpc
import grpc.experimental

from agent.bundle.requests import CoordinatorSource
from agent.bundle.sources.incoming import FetchInterrupted, Incoming, SourceBusy, unavailable
from agent.errors import AgentError
from agent.identity import IdentityFiles
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


def fetch_from_coordinator(source: CoordinatorSource, sha256: str, incoming: Incoming) -> None:
    """Fetch what is missing, over a connection that ends with it."""
    request = agent_pb2.FetchBundleRequest(sha256=bytes.fromhex(sha256), offset=incoming.offset)
    with channel_to(source.address, source.data_dir, source.name) as channel:
        stub = agent_pb2_grpc.AgentServiceStub(channel)
        call = stub.FetchBundle(request, metadata=source.metadata)
        try:
            size = _receive(call, incoming)
        except grpc.RpcError as error:
            raise _failure(call.code(), call.details() or "no reason given", incoming) from error
    if size is None or incoming.offset < size:
        raise FetchInterrupted(f"{incoming.source} ended the stream after {incoming.offset} of {size or 'unknown'} bytes")


def channel_to(address: str, data_dir: str, source: str) -> grpc.Channel:
    """A connection to the coordinator, with the identity in a data directory; an empty one: plaintext. Raises PayloadError for `source`."""
    if not data_dir:
        return grpc.insecure_channel(address, options=_OPTIONS)
    try:
        shown = IdentityFiles(Path(data_dir)).credentials()  # as they are now: they may have been renewed since the last time
    except AgentError as error:
        raise unavailable(source, str(error)) from error
    if shown is None:
        raise unavailable(source, "this host has left its coordinator; join again with `hookline-agent join`")
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(shown.trust, shown.key, shown.chain), options=_OPTIONS)


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
