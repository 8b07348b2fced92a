"""The bytes of a log file: frames, each a header with a checksum, the stream's name and, of output, its content."""

import struct
import zlib
from enum import IntEnum
from typing import Final, NamedTuple

MAGIC: Final = b"HL"
_FIELDS: Final = struct.Struct(">2sBBQQII")  # magic, kind, length of the name, offset, host offset, length, checksum of the content
_CHECK: Final = struct.Struct(">I")
BARE: Final = _FIELDS.size + _CHECK.size
"""Bytes of a header without its name."""

LARGEST: Final = BARE + 255 + (64 << 10)
"""Bytes of the largest frame."""


class Kind(IntEnum):
    """What a frame says."""

    OUTPUT = 1
    DROPPED = 2
    COMPLETE = 3


class Head(NamedTuple):
    """A frame without its content."""

    kind: Kind
    name: str
    """HOST_ID/SEGMENT/ATTEMPT."""
    offset: int
    host_offset: int
    length: int
    """Bytes of output that it holds or that were dropped."""
    checksum: int

    @property
    def host_id(self) -> str:
        """Whose output it is."""
        return self.name.partition("/")[0]

    @property
    def content_size(self) -> int:
        """Bytes that follow the header."""
        return self.length if self.kind is Kind.OUTPUT else 0

    @property
    def size(self) -> int:
        """Bytes of the whole frame."""
        return BARE + len(self.name) + self.content_size


def encode(head: Head, content: bytes = b"") -> bytes:
    """A frame; the head's checksum is that of the content."""
    name = head.name.encode("ascii")
    fields = _FIELDS.pack(MAGIC, head.kind, len(name), head.offset, head.host_offset, head.length, head.checksum)
    return b"".join((fields, _CHECK.pack(zlib.crc32(name, zlib.crc32(fields))), name, content))


def decode(octets: bytes, at: int = 0) -> Head | None:
    """The head of the frame that begins there; None where none does."""
    if len(octets) < at + BARE:
        return None
    magic, kind, length_of_name, offset, host_offset, length, checksum = _FIELDS.unpack_from(octets, at)
    begin = at + BARE
    name = octets[begin : begin + length_of_name]
    if magic != MAGIC or len(name) != length_of_name:
        return None
    if zlib.crc32(name, zlib.crc32(octets[at : at + _FIELDS.size])) != _CHECK.unpack_from(octets, at + _FIELDS.size)[0]:
        return None
    return Head(Kind(kind), name.decode("ascii"), offset, host_offset, length, checksum)


def output(name: str, offset: int, host_offset: int, content: bytes) -> Head:
    """The head of a piece of output."""
    return Head(Kind.OUTPUT, name, offset, host_offset, len(content), zlib.crc32(content))


def is_whole(head: Head, content: bytes) -> bool:
    """Whether the content is what was written."""
    return len(content) == head.content_size and zlib.crc32(content) == head.checksum if head.content_size else True
