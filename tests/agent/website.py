"""A web server for tests: answers as it was told, path by path, and remembers what it was asked. It serves as a proxy just as well."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Answer:
    """What one path answers: from an offset when it is asked for with the right ETag, cut after some bytes when it is to be."""

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    etag: str = ""
    cut_after: int | None = None
    says_length: bool = True


@dataclass
class Asked:
    """One request, its header names in small letters."""

    path: str
    headers: dict[str, str]
    body: bytes = b""


class Site:
    """The server: where it is, what it answers, what it was asked."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.answers: dict[str, Answer] = {}
        self.asked: list[Asked] = []

    def heard(self, header: str) -> list[str | None]:
        """A header of every request."""
        return [asked.headers.get(header) for asked in self.asked]


@contextlib.contextmanager
def serving() -> Iterator[Site]:
    """A site on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    site = Site(server.server_port)
    server.site = site  # type: ignore[attr-defined]  # the one way to tell a handler something
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        site.asked.append(Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        answer = site.answers.get(urlsplit(self.path).path, Answer(status=404))
        content, wanted = answer.content, self.headers.get("Range")
        if wanted and answer.etag and answer.etag in (self.headers.get("If-Range"), self.headers.get("If-Match")):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            content = content[start:]
        else:
            self.send_response(answer.status)
        headers = {"ETag": answer.etag} if answer.etag else {}
        if answer.says_length:
            headers["Content-Length"] = str(len(content))
        for name, value in {**headers, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content[: answer.cut_after])

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""
