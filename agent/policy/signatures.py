"""Minisign's public keys and signatures: Ed25519 over the BLAKE2b-512 of what is signed.

A signature is carried as the file without its first line, which nobody signs; so every byte of it counts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 1024
_KEY_ALGORITHM = b"Ed"
_PREHASHED = b"ED"
_KEY_SIZE, _SIGNATURE_SIZE, _ID_SIZE = 42, 74, 8
_COMMENT = b"trusted comment: "


class BadSignature(Exception):
    """A key or signature that is not good, in half a sentence."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that may sign: its id, as minisign writes it, and its 32 bytes."""

    id: str
    key: bytes


def public_key(text: str) -> PublicKey:
    """The key of the second line of a minisign public key file. Raises BadSignature."""
    content = _decoded(text.strip().encode(), _KEY_SIZE)
    if content is None or not content.startswith(_KEY_ALGORITHM):
        raise BadSignature("it is not the second line of a minisign public key file, RW and 54 more characters")
    return PublicKey(_spelt(content[2:10]), content[10:])


def verify(keys: Mapping[str, PublicKey], statement: bytes, signature: bytes) -> PublicKey:
    """The key that signed a statement, which is one of these. Raises BadSignature."""
    lines = signature.split(b"\n") if len(signature) <= MAX_BYTES else []
    if len(lines) != 4 or lines[3] or not lines[1].startswith(_COMMENT):
        raise BadSignature("its signature does not have minisign's form")
    signed, vouched = _decoded(lines[0], _SIGNATURE_SIZE), _decoded(lines[2], _SIGNATURE_SIZE - 10)
    if signed is None or vouched is None:
        raise BadSignature("its signature does not have minisign's form")
    if not signed.startswith(_PREHASHED):
        raise BadSignature("its signature is of minisign's old kind, without a hash; sign it again without -l")
    key_id = _spelt(signed[2 : 2 + _ID_SIZE])
    if (key := keys.get(key_id)) is None:
        raise BadSignature(f"it is signed with key {key_id}, which is none of signing_keys ({', '.join(keys)})")
    content = signed[2 + _ID_SIZE :]
    _check(key, hashlib.blake2b(statement).digest(), content, "the signature does not belong to its statement")
    _check(key, content + lines[1].removeprefix(_COMMENT), vouched, "the signature of its trusted comment is wrong")
    return key


def _check(key: PublicKey, message: bytes, signature: bytes, why: str) -> None:
    from cryptography.exceptions import InvalidSignature  # an agent without signing keys does without it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key.key).verify(signature, message)
    except InvalidSignature as error:
        raise BadSignature(why) from error


def _decoded(line: bytes, size: int) -> bytes | None:
    """What a line of base64 says; None when it is not written in the one way that there is."""
    try:
        content = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if len(content) == size and base64.b64encode(content) == line else None


def _spelt(key_id: bytes) -> str:
    return f"{int.from_bytes(key_id, 'little'):016X}"
