"""Bundles of web servers with the token that the coordinator lends: who gets to see it, who never does, and what refusals say."""

import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from agent.bundle.requests import DownloadRequest, UrlSource, decode, encode
from agent.bundle.sources.incoming import FetchInterrupted, SourceBusy
from agent.bundle.sources.web import fetch_from_web
from agent.payload import PayloadError
from tests.agent.arrival import CONTENT, Arrival
from tests.agent.lender import Coordinator, lending
from tests.agent.website import Answer, Site, serving

TOKEN = "eyJhbGciOiJ-never.to_be~seen+/=="


@pytest.fixture
def coordinator() -> Iterator[Coordinator]:
    with lending() as coordinator:
        coordinator.bearer = TOKEN
        yield coordinator


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        site.answers["/shop/1.tgz"] = Answer(CONTENT, etag='"e"')
        yield site


@pytest.fixture
def arrival(tmp_path: Path) -> Arrival:
    (tmp_path / "arrival").mkdir()
    return Arrival(tmp_path / "arrival")


def source(site: Site, coordinator: Coordinator | None, path: str = "/shop/1.tgz") -> UrlSource:
    lender = None if coordinator is None else coordinator.lender
    return UrlSource(url=f"{site.url}{path}", private_origins=("any",), lender=lender)


def fetched(arrival: Arrival, wanted: UrlSource) -> bytes:
    with arrival.incoming() as incoming:
        fetch_from_web(wanted, None, incoming, arrival.validator)
        incoming.finish()
    return arrival.bundle.read_bytes()


def refusal(arrival: Arrival, wanted: UrlSource) -> str:
    with arrival.incoming() as incoming, pytest.raises(PayloadError) as refused:
        fetch_from_web(wanted, None, incoming, arrival.validator)
    assert TOKEN not in refused.value.message
    return refused.value.message


def test_the_token_is_sent_to_the_server_of_the_address(arrival: Arrival, coordinator: Coordinator, site: Site, tmp_path: Path) -> None:
    assert fetched(arrival, source(site, coordinator)) == CONTENT
    assert site.heard("authorization") == [f"Bearer {TOKEN}"]
    assert coordinator.asked == [("d-1/h/0/1", "1" * 32)]
    assert [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()] == []


def test_what_was_cut_is_gone_on_with_and_the_token_asked_for_anew(arrival: Arrival, coordinator: Coordinator, site: Site) -> None:
    whole, site.answers["/shop/1.tgz"] = site.answers["/shop/1.tgz"], Answer(CONTENT, etag='"e"', cut_after=10)
    with arrival.incoming() as incoming, pytest.raises(FetchInterrupted) as cut:
        fetch_from_web(source(site, coordinator), None, incoming, arrival.validator)
    assert TOKEN not in str(cut.value)
    site.answers["/shop/1.tgz"], coordinator.bearer = whole, "another"
    assert fetched(arrival, source(site, coordinator)) == CONTENT
    assert site.heard("authorization")[-1] == "Bearer another"
    assert site.heard("range")[-1] == "bytes=10-"


def test_a_redirect_on_the_same_server_takes_the_token_along_and_one_to_another_is_refused(
    arrival: Arrival, coordinator: Coordinator, site: Site
) -> None:
    site.answers["/old"] = Answer(status=302, headers={"Location": "/shop/1.tgz"})
    assert fetched(arrival, source(site, coordinator, "/old")) == CONTENT
    assert site.heard("authorization") == [f"Bearer {TOKEN}"] * 2
    arrival.bundle.unlink()
    with serving() as other:
        other.answers["/shop/1.tgz"] = Answer(CONTENT)
        site.answers["/away"] = Answer(status=302, headers={"Location": f"http://localhost:{other.port}/shop/1.tgz"})
        assert "it redirects to another host" in refusal(arrival, source(site, coordinator, "/away"))
        site.answers["/port"] = Answer(status=302, headers={"Location": f"{other.url}/shop/1.tgz"})
        assert fetched(arrival, source(site, coordinator, "/port")) == CONTENT
        assert other.heard("authorization") == [None]


@pytest.mark.parametrize("url", ["http://artifacts.example.com/b", "http://10.0.0.7/b", "http://localhost/b"])
def test_no_token_is_sent_where_somebody_on_the_way_could_read_it(arrival: Arrival, coordinator: Coordinator, url: str) -> None:
    said = refusal(arrival, UrlSource(url=url, private_origins=("any",), lender=coordinator.lender))
    assert "tokens are sent over https alone" in said


def test_nor_through_a_proxy_that_could(arrival: Arrival, coordinator: Coordinator, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert "tokens are sent over https alone" in refusal(arrival, source(site, coordinator))
    assert site.asked == []


@pytest.mark.parametrize("bearer", ["two words", "a\nX-Evil: 1", "a\x00", "=", "x" * 9_000])
def test_what_is_no_token_is_sent_to_nobody(arrival: Arrival, coordinator: Coordinator, site: Site, bearer: str) -> None:
    coordinator.bearer = bearer
    assert refusal(arrival, source(site, coordinator)).endswith("what the coordinator lent is no token")
    assert site.asked == []


def test_another_address_than_the_revisions_own_is_not_asked(arrival: Arrival, coordinator: Coordinator, site: Site) -> None:
    coordinator.url, coordinator.bearer = f"{site.url}/other", ""
    assert "the coordinator lent what may not be used here" in refusal(arrival, source(site, coordinator))
    assert site.asked == []


@pytest.mark.parametrize("status", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE])
def test_where_nothing_is_lent_what_everybody_may_read_is_fetched_all_the_same(
    arrival: Arrival, coordinator: Coordinator, site: Site, status: grpc.StatusCode
) -> None:
    coordinator.refusal = (status, "nothing for you")
    assert fetched(arrival, source(site, coordinator)) == CONTENT
    assert site.heard("authorization") == [None]


def test_a_host_whose_instance_profile_does_not_allow_it_reads_nothing(arrival: Arrival, coordinator: Coordinator, site: Site) -> None:
    coordinator.refusal = (grpc.StatusCode.PERMISSION_DENIED, "cannot let this host read https://h/b")
    assert "cannot let this host read https://h/b (PERMISSION_DENIED)" in refusal(arrival, source(site, coordinator))
    assert site.asked == []


def test_a_host_comes_back_when_the_issuer_may_be_asked_again(arrival: Arrival, coordinator: Coordinator, site: Site) -> None:
    coordinator.retry_after = 7
    with arrival.incoming() as incoming, pytest.raises(SourceBusy) as busy:
        fetch_from_web(source(site, coordinator), None, incoming, arrival.validator)
    assert busy.value.seconds == 7
    assert site.asked == []


@pytest.mark.parametrize(
    "status, lends, says",
    [
        (401, True, "it does not accept the token that the coordinator lent; look at what the client of that [[oauth]]"),
        (403, True, "the token that the coordinator lent does not open it"),
        (404, True, "there is no such file, or the server hides it from the token that the coordinator lent"),
        (
            401,
            False,
            "it was asked without a credential (the coordinator says: nothing for you); have one written into the coordinator's file",
        ),
        (403, False, "it was asked without a credential"),
        (404, False, "there is no such file, or the server hides it: it was asked without a credential"),
    ],
)
def test_a_refusal_says_which_credential_was_used_and_what_to_do(
    arrival: Arrival, coordinator: Coordinator, site: Site, status: int, lends: bool, says: str
) -> None:
    if not lends:
        coordinator.refusal = (grpc.StatusCode.NOT_FOUND, "nothing for you")
    site.answers["/shop/1.tgz"] = Answer(status=status)
    assert says in refusal(arrival, source(site, coordinator))
    assert "asked without a credential (this host asks no coordinator)" in refusal(arrival, source(site, None)) or lends


def test_while_the_coordinator_is_away_what_wants_a_token_is_asked_for_again_later(
    arrival: Arrival, coordinator: Coordinator, site: Site
) -> None:
    coordinator.refusal = (grpc.StatusCode.UNAVAILABLE, "it is starting")
    site.answers["/shop/1.tgz"] = Answer(status=401)
    with arrival.incoming() as incoming, pytest.raises(FetchInterrupted, match=re.escape("does not say how to read it: it is starting")):
        fetch_from_web(source(site, coordinator), None, incoming, arrival.validator)


def test_whom_to_ask_reaches_the_process_that_unpacks(coordinator: Coordinator, site: Site) -> None:
    request = DownloadRequest(group_id="g", deployment_id="d", revision="r", source=source(site, coordinator), sha256="", timeout=1.0)
    assert decode(encode(request, "/")) == (request, "/")
