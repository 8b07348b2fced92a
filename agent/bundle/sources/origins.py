"""Which servers a bundle may be fetched from: how their address has to be spelt, and where its name may lead.

Whoever registers a revision chooses the address, and an agent reaches servers that they do not. The coordinator refuses by the same rules
what no agent would fetch (coordinator/service/urls.py); only a host can say where a name leads.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from agent.errors import AgentError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]
"""From a name and a port to addresses. Raises OSError."""

ANY = "any"
_URL = re.compile(r"(https?)://([^/?#]*)([/?][^#]*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORTS = {"http": 80, "https": 443}
_METADATA_NAMES = ("metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal")
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "ff00::/8"),
        *("fd00:ec2::/32", "fd20:ce::254/128", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),  # clouds' metadata
    )
)
_WRAPPING = tuple(ipaddress.ip_network(text) for text in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))
_LOOPBACK = ipaddress.ip_address("::1")


class Forbidden(Exception):
    """An address that is not fetched from, and why."""


class Reach(Enum):
    """Who is behind an address: anybody's server, one of our own networks', or one that no bundle comes from."""

    PUBLIC = auto()
    PRIVATE = auto()
    NEVER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What the beginning of an address names: host in small letters, without brackets."""

    scheme: str
    host: str
    port: int


def server_of(url: str) -> Server:
    """The server of an address that is spelt so that all programs read the same in it. Raises Forbidden, without quoting a secret."""
    if any(each <= " " or each in "\\\x7f" for each in url):
        raise Forbidden("the address may not hold spaces, control characters or backslashes")
    found = _URL.fullmatch(url)
    if not found:
        raise Forbidden("the address must begin with http:// or https:// and have no fragment")
    if "@" in found[2] or not found[2]:
        raise Forbidden("the address must name a host and hold no user or password")
    authority = _AUTHORITY.fullmatch(found[2])
    port = int(authority[3] or _PORTS[found[1].lower()]) if authority else 0
    if not authority or not 0 < port < 65_536:
        raise Forbidden("the address must begin with a plain HOST or HOST:PORT; write other letters of a name in their xn-- form")
    return Server(scheme=found[1].lower(), host=_ipv6(authority[1]) if authority[1] else _plain_host(authority[2]), port=port)


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise Forbidden("what stands in brackets is no IPv6 address") from None


def _plain_host(text: str) -> str:
    host = text.lower()
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # Some programs read an IPv4 address in it, whatever its other parts are.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise Forbidden("an IPv4 address has to be four decimal numbers without leading zeros") from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise Forbidden("the host's name has an empty or odd part between its dots; it may not end with a dot either")
    if host in _METADATA_NAMES:
        raise Forbidden(f"{host} is where clouds keep their machines' credentials, and no bundle comes from there")
    return host


def reach(address: IpAddress) -> Reach:
    """Who is behind an address; one within which another one is wrapped is nobody's."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return reach(address.ipv4_mapped)
        if address.scope_id is not None or address != _LOOPBACK and any(address in network for network in _WRAPPING):
            return Reach.NEVER
    if any(address in network for network in _NEVER):
        return Reach.NEVER
    return Reach.PUBLIC if address.is_global else Reach.PRIVATE


class PrivateOrigins:
    """The servers with private addresses that this host's administrator has listed: names, addresses, networks, or `any` of them."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Raises AgentError for what is none of them."""
        self._any = ANY in texts
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._names: set[str] = set()
        for text in texts:
            if text == ANY:
                continue
            try:
                self._networks.append(ipaddress.ip_network(text))
            except ValueError as error:
                if not all(_LABEL.fullmatch(label) for label in text.lower().split(".")) or _NUMBER.fullmatch(text.rpartition(".")[2]):
                    why = "it has to be a host's name, an address, a network such as 10.0.0.0/8, or any"
                    raise AgentError(f"cannot use {text!r} in private_origins: {why}") from error
                self._names.add(text.lower())

    def allow(self, host: str, address: IpAddress) -> bool:
        """Whether the host with this private address may be fetched from."""
        return self._any or host in self._names or any(address in network for network in self._networks)


def private_origins(text: str) -> tuple[str, ...]:
    """What is written in the setting, one by one and found to be usable."""
    texts = tuple(each.strip() for each in text.split(",") if each.strip())
    PrivateOrigins(texts)
    return texts


def resolved(server: Server, private: PrivateOrigins, resolve: Resolve) -> tuple[str, ...]:
    """The addresses to connect to, and no others. One that is forbidden spoils all: who owns the name may mean that one.

    Raises Forbidden, and OSError when the name leads nowhere.
    """
    addresses = tuple(dict.fromkeys(resolve(server.host, server.port)))
    for text in addresses:
        check_address(server.host, ipaddress.ip_address(text), private)
    return addresses


def check_address(host: str, address: IpAddress, private: PrivateOrigins) -> None:
    """Raises Forbidden when nothing may be fetched there."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    where = f"{host} leads to {address}" if host != str(address) else host
    match reach(address):
        case Reach.NEVER:
            raise Forbidden(f"{where}, a link-local, metadata or special address, and no bundle comes from there")
        case Reach.PRIVATE if not private.allow(host, address):
            advice = "add its name, address or network there if bundles come from it"
            raise Forbidden(f"{where}, a private address that private_origins in this agent's settings does not list; {advice}")
        case _:
            return


def literal(host: str) -> IpAddress | None:
    """The address that a host is written as; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def proxy_for(scheme: str, host: str) -> str | None:
    """The proxy of the environment that a host is reached through; None: it is reached directly."""
    import urllib.request  # with 2 MiB of its own, which the agent's main process does not need

    if urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(scheme) or proxies.get("all")
