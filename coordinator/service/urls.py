"""Which addresses no agent would fetch a bundle from, so that they are refused when they are registered and not on every host.

The agent holds all addresses to the same rules once more (agent/bundle/sources/origins.py), and to what only it knows: where a name leads,
and which private servers its host's administrator has listed.
"""

import ipaddress
import re

from coordinator.core.errors import InvalidRevision

URL_LENGTH = 2048

_FIELD = "location.http.url"
_URL = re.compile(r"(https?)://([^/?#]*)([/?][^#]*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
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


def check_url(url: str) -> None:
    """Raises InvalidRevision for an address that is not spelt so that every program reads the same in it, or that nothing comes from."""
    if len(url) > URL_LENGTH or not url.isprintable() or any(each in " \\" for each in url):
        raise _refused(f"it may have at most {URL_LENGTH} characters, all printable, and neither spaces nor backslashes")
    found = _URL.fullmatch(url)
    if not found or not found[2]:
        raise _refused("it must be http://HOST/PATH or https://HOST/PATH, without a fragment")
    if "@" in found[2]:  # said without the URL: a message may end in a log, a password must not
        raise InvalidRevision("cannot accept a URL with a user name or password in it: everybody may read revisions", field=_FIELD)
    authority = _AUTHORITY.fullmatch(found[2])
    if not authority or authority[3] is not None and not 0 < int(authority[3]) < 65_536:
        raise _refused("it must begin with a plain HOST or HOST:PORT; write other letters of a name in their xn-- form")
    _check_host(authority[1] or authority[2].lower(), is_ipv6=authority[1] is not None)


def _check_host(host: str, *, is_ipv6: bool) -> None:
    labels = host.split(".")
    if is_ipv6 or _NUMBER.fullmatch(labels[-1]):  # Some programs read an IPv4 address in it, whatever its other parts are.
        try:
            address = ipaddress.IPv6Address(host) if is_ipv6 else ipaddress.IPv4Address(host)
        except ValueError:
            raise _refused("an IPv4 address has to be four decimal numbers without leading zeros, an IPv6 address a whole one") from None
        if _is_nobodys(address):
            raise _refused(f"{host} is a link-local, metadata or special address, and no agent fetches anything there")
        return
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused("the host's name has an empty or odd part between its dots; it may not end with a dot either")
    if host in _METADATA_NAMES:
        raise _refused(f"{host} is where clouds keep their machines' credentials, and no agent fetches anything there")


def _is_nobodys(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_nobodys(address.ipv4_mapped)
        if address != _LOOPBACK and any(address in network for network in _WRAPPING):
            return True
    return any(address in network for network in _NEVER)


def _refused(why: str) -> InvalidRevision:
    return InvalidRevision(f"cannot accept the URL: {why}", field=_FIELD)
