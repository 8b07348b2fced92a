"""Serves the HTTP application inside the coordinator's own event loop."""

import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

BACKLOG = 128
GRACE_SECONDS = 3


class HttpServer:
    """One HTTP server on one address."""

    def __init__(self, app: ASGIApp, *, host: str, port: int) -> None:
        """Bind the address now, so that `port` is known and a failure is told at once. Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self.port: int = self._socket.getsockname()[1]
        self._server = _Uvicorn(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )

    async def serve(self) -> None:
        """Serve until `stop` is called."""
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._socket.close()

    def stop(self) -> None:
        """Let `serve` come to its end: open requests are answered first."""
        self._server.should_exit = True


class _Uvicorn(uvicorn.Server):
    """Uvicorn that leaves signals alone: they belong to the whole program, which stops its parts in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
