"""Reads tar and tgz bundles: ustar, pax and GNU long names; everything that a bundle has no use for is refused by name."""

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from agent.bundle.archives.archive import Budget, Limits, Member, MemberKind, broken, unsafe

_BLOCK = 512
_END = bytes(_BLOCK)
_CHUNK = 256 * 1024
_LONGEST_NAME = 8 * 1024
_LONGEST_PAX = 64 * 1024
_OCTAL, _LONGEST_NUMBER = b"01234567", 22
_PAX_RECORD = re.compile(rb"(\d{1,6}) ([^=\n\0]{1,256})=")
_ADLER = 65_521
"""The lower half of an Adler-32 is the sum of the bytes and one, modulo this."""
_REFUSED = {b"3": "is a character device", b"4": "is a block device", b"6": "is a FIFO", b"S": "is a sparse file"}


class TarReader:
    """A tar file, compressed or not."""

    def __init__(self, path: Path, limits: Limits, *, compressed: bool) -> None:
        self._path = path
        self._limits = limits
        self._compressed = compressed

    def members(self) -> Iterator[tuple[Member, Iterable[bytes]]]:
        """Every entry in order, with the content of a file."""
        with self._path.open("rb") as file:
            size = self._path.stat().st_size
            stream = _Inflated(file, Budget(self._limits, size)) if self._compressed else _Plain(file, size)
            yield from _Members(stream)
            stream.finish()


class _Plain:
    """An uncompressed file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, count: int) -> bytes:
        chunk = self._file.read(min(count, self._left))
        self._left -= len(chunk)
        return chunk

    def skip(self, count: int) -> bool:
        if count > self._left:
            return False
        self._left -= count
        self._file.seek(count, 1)
        return True

    def finish(self) -> None:
        """What follows the end of a tar file is nobody's business."""


class _Inflated:
    """A gzip file, one or more members, inflated in pieces of bounded size."""

    def __init__(self, file: BinaryIO, budget: Budget) -> None:
        self._file = file
        self._budget = budget
        self._inflate = zlib.decompressobj(wbits=31)
        self._packed = b""
        self._ready = b""
        self._at = 0  # How much of what is ready was read: cutting that off each time would copy the rest.
        self._ended = False

    def read(self, count: int) -> bytes:
        if self._at + count <= len(self._ready):
            self._at += count
            return self._ready[self._at - count : self._at]
        found = []
        while count > 0:
            if self._at == len(self._ready):
                self._ready, self._at = self._more(), 0
                if not self._ready:
                    break
            found.append(self._ready[self._at : self._at + count])
            self._at += len(found[-1])
            count -= len(found[-1])
        return b"".join(found)

    def skip(self, count: int) -> bool:
        while count > 0:
            chunk = self.read(min(count, _CHUNK))
            if not chunk:
                return False
            count -= len(chunk)
        return True

    def finish(self) -> None:
        """Read to the end, so that the checksum at the end is compared."""
        while self.read(_CHUNK):
            pass

    def _more(self) -> bytes:
        while not self._ended:
            self._packed = self._packed or self._file.read(_CHUNK)
            if self._inflate.eof:
                if self._packed.strip(b"\0"):
                    self._inflate = zlib.decompressobj(wbits=31)
                else:
                    self._ended = not self._packed
                    self._packed = b""
                    continue
            had_input = bool(self._packed)
            try:
                found = self._inflate.decompress(self._packed, _CHUNK)
            except zlib.error as error:
                raise broken(f"the compressed file is damaged ({error})") from error
            self._packed = self._inflate.unconsumed_tail or self._inflate.unused_data
            if found:
                self._budget.spend(len(found))
                return found
            if not had_input and not self._inflate.eof:
                raise broken("the compressed file ends too early")
        return b""


class _Members:
    """The entries of a tar stream."""

    def __init__(self, stream: _Plain | _Inflated) -> None:
        self._stream = stream
        self._long: dict[str, str] = {}

    def __iter__(self) -> Iterator[tuple[Member, Iterable[bytes]]]:
        while (header := self._header()) is not None:
            kind = header[156:157]
            size = _number(header[124:136], "size")
            if kind in (b"L", b"K"):
                name = self._exactly(size, _LONGEST_NAME).rstrip(b"\0")
                self._long["path" if kind == b"L" else "linkpath"] = _text(name)
            elif kind in (b"x", b"g"):
                records = dict(_pax(self._exactly(size, _LONGEST_PAX)))
                self._take_pax(records, everywhere=kind == b"g")
            else:
                member = _member(header, kind, size, self._long)
                self._long = {}
                content = _Content(self._stream, member.size)
                yield member, content
                content.skip_rest()

    def _header(self) -> bytes | None:
        header = self._stream.read(_BLOCK)
        if not header or header == _END:
            if self._long:
                raise broken("a long name belongs to no entry")
            return None
        if len(header) < _BLOCK:
            raise broken("the file ends too early")
        said = _number(header[148:156], "checksum")
        said += sum(header[148:156]) - 8 * ord(" ")  # It is added up as if it were blank itself.
        # Adding up in Python takes longer than all the rest, and this tells the same of a header that was not made to deceive.
        # (Some old programs added signed bytes.)
        if ((zlib.adler32(header) & 0xFFFF) - 1 - said) % _ADLER and said != sum(struct.unpack("512b", header)):
            raise broken("a header's checksum is wrong; it is no tar file, or it is damaged")
        return header

    def _exactly(self, size: int, most: int) -> bytes:
        if size > most:
            raise broken(f"a header of {size} bytes; at most {most} are read")
        content = self._stream.read(size)
        if len(content) < size or not self._stream.skip(-size % _BLOCK):
            raise broken("the file ends too early")
        return content

    def _take_pax(self, records: dict[str, str], *, everywhere: bool) -> None:
        if any(key.startswith("GNU.sparse") for key in records):
            raise broken("it holds a sparse file")
        wanted = {key: value for key, value in records.items() if key in ("path", "linkpath", "size", "mtime")}
        if everywhere and wanted:
            raise broken("a global header that renames or resizes entries")
        self._long.update(wanted)


class _Content:
    """What is in one entry; to be read once, or skipped."""

    def __init__(self, stream: _Plain | _Inflated, size: int) -> None:
        self._stream = stream
        self._left = size
        self._padding = -size % _BLOCK

    def __iter__(self) -> Iterator[bytes]:
        while self._left:
            chunk = self._stream.read(min(self._left, _CHUNK))
            if not chunk:
                raise broken("the file ends too early")
            self._left -= len(chunk)
            yield chunk

    def skip_rest(self) -> None:
        if not self._stream.skip(self._left + self._padding):
            raise broken("the file ends too early")


def _member(header: bytes, kind: bytes, size: int, long: dict[str, str]) -> Member:
    name = long.get("path")
    if name is None:
        name = _text(_until_nul(header[0:100]))
        if header[345] and header[257:263] == b"ustar\0":
            name = f"{_text(_until_nul(header[345:500]))}/{name}"
    mode, mtime_ns = _number(header[100:108], "mode"), _mtime(header, long)
    if kind in _REFUSED:
        raise unsafe(name, _REFUSED[kind])
    if kind == b"5" or (kind in (b"\0", b"0") and name.endswith("/")):
        return Member(name=name, kind=MemberKind.DIRECTORY, mode=mode)
    if kind in (b"1", b"2"):
        target = long.get("linkpath", _text(_until_nul(header[157:257])))
        return Member(name=name, kind=MemberKind.SYMLINK if kind == b"2" else MemberKind.HARD_LINK, target=target)
    if kind in (b"\0", b"0", b"7"):
        return Member(name=name, kind=MemberKind.FILE, size=_size(long, size), mode=mode, mtime_ns=mtime_ns)
    raise unsafe(name, f"is of the unknown type {kind!r}")


def _size(long: dict[str, str], size: int) -> int:
    if "size" not in long:
        return size
    if re.fullmatch(r"\d{1,18}", long["size"], re.ASCII) is None:
        raise broken("a size is no number")
    return int(long["size"])


def _mtime(header: bytes, long: dict[str, str]) -> int:
    if "mtime" not in long:
        return _number(header[136:148], "time") * 1_000_000_000
    found = re.fullmatch(r"(-?\d{1,12})(?:\.(\d{0,9})\d*)?", long["mtime"], re.ASCII)
    if found is None:
        raise broken("a time is no number")
    seconds, fraction = found.groups(default="")
    return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0"))


@lru_cache(maxsize=256)  # Modes, times and many sizes are those of the entry before.
def _number(field: bytes, what: str) -> int:
    if field[0] == 0x80:
        value = int.from_bytes(field[1:], "big")
        if value >= 2**63:
            raise broken(f"a {what} is too large")
        return value
    digits = field.strip(b" \0")
    if len(digits) > _LONGEST_NUMBER or digits.translate(None, _OCTAL):
        raise broken(f"a {what} is no number; it is no tar file, or it is damaged")
    return int(digits or b"0", 8)


def _pax(content: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(content):
        found = _PAX_RECORD.match(content, at)
        end = at + int(found[1]) if found else 0
        if found is None or end > len(content) or end <= found.end() or content[end - 1] != 0x0A:
            raise broken("an extended header is damaged")
        yield _text(found[2]), _text(content[found.end() : end - 1])
        at = end


def _until_nul(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
