"""Keys and signatures in minisign's formats: what is written here minisign reads, and the other way round.

A signature is Ed25519 over the BLAKE2b-512 of the content (minisign's "prehashed" kind). The same key, content and comment always give
the same signature.
"""

import base64
import binascii
import hashlib
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_ED25519, _PREHASHED, _SCRYPT, _PLAIN, _BLAKE2B = b"Ed", b"ED", b"Sc", b"\0\0", b"B2"
_OPERATIONS, _MEMORY = 2**25, 2**30
"""What minisign itself asks of scrypt: a second or three, and 1 GiB. A machine that has less gets less."""
_LEAST_MEMORY = 2**24
_SECRET = struct.Struct("<2s2s2s32sQQ104s")
_UNTRUSTED, _TRUSTED = "untrusted comment: ", "trusted comment: "


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretKey:
    """A signing key: its id (8 bytes) and its seed (32 bytes)."""

    id: bytes
    seed: bytes

    @property
    def name(self) -> str:
        """The id as minisign shows it."""
        return f"{int.from_bytes(self.id, 'little'):016X}"

    @property
    def public(self) -> str:
        """The public key in one line: what a policy file lists."""
        return base64.b64encode(_ED25519 + self.id + self.public_bytes).decode()

    @property
    def public_bytes(self) -> bytes:
        """The public key itself, 32 bytes."""
        return self._key().public_key().public_bytes_raw()

    @property
    def public_file(self) -> str:
        """The public key as a file of minisign's."""
        return f"{_UNTRUSTED}minisign public key {self.name}\n{self.public}\n"

    def secret_file(self, password: str | None, *, operations: int = _OPERATIONS, memory: int = _MEMORY) -> str:
        """The secret key as a file of minisign's; without a password it is not encrypted."""
        keys = self.id + self.seed + self.public_bytes
        content = keys + hashlib.blake2b(_ED25519 + keys, digest_size=32).digest()
        if password is None:
            packed = _SECRET.pack(_ED25519, _PLAIN, _BLAKE2B, bytes(32), 0, 0, content)
        else:
            salt = secrets.token_bytes(32)
            stream, operations, memory = _affordable(password, salt, operations, memory)
            packed = _SECRET.pack(_ED25519, _SCRYPT, _BLAKE2B, salt, operations, memory, _mixed(content, stream))
        return f"{_UNTRUSTED}minisign {'' if password is None else 'encrypted '}secret key\n{base64.b64encode(packed).decode()}\n"

    def sign(self, content: bytes, comment: str) -> str:
        """A signature as a file of minisign's; the comment is signed as well."""
        key = self._key()
        signature = key.sign(hashlib.blake2b(content).digest())
        first = base64.b64encode(_PREHASHED + self.id + signature).decode()
        vouched = base64.b64encode(key.sign(signature + comment.encode())).decode()
        return f"{_UNTRUSTED}signature from minisign secret key\n{first}\n{_TRUSTED}{comment}\n{vouched}\n"

    def _key(self) -> "Ed25519PrivateKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # only who signs waits for it

        return Ed25519PrivateKey.from_private_bytes(self.seed)


def generate() -> SecretKey:
    """A new key."""
    return SecretKey(id=secrets.token_bytes(8), seed=secrets.token_bytes(32))


def read_secret(path: str, password: Callable[[], str]) -> SecretKey:
    """The key of a secret key file; asks for the password when it is encrypted."""
    packed = _second_line(path, _SECRET.size)
    algorithm, kind, check, salt, operations, memory, content = _SECRET.unpack(packed)
    if algorithm != _ED25519 or check != _BLAKE2B or kind not in (_SCRYPT, _PLAIN):
        raise click.ClickException(f"cannot read the key {path}: it is not a secret key of minisign")
    if kind == _SCRYPT:
        try:
            content = _mixed(content, _stretched(password(), salt, operations, memory))
        except (ValueError, MemoryError) as error:
            raise click.ClickException(
                f"cannot decrypt the key {path}: this machine has not the {memory >> 20} MiB that it takes"
            ) from error
    keys, found = content[:72], content[72:]
    key = SecretKey(id=keys[:8], seed=keys[8:40])
    checksum = hashlib.blake2b(_ED25519 + keys, digest_size=32).digest() if kind == _SCRYPT or any(found) else bytes(32)
    if found != checksum or key.public_bytes != keys[40:]:  # minisign -W leaves the checksum out
        why = "the password is wrong" if kind == _SCRYPT else "it is damaged"
        raise click.ClickException(f"cannot use the key {path}: {why}")
    return key


def _second_line(path: str, size: int) -> bytes:
    try:
        with open(path, encoding="utf-8") as file:
            content = base64.b64decode(file.read(4096).split("\n")[1], validate=True)
    except OSError as error:
        raise click.ClickException(f"cannot read the key {path}: {(error.strerror or str(error)).lower()}") from None
    except (IndexError, UnicodeDecodeError, binascii.Error):
        content = b""
    if len(content) != size:
        raise click.ClickException(f"cannot read the key {path}: it is not a secret key of minisign")
    return content


def _mixed(content: bytes, stream: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(content, stream, strict=True))


def _affordable(password: str, salt: bytes, operations: int, memory: int) -> tuple[bytes, int, int]:
    """The stretched password, and the cost that this machine could pay."""
    while True:
        try:
            return _stretched(password, salt, operations, memory), operations, memory
        except (ValueError, MemoryError):
            operations, memory = operations // 2, memory // 2
            if memory < _LEAST_MEMORY:
                raise click.ClickException("cannot encrypt the key: this machine has not even 16 MiB free") from None


def _stretched(password: str, salt: bytes, operations: int, memory: int) -> bytes:
    """scrypt with the parameters that libsodium derives from a cost."""
    block, operations = 8, max(operations, 32768)
    if operations < memory // 32:
        cost, parallel = _power_above(operations // (block * 4) // 2), 1
    else:
        cost = _power_above(memory // (block * 128) // 2)
        parallel = min(operations // 4 // cost, 0x3FFFFFFF) // block
    return hashlib.scrypt(
        password.encode(), salt=salt, n=cost, r=block, p=max(parallel, 1), maxmem=128 * block * (cost + parallel + 2), dklen=104
    )


def _power_above(least: int) -> int:
    power = 2
    while power <= least:
        power *= 2
    return power
