"""Which servers may be asked for something by an address that somebody else has chosen: how it has to be spelt, and where it may lead.

Pure: names are looked up elsewhere. The agent holds what it fetches to the same rules (agent/bundle/sources/origins.py).
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

URL_LENGTH: Final = 2048
ANY: Final = "any"

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_URL: Final = re.compile(r"(https?)://([^/?#]*)([/?][^#]*)?", re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORTS: Final = {"http": 80, "https": 443}
_METADATA_NAMES: Final = ("metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal")
_NEVER: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "ff00::/8"),
        *("fd00:ec2::/32", "fd20:ce::254/128", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),  # clouds' metadata
    )
)
_WRAPPING: Final = tuple(ipaddress.ip_network(text) for text in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))
_LOOPBACK: Final = ipaddress.ip_address("::1")


class Forbidden(ValueError):
    """An address that is not asked, and why; never with a password in it."""


class Server(NamedTuple):
    """What the beginning of an address names: host in small letters, without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def literal(self) -> IpAddress | None:
        """The IP address that the host is written as; None for a name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None


def server_of(url: str) -> Server:
    """The server of an address that is spelt so that every program reads the same in it, and that somebody may have. Raises Forbidden."""
    if len(url) > URL_LENGTH or not url.isprintable() or any(each in " \\" for each in url):
        raise Forbidden(f"it may have at most {URL_LENGTH} characters, all printable, and neither spaces nor backslashes")
    found = _URL.fullmatch(url)
    if not found or not found[2]:
        raise Forbidden("it must be http://HOST/PATH or https://HOST/PATH, without a fragment")
    if "@" in found[2]:  # said without the URL: a message may end in a log, a password must not
        raise Forbidden("it has a user name or password in it, and everybody may read it")
    authority = _AUTHORITY.fullmatch(found[2])
    port = int(authority[3] or _PORTS[found[1].lower()]) if authority else 0
    if not authority or not 0 < port < 65_536:
        raise Forbidden("it must begin with a plain HOST or HOST:PORT; write other letters of a name in their xn-- form")
    host = _host(authority[1] or authority[2].lower(), is_ipv6=authority[1] is not None)
    return Server(scheme=found[1].lower(), host=host, port=port)


def check_address(host: str, address: IpAddress) -> None:
    """Raise Forbidden for an address that is nobody's: link-local, special, or one at which clouds keep their machines' credentials."""
    if _is_nobodys(address):
        where = host if host == str(address) else f"{host} leads to {address}, and that"
        raise Forbidden(f"{where} is a link-local, metadata or special address, and nobody is asked there")


class PrivateServers:
    """Servers with private addresses that may be asked all the same: names, addresses, networks, or `any` of them."""

    def __init__(self, texts: Sequence[str] = ()) -> None:
        """Raises ValueError with a sentence for what is none of them."""
        self._any = ANY in texts
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._names: set[str] = set()
        for text in texts:
            if text == ANY:
                continue
            try:
                self._networks.append(ipaddress.ip_network(text))
            except ValueError:
                labels = text.lower().split(".")
                if not all(_LABEL.fullmatch(label) for label in labels) or _NUMBER.fullmatch(labels[-1]):
                    raise ValueError(f"{text!r} is no host's name, address, network such as 10.0.0.0/8, nor {ANY}") from None
                self._names.add(text.lower())

    def lists(self, host: str, address: IpAddress | None = None) -> bool:
        """Whether a host is listed, by its name or by this address of it."""
        if self._any or host in self._names:
            return True
        return address is not None and any(_plain(address) in network for network in self._networks)

    def check(self, host: str, address: IpAddress) -> None:
        """Raise Forbidden unless this address of a host may be asked."""
        check_address(host, address)
        plain = _plain(address)
        if not (plain.is_global or self.lists(host, plain)):
            where = host if host == str(address) else f"{host} leads to {address}, which"
            raise Forbidden(f"{where} is a private address that --notify-allow does not list")


def _host(host: str, *, is_ipv6: bool) -> str:
    labels = host.split(".")
    if is_ipv6 or _NUMBER.fullmatch(labels[-1]):  # Some programs read an IPv4 address in it, whatever its other parts are.
        try:
            address = ipaddress.IPv6Address(host) if is_ipv6 else ipaddress.IPv4Address(host)
        except ValueError:
            raise Forbidden("an IPv4 address has to be four decimal numbers without leading zeros, an IPv6 address a whole one") from None
        check_address(str(address), address)
        return str(address)
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise Forbidden("the host's name has an empty or odd part between its dots; it may not end with a dot either")
    if host in _METADATA_NAMES:
        raise Forbidden(f"{host} is where clouds keep their machines' credentials, and nobody is asked there")
    return host


def _plain(address: IpAddress) -> IpAddress:
    """The IPv4 address that an IPv6 address stands for, or itself."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_nobodys(address: IpAddress) -> bool:
    plain = _plain(address)
    if isinstance(plain, ipaddress.IPv6Address) and plain.scope_id is not None:
        return True
    return any(plain in network for network in _NEVER) or (plain != _LOOPBACK and any(plain in network for network in _WRAPPING))
