"""Tokens for web servers, by a client's id and secret: how they are asked for, how long they are lent, and what is refused."""

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest

from coordinator.adapters.sources.asking import Asker
from coordinator.adapters.sources.credentials import SourceCredentials, Unreadable
from coordinator.core.errors import Unavailable
from coordinator.core.model import BundleType, HttpLocation, Revision, RevisionId
from coordinator.service.sources.lending import ComeBack, Lent
from tests.wire.memory import VirtualClock

SECRET = "never: to be seen"
ENTRY = """[[oauth]]
source = "https://artifacts.example.com/shop/*"
token_url = "https://id.example.com/token"
client_id = "hook:line"
client_secret = {env = "A_SECRET"}
"""


def bundle(url: str = "https://Artifacts.example.com/shop/1.tgz") -> Revision:
    return Revision(revision_id=RevisionId("r-1"), place=HttpLocation(url=url), bundle_type=BundleType.tgz, sha256=b"x" * 32)


class Issuer:
    """Gives out tokens, or answers what it is told to."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.life: object = 300
        self.instead: Callable[[], httpx.Response] | None = None

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.instead is not None:
            return self.instead()
        said = {"access_token": f"token-{len(self.asked)}", "token_type": "bearer", "expires_in": self.life}
        return httpx.Response(200, json=said)

    def form(self) -> dict[str, list[str]]:
        """What it was asked last."""
        return parse_qs(self.asked[-1].content.decode())


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


Made = Callable[..., SourceCredentials]


@pytest.fixture
def client(tmp_path: Path, issuer: Issuer, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.setenv("A_SECRET", SECRET)

    def made(text: str = ENTRY) -> SourceCredentials:
        (tmp_path / "sources.toml").write_text(text)
        return SourceCredentials(tmp_path / "sources.toml", clock, Asker(transport=httpx.MockTransport(issuer.answer)))

    return made


async def test_a_token_is_lent_for_the_addresses_of_the_client_alone(client: Made, issuer: Issuer) -> None:
    credentials = client()
    lent = await credentials.lend(bundle())
    assert isinstance(lent, Lent)
    assert (lent.url, lent.bearer, lent.lasts) == ("", "token-1", 300)
    assert "token-1" not in repr(lent)
    assert await credentials.lend(bundle("https://artifacts.example.com/other/1.tgz")) is None
    assert await credentials.lend(bundle("https://artifacts.example.com.evil.example/shop/1.tgz")) is None
    assert await credentials.lend(bundle("https://artifacts.example.com/shop/../other/1.tgz")) is None
    assert len(issuer.asked) == 1


async def test_the_client_shows_its_secret_as_the_standard_says(client: Made, issuer: Issuer) -> None:
    await client(f'{ENTRY}scope = "read:shop x"\naudience = "artifacts"\n').lend(bundle())
    shown = base64.b64decode(issuer.asked[0].headers["authorization"].removeprefix("Basic ")).decode()
    assert shown == "hook%3Aline:never%3A+to+be+seen"
    assert issuer.form() == {"grant_type": ["client_credentials"], "scope": ["read:shop x"], "audience": ["artifacts"]}
    await client(f'{ENTRY}auth = "post"\n').lend(bundle())
    assert "authorization" not in issuer.asked[1].headers
    assert issuer.form() == {"grant_type": ["client_credentials"], "client_id": ["hook:line"], "client_secret": [SECRET]}


async def test_a_token_is_lent_until_shortly_before_its_end_and_bought_once_for_all_who_ask(
    client: Made, issuer: Issuer, clock: VirtualClock
) -> None:
    credentials = client()
    await asyncio.gather(*(credentials.lend(bundle()) for _ in range(20)))
    clock.at += 269_000
    lent = await credentials.lend(bundle())
    assert isinstance(lent, Lent)
    assert (lent.bearer, lent.lasts) == ("token-1", 31)
    clock.at += 1_000
    lent = await credentials.lend(bundle())
    assert isinstance(lent, Lent)
    assert lent.bearer == "token-2"


async def test_while_the_issuer_wants_to_be_left_alone_nobody_asks_it(client: Made, issuer: Issuer, clock: VirtualClock) -> None:
    credentials = client()
    issuer.instead = lambda: httpx.Response(429, headers={"Retry-After": "5"})
    assert await credentials.lend(bundle()) == ComeBack(after=5_000)
    clock.at += 2_000
    assert await credentials.lend(bundle()) == ComeBack(after=3_000)
    assert len(issuer.asked) == 1


async def test_a_token_is_bought_before_anybody_needs_it(client: Made, issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="coordinator")
    credentials = client()
    await credentials.check()
    assert caplog.messages == ["credential works source=https://artifacts.example.com/shop/*"]
    await credentials.lend(bundle())
    assert len(issuer.asked) == 1
    issuer.instead = lambda: httpx.Response(401, json={"error": "invalid_client"})
    await credentials.check()
    assert "credential does not work source=https://artifacts.example.com/shop/*" in caplog.text
    assert SECRET not in caplog.text


def gone() -> httpx.Response:
    raise httpx.ReadTimeout("")


@pytest.mark.parametrize(
    "made, why",
    [
        (
            lambda: httpx.Response(401, json={"error": "invalid_client"}),
            "gives no token to client hook:line: it answers 401: invalid_client",
        ),
        (lambda: httpx.Response(400, json={"error": f"<{SECRET}>"}), "it answers 400"),
        (lambda: httpx.Response(302, headers={"Location": "https://elsewhere.example"}), "it answers 302"),
        (lambda: httpx.Response(200, content=b"<html>"), "it answers 200"),
        (lambda: httpx.Response(200, json={"access_token": "a\nb", "token_type": "Bearer", "expires_in": 9}), "no bearer token"),
        (lambda: httpx.Response(200, json={"access_token": "a", "token_type": "mac", "expires_in": 9}), "no bearer token"),
        (lambda: httpx.Response(200, json={"access_token": "a", "token_type": "Bearer"}), "tokens without an end"),
        (lambda: httpx.Response(200, json={"access_token": "a", "token_type": "Bearer", "expires_in": 10**6}), "of more than 24 h"),
        (gone, "cannot ask https://id.example.com/token: ReadTimeout"),
    ],
)
async def test_what_fails_is_in_the_log_without_the_secret_and_the_host_may_ask_again(
    client: Made, issuer: Issuer, caplog: pytest.LogCaptureFixture, made: Callable[[], httpx.Response], why: str
) -> None:
    issuer.instead = made
    with pytest.raises(Unavailable, match="its log says why"):
        await client().lend(bundle())
    assert why in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "old, new, why",
    [
        ("https://artifacts.example.com/shop/*", "s3://b/*", "is none such as https://...*"),
        ("https://artifacts", "http://artifacts", "would be sent where everybody can read it"),
        ("https://id.example.com", "http://id.example.com", "the token_url for .* has to be https://HOST/PATH"),
        ('{env = "A_SECRET"}', '"AKIASECRET"', "no secret stands here itself"),
        ('"hook:line"', "7", "the client_id for .* is none"),
        (
            "client_id",
            "client_name",
            r"each \[\[oauth\]\] says client_id, client_secret, source, token_url and, if need be, audience, auth",
        ),
        ('"hook:line"', '"a"\nauth = "jwt"', "one of basic and post"),
    ],
)
def test_an_entry_that_cannot_be_used_is_refused_at_the_start(client: Made, old: str, new: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why) as refused:
        client(ENTRY.replace(old, new))
    assert "AKIASECRET" not in str(refused.value)
