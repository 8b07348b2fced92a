"""The way out: where a name leads is looked up once and judged, nothing is followed, and no more is read than is told."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import httpx
import pytest

from coordinator.adapters.authority import Authority
from coordinator.adapters.clock import SystemClock
from coordinator.adapters.notifications.post import OCTETS_AT_MOST, HttpPost
from coordinator.adapters.notifications.secrets import SecretFiles
from coordinator.core.addresses import Forbidden, PrivateServers
from coordinator.gateway.listeners.tls import SERVER_FILE
from coordinator.service.notifications.ports import Answer, Unsent
from tests.evil_urls import EVERYWHERE, UNLESS_LISTED

PUBLIC = "93.184.216.34"
NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
KEY = "whsec_" + "A" * 43 + "="


def said(status: int, text: str = "", **headers: str) -> httpx.Response:
    """An answer as it comes over the network."""

    async def content() -> AsyncIterator[bytes]:
        yield text.encode()

    return httpx.Response(status, content=content(), headers=headers)


class Web:
    """All web servers, and where names lead."""

    def __init__(self, *allow: str, patience: float = 60) -> None:
        self.asked: list[httpx.Request] = []
        self.looked_up: list[str] = []
        self.names: dict[str, Sequence[str]] = {"hooks.example.org": [PUBLIC]}
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda _: said(200, "taken")
        carried = httpx.MockTransport(self._answer)
        self.post = HttpPost(PrivateServers(allow), resolve=self._resolve, trust=NOBODY, transport=carried, patience=patience)

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        self.looked_up.append(host)
        if host not in self.names and not host[-1].isdigit() and ":" not in host:
            raise OSError("Name or service not known")
        return self.names.get(host, [host])

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self.answer(request)

    async def send(self, url: str = "https://hooks.example.org:8443/x?y=1") -> Answer:
        return await self.post.post(url, {"ce-id": "7"}, b'{"a": 1}')


async def test_the_address_that_was_judged_is_connected_to_by_the_servers_name() -> None:
    web = Web()
    web.answer = lambda _: said(202, "taken", **{"retry-after": "7"})
    assert await web.send() == Answer(202, "taken", 7_000)
    (request,) = web.asked
    assert (request.method, request.content, request.headers["ce-id"]) == ("POST", b'{"a": 1}', "7")
    assert str(request.url) == f"https://{PUBLIC}:8443/x?y=1"
    assert (request.headers["host"], request.extensions["sni_hostname"]) == ("hooks.example.org:8443", "hooks.example.org")
    assert web.looked_up == ["hooks.example.org"]


async def test_the_next_address_is_tried_when_one_cannot_be_reached() -> None:
    web = Web()
    web.names["hooks.example.org"] = ["2606:2800:220:1:248:1893:25c8:1946", PUBLIC]

    def answer(request: httpx.Request) -> httpx.Response:
        if ":" in request.url.host:
            raise httpx.ConnectError("no route")
        return said(200)

    web.answer = answer
    assert (await web.send()).status == 200
    assert [request.url.host for request in web.asked] == ["2606:2800:220:1:248:1893:25c8:1946", PUBLIC]


@pytest.mark.parametrize("url", [*EVERYWHERE, *UNLESS_LISTED])
async def test_an_evil_url_is_never_asked(url: str) -> None:
    web = Web()
    with pytest.raises(Unsent) as caught:
        await web.send(url)
    assert (web.asked, "password@" in str(caught.value)) == ([], False)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00:ec2::254", "::ffff:169.254.169.254", "fe80::1%eth0", "0.0.0.0"]
)
async def test_a_name_that_leads_inside_is_never_asked_not_even_beside_a_public_address(address: str) -> None:
    web = Web()
    web.names["hooks.example.org"] = [PUBLIC, address]
    with pytest.raises(Unsent, match="hooks.example.org leads to"):
        await web.send()
    assert web.asked == []


async def test_a_name_is_looked_up_anew_each_time_and_once() -> None:
    web = Web()
    await web.send()
    web.names["hooks.example.org"] = ["127.0.0.1"]
    with pytest.raises(Unsent):
        await web.send()
    assert (len(web.looked_up), len(web.asked)) == (2, 1)


async def test_a_listed_server_is_asked() -> None:
    web = Web("127.0.0.0/8", "hooks.corp")
    web.names["hooks.corp"] = ["10.0.0.7"]
    assert (await web.send("http://127.0.0.1:9/")).status == 200
    assert (await web.send("https://hooks.corp/")).status == 200
    with pytest.raises(Unsent):
        await web.send("https://10.0.0.7/")


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    web = Web()
    web.answer = lambda _: said(302, location="http://169.254.169.254/")
    assert (await web.send()).status == 302
    assert len(web.asked) == 1


async def test_a_name_that_leads_nowhere_and_a_server_that_breaks_off_are_told() -> None:
    web = Web()
    with pytest.raises(Unsent, match="Name or service not known"):
        await web.send("https://nowhere.example/")

    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("Server disconnected")

    web.answer = broken
    with pytest.raises(Unsent, match="Server disconnected"):
        await web.send()


async def test_of_an_endless_answer_only_the_beginning_is_read() -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield b"x" * 1_024

    web = Web()
    web.answer = lambda _: httpx.Response(200, content=endless())
    assert len((await web.send()).text) == OCTETS_AT_MOST
    assert given <= OCTETS_AT_MOST // 1_024 + 1


async def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    web = Web(patience=0.2)
    web.answer = lambda _: httpx.Response(200, content=never())
    with pytest.raises(Unsent, match=r"no answer within 0\.2 s"):
        await web.send()


async def test_over_tls_the_server_has_to_prove_the_name_that_was_looked_up(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path / "pki", SystemClock(), names=("hooks.example.org",))
    authority.renew()
    names: list[str | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.load_cert_chain(tmp_path / "pki" / SERVER_FILE)
    shown.sni_callback = lambda _socket, name, _context: names.append(name)
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=shown) as server:
        port = server.sockets[0].getsockname()[1]

        async def here(host: str, port: int) -> Sequence[str]:
            return ["127.0.0.1"]

        trust = ssl.create_default_context(cadata=authority.trust.decode())
        post = HttpPost(PrivateServers(["127.0.0.1"]), resolve=here, trust=trust)
        assert (await post.post(f"https://hooks.example.org:{port}/x", {}, b"{}")).status == 204
        with pytest.raises(Unsent, match="certificate"):
            await post.post(f"https://other.example.org:{port}/x", {}, b"{}")
        with pytest.raises(Unsent, match="certificate"):
            await HttpPost(PrivateServers(["any"]), resolve=here).post(f"https://hooks.example.org:{port}/x", {}, b"{}")
        await post.close()
    assert names == ["hooks.example.org", "other.example.org", "hooks.example.org"]


def test_a_secret_is_a_line_in_a_file_and_read_whenever_it_is_needed(tmp_path: Path) -> None:
    secrets = SecretFiles(tmp_path)
    with pytest.raises(Forbidden, match=r"cannot read the secret shop in .*: no such file or directory"):
        secrets.read("shop")
    (tmp_path / "shop").write_text("https://hooks.example.org/x\n")
    assert secrets.read("shop") == "https://hooks.example.org/x"
    (tmp_path / "shop").write_text(f"{KEY}\n")
    assert len(secrets.key("shop")) == 32


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"\xff", "ä".encode(), b"x" * 5_000, b"a\x00b"])
def test_what_is_no_secret_is_refused_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "shop").write_bytes(content)
    with pytest.raises(Forbidden):
        SecretFiles(tmp_path).read("shop")


def test_a_secret_that_is_no_key_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("hunter2-hunter2")
    with pytest.raises(Forbidden, match="it must be whsec_ and base64") as caught:
        SecretFiles(tmp_path).key("shop")
    assert "hunter2" not in str(caught.value)
