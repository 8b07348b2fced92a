"""A web server that is told of deployments: it takes, refuses or holds what is posted; and it keeps annotations, as Grafana does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

ANNOTATIONS: Final = "/api/annotations"


class Received(NamedTuple):
    """What was posted."""

    path: str
    headers: dict[str, str]
    """Their names in small letters."""
    body: bytes
    answered: int

    @property
    def said(self) -> Any:  # JSON
        """The body."""
        return json.loads(self.body)


class Receiver:
    """Answers 200 unless `status` has another answer for a path; paths in `held` are answered when `let_go` is set."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.all: list[Received] = []
        self.status: dict[str, int] = {}
        self.held: set[str] = set()
        self.let_go = threading.Event()
        self.annotations: dict[int, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def taken(self, path: str) -> list[Received]:
        """What was posted there and taken."""
        return [one for one in list(self.all) if one.path == path and one.answered == 200]

    def ids(self, path: str) -> list[str]:
        """The ids of what was taken there, without what came again."""
        return list(dict.fromkeys(one.headers["ce-id"] for one in self.taken(path)))

    def answer(self, verb: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        """What is answered."""
        place = urlsplit(path)
        if place.path.startswith(ANNOTATIONS):
            with self._lock:
                return 200, self._annotate(verb, place.path.removeprefix(ANNOTATIONS).strip("/"), parse_qs(place.query), body)
        if path in self.held:
            self.let_go.wait()
        answered = self.status.get(path, 200)
        with self._lock:
            self.all.append(Received(path, headers, body, answered))
        return answered, {"answered": answered}

    def _annotate(self, verb: str, number: str, asked: dict[str, list[str]], body: bytes) -> object:
        if verb == "GET":
            return [one for one in self.annotations.values() if set(asked["tags"]) <= set(one["tags"])]
        if verb == "POST":
            number = str(len(self.annotations) + 1)
            self.annotations[int(number)] = {"id": int(number)}
        self.annotations[int(number)] |= json.loads(body)
        return {"id": int(number)}


@contextmanager
def receiving() -> Iterator[Receiver]:
    """One on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, said = receiver.answer(self.command, self.path, headers, body)
            content = json.dumps(said).encode()
            try:
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                return  # who asked was killed, or has lost patience

        do_GET = do_POST = do_PATCH = _answer  # the library's names

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()
