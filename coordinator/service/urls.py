"""Which addresses no agent would fetch a bundle from, so that they are refused when they are registered and not on every host.

The agent holds all addresses to the same rules once more (agent/bundle/sources/origins.py), and to what only it knows: where a name leads,
and which private servers its host's administrator has listed.
"""

from coordinator.core.addresses import Forbidden, server_of
from coordinator.core.errors import InvalidRevision


def check_url(url: str) -> None:
    """Raises InvalidRevision for an address that is not spelt so that every program reads the same in it, or that nothing comes from."""
    try:
        server_of(url)
    except Forbidden as error:
        raise InvalidRevision(f"cannot accept the URL: {error}", field="location.http.url") from None
