"""Who a connection's verified certificate is for: one place, whichever listener asks."""

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

Said: TypeAlias = Mapping[str, Iterable[bytes]]
"""What gRPC tells of a connection."""

_TLS: Final = b"TLSv1.3"  # gRPC for Python has no setting for the least version


def speaks_tls_1_3(said: Said) -> bool:
    """Whether nothing older is spoken; a connection of which nothing is told is not TLS at all."""
    return list(said.get("ssl_tls_version", (_TLS,))) == [_TLS]


def names_of(said: Said) -> list[str]:
    """All that a certificate says to be for."""
    return [name.decode("utf-8", "replace") for name in said.get("x509_subject_alternative_name", ())]


def named(said: Said, cluster: str, kind: str) -> str:
    """The name in the one identity of a certificate, `spiffe://CLUSTER/KIND/NAME`; empty when it is of another kind or cluster, or has
    several."""
    uris = [name for name in names_of(said) if name.startswith("spiffe://")]
    prefix = f"spiffe://{cluster}/{kind}/"
    return uris[0].removeprefix(prefix) if len(uris) == 1 and uris[0].startswith(prefix) else ""
