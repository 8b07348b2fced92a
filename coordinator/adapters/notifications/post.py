"""Sends bodies to web servers that somebody else has chosen.

A name is looked up once, every address that it leads to is judged, and one of those is connected to. No redirect is followed, no
environment's proxy used, and no more of an answer read than is told.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import httpx

from coordinator.core.addresses import Forbidden, PrivateServers, Server, server_of
from coordinator.service.notifications.ports import Answer, Unsent

PATIENCE: Final = 10.0
"""Seconds that sending and the whole answer may take."""
OCTETS_AT_MOST: Final = 64 << 10
"""Of an answer; the rest is not read."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a name and a port to addresses. Raises OSError."""


RESOLVERS: Final = 8
"""Names that are looked up together, in threads of their own: one may take half a minute when the system's resolver is away."""


def trusted() -> ssl.SSLContext:
    """Whose certificates count: those of SSL_CERT_FILE or SSL_CERT_DIR, where they are set, else the well-known ones."""
    return httpx.create_ssl_context(trust_env=True)


class HttpPost:
    """See `service.notifications.ports.Post`."""

    def __init__(
        self,
        allowed: PrivateServers,
        *,
        resolve: Resolve | None = None,
        trust: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """`allowed` are the servers with private addresses that may be sent to. Tests resolve names, trust, and carry what is sent,
        otherwise."""
        self._allowed = allowed
        self._resolve = resolve or self._resolve_by_system
        self._patience = patience
        self._threads = ThreadPoolExecutor(max_workers=RESOLVERS, thread_name_prefix="resolver")
        # A connection is used once: the next body to its address may be for another name, for which its certificate was not looked at.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.AsyncClient(
            follow_redirects=False, trust_env=False, timeout=patience, limits=limits, verify=trust or trusted(), transport=transport
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """See `Post.post`."""
        try:
            server = server_of(url)
            async with asyncio.timeout(self._patience):
                return await self._connected(url, server, dict(headers), body)
        except Forbidden as error:
            raise Unsent(f"cannot send: {error}") from None
        except TimeoutError:
            raise Unsent(f"no answer within {self._patience:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Unsent(f"cannot send: {str(error) or type(error).__name__}") from None

    async def _connected(self, url: str, server: Server, headers: dict[str, str], body: bytes) -> Answer:
        """The answer of the first of the server's addresses that can be reached."""
        address = httpx.URL(url)
        headers["accept-encoding"] = "identity"
        headers["host"] = address.copy_with(host=server.host).netloc.decode("ascii")
        found = await self._addresses(server)
        for host in found:
            request = self._client.build_request(
                "POST", address.copy_with(host=host), headers=headers, content=body, extensions={"sni_hostname": server.host}
            )
            try:
                response = await self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if host == found[-1]:
                    raise
                continue
            try:
                return await _answer(response)
            finally:
                await response.aclose()
        raise OSError(f"{server.host} leads nowhere")

    async def _addresses(self, server: Server) -> list[str]:
        """Where a server's name leads. One that is forbidden spoils all: who owns the name may mean that one."""
        found = list(dict.fromkeys(await self._resolve(server.host, server.port)))
        for text in found:
            self._allowed.check(server.host, ipaddress.ip_address(text))
        return found

    async def _resolve_by_system(self, host: str, port: int) -> Sequence[str]:
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        return [str(entry[4][0]) for entry in await asyncio.get_running_loop().run_in_executor(self._threads, ask)]


async def _answer(response: httpx.Response) -> Answer:
    read = bytearray()
    async for piece in response.aiter_raw():
        read += piece
        if len(read) > OCTETS_AT_MOST:
            break
    wait = response.headers.get("retry-after", "")
    seconds = int(wait) if wait.isascii() and wait.isdigit() and len(wait) < 6 else 0
    return Answer(response.status_code, bytes(read[:OCTETS_AT_MOST]).decode("utf-8", "replace"), seconds * 1000)
