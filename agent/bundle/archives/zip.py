"""Reads zip bundles: the directory at the end is believed only where every local header agrees and no two entries overlap."""

import calendar
import re
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from agent.bundle.archives.archive import Limits, Member, MemberKind, broken, unsafe
from agent.payload import PayloadError, PayloadErrorCode

_CHUNK = 256 * 1024
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<4s2B4HL2L2H")
_UNIX = 3
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 0x1, 0x8, 0x800
_STORED, _DEFLATED = 0, 8
_LONGEST_TARGET = 4000
_WHOLE_32, _WHOLE_16 = 0xFFFFFFFF, 0xFFFF
_MOST_DIRECTORY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    raw_name: bytes
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int
    mtime_ns: int


class ZipReader:
    """A zip file."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits

    def members(self) -> Iterator[tuple[Member, Iterable[bytes]]]:
        """Every entry in the order of the directory, with the content of a file."""
        with self._path.open("rb") as file:
            start, content = _directory(file, self._path.stat().st_size, self._limits)
            entries = list(_entries(content))
            starts = _data_starts(file, entries, start)
            for entry, at in zip(entries, starts, strict=True):
                kind = _kind(entry)
                chunks = _inflate(file, entry, at)
                if kind is MemberKind.SYMLINK:
                    if entry.size > _LONGEST_TARGET:
                        raise unsafe(entry.name, "is a symlink with a target that is too long")
                    target = b"".join(chunks).decode("utf-8", "surrogateescape")
                    yield Member(name=entry.name, kind=kind, target=target), ()
                elif kind is MemberKind.DIRECTORY:
                    yield Member(name=entry.name, kind=kind), ()
                else:
                    yield Member(name=entry.name, kind=kind, size=entry.size, mode=entry.mode, mtime_ns=entry.mtime_ns), chunks


def _directory(file: BinaryIO, size: int, limits: Limits) -> tuple[int, bytes]:
    """Where the central directory begins, and its bytes."""
    tail_at = max(0, size - _END.size - 65_535)
    file.seek(tail_at)
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise broken("the zip file has no end; it is damaged or cut off")
    _, disk, first, here, count, length, start, comment = _END.unpack_from(tail, at)
    end = tail_at + at
    if at + _END.size + comment != len(tail) or (disk, first) != (0, 0) or here != count:
        raise broken("the end of the zip file is damaged")
    if count == _WHOLE_16 or _WHOLE_32 in (length, start):
        end, count, length, start = _end_64(file, end)
    if count > limits.members or length > _MOST_DIRECTORY_BYTES:
        raise PayloadError(PayloadErrorCode.TOO_LARGE, f"cannot unpack the bundle: it has more than {limits.members} entries")
    if start + length != end:
        raise broken("the directory of the zip file is not where its end says")
    file.seek(start)
    return start, file.read(length)


def _end_64(file: BinaryIO, end: int) -> tuple[int, int, int, int]:
    at = end - _LOCATOR_64.size
    if at < 0:
        raise broken("the end of the zip file is damaged")
    file.seek(at)
    sign, _, place, _ = _LOCATOR_64.unpack(file.read(_LOCATOR_64.size))
    if sign != b"PK\6\7" or place + _END_64.size > at:
        raise broken("the end of the zip file is damaged")
    file.seek(place)
    sign, _, _, _, disk, first, here, count, length, start = _END_64.unpack(file.read(_END_64.size))
    if sign != b"PK\6\6" or (disk, first) != (0, 0) or here != count:
        raise broken("the end of the zip file is damaged")
    return place, count, length, start


def _entries(content: bytes) -> Iterator[_Entry]:
    at = 0
    while at < len(content):
        if len(content) - at < _CENTRAL.size or content[at : at + 4] != b"PK\1\2":
            raise broken("the directory of the zip file is damaged")
        found = _CENTRAL.unpack_from(content, at)
        _, _, system, _, _, flags, method, clock, date, crc, packed, size, name_len, extra_len, comment_len, disk, _, attributes, offset = (
            found
        )
        at += _CENTRAL.size
        raw_name = content[at : at + name_len]
        extra = content[at + name_len : at + name_len + extra_len]
        at += name_len + extra_len + comment_len
        if len(raw_name) != name_len or len(extra) != extra_len or at > len(content):
            raise broken("the directory of the zip file is damaged")
        size, packed, offset = _sizes_64(extra, size, packed, offset)
        name = raw_name.decode("utf-8" if flags & _UTF8 else "cp437", "surrogateescape")
        if disk:
            raise broken("it is a part of a divided zip file")
        mode = attributes >> 16 if system == _UNIX else 0
        if system != _UNIX and "\\" in name:
            name = name.replace("\\", "/")
        yield _Entry(
            raw_name=raw_name,
            name=name,
            flags=flags,
            method=method,
            crc=crc,
            packed=packed,
            size=size,
            offset=offset,
            mode=mode or 0o644,
            mtime_ns=_mtime(date, clock),
        )


def _sizes_64(extra: bytes, *sizes: int) -> tuple[int, int, int]:
    """Sizes and offset, from the extra field where they do not fit into 32 bits."""
    if _WHOLE_32 in sizes:
        at = 0
        while at + 4 <= len(extra):
            kind, length = struct.unpack_from("<2H", extra, at)
            if kind == 1:
                values = re.findall(rb"(?s).{8}", extra[at + 4 : at + 4 + length])
                wide = iter(int.from_bytes(each, "little") for each in values)
                sizes = tuple(next(wide, value) if value == _WHOLE_32 else value for value in sizes)
                break
            at += 4 + length
    size, packed, offset = sizes
    return size, packed, offset


def _data_starts(file: BinaryIO, entries: list[_Entry], end: int) -> list[int]:
    """Where the content of each entry begins; refuses local headers that disagree, and entries that overlap."""
    starts = []
    for entry in entries:
        file.seek(min(entry.offset, end))  # A 64-bit offset can be more than a file can have.
        header = file.read(_LOCAL.size)
        if len(header) < _LOCAL.size or header[:4] != b"PK\3\4":
            raise broken(f"the entry {entry.name!r} is not where the directory says")
        _, _, _, flags, method, _, _, crc, packed, size, name_len, extra_len = _LOCAL.unpack(header)
        same = file.read(name_len) == entry.raw_name and method == entry.method and (flags ^ entry.flags) & _ENCRYPTED == 0
        if not flags & _DESCRIPTOR and _WHOLE_32 not in (packed, size):
            same = same and (crc, packed, size) == (entry.crc, entry.packed, entry.size)
        if not same:
            raise unsafe(entry.name, "is described otherwise in its own header than in the directory")
        starts.append(entry.offset + _LOCAL.size + name_len + extra_len)
    before = 0
    for entry, start in sorted(zip(entries, starts, strict=True), key=lambda each: each[1]):
        if entry.offset < before or start + entry.packed > end:
            raise unsafe(entry.name, "overlaps another entry")
        before = start + entry.packed
    return starts


def _kind(entry: _Entry) -> MemberKind:
    if entry.flags & _ENCRYPTED:
        raise unsafe(entry.name, "is encrypted")
    if entry.method not in (_STORED, _DEFLATED):
        raise unsafe(entry.name, f"is compressed by method {entry.method}; only stored and deflated ones are read")
    kind = stat.S_IFMT(entry.mode)
    if entry.name.endswith("/") or kind == stat.S_IFDIR:
        return MemberKind.DIRECTORY
    if kind == stat.S_IFLNK:
        return MemberKind.SYMLINK
    if kind in (0, stat.S_IFREG):
        return MemberKind.FILE
    raise unsafe(entry.name, "is neither file, directory nor symlink")


def _inflate(file: BinaryIO, entry: _Entry, at: int) -> Iterator[bytes]:
    """The content of an entry: exactly as long as the directory says, with the checksum that it says."""
    left, crc = entry.size, 0
    packed = _packed(file, at, entry.packed)
    for found in packed if entry.method == _STORED else _inflated(packed, entry):
        left, crc = left - len(found), zlib.crc32(found, crc)
        if left < 0:
            raise unsafe(entry.name, "holds more than the directory says")
        yield found
    if left or crc != entry.crc:
        raise broken(f"the content of {entry.name!r} is damaged")


def _packed(file: BinaryIO, at: int, count: int) -> Iterator[bytes]:
    while count:
        file.seek(at)
        chunk = file.read(min(count, _CHUNK))
        if not chunk:
            raise broken("the zip file ends too early")
        at, count = at + len(chunk), count - len(chunk)
        yield chunk


def _inflated(packed: Iterator[bytes], entry: _Entry) -> Iterator[bytes]:
    inflate = zlib.decompressobj(wbits=-15)
    chunk = b""
    while not inflate.eof:
        chunk = chunk or next(packed, b"")
        try:
            found = inflate.decompress(chunk, _CHUNK)
        except zlib.error as error:
            raise broken(f"the content of {entry.name!r} is damaged ({error})") from error
        if not found and not chunk:
            raise broken(f"the content of {entry.name!r} ends too early")
        chunk = inflate.unconsumed_tail
        if found:
            yield found


def _mtime(date: int, clock: int) -> int:
    """A time without zone, taken as UTC so that every host makes the same of it."""
    month, day = min(max(date >> 5 & 0xF, 1), 12), max(date & 0x1F, 1)
    seconds = calendar.timegm(((date >> 9) + 1980, month, day, clock >> 11, clock >> 5 & 0x3F, (clock & 0x1F) * 2, 0, 0, 0))
    return seconds * 1_000_000_000
