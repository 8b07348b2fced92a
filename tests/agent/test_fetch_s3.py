"""Objects from S3: keys, versions and ETags, resumed, with the operator's endpoint, region and credentials; against moto's server."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from agent.bundle.requests import S3Source
from agent.bundle.sources.incoming import FetchInterrupted
from agent.bundle.sources.s3 import fetch_from_s3
from agent.payload import PayloadError
from tests.agent.arrival import CONTENT, Arrival
from tests.agent.website import Answer, Site, serving
from tests.evil_urls import EVERYWHERE

WHOLE = Answer(CONTENT, etag='"e"', headers={"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"})
_MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
_OWNER = {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0"}
_VERSIONING = b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>'


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def arrival(tmp_path: Path) -> Arrival:
    (tmp_path / "arrival").mkdir()
    return Arrival(tmp_path / "arrival", sha256="")


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


def fetch(arrival: Arrival, source: S3Source) -> bytes:
    with arrival.incoming() as incoming:
        fetch_from_s3(source, incoming, arrival.validator)
        incoming.finish()
    return arrival.bundle.read_bytes()


def refusal(arrival: Arrival, source: S3Source) -> str:
    with arrival.incoming() as incoming, pytest.raises(PayloadError) as caught:
        fetch_from_s3(source, incoming, arrival.validator)
    return caught.value.message


class Store:
    """A server with Amazon's API and one bucket that keeps versions."""

    def __init__(self, url: str) -> None:
        self.url = url
        httpx.put(f"{url}/bundles").raise_for_status()
        httpx.put(f"{url}/bundles?versioning", content=_VERSIONING).raise_for_status()

    def put(self, key: str, content: bytes) -> S3Source:
        """An object, as a revision names it in full."""
        written = httpx.put(f"{self.url}/bundles/{quote(key)}", content=content, headers=_OWNER).raise_for_status().headers
        version, e_tag = written["x-amz-version-id"], written["etag"]
        return S3Source(bucket="bundles", key=key, version=version, e_tag=e_tag, endpoint=self.url, region="eu-west-1")


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with subprocess.Popen([sys.executable, "-c", _MOTO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as moto:
        assert moto.stdout is not None
        yield Store(f"http://127.0.0.1:{int(moto.stdout.readline())}")
        moto.terminate()


@pytest.mark.e2e
def test_an_object_is_fetched_by_version_and_etag(arrival: Arrival, store: Store) -> None:
    old = store.put("shop/4 2.zip", CONTENT)
    new = store.put("shop/4 2.zip", b"newer")
    assert fetch(arrival, old) == CONTENT
    assert arrival.told[-1] == (len(CONTENT), len(CONTENT))
    arrival.bundle.unlink()
    assert fetch(arrival, replace(new, version="", e_tag="")) == b"newer"
    arrival.bundle.unlink()
    assert fetch(arrival, replace(new, version="", e_tag=new.e_tag.strip('"'))) == b"newer"


@pytest.mark.e2e
def test_what_is_missing_is_fetched_by_a_range(arrival: Arrival, store: Store) -> None:
    source = store.put("cut.tgz", CONTENT)
    arrival.left(CONTENT[:300_000])
    arrival.validator.write_text(source.e_tag)
    assert fetch(arrival, source) == CONTENT
    assert arrival.told[0] == (300_000, len(CONTENT))


@pytest.mark.e2e
def test_another_object_under_the_key_starts_from_the_beginning(arrival: Arrival, store: Store) -> None:
    source = replace(store.put("moving.tgz", CONTENT), version="", e_tag="")
    arrival.left(b"o" * 300_000)
    arrival.validator.write_text('"another"')
    with pytest.raises(FetchInterrupted, match="has changed since"):
        fetch(arrival, source)
    assert fetch(arrival, source) == CONTENT


@pytest.mark.e2e
def test_what_the_store_refuses_is_quoted(arrival: Arrival, store: Store) -> None:
    there = store.put("there.tgz", CONTENT)
    assert "The specified key does not exist (NoSuchKey)" in refusal(arrival, replace(there, key="not-there", version=""))
    assert "The specified bucket does not exist (NoSuchBucket)" in refusal(arrival, replace(there, bucket="nobody-s"))
    assert "The specified version does not exist (NoSuchVersion)" in refusal(arrival, replace(there, version="none"))
    assert "its ETag is no longer abc; register the object again" in refusal(arrival, replace(there, e_tag="abc"))


def test_a_key_that_would_be_read_otherwise_is_refused(arrival: Arrival) -> None:
    for key in ("/a", "a/", "a//b", "a/../b"):
        assert "keys with empty parts" in refusal(arrival, S3Source(bucket="bundles", key=key))


def test_requests_are_signed_for_the_region_with_the_credentials_of_the_environment(arrival: Arrival, site: Site) -> None:
    site.answers["/bundles/a"] = WHOLE
    assert fetch(arrival, S3Source(bucket="bundles", key="a", endpoint=site.url, region="eu-central-1")) == CONTENT
    (signed,) = site.heard("authorization")
    assert signed is not None
    assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-central-1/s3/aws4_request" in signed


def test_endpoint_and_region_may_come_from_the_environment(arrival: Arrival, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", site.url)
    monkeypatch.setenv("AWS_REGION", "sa-east-1")
    site.answers["/bundles/a"] = WHOLE
    assert fetch(arrival, S3Source(bucket="bundles", key="a")) == CONTENT
    assert "/sa-east-1/s3/" in str(site.heard("authorization"))


def test_credentials_may_come_from_the_aws_file(arrival: Arrival, site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_PROFILE", "deploy")
    profile = (
        "[default]\naws_access_key_id = WRONG\n[deploy]\naws_access_key_id = FROMFILE\naws_secret_access_key = s%s\naws_session_token = t\n"
    )
    (tmp_path / "credentials").write_text(profile)
    site.answers["/bundles/a"] = WHOLE
    fetch(arrival, S3Source(bucket="bundles", key="a", endpoint=site.url))
    assert "Credential=FROMFILE/" in str(site.heard("authorization"))
    assert site.heard("x-amz-security-token") == ["t"]


def test_a_cut_connection_is_resumed(arrival: Arrival, site: Site) -> None:
    site.answers["/bundles/a"] = replace(WHOLE, cut_after=300_000)
    source = S3Source(bucket="bundles", key="a", endpoint=site.url)
    while not arrival.bundle.exists():
        with contextlib.suppress(FetchInterrupted):
            fetch(arrival, source)
    assert arrival.bundle.read_bytes() == CONTENT
    ranges = site.heard("range")
    assert len(ranges) >= 4
    assert all(wanted is not None for wanted in ranges[1:])


def test_a_store_that_is_away_is_asked_again_and_one_that_denies_is_not(arrival: Arrival, site: Site) -> None:
    with pytest.raises(FetchInterrupted):
        fetch(arrival, S3Source(bucket="bundles", key="a", endpoint="http://127.0.0.1:1"))
    denial = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    site.answers["/bundles/a"] = Answer(denial, status=403)
    found = refusal(arrival, S3Source(bucket="bundles", key="a", endpoint=site.url))
    assert "Access Denied (AccessDenied): asked with the agent's own key, from its environment; lent was none (this host asks no" in found


@pytest.mark.parametrize("status", [301, 307])
def test_a_bucket_in_another_region_is_said_to_be_there(arrival: Arrival, site: Site, status: int) -> None:
    moved = b"<Error><Code>PermanentRedirect</Code><Message>The bucket must be addressed otherwise.</Message></Error>"
    site.answers["/bundles/a"] = Answer(moved, status=status)
    assert "lies in another region; set s3_region" in refusal(arrival, S3Source(bucket="bundles", key="a", endpoint=site.url))


def test_an_instance_without_credentials_is_told_where_to_put_some(arrival: Arrival, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", site.url)
    assert "the agent has no AWS credentials" in refusal(arrival, S3Source(bucket="bundles", key="a", endpoint=site.url))


def test_a_name_is_looked_up_once_so_that_one_which_then_leads_elsewhere_gains_nothing(arrival: Arrival, site: Site) -> None:
    site.answers["/bundles/a"] = WHOLE
    led = iter((["127.0.0.1"], ["169.254.169.254"]))
    source = S3Source(bucket="bundles", key="a", endpoint=f"http://s3.example:{site.port}")
    with arrival.incoming() as incoming:
        fetch_from_s3(source, incoming, arrival.validator, lambda host, port: next(led))
        incoming.finish()
    assert site.heard("host") == [f"s3.example:{site.port}"]
    assert next(led) == ["169.254.169.254"]  # Nobody has asked a second time.


def test_a_public_bucket_is_read_without_a_key_where_the_host_says_so(
    arrival: Arrival, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    site.answers["/bundles/a"] = WHOLE
    source = S3Source(bucket="bundles", key="a", endpoint=site.url)
    assert fetch(arrival, source) == CONTENT
    assert site.heard("authorization") == [None]
    site.answers.clear()
    arrival.bundle.unlink()
    assert "asked without a key (AWS_SKIP_SIGNATURE)" in refusal(arrival, source)


def test_a_proxy_of_the_environment_is_asked(arrival: Arrival, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", site.url)
    site.answers["/bundles/a"] = WHOLE
    fetch(arrival, S3Source(bucket="bundles", key="a", endpoint="http://s3.example"))
    assert [asked.path for asked in site.asked] == ["http://s3.example/bundles/a"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_store_that_redirects_to_another_host_is_not_followed(arrival: Arrival, site: Site, status: int) -> None:
    with serving() as other:
        other.answers["/evil"] = WHOLE
        site.answers["/bundles/a"] = Answer(status=status, headers={"Location": f"{other.url}/evil"})
        found = refusal(arrival, S3Source(bucket="bundles", key="a", endpoint=f"http://localhost:{site.port}"))
        assert "it redirects to another host, http://127.0.0.1; set s3_endpoint to that server itself" in found
        assert other.asked == []


@pytest.mark.parametrize("url", [url for url in EVERYWHERE if url])
def test_no_evil_address_is_an_endpoint(arrival: Arrival, url: str) -> None:
    assert "its endpoint cannot be used" in refusal(arrival, S3Source(bucket="bundles", key="a", endpoint=url))


@pytest.mark.parametrize("url", EVERYWHERE[:14:3])
def test_a_store_redirects_to_no_metadata(arrival: Arrival, site: Site, url: str) -> None:
    site.answers["/bundles/a"] = Answer(status=307, headers={"Location": url})
    assert "it redirects to another host" in refusal(arrival, S3Source(bucket="bundles", key="a", endpoint=site.url))


def test_an_endpoint_whose_name_leads_to_metadata_is_not_asked(arrival: Arrival) -> None:
    source = S3Source(bucket="bundles", key="a", endpoint="http://s3.example")
    with arrival.incoming() as incoming, pytest.raises(PayloadError, match="s3.example leads to 169.254.169.254"):
        fetch_from_s3(source, incoming, arrival.validator, lambda host, port: ["10.0.0.1", "169.254.169.254"])
