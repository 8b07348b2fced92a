"""Bundles arrive whole or not at all: from a file, over HTTP, from the coordinator; cut off, resumed, spoilt, refused."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from agent.bundle.archives.archive import Limits
from agent.bundle.requests import CoordinatorSource
from agent.bundle.sources.coordinator import Line, fetch_from_coordinator
from agent.bundle.sources.http import fetch_http
from agent.bundle.sources.incoming import FetchInterrupted, Incoming, SourceBusy, fetch_file, local_path
from agent.payload import PayloadError, PayloadErrorCode
from agent.workspace import DeploymentDirectory
from hookline.v1 import agent_pb2, agent_pb2_grpc

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Arrival:
    """A bundle on its way to a directory, again and again until it is here."""

    def __init__(self, directory: Path, sha256: str = DIGEST, limits: Limits | None = None) -> None:
        self.directory = DeploymentDirectory(path=directory)
        self.bundle = self.directory.bundle
        self.validator = self.directory.bundle_etag
        self.told: list[tuple[int, int | None]] = []
        self._sha256 = sha256
        self._limits = limits or Limits(reserve_bytes=0)

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Incoming]:
        incoming = Incoming(
            self.directory,
            source="the source",
            sha256=self._sha256,
            limits=self._limits,
            progress=lambda done, total: self.told.append((done, total)),
        )
        with contextlib.closing(incoming):
            yield incoming


@pytest.fixture
def arrival(tmp_path: Path) -> Arrival:
    return Arrival(tmp_path)


class Website(BaseHTTPRequestHandler):
    """Serves CONTENT as its paths say, and remembers which ranges were asked for."""

    ranges: list[str | None]
    etag: str

    def do_GET(self) -> None:
        self.ranges.append(self.headers.get("Range"))
        path = self.path.partition("?")[0]
        if path == "/elsewhere":
            self._short(302, Location="http://other.example/bundle")
        elif path == "/moved":
            self._short(302, Location="/bundle")
        elif path == "/circle":
            self._short(302, Location="/circle")
        elif path == "/busy":
            self._short(503, **{"Retry-After": "7"})
        elif path == "/broken":
            self._short(500)
        elif path in ("/bundle", "/cut", "/plain"):
            self._content(cut=path == "/cut", resumable=path != "/plain")
        else:
            self._short(404)

    def _short(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _content(self, *, cut: bool, resumable: bool) -> None:
        start = 0
        wanted = self.headers.get("Range")
        if resumable and wanted and self.headers.get("If-Range") == self.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        else:
            self.send_response(200)
        if resumable:
            self.send_header("ETag", self.etag)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + 300_000] if cut else CONTENT[start:])

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def website() -> Iterator[tuple[str, type[Website]]]:
    handler = type("Handler", (Website,), {"ranges": [], "etag": '"one"'})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_local_file_is_copied_and_progress_is_told(arrival: Arrival, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    with arrival.incoming() as incoming:
        fetch_file(tmp_path / "source", incoming)
        assert incoming.finish()
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
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


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


@pytest.mark.parametrize("path", ["/bundle", "/moved", "/plain", "/bundle?token=x"])
def test_a_bundle_is_fetched_over_http(arrival: Arrival, website: tuple[str, type[Website]], path: str) -> None:
    with arrival.incoming() as incoming:
        fetch_http(website[0] + path, incoming, arrival.validator)
        assert incoming.finish()
    assert arrival.bundle.read_bytes() == CONTENT
    assert arrival.told[-1] == (len(CONTENT), len(CONTENT))


def test_a_cut_connection_is_resumed_where_it_broke(arrival: Arrival, website: tuple[str, type[Website]]) -> None:
    attempts = 0
    while not arrival.bundle.exists():
        attempts += 1
        with arrival.incoming() as incoming, contextlib.suppress(FetchInterrupted):
            fetch_http(website[0] + "/cut", incoming, arrival.validator)
            assert incoming.finish()
    assert attempts == 4
    assert website[1].ranges == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]
    assert arrival.bundle.read_bytes() == CONTENT


def test_another_version_on_the_server_starts_from_the_beginning(arrival: Arrival, website: tuple[str, type[Website]]) -> None:
    with arrival.incoming() as incoming, pytest.raises(FetchInterrupted):
        fetch_http(website[0] + "/cut", incoming, arrival.validator)
    website[1].etag = '"two"'
    with arrival.incoming() as incoming:
        fetch_http(website[0] + "/bundle", incoming, arrival.validator)
        assert incoming.finish()


@pytest.mark.parametrize(
    "path, says",
    [
        ("/missing", "the server answered 404 Not Found"),
        ("/elsewhere", "it redirects to another host, http://other.example"),
        ("/circle", "more than 5 redirects"),
    ],
)
def test_a_server_that_refuses_is_quoted(arrival: Arrival, website: tuple[str, type[Website]], path: str, says: str) -> None:
    with arrival.incoming() as incoming, pytest.raises(PayloadError, match=says):
        fetch_http(website[0] + path, incoming, arrival.validator)


def test_a_server_in_trouble_is_asked_again(arrival: Arrival, website: tuple[str, type[Website]]) -> None:
    with arrival.incoming() as incoming:
        with pytest.raises(FetchInterrupted, match="500"):
            fetch_http(website[0] + "/broken", incoming, arrival.validator)
        with pytest.raises(SourceBusy) as caught:
            fetch_http(website[0] + "/busy", incoming, arrival.validator)
        assert caught.value.seconds == 7
        with pytest.raises(FetchInterrupted):
            fetch_http("http://127.0.0.1:1/", incoming, arrival.validator)


@pytest.mark.parametrize("url", ["http://user:secret@127.0.0.1/x", "http:///x"])
def test_an_address_with_a_password_or_without_host_is_refused(arrival: Arrival, url: str) -> None:
    with arrival.incoming() as incoming, pytest.raises(PayloadError, match="must name a host and hold no user"):
        fetch_http(url, incoming, arrival.validator)


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
        fetch_from_coordinator(coordinator[0], DIGEST, incoming, Line())
        assert incoming.finish()
    assert arrival.bundle.read_bytes() == CONTENT
    assert coordinator[1].metadata == [("hookline-host-id", "h1")]


def test_a_line_that_was_connected_ahead_is_used_and_closed(arrival: Arrival, coordinator: tuple[CoordinatorSource, Coordinator]) -> None:
    line = Line()
    line.connect(coordinator[0].address)
    channel = line.to(coordinator[0].address)
    with arrival.incoming() as incoming:
        fetch_from_coordinator(coordinator[0], DIGEST, incoming, line)
        assert incoming.finish()
    assert line.to(coordinator[0].address) is not channel
    line.close()


def test_a_line_to_another_address_is_of_no_use(arrival: Arrival, coordinator: tuple[CoordinatorSource, Coordinator]) -> None:
    line = Line()
    line.to("127.0.0.1:1")
    with arrival.incoming() as incoming:
        fetch_from_coordinator(coordinator[0], DIGEST, incoming, line)
        assert incoming.finish()


def test_a_cut_stream_is_resumed_at_its_offset(arrival: Arrival, coordinator: tuple[CoordinatorSource, Coordinator]) -> None:
    coordinator[1].cut_after = 400_000
    while not arrival.bundle.exists():
        with arrival.incoming() as incoming, contextlib.suppress(FetchInterrupted):
            fetch_from_coordinator(coordinator[0], DIGEST, incoming, Line())
            assert incoming.finish()
    assert coordinator[1].offsets == [0, 400_000, 800_000]
    assert arrival.bundle.read_bytes() == CONTENT


def test_what_an_interrupted_attempt_left_spoilt_is_fetched_anew(
    arrival: Arrival, coordinator: tuple[CoordinatorSource, Coordinator]
) -> None:
    arrival.directory.partial_bundle.write_bytes(b"\0" * 5000)
    with arrival.incoming() as incoming:
        fetch_from_coordinator(coordinator[0], DIGEST, incoming, Line())
        assert not incoming.finish()
        fetch_from_coordinator(coordinator[0], DIGEST, incoming, Line())
        assert incoming.finish()
    assert coordinator[1].offsets == [5000, 0]


def test_a_bundle_that_is_here_already_is_not_fetched_again(arrival: Arrival) -> None:
    arrival.bundle.write_bytes(CONTENT)
    with arrival.incoming() as incoming:
        assert incoming.is_whole
        assert incoming.finish()
    assert arrival.bundle.read_bytes() == CONTENT


def test_a_busy_coordinator_says_how_long_to_wait(arrival: Arrival, coordinator: tuple[CoordinatorSource, Coordinator]) -> None:
    coordinator[1].busy = True
    with arrival.incoming() as incoming, pytest.raises(SourceBusy) as caught:
        fetch_from_coordinator(coordinator[0], DIGEST, incoming, Line())
    assert caught.value.seconds == 2.5


def test_a_coordinator_that_refuses_is_quoted_and_one_that_is_away_is_asked_again(
    arrival: Arrival, coordinator: tuple[CoordinatorSource, Coordinator]
) -> None:
    with arrival.incoming() as incoming:
        coordinator[1].refuse = grpc.StatusCode.NOT_FOUND
        with pytest.raises(PayloadError, match=r"cannot serve this bundle \(NOT_FOUND\)"):
            fetch_from_coordinator(coordinator[0], DIGEST, incoming, Line())
        coordinator[1].refuse = grpc.StatusCode.UNAVAILABLE
        with pytest.raises(FetchInterrupted):
            fetch_from_coordinator(coordinator[0], DIGEST, incoming, Line())
        with pytest.raises(FetchInterrupted):
            fetch_from_coordinator(CoordinatorSource(address="127.0.0.1:1"), DIGEST, incoming, Line())
