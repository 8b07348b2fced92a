"""Which servers are asked for what somebody else wants, wherever a name leads."""

import ipaddress

import pytest

from coordinator.core.addresses import Forbidden, PrivateServers, server_of
from tests.evil_urls import EVERYWHERE, HARMLESS, UNLESS_LISTED

PUBLIC = ipaddress.ip_address("93.184.216.34")
PRIVATE = ipaddress.ip_address("10.0.0.7")
METADATA = ipaddress.ip_address("169.254.169.254")


@pytest.mark.parametrize("url", EVERYWHERE)
def test_an_evil_url_names_no_server_whoever_is_listed(url: str) -> None:
    with pytest.raises(Forbidden):
        server_of(url)


@pytest.mark.parametrize("url", UNLESS_LISTED)
def test_a_private_address_is_asked_only_where_it_is_listed(url: str) -> None:
    server = server_of(url)
    assert server.literal is not None
    with pytest.raises(Forbidden, match="a private address that --notify-allow does not list"):
        PrivateServers().check(server.host, server.literal)
    PrivateServers(["any"]).check(server.host, server.literal)
    PrivateServers([str(server.literal.ipv4_mapped or server.literal) if server.literal.version == 6 else server.host]).check(
        server.host, server.literal
    )


@pytest.mark.parametrize("url", HARMLESS)
def test_a_public_address_is_asked_without_being_listed(url: str) -> None:
    server = server_of(url)
    PrivateServers().check(server.host, server.literal or PUBLIC)


def test_a_name_that_leads_to_metadata_is_never_asked() -> None:
    for allowed in ([], ["any"], ["example.org"], ["0.0.0.0/0"]):
        with pytest.raises(Forbidden, match=r"example.org leads to 169.254.169.254, and that is a link-local"):
            PrivateServers(allowed).check("example.org", METADATA)


def test_servers_are_listed_by_name_address_and_network() -> None:
    for allowed in ("hooks.corp", "HOOKS.corp", "10.0.0.7", "10.0.0.0/8", "any"):
        PrivateServers([allowed]).check("hooks.corp", PRIVATE)
    with pytest.raises(Forbidden, match=r"hooks.corp leads to 10.0.0.7, which is a private address that --notify-allow does not list"):
        PrivateServers(["other.corp", "10.1.0.0/16"]).check("hooks.corp", PRIVATE)


@pytest.mark.parametrize("text", ["", "10.0.0.0/33", "10.0.0.1/8", "http://example.org", "-x", "10.0.0", "a b"])
def test_what_is_no_server_cannot_be_listed(text: str) -> None:
    with pytest.raises(ValueError, match="is no host's name, address, network"):
        PrivateServers([text])
