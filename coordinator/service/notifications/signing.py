"""Signatures by which a receiver knows that a body comes from here, and when: the headers of standardwebhooks.com. Pure."""

import base64
import binascii
import hashlib
import hmac
from typing import Final

PREFIX: Final = "whsec_"
KEY_LENGTHS: Final = range(24, 65)


def key_of(secret: str) -> bytes:
    """The key that a secret holds. Raises ValueError with a sentence that does not quote it."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or len(key) not in KEY_LENGTHS:
        raise ValueError(f"it must be {PREFIX} and base64 of {KEY_LENGTHS.start} to {KEY_LENGTHS.stop - 1} bytes")
    return key


def signed(key: bytes, id: str, body: bytes, *, at: int) -> dict[str, str]:
    """The headers of a signed body, as it is sent at a time in UTC milliseconds: the signature covers id, time and body."""
    timestamp = str(at // 1000)
    found = hmac.new(key, b".".join((id.encode(), timestamp.encode(), body)), hashlib.sha256).digest()
    return {"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{base64.b64encode(found).decode()}"}
