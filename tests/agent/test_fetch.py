"""Bundles arrive whole or not at all: from a file and from the coordinator; cut off, resumed, spoilt, refused."""

import contextlib
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from agent.bundle.archives.archive import Limits
from agent.bundle.requests import CoordinatorSource
from agent.bundle.sources.coordinator import fetch_from_coordinator
from agent.bundle.sources.files import fetch_file, local_path
from agent.bundle.sources.incoming import FetchInterrupted, SourceBusy
from agent.payload import PayloadError, PayloadErrorCode
from hookline.v1 import agent_pb2, agent_pb2_grpc
from tests.agent.arrival import CONTENT, DIGEST, Arrival


@pytest.fixture
def arrival(tmp_path: Path) -> Arrival:
    return Arrival(tmp_path)


def test_a_local_file_is_copied_and_progress_is_told(arrival: Arrival, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    with arrival.incoming() as incoming:
        fetch_file(tmp_path / "source", incoming)
        incoming.finish()
    assert arrival.bundle.read_bytes() == CONTENT
    assert arrival.told[0] == (0, len(CONTENT))
    assert arrival.told[-1] == (len(CONTENT), len(CONTENT))


def test_a_wrong_digest_names_both_digests_and_the_source(arrival: Arrival, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"other")
    with arrival.incoming() as incoming:
        fetch_file(tmp_path / "source", incoming)
        with pytest.raises(PayloadError) as caught:
            incoming.finish()
    assert caught.value.code is PayloadErrorCode.WRONG_DIGEST
    for part in ("the source", DIGEST, hashlib.sha256(b"other").hexdigest()):
        assert part in caught.value.message
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["source"]


def test_a_bundle_that_is_too_large_is_refused_before_it_is_read(arrival: Arrival, tmp_path: Path) -> None:
    small = Arrival(tmp_path, limits=Limits(packed_bytes=1000, reserve_bytes=0))
    (tmp_path / "source").write_bytes(CONTENT)
    with small.incoming() as incoming, pytest.raises(PayloadError, match=f"it has {len(CONTENT)} bytes or more, and at most 1000"):
        fetch_file(tmp_path / "source", incoming)


def test_a_bundle_that_does_not_fit_on_the_disk_is_refused_before_it_is_read(tmp_path: Path) -> None:
    arrival = Arrival(tmp_path, limits=Limits(reserve_bytes=2**60))
    (tmp_path / "source").write_bytes(CONTENT)
    with arrival.incoming() as incoming, pytest.raises(PayloadError, match=f"store the bundle in {tmp_path}") as caught:
        fetch_file(tmp_path / "source", incoming)
    assert caught.value.code is PayloadErrorCode.DISK_FULL


def test_a_file_that_is_not_there_is_named(arrival: Arrival, tmp_path: Path) -> None:
    with arrival.incoming() as incoming, pytest.raises(PayloadError, match="from the source: no such file"):
        fetch_file(tmp_path / "missing", incoming)


@pytest.mark.parametrize("url", ["file://host/a", "file:a", "file:relative/path", "file:///a%00b"])
def test_a_file_address_that_is_no_absolute_path_is_refused(url: str) -> None:
    with pytest.raises(PayloadError, match="has the form file:///absolute/path"):
        local_path(url)


def test_a_file_address_may_have_escaped_characters() -> None:
    assert local_path("file:///a%20b/c") == Path("/a b/c")


class Coordinator(agent_pb2_grpc.AgentServiceServicer):
    """Serves CONTENT from an offset, in the way that the test wants it."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.metadata: list[tuple[str, str | bytes]] = []
        self.cut_after = len(CONTENT)
        self.busy = False
        self.refuse: grpc.StatusCode | None = None

    def FetchBundle(self, request: agent_pb2.FetchBundleRequest, context: grpc.ServicerContext) -> Iterator[agent_pb2.FetchBundleResponse]:
        self.offsets.append(request.offset)
        self.metadata = [(key, value) for key, value in context.invocation_metadata() if key == "hookline-host-id"]
        if self.refuse is not None:
            context.abort(self.refuse, "cannot serve this bundle")
        if self.busy:
            yield agent_pb2.FetchBundleResponse(retry_after=Duration(seconds=2, nanos=500_000_000))
            return
        yield agent_pb2.FetchBundleResponse(size=len(CONTENT))
        end = min(request.offset + self.cut_after, len(CONTENT))
        for at in range(request.offset, end, 64_000):
            yield agent_pb2.FetchBundleResponse(chunk=CONTENT[at : min(at + 64_000, end)])


@pytest.fixture
def coordinator() -> Iterator[tuple[CoordinatorSource, Coordinator]]:
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = Coordinator()  # type: ignore[abstract]  # the other calls are not made here
    agent_pb2_grpc.add_AgentServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield CoordinatorSource(address=f"127.0.0.1:{port}", metadata=(("hookline-host-id", "h1"),)), servicer
    server.stop(None).wait()


def test_a_bundle_is_fetched_from_the_coordinator_under_the_hosts_name(
    arrival: Arrival, coordinator: tuple[CoordinatorSource, Coordinator]
) -> None:
    with arrival.incoming() as incoming:
        fetch_from_coordinator(coordinator[0], DIGEST, incoming)
        incoming.finish()
    assert arrival.bundle.read_bytes() == CONTENT
    assert coordinator[1].metadata == [("hookline-host-id", "h1")]


def test_a_cut_stream_is_resumed_at_its_offset(arrival: Arrival, coordinator: tuple[CoordinatorSource, Coordinator]) -> None:
    coordinator[1].cut_after = 400_000
    while not arrival.bundle.exists():
        with arrival.incoming() as incoming, contextlib.suppress(FetchInterrupted):
            fetch_from_coordinator(coordinator[0], DIGEST, incoming)
            incoming.finish()
    assert coordinator[1].offsets == [0, 400_000, 800_000]
    assert arrival.bundle.read_bytes() == CONTENT


def test_what_was_left_before_the_machine_started_anew_is_fetched_again(
    arrival: Arrival, coordinator: tuple[CoordinatorSource, Coordinator]
) -> None:
    arrival.directory.partial_bundle.write_bytes(b"\0" * 5000)  # as a power cut leaves it
    arrival.directory.bundle_boot.write_text("another")
    with arrival.incoming() as incoming:
        fetch_from_coordinator(coordinator[0], DIGEST, incoming)
        incoming.finish()
    assert coordinator[1].offsets == [0]


def test_a_wrong_digest_fails_at_once_after_a_resumption_too(tmp_path: Path, coordinator: tuple[CoordinatorSource, Coordinator]) -> None:
    wrong = Arrival(tmp_path, sha256="0" * 64)
    coordinator[1].cut_after = 600_000
    with wrong.incoming() as incoming, pytest.raises(FetchInterrupted):
        fetch_from_coordinator(coordinator[0], DIGEST, incoming)
    with wrong.incoming() as incoming:
        fetch_from_coordinator(coordinator[0], DIGEST, incoming)
        with pytest.raises(PayloadError, match="the SHA-256 of what the source sent"):
            incoming.finish()
    assert coordinator[1].offsets == [0, 600_000]


def test_a_bundle_that_is_here_already_is_not_fetched_again(arrival: Arrival) -> None:
    arrival.bundle.write_bytes(CONTENT)
    with arrival.incoming() as incoming:
        assert incoming.is_whole
        incoming.finish()
    assert arrival.bundle.read_bytes() == CONTENT


def test_a_busy_coordinator_says_how_long_to_wait(arrival: Arrival, coordinator: tuple[CoordinatorSource, Coordinator]) -> None:
    coordinator[1].busy = True
    with arrival.incoming() as incoming, pytest.raises(SourceBusy) as caught:
        fetch_from_coordinator(coordinator[0], DIGEST, incoming)
    assert caught.value.seconds == 2.5


def test_a_coordinator_that_refuses_is_quoted_and_one_that_is_away_is_asked_again(
    arrival: Arrival, coordinator: tuple[CoordinatorSource, Coordinator]
) -> None:
    with arrival.incoming() as incoming:
        coordinator[1].refuse = grpc.StatusCode.NOT_FOUND
        with pytest.raises(PayloadError, match=r"cannot serve this bundle \(NOT_FOUND\)"):
            fetch_from_coordinator(coordinator[0], DIGEST, incoming)
        coordinator[1].refuse = grpc.StatusCode.UNAVAILABLE
        with pytest.raises(FetchInterrupted):
            fetch_from_coordinator(coordinator[0], DIGEST, incoming)
        with pytest.raises(FetchInterrupted):
            fetch_from_coordinator(CoordinatorSource(address="127.0.0.1:1"), DIGEST, incoming)
