"""What is wrong when a coordinator does not let this host in, in a sentence. gRPC itself says "Socket closed"."""

from __future__ import annotations

import datetime
import ssl
from typing import TYPE_CHECKING

from agent.identity.handshake import why_not

if TYPE_CHECKING:
    from agent.identity.files import Credentials, Enrolment, IdentityFiles

AGAIN = "join again: `hookline token create` on the coordinator prints the command, and --again has to be added to it"


def why_not_valid(enrolment: Enrolment, now: int) -> str | None:
    """What is wrong with the dates of a certificate by this host's clock; None: nothing."""
    if now < enrolment.begins_at:
        return (
            f"this host's certificate begins at {_date(enrolment.begins_at)}, and its clock shows {_date(now)}: set the clock right"
            " (chrony, systemd-timesyncd)"
        )
    if now >= enrolment.ends_at:
        return (
            f"this host's certificate ended at {_date(enrolment.ends_at)}, and its clock shows {_date(now)}: if the clock is right, the"
            f" agent was away for longer than a certificate lasts; while it runs it asks {enrolment.enrol_address} to be let in again, and"
            f" its log says what became of that: an operator may have to `hookline hosts approve {enrolment.name}`, or {AGAIN}"
        )
    return None


def until(enrolment: Enrolment) -> str:
    """How long its certificate lasts, in words."""
    return f"certificate until {_date(enrolment.ends_at)}, renewed {enrolment.generation} times"


async def why_not_accepted(coordinator: str, credentials: Credentials, files: IdentityFiles) -> str | None:
    """What is wrong between this host's certificate and the coordinator's; None: they accept each other."""
    chain, key = files.pair(credentials.enrolment.generation)
    try:
        why = await why_not(coordinator, credentials.trust, chain, key)
    except ssl.SSLError as error:
        why = (error.reason or "it is damaged").lower().replace("_", " ")
        return f"this host's certificate cannot be used: {why} ({chain}, with {key.name}); {AGAIN}"
    return None if why is None else f"the coordinator at {coordinator}: {why}"


def authority_changed(credentials: Credentials) -> bool:
    """Whether the root that the operator named when this host joined is trusted no longer, as after it was replaced in good order."""
    return credentials.enrolment.authority not in fingerprints(credentials.trust)


def fingerprints(roots: bytes) -> list[str]:
    """Of each certificate, SHA-256, hexadecimal."""
    import hashlib

    end = "-----END CERTIFICATE-----"
    texts = [text + end for text in roots.decode().split(end)[:-1]]
    return [hashlib.sha256(ssl.PEM_cert_to_DER_cert(text.strip())).hexdigest() for text in texts]


def _date(milliseconds: int) -> str:
    return f"{datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
