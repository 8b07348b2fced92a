"""Makes bundles for tests, good and hostile, byte by byte where a library would refuse to."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
_WHOLE = 0xFFFFFFFF  # "see the 64-bit field"
APPSPEC = b"version: 0.0\nos: linux\nfiles:\n  - source: app\n    destination: /srv/app\n"


@dataclass(frozen=True)
class Hostile:
    """One bundle, made when it is wanted, and what its refusal says."""

    name: str
    make: Callable[[], bytes]
    says: str


def tar_entry(name: str, content: bytes = b"", *, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> bytes:
    """One entry of a tar file, header and content."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size, info.mtime = kind, target, mode, len(content), 1_700_000_000
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + content + b"\0" * (-len(content) % 512)


def tar(*entries: bytes) -> bytes:
    """A tar file of entries."""
    return b"".join(entries) + b"\0" * 1024


def tgz(*entries: bytes) -> bytes:
    """A compressed tar file of entries."""
    return gzip.compress(tar(*entries), compresslevel=1, mtime=0)


def pax(records: Sequence[tuple[str, str]], *, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """An extended header, written whatever it says."""
    content = b""
    for key, value in records:
        record = f" {key}={value}\n".encode("utf-8", "surrogateescape")
        length = len(record) + 1
        while len(str(length)) + len(record) != length:
            length = len(str(length)) + len(record)
        content += str(length).encode() + record
    return tar_entry("pax", content, kind=kind)


def gnu_long(name: str, kind: bytes = b"L") -> bytes:
    """GNU's entry before an entry whose name (or target: kind K) is too long for its header."""
    return tar_entry("././@LongLink", name.encode("utf-8", "surrogateescape") + b"\0", kind=kind)


def raw_header(entry: bytes, at: int, field: bytes) -> bytes:
    """An entry with one field of its header overwritten and its checksum made right again."""
    header = bytearray(entry[:512])
    header[at : at + len(field)] = field
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + entry[512:]


def zip_of(*entries: tuple[str, bytes], mode: int | None = None) -> bytes:
    """A zip file; `mode` is the Unix mode of every entry."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries:
            info = zipfile.ZipInfo(name, (2024, 5, 6, 7, 8, 10))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = (0o100644 if mode is None else mode) << 16
            file.writestr(info, content)
    return whole.getvalue()


@dataclass(frozen=True)
class ZipEntry:
    """An entry of a zip file and what is said of it; None says the truth, `local_...` stands before the content.

    One with an offset has no content of its own, and points elsewhere.
    """

    name: bytes
    content: bytes
    method: int = 8
    flags: int = 0
    system: int = 3
    mode: int = 0o100644
    disk: int = 0
    extra: bytes = b""
    stored: bytes | None = None
    crc: int | None = None
    size: int | None = None
    packed: int | None = None
    offset: int | None = None
    local_name: bytes | None = None
    local_method: int | None = None
    local_crc: int | None = None
    local_size: int | None = None
    local_packed: int | None = None


def zip_file(*entries: ZipEntry) -> bytes:
    """A zip file of entries that may lie."""
    body, central = b"", b""
    for entry in entries:
        squeezed = zlib.compressobj(wbits=-15)
        packed = squeezed.compress(entry.content) + squeezed.flush() if entry.stored is None else entry.stored
        content = entry.content if entry.stored is None else entry.stored
        crc, size, length = _or(entry.crc, zlib.crc32(content)), _or(entry.size, len(content)), _or(entry.packed, len(packed))
        rest = (entry.flags, entry.method, 0, 0x5821, crc, length, size)
        offset, lengths = _or(entry.offset, len(body)), (len(entry.name), len(entry.extra), 0, entry.disk, 0)
        version = (b"PK\1\2", 20, entry.system, 20, 0)
        central += struct.pack("<4s4B4HL2L5H2L", *version, *rest, *lengths, entry.mode << 16, offset) + entry.name + entry.extra
        if entry.offset is None or entry.offset == _WHOLE:
            name, method = _or(entry.local_name, entry.name), _or(entry.local_method, entry.method)
            said = (_or(entry.local_crc, crc), _or(entry.local_packed, length), _or(entry.local_size, size))
            body += struct.pack("<4s2B4HL2L2H", b"PK\3\4", 20, 0, entry.flags, method, 0, 0x5821, *said, len(name), 0) + name + packed
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(entries), len(entries), len(central), len(body), 0)
    return body + central + end


def _or(said: T | None, truth: T) -> T:
    return truth if said is None else said


def raw_zip(
    entries: Sequence[tuple[bytes, bytes, int]], *, central_names: Sequence[bytes] | None = None, said_size: int | None = None
) -> bytes:
    """A zip file of (name, content, offset or -1): an offset other than -1 points the directory elsewhere."""
    names = central_names or [name for name, _, _ in entries]
    return zip_file(
        *(
            ZipEntry(names[index], content, local_name=name, offset=None if elsewhere < 0 else elsewhere, size=said_size)
            for index, (name, content, elsewhere) in enumerate(entries)
        )
    )
