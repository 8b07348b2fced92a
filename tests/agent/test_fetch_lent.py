"""Objects of S3 with what the coordinator lends: over our own HTTP, from where this host would look itself; without it, as before."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from agent.bundle.requests import DownloadRequest, S3Source, decode, encode
from agent.bundle.sources.incoming import FetchInterrupted
from agent.bundle.sources.s3 import fetch_from_s3
from agent.payload import PayloadError
from tests.agent.arrival import CONTENT, Arrival
from tests.agent.lender import Coordinator, lending
from tests.agent.website import Answer, Site, serving

SIGNED = "?X-Amz-Expires=300&X-Amz-Signature=0123"


@pytest.fixture
def coordinator() -> Iterator[Coordinator]:
    with lending() as coordinator:
        yield coordinator


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        site.answers["/bundles/shop/1.tgz"] = Answer(CONTENT, etag='"e"', headers={"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"})
        yield site


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def arrival(tmp_path: Path) -> Arrival:
    (tmp_path / "arrival").mkdir()
    return Arrival(tmp_path / "arrival", sha256="")


Source = Callable[..., S3Source]


@pytest.fixture
def source(coordinator: Coordinator, site: Site) -> Source:
    def made(**more: str) -> S3Source:
        return S3Source(
            **{"bucket": "bundles", "key": "shop/1.tgz", "endpoint": site.url, "region": "here", **more}, lender=coordinator.lender
        )

    return made


def fetched(arrival: Arrival, source: S3Source) -> bytes:
    with arrival.incoming() as incoming:
        fetch_from_s3(source, incoming, arrival.validator)
        incoming.finish()
    return arrival.bundle.read_bytes()


def refusal(arrival: Arrival, source: S3Source) -> str:
    with arrival.incoming() as incoming, pytest.raises(PayloadError) as refused:
        fetch_from_s3(source, incoming, arrival.validator)
    return refused.value.message


def test_a_host_without_keys_reads_with_what_it_is_lent(arrival: Arrival, coordinator: Coordinator, site: Site, source: Source) -> None:
    coordinator.url = f"{site.url}/bundles/shop/1.tgz{SIGNED}"
    assert fetched(arrival, source(e_tag="e")) == CONTENT
    assert coordinator.asked == [("d-1/h/0/1", "1" * 32)]
    (asked,) = site.asked
    assert asked.path.endswith(SIGNED)
    assert (asked.headers.get("authorization"), asked.headers["if-match"]) == (None, '"e"')


def test_what_is_lent_is_on_no_disk(arrival: Arrival, coordinator: Coordinator, site: Site, source: Source, tmp_path: Path) -> None:
    coordinator.url = f"{site.url}/bundles/shop/1.tgz{SIGNED}"
    site.answers["/bundles/shop/1.tgz"] = Answer(CONTENT, etag='"e"', cut_after=10)
    with arrival.incoming() as incoming, pytest.raises(FetchInterrupted) as cut:
        fetch_from_s3(source(), incoming, arrival.validator)
    assert "X-Amz" not in str(cut.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and b"X-Amz" in path.read_bytes()] == []


@pytest.mark.parametrize("version, e_tag, again", [("v", "", "bytes=10-"), ("", "e", "bytes=10-"), ("", "", None)])
def test_what_cannot_change_is_gone_on_with_and_anything_else_begins_anew(
    arrival: Arrival, coordinator: Coordinator, site: Site, source: Source, version: str, e_tag: str, again: str | None
) -> None:
    coordinator.url = f"{site.url}/bundles/shop/1.tgz{SIGNED}"
    whole = site.answers["/bundles/shop/1.tgz"]
    site.answers["/bundles/shop/1.tgz"] = Answer(CONTENT, etag='"e"', cut_after=10)
    with arrival.incoming() as incoming, pytest.raises(FetchInterrupted):
        fetch_from_s3(source(version=version, e_tag=e_tag), incoming, arrival.validator)
    site.answers["/bundles/shop/1.tgz"] = whole
    assert fetched(arrival, source(version=version, e_tag=e_tag)) == CONTENT
    assert site.heard("range")[-1] == again
    assert len(coordinator.asked) == 2


@pytest.mark.parametrize("status", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE])
def test_where_nothing_is_lent_the_hosts_own_keys_are_used(
    arrival: Arrival, coordinator: Coordinator, site: Site, source: Source, monkeypatch: pytest.MonkeyPatch, status: grpc.StatusCode
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    coordinator.refusal = (status, "nothing for you")
    assert fetched(arrival, source()) == CONTENT
    assert str(site.asked[-1].headers["authorization"]).startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")


def test_a_host_whose_instance_profile_does_not_allow_it_reads_nothing(
    arrival: Arrival, coordinator: Coordinator, site: Site, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    coordinator.refusal = (grpc.StatusCode.PERMISSION_DENIED, "cannot let this host read s3://bundles/shop/1.tgz")
    assert "cannot let this host read s3://bundles/shop/1.tgz (PERMISSION_DENIED)" in refusal(arrival, source())
    assert site.asked == []


EVIL = (
    "http://169.254.169.254/bundles/shop/1.tgz",
    "{site}/others/shop/1.tgz",
    "{site}/bundles/shop/../other",
    "https://user@h/bundles/shop/1.tgz",
    "x",
)


@pytest.mark.parametrize("url", EVIL)
def test_an_address_that_is_not_the_objects_own_is_not_asked(
    arrival: Arrival, coordinator: Coordinator, site: Site, source: Source, url: str
) -> None:
    coordinator.url = url.format(site=site.url) + SIGNED
    said = refusal(arrival, source())
    assert "the coordinator lent an address that is not this object's" in said
    assert "X-Amz" not in said
    assert site.asked == []


AMAZONS = ("https://bundles.s3.eu-central-1.amazonaws.com/shop/1.tgz", "https://s3.cn-north-1.amazonaws.com.cn/bundles/shop/1.tgz")
NOT_AMAZONS = (
    "http://bundles.s3.eu-central-1.amazonaws.com/shop/1.tgz",
    "https://bundles.s3.eu-central-1.amazonaws.com:8443/shop/1.tgz",
    "https://others.s3.eu-central-1.amazonaws.com/shop/1.tgz",
    "https://bundles.s3.eu-central-1.amazonaws.com.evil.example/shop/1.tgz",
    "https://s3.eu-central-1.amazonaws.com/shop/1.tgz",
    "https://bundles.s3.eu-central-1.amazonaws.com/shop/2.tgz",
)


@pytest.mark.parametrize("url", AMAZONS + NOT_AMAZONS)
def test_a_host_without_an_endpoint_of_its_own_looks_at_amazon_and_a_name_that_leads_inside_is_not_followed(
    arrival: Arrival, coordinator: Coordinator, source: Source, url: str
) -> None:
    coordinator.url = url + SIGNED
    looked: list[str] = []

    def inside(host: str, port: int) -> list[str]:
        looked.append(host)
        return ["10.0.0.1"]

    with arrival.incoming() as incoming, pytest.raises(PayloadError) as refused:
        fetch_from_s3(source(endpoint=""), incoming, arrival.validator, inside)
    if url in AMAZONS:
        assert len(looked) == 1
        assert "10.0.0.1" in refused.value.message
    else:
        assert looked == []
        assert "not this object's" in refused.value.message


def test_while_the_coordinator_is_away_a_host_without_keys_comes_back(arrival: Arrival, coordinator: Coordinator, source: Source) -> None:
    coordinator.refusal = (grpc.StatusCode.UNAVAILABLE, "it is starting")
    with arrival.incoming() as incoming, pytest.raises(FetchInterrupted, match="does not say how to read it: it is starting"):
        fetch_from_s3(source(), incoming, arrival.validator)


def test_whom_to_ask_reaches_the_process_that_unpacks(source: Source) -> None:
    request = DownloadRequest(group_id="g", deployment_id="d", revision="r", source=source(), sha256="", timeout=1.0)
    assert decode(encode(request, "/")) == (request, "/")
