"""Evil addresses are refused before anybody is asked, whatever their names lead to; what a host's administrator lists is fetched."""

import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agent.bundle.requests import GitHubSource, S3Source
from agent.bundle.sources.github import fetch_from_github
from agent.bundle.sources.http import Asking, fetch_http
from agent.bundle.sources.incoming import FetchInterrupted
from agent.bundle.sources.origins import Forbidden, PrivateOrigins, private_origins, resolved, server_of
from agent.bundle.sources.s3 import fetch_from_s3
from agent.errors import AgentError
from agent.model import BundleType
from agent.payload import PayloadError
from tests.agent.arrival import CONTENT, Arrival
from tests.agent.website import Answer, Site, serving
from tests.evil_urls import EVERYWHERE, HARMLESS, UNLESS_LISTED

PUBLIC = "93.184.216.34"
NOTHING, ALL = PrivateOrigins(()), PrivateOrigins(("any",))


class Resolver:
    """A name server that says what it was told, one answer after another, and then the last one again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def arrival(tmp_path: Path) -> Arrival:
    return Arrival(tmp_path)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving() as site:
        site.answers = {"/bundle": Answer(CONTENT, etag='"one"')}
        yield site


def literally(host: str, port: int) -> Sequence[str]:
    """No name server: an address leads to itself, as the system's resolver has it, decimal and octal ones too."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)]


def addresses(url: str, private: PrivateOrigins) -> Sequence[str]:
    return resolved(server_of(url), private, literally)


def refusal(arrival: Arrival, url: str, asking: Asking) -> str:
    with arrival.incoming() as incoming, pytest.raises(PayloadError) as caught:
        fetch_http(url, incoming, arrival.validator, asking)
    return caught.value.message


def test_the_table_is_long_enough() -> None:
    assert len(set(EVERYWHERE)) >= 60


@pytest.mark.parametrize("url", EVERYWHERE)
def test_an_evil_address_is_refused_whatever_is_listed(url: str) -> None:
    with pytest.raises(Forbidden) as caught:
        addresses(url, ALL)
    assert "password@" not in str(caught.value)


@pytest.mark.parametrize("url", UNLESS_LISTED)
def test_a_private_address_is_refused_unless_it_is_listed(url: str) -> None:
    with pytest.raises(Forbidden, match="private_origins"):
        addresses(url, NOTHING)
    (address,) = addresses(url, ALL)
    assert addresses(url, PrivateOrigins((address.removeprefix("::ffff:").replace("7f00:1", "127.0.0.1"),))) == (address,)


@pytest.mark.parametrize("url", HARMLESS)
def test_a_harmless_address_is_fetched_from(url: str) -> None:
    assert resolved(server_of(url), NOTHING, Resolver([PUBLIC])) == (PUBLIC,)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:169.254.169.254", "fe80::1%eth0", "0.0.0.0"]
)
@pytest.mark.parametrize("before", [(), (PUBLIC,)])
def test_a_name_that_leads_to_a_forbidden_address_is_refused_whatever_else_it_leads_to(address: str, before: tuple[str, ...]) -> None:
    with pytest.raises(Forbidden, match=r"evil\.example leads to"):
        resolved(server_of("https://evil.example/x"), NOTHING, Resolver([*before, address]))


def test_a_name_that_leads_elsewhere_the_second_time_is_asked_for_once(arrival: Arrival, site: Site) -> None:
    rebinding = Resolver(["127.0.0.1"], ["169.254.169.254"])
    asking = Asking(private=PrivateOrigins(("127.0.0.0/8",)), resolve=rebinding)
    with arrival.incoming() as incoming:
        fetch_http(f"http://rebinding.example:{site.port}/bundle", incoming, arrival.validator, asking)
        incoming.finish()
    assert rebinding.asked == ["rebinding.example"]
    assert site.heard("host") == [f"rebinding.example:{site.port}"]


def test_a_redirect_is_held_to_the_same_rules(arrival: Arrival, site: Site) -> None:
    site.answers["/to-metadata"] = Answer(status=302, headers={"Location": "http://169.254.169.254/latest/"})
    site.answers["/to-user"] = Answer(status=302, headers={"Location": "http://me:secret@127.0.0.1/"})
    site.answers["/to-number"] = Answer(status=302, headers={"Location": "http://2130706433/"})
    site.answers["/again"] = Answer(status=302, headers={"Location": "/bundle"})
    asking = Asking(private=ALL, may_leave_host=True)
    assert "no bundle comes from there" in refusal(arrival, f"{site.url}/to-metadata", asking)
    assert "secret" not in refusal(arrival, f"{site.url}/to-user", asking)
    assert "four decimal numbers" in refusal(arrival, f"{site.url}/to-number", asking)
    rebinding = Resolver(["127.0.0.1"], ["169.254.169.254"])
    found = refusal(arrival, f"http://rebinding.example:{site.port}/again", replace(asking, resolve=rebinding))
    assert "leads to 169.254.169.254" in found


def test_a_redirect_is_held_to_the_origins_of_the_policy(arrival: Arrival, site: Site) -> None:
    site.answers["/shop/4.2"] = Answer(status=302, headers={"Location": "/other/4.2?token=secret"})
    site.answers["/shop/4.3"] = Answer(status=302, headers={"Location": "/shop/4.3.tgz"})
    site.answers["/shop/4.3.tgz"] = Answer(CONTENT)
    asking = Asking(private=ALL, origins=("s3", f"{site.url}/shop/"))
    found = refusal(arrival, f"{site.url}/shop/4.2", asking)
    assert f"it redirects to {site.url}/other/4.2, and the policy of this host allows no bundle from there (origins)" in found
    with arrival.incoming() as incoming:
        fetch_http(f"{site.url}/shop/4.3", incoming, arrival.validator, asking)
        incoming.finish()
    assert [asked.path for asked in site.asked] == ["/shop/4.2", "/shop/4.3", "/shop/4.3.tgz"]


def test_the_next_address_of_a_server_is_tried(arrival: Arrival, site: Site) -> None:
    asking = Asking(private=ALL, resolve=Resolver(["127.0.0.2", "127.0.0.1"]))
    with arrival.incoming() as incoming:
        fetch_http(f"http://two.example:{site.port}/bundle", incoming, arrival.validator, asking)
        incoming.finish()
    assert arrival.bundle.read_bytes() == CONTENT


def test_a_name_that_leads_nowhere_is_tried_again(arrival: Arrival) -> None:
    def fails(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with arrival.incoming() as incoming, pytest.raises(FetchInterrupted, match="name resolution"):
        fetch_http("https://example.org/x", incoming, arrival.validator, Asking(resolve=fails))


def test_behind_a_proxy_what_is_written_out_is_judged(arrival: Arrival, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", site.url)
    for url in ("http://169.254.169.254/bundle", "http://10.0.0.1/bundle", "http://metadata.google.internal/bundle"):
        refusal(arrival, url, Asking(resolve=Resolver([])))
    assert site.asked == []


@pytest.mark.parametrize("repository", ["../../user", "a/b/../../x", "a/..", "a/b?x=", "a/b#", "a@evil/b", "a"])
def test_a_repository_cannot_make_another_request_of_the_api(arrival: Arrival, site: Site, repository: str) -> None:
    source = GitHubSource(repository=repository, commit_id="0" * 40, api=site.url)
    with arrival.incoming() as incoming, pytest.raises(PayloadError, match="ACCOUNT/REPOSITORY"):
        fetch_from_github(source, BundleType.TGZ, incoming, arrival.validator)
    assert site.asked == []


@pytest.mark.parametrize("bucket", ["..", "a/../b", "UPPER", "a?b", "a@evil"])
def test_a_bucket_cannot_make_another_request_of_the_store(arrival: Arrival, site: Site, bucket: str) -> None:
    with arrival.incoming() as incoming, pytest.raises(PayloadError, match="no bucket's name"):
        fetch_from_s3(S3Source(bucket=bucket, key="k", endpoint=site.url), incoming, arrival.validator)
    assert site.asked == []


def test_private_origins_are_names_addresses_and_networks() -> None:
    assert private_origins(" 10.0.0.0/8, Artifacts.corp.example ,::1,") == ("10.0.0.0/8", "Artifacts.corp.example", "::1")
    listed = PrivateOrigins(private_origins("artifacts.corp.example"))
    assert resolved(server_of("http://ARTIFACTS.corp.example/"), listed, Resolver(["10.0.0.1"])) == ("10.0.0.1",)
    with pytest.raises(Forbidden):
        resolved(server_of("http://artifacts.corp.example/"), listed, Resolver(["169.254.169.254"]))


@pytest.mark.parametrize("text", ["10.0.0.1/8", "http://x", "a b", "999", "a..b"])
def test_what_is_no_origin_is_refused_when_it_is_set(text: str) -> None:
    with pytest.raises(AgentError, match="private_origins"):
        private_origins(text)
