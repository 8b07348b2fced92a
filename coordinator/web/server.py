"""Serves the HTTP application inside the coordinator's own event loop."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

BACKLOG = 128
GRACE_SECONDS = 3


class HttpServer:
    """One HTTP server on one address."""

    def __init__(self, app: ASGIApp, *, host: str, port: int, chain: Path | None = None) -> None:
        """Bind the address now, so that `port` is known and a failure is told at once. Raises OSError.

        `chain` holds the key and the certificates to show, once it serves; None: plaintext.
        """
        self._chain = chain
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self.port: int = self._socket.getsockname()[1]
        self._config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            ssl_certfile=chain,
        )
        self._server = _Uvicorn(self._config)

    async def serve(self) -> None:
        """Serve until `stop` is called."""
        self._config.load()
        if self._config.ssl is not None:
            self._config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._socket.close()

    def show_again(self) -> None:
        """Show what `chain` holds now to whoever connects from now on."""
        if self._config.loaded and self._config.ssl is not None and self._chain is not None:
            self._config.ssl.load_cert_chain(self._chain)

    def stop(self) -> None:
        """Let `serve` come to its end: open requests are answered first."""
        self._server.should_exit = True


class _Uvicorn(uvicorn.Server):
    """Uvicorn that leaves signals alone: they belong to the whole program, which stops its parts in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
