"""Bundles over HTTP: cut off and resumed, sent elsewhere, through proxies, refused in words that help, and secrets kept."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.bundle.archives.archive import Limits
from agent.bundle.requests import UrlSource
from agent.bundle.sources.http import Asking, fetch_http
from agent.bundle.sources.incoming import FetchInterrupted, SourceBusy
from agent.bundle.sources.origins import PrivateOrigins
from agent.payload import PayloadError, PayloadErrorCode
from tests.agent.arrival import CONTENT, Arrival
from tests.agent.website import Answer, Site, serving

WHOLE = Answer(CONTENT, etag='"one"')
HERE = Asking(private=PrivateOrigins(("127.0.0.1",)))


@pytest.fixture
def arrival(tmp_path: Path) -> Arrival:
    return Arrival(tmp_path)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        site.answers = {"/bundle": WHOLE, "/plain": Answer(CONTENT), "/moved": Answer(status=302, headers={"Location": "/bundle"})}
        yield site


def fetch(arrival: Arrival, url: str) -> None:
    with arrival.incoming() as incoming:
        fetch_http(url, incoming, arrival.validator, HERE)
        incoming.finish()


def refusal(arrival: Arrival, url: str) -> str:
    with arrival.incoming() as incoming, pytest.raises(PayloadError) as caught:
        fetch_http(url, incoming, arrival.validator, HERE)
    return caught.value.message


@pytest.mark.parametrize("path", ["/bundle", "/moved", "/plain", "/bundle?token=x"])
def test_a_bundle_is_fetched_over_http(arrival: Arrival, site: Site, path: str) -> None:
    fetch(arrival, site.url + path)
    assert arrival.bundle.read_bytes() == CONTENT
    assert arrival.told[-1] == (len(CONTENT), len(CONTENT))


def test_a_cut_connection_is_resumed_where_it_broke(arrival: Arrival, site: Site) -> None:
    site.answers["/cut"] = Answer(CONTENT, etag='"one"', cut_after=300_000)
    while not arrival.bundle.exists():
        with contextlib.suppress(FetchInterrupted):
            fetch(arrival, f"{site.url}/cut")
    assert site.heard("range") == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]
    assert site.heard("if-range") == [None, '"one"', '"one"', '"one"']
    assert arrival.bundle.read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ["", 'W/"one"'])
def test_without_a_strong_etag_a_cut_connection_starts_from_the_beginning(arrival: Arrival, site: Site, etag: str) -> None:
    site.answers["/bundle"] = Answer(CONTENT, etag=etag, cut_after=300_000)
    with pytest.raises(FetchInterrupted):
        fetch(arrival, f"{site.url}/bundle")
    site.answers["/bundle"] = Answer(CONTENT, etag=etag)
    fetch(arrival, f"{site.url}/bundle")
    assert site.heard("range") == [None, None]


def test_another_version_on_the_server_starts_from_the_beginning(arrival: Arrival, site: Site) -> None:
    site.answers["/bundle"] = Answer(b"o" * 500_000, etag='"old"', cut_after=300_000)
    with pytest.raises(FetchInterrupted):
        fetch(arrival, f"{site.url}/bundle")
    site.answers["/bundle"] = WHOLE
    fetch(arrival, f"{site.url}/bundle")


@pytest.mark.parametrize(
    "answer, says",
    [
        (Answer(status=404), "the server answered 404 Not Found"),
        (Answer(status=302, headers={"Location": "http://other.example/bundle?key=x"}), "to another host, http://other.example; give that"),
        (Answer(status=302, headers={"Location": "/asked"}), "more than 5 redirects"),
        (Answer(status=302, headers={"Location": "ftp://127.0.0.1/bundle"}), "it redirects from http to ftp"),
        (Answer(status=206, headers={"Content-Range": "bytes 5-9/10"}), "another range than was asked for"),
        (Answer(CONTENT, headers={"Content-Encoding": "gzip"}), "compressed the answer"),
        (Answer(headers={"Content-Length": str(3 * 1024**3)}), "at most 2147483648 are allowed"),
    ],
)
def test_a_server_that_refuses_or_is_odd_is_quoted(arrival: Arrival, site: Site, answer: Answer, says: str) -> None:
    site.answers["/asked"] = answer
    found = refusal(arrival, f"{site.url}/asked")
    assert says in found
    assert "key=x" not in found


def test_a_bundle_of_unknown_length_is_refused_as_soon_as_it_is_too_large(tmp_path: Path, site: Site) -> None:
    site.answers["/endless"] = Answer(CONTENT, says_length=False)
    small = Arrival(tmp_path, limits=Limits(packed_bytes=500_000, reserve_bytes=0))
    assert "at most 500000 are allowed" in refusal(small, f"{site.url}/endless")


def test_a_bundle_of_unknown_length_leaves_the_reserve_of_the_disk(tmp_path: Path, site: Site) -> None:
    site.answers["/endless"] = Answer(CONTENT, says_length=False)
    assert "the disk is full" in refusal(Arrival(tmp_path, limits=Limits(reserve_bytes=2**60)), f"{site.url}/endless")


def test_a_server_in_trouble_is_asked_again(arrival: Arrival, site: Site) -> None:
    site.answers = {"/broken": Answer(status=500), "/busy": Answer(status=503, headers={"Retry-After": "7"})}
    with pytest.raises(FetchInterrupted, match="500"):
        fetch(arrival, f"{site.url}/broken")
    with pytest.raises(SourceBusy) as caught:
        fetch(arrival, f"{site.url}/busy")
    assert caught.value.seconds == 7
    with pytest.raises(FetchInterrupted):
        fetch(arrival, "http://127.0.0.1:1/")


@pytest.mark.parametrize("url", ["http://user:secret@127.0.0.1/x", "http:///x", "http://[::x/"])
def test_an_address_with_a_password_or_without_host_is_refused(arrival: Arrival, url: str) -> None:
    found = refusal(arrival, url)
    assert "must name a host and hold no user" in found or "plain HOST or HOST:PORT" in found
    assert "secret" not in found


def test_a_whole_bundle_with_a_wrong_digest_fails_at_once(tmp_path: Path, site: Site) -> None:
    wrong = Arrival(tmp_path, sha256="0" * 64)
    with pytest.raises(PayloadError) as caught:
        fetch(wrong, f"{site.url}/bundle")
    assert caught.value.code is PayloadErrorCode.WRONG_DIGEST
    assert len(site.asked) == 1


def test_the_query_of_an_address_is_never_shown() -> None:
    assert UrlSource(url="https://store/bundle?X-Amz-Signature=secret").name == "https://store/bundle"


def test_a_proxy_of_the_environment_is_asked(arrival: Arrival, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", site.url)
    fetch(arrival, "http://bundles.example/bundle")
    assert [asked.path for asked in site.asked] == ["http://bundles.example/bundle"]


def test_a_host_of_no_proxy_is_asked_itself(arrival: Arrival, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    fetch(arrival, f"{site.url}/bundle")


def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(arrival: Arrival, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "ftp://user:secret@proxy:1")
    found = refusal(arrival, "http://bundles.example/bundle")
    assert "proxies are http://HOST:PORT" in found
    assert "secret" not in found
