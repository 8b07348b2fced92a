"""Frames: what agent and supervisor say to each other, and what stands in a record file.

A frame is a kind and a list of named texts behind a length and a checksum, so that a torn or zero-filled end of a file is recognised.
Knows no files, no pipes and no meaning.
"""

from __future__ import annotations

import binascii
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_HEAD = struct.Struct(">II")


class Frame:
    """A kind and its named texts; a name may occur more than once, and the order counts."""

    __slots__ = ("fields", "kind")

    def __init__(self, kind: str, fields: Iterable[tuple[str, str | int]] = ()) -> None:
        self.kind = kind
        self.fields = [(name, str(value)) for name, value in fields]

    def text(self, name: str) -> str:
        """The first text of that name, or the empty text."""
        return next((value for key, value in self.fields if key == name), "")

    def number(self, name: str) -> int:
        """The first number of that name, or 0."""
        return int(self.text(name) or 0)


def encode(frame: Frame) -> bytes:
    """The bytes of a frame. NUL separates; it cannot occur in paths and environment, and is replaced elsewhere."""
    texts = [frame.kind]
    for name, value in frame.fields:
        texts += (name, value.replace("\0", "\ufffd"))
    body = "\0".join(texts).encode("utf-8", "surrogateescape")
    return _HEAD.pack(len(body), binascii.crc32(body)) + body


def decode(octets: bytes, offset: int = 0) -> tuple[Frame, int] | None:
    """The frame that begins at an offset and where the next one begins; None when what is there is incomplete, torn or zeros."""
    begin = offset + _HEAD.size
    if len(octets) < begin:
        return None
    length, checksum = _HEAD.unpack_from(octets, offset)
    body = octets[begin : begin + length]
    if length == 0 or len(body) < length or binascii.crc32(body) != checksum:
        return None
    kind, *rest = body.decode("utf-8", "surrogateescape").split("\0")
    return Frame(kind, zip(rest[::2], rest[1::2], strict=True)), begin + length
