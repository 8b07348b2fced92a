"""A GitHub App reads commits for hosts: what it asks GitHub, what it lends, and every way in which that can fail."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from coordinator.adapters.sources.asking import AT_A_TIME, IN_LINE_AT_MOST, Asker
from coordinator.adapters.sources.credentials import SourceCredentials, Unreadable
from coordinator.core.errors import Unavailable
from coordinator.core.model import BundleType, GitHubLocation, Revision, RevisionId
from coordinator.service.sources.lending import ComeBack, Lent, NoCredential
from tests.wire.memory import VirtualClock

COMMIT = "0f3c2a9d" * 5
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
TOKEN = "ghs_never_to_be_seen"
ARCHIVE = f"https://codeload.github.com/example/shop/legacy.tar.gz/{COMMIT}?token=AAAA"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    traditional, plain = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, traditional, plain)


def commit(bundle_type: BundleType = BundleType.tgz, repository: str = "example/shop") -> Revision:
    place = GitHubLocation(repository=repository, commit_id=COMMIT)
    return Revision(revision_id=RevisionId("r-1"), place=place, bundle_type=bundle_type, sha256=b"")


Answered = httpx.Response


@dataclass
class GitHub:
    """An App's side of GitHub: it knows the App's public key, and one installation."""

    clock: VirtualClock
    instead: dict[str, Callable[[], Answered]] = field(default_factory=dict)
    """By the end of a path: what is answered instead."""
    asked: list[str] = field(default_factory=list)
    wanted: list[object] = field(default_factory=list)
    skew: float = 0.0
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing is answered while it is not set."""

    def __post_init__(self) -> None:
        self.open.set()

    async def answer_in_time(self, request: httpx.Request) -> Answered:
        """Once it is open."""
        await self.open.wait()
        return self.answer(request)

    def answer(self, request: httpx.Request) -> Answered:
        """As GitHub documents it."""
        path = request.url.path.removeprefix("/api/v3")
        self.asked.append(f"{request.method} {path}")
        for end, made in self.instead.items():
            if path.endswith(end):
                return made()
        bearer = request.headers["authorization"].removeprefix("Bearer ")
        if "/tarball/" in path or "/zipball/" in path:
            return Answered(302 if bearer == TOKEN else 401, headers={"Location": ARCHIVE.replace("tar.gz", path.split("/")[4])})
        if not self.knows(bearer):
            return Answered(401, json={"message": "A JSON web token could not be decoded"}, headers={"Date": self.date()})
        if path == "/app":
            return Answered(200, json={"id": 1234, "slug": "hookline"})
        if path == "/repos/example/shop/installation":
            return Answered(200, json={"id": 42})
        if path == "/app/installations/42/access_tokens":
            self.wanted.append(json.loads(request.content))
            ends = datetime.fromtimestamp(self.clock.now() / 1000 + 3600, UTC)
            return Answered(201, json={"token": TOKEN, "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%SZ")})
        return Answered(404, json={"message": "Not Found"})

    def knows(self, bearer: str) -> bool:
        """Whether it is signed with the App's key and good at this moment, by GitHub's own clock."""
        try:
            said = jwt.decode(
                bearer, KEY.public_key(), algorithms=["RS256"], issuer="1234", options={"verify_exp": False, "verify_iat": False}
            )
        except jwt.PyJWTError:
            return False
        now = self.clock.now() / 1000 + self.skew
        return bool(said["iat"] <= now < said["exp"] <= now + 600)

    def date(self) -> str:
        """What its clock says."""
        return format_datetime(datetime.fromtimestamp(self.clock.now() / 1000 + self.skew, UTC), usegmt=True)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def github(clock: VirtualClock) -> GitHub:
    return GitHub(clock)


Made = Callable[..., SourceCredentials]


@pytest.fixture
def app(tmp_path: Path, github: GitHub, clock: VirtualClock) -> Made:
    def made(key: bytes = pem(KEY), more: str = "") -> SourceCredentials:
        (tmp_path / "app.pem").write_bytes(key)
        (tmp_path / "sources.toml").write_text(
            f'[[github]]\nsource = "github://Example/*"\napp_id = "1234"\nprivate_key = {{file = "{tmp_path}/app.pem"}}\n{more}'
        )
        return SourceCredentials(tmp_path / "sources.toml", clock, Asker(transport=httpx.MockTransport(github.answer_in_time)))

    return made


async def test_what_is_lent_is_the_address_of_one_archive_and_never_the_token(app: Made, github: GitHub) -> None:
    lent = await app().lend(commit())
    assert isinstance(lent, Lent)
    assert (lent.url, lent.bearer, lent.lasts) == (ARCHIVE.replace("tar.gz", "tarball"), "", 300)
    assert TOKEN not in str(lent)
    assert "token=" not in repr(lent)
    assert github.wanted == [{"repositories": ["shop"], "permissions": {"contents": "read"}}]


async def test_a_zip_file_is_asked_for_where_the_revision_says_so(app: Made) -> None:
    lent = await app().lend(commit(BundleType.zip))
    assert isinstance(lent, Lent)
    assert "zipball" in lent.url


async def test_a_server_of_ones_own_is_asked_at_its_own_address(app: Made, github: GitHub) -> None:
    assert isinstance(await app(more='api = "https://github.example.com/api/v3/"\n').lend(commit()), Lent)
    assert github.asked[0] == "GET /repos/example/shop/installation"


async def test_a_token_is_used_until_shortly_before_its_end_and_by_all_who_ask_together(
    app: Made, github: GitHub, clock: VirtualClock
) -> None:
    credentials = app()
    await asyncio.gather(*(credentials.lend(commit()) for _ in range(20)))
    assert len(github.wanted) == 1
    clock.at += 54 * 60_000
    await credentials.lend(commit())
    assert len(github.wanted) == 1
    clock.at += 2 * 60_000
    await credentials.lend(commit())
    assert len(github.wanted) == 2


async def test_a_whole_fleet_that_asks_at_once_comes_back_one_after_the_other(app: Made, github: GitHub) -> None:
    credentials = app()
    await credentials.lend(commit())
    github.open.clear()
    asking = [asyncio.create_task(credentials.lend(commit())) for _ in range(200)]
    await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    github.open.set()
    answers = [await each for each in asking]
    served = [answer for answer in answers if isinstance(answer, Lent)]
    later = [answer.after for answer in answers if isinstance(answer, ComeBack)]
    assert (len(served), len(later)) == (AT_A_TIME + IN_LINE_AT_MOST, 200 - AT_A_TIME - IN_LINE_AT_MOST)
    assert later == [1_000 + 25 * number for number in range(1, len(later) + 1)]
    assert isinstance(await credentials.lend(commit()), Lent)


async def test_a_token_that_was_taken_back_is_replaced_once(app: Made, github: GitHub) -> None:
    credentials = app()
    await credentials.lend(commit())
    answers = iter([Answered(401), Answered(302, headers={"Location": ARCHIVE})])
    github.instead[COMMIT] = lambda: next(answers)
    assert isinstance(await credentials.lend(commit()), Lent)
    assert len(github.wanted) == 2


async def test_a_repository_on_which_the_app_is_not_installed_is_named_and_the_host_uses_its_own(app: Made) -> None:
    with pytest.raises(NoCredential, match="GitHub App 1234 is not installed on example/other"):
        await app().lend(commit(repository="example/other"))


async def test_what_no_app_is_for_is_not_asked_about(app: Made, github: GitHub) -> None:
    assert await app().lend(commit(repository="others/shop")) is None
    assert github.asked == []


@pytest.mark.parametrize(
    "end, status, why",
    [
        (COMMIT, 404, f"GitHub knows no commit {COMMIT} in example/shop"),
        (COMMIT, 422, f"GitHub knows no commit {COMMIT} in example/shop"),
        ("/installation", 301, "example/shop has been renamed; register the commit under its new name"),
    ],
)
async def test_what_is_not_there_is_said_to_the_host(app: Made, github: GitHub, end: str, status: int, why: str) -> None:
    github.instead[end] = lambda: Answered(status)
    with pytest.raises(NoCredential, match=why):
        await app().lend(commit())


async def test_an_archive_that_the_api_would_look_for_under_another_name_is_not_lent(app: Made, github: GitHub) -> None:
    github.instead[COMMIT] = lambda: Answered(301, headers={"Location": "https://api.github.com/repositories/1/tarball/x"})
    with pytest.raises(NoCredential, match="has been renamed"):
        await app().lend(commit())


def down() -> Answered:
    raise httpx.ConnectError("All connection attempts failed")


@pytest.mark.parametrize(
    "end, made, why",
    [
        ("/installation", down, "cannot ask https://api.github.com/repos/example/shop/installation: All connection attempts failed"),
        ("/installation", lambda: Answered(502), "answers 502 when asked for the installation on example/shop"),
        ("/installation", lambda: Answered(200, content=b"<html>"), "answers 200 when asked for the installation on example/shop"),
        ("/installation", lambda: Answered(200, content=b"x" * 70_000), "more than 65536 bytes"),
        ("/access_tokens", lambda: Answered(422), "GitHub App 1234 may not read example/shop: give it the permission Contents: read-only"),
        ("/access_tokens", lambda: Answered(403), "keeps a token for example/shop from GitHub App 1234: is it suspended"),
        ("/access_tokens", lambda: Answered(201, json={"token": TOKEN}), "answers 201 when asked for a token"),
        (COMMIT, lambda: Answered(200, content=b"the archive itself"), "answers 200 when asked for the archive of example/shop"),
        (COMMIT, lambda: Answered(302, headers={"Location": "http://codeload.github.com/x"}), "answers 302 when asked for the archive"),
    ],
)
async def test_what_fails_is_in_the_log_and_the_host_may_ask_again(
    app: Made, github: GitHub, caplog: pytest.LogCaptureFixture, end: str, made: Callable[[], Answered], why: str
) -> None:
    github.instead[end] = made
    with pytest.raises(Unavailable, match="its log says why"):
        await app().lend(commit())
    assert why in caplog.text
    assert TOKEN not in caplog.text


async def test_a_key_that_is_another_apps_is_said_to_be_wrong(app: Made, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Unavailable):
        await app(key=pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))).lend(commit())
    assert "does not accept the key of GitHub App 1234: look at app_id and private_key in the file of source credentials" in caplog.text


async def test_whether_the_key_works_is_known_before_anybody_needs_it(app: Made, github: GitHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="coordinator")
    await app().check()
    assert github.asked == ["GET /app"]
    assert caplog.messages == ["credential works source=github://example/*"]
    github.instead["/app"] = lambda: Answered(429)
    await app().check()
    assert "credential not tried source=github://example/*" in caplog.text
    github.instead.clear()
    await app(key=pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))).check()
    assert "credential does not work source=github://example/* why='https://api.github.com does not accept the key" in caplog.text


@pytest.mark.parametrize("skew, works", [(50, True), (-30, True), (-120, False), (600, False)])
async def test_a_clock_that_is_somewhat_wrong_does_no_harm_and_one_that_is_very_wrong_is_named(
    app: Made, github: GitHub, caplog: pytest.LogCaptureFixture, skew: float, works: bool
) -> None:
    github.skew = skew
    if works:
        assert isinstance(await app().lend(commit()), Lent)
        return
    with pytest.raises(Unavailable):
        await app().lend(commit())
    assert f"the clock of this machine is {abs(skew)} s {'ahead of' if skew < 0 else 'behind'} GitHub's; set it right" in caplog.text


@pytest.mark.parametrize(
    "status, headers, wait",
    [
        (429, {"Retry-After": "30"}, 30_000),
        (403, {"Retry-After": "7"}, 7_000),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000090"}, 89_877),
        (429, {}, 60_000),
        (429, {"Retry-After": "99999999"}, 3_600_000),
    ],
)
async def test_while_github_wants_to_be_left_alone_nobody_asks_it(
    app: Made, github: GitHub, clock: VirtualClock, status: int, headers: dict[str, str], wait: int
) -> None:
    credentials = app()
    github.instead[COMMIT] = lambda: Answered(status, headers=headers)
    assert await credentials.lend(commit()) == ComeBack(after=wait)
    asked = len(github.asked)
    clock.at += wait - 1
    assert await credentials.lend(commit()) == ComeBack(after=1)
    assert len(github.asked) == asked
    github.instead.clear()
    clock.at += 1
    assert isinstance(await credentials.lend(commit()), Lent)


@pytest.mark.parametrize(
    "key", [b"", b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", pem(ec.generate_private_key(ec.SECP256R1()))]
)
def test_a_key_that_is_none_is_refused_at_the_start(app: Made, key: bytes) -> None:
    with pytest.raises(Unreadable, match="app.pem holds no RSA private key in PEM, as GitHub gives one for an App"):
        app(key=key)


@pytest.mark.parametrize(
    "api", ["http://github.example.com/api/v3", "github.example.com", "https://u:p@github.example.com", "https://h/?x"]
)
def test_a_server_to_which_nothing_secret_may_be_sent_is_refused_at_the_start(app: Made, api: str) -> None:
    with pytest.raises(Unreadable, match="the api for .* has to be https://HOST/PATH"):
        app(more=f'api = "{api}"\n')
