"""Makes bundles for tests, good and hostile, byte by byte where a library would refuse to."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Sequence

APPSPEC = b"version: 0.0\nos: linux\nfiles:\n  - source: app\n    destination: /srv/app\n"


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


def raw_zip(
    entries: Sequence[tuple[bytes, bytes, int]], *, central_names: Sequence[bytes] | None = None, said_size: int | None = None
) -> bytes:
    """A zip file of (name, content, offset or -1) written by hand: an offset other than -1 points the directory elsewhere."""
    body, central = b"", b""
    for index, (name, content, elsewhere) in enumerate(entries):
        squeezed = zlib.compressobj(wbits=-15)
        packed = squeezed.compress(content) + squeezed.flush()
        size = len(content) if said_size is None else said_size
        rest = (0, 8, 0, 0x5821, zlib.crc32(content), len(packed), size)
        offset = len(body) if elsewhere < 0 else elsewhere
        named = name if central_names is None else central_names[index]
        central += struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, *rest, len(named), 0, 0, 0, 0, 0o100644 << 16, offset) + named
        if elsewhere < 0:
            body += struct.pack("<4s2B4HL2L2H", b"PK\3\4", 20, 0, *rest, len(name), 0) + name + packed
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(entries), len(entries), len(central), len(body), 0)
    return body + central + end
