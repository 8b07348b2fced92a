"""Zip files that lie: an entry otherwise than its directory, the directory otherwise than the end. A part of the corpus."""

import struct
from collections.abc import Iterator
from functools import partial

from tests.agent.archives import APPSPEC, Hostile, ZipEntry, zip_file, zip_of


def headers() -> Iterator[Hostile]:
    """What is said of entries."""
    one = ZipEntry(b"a", b"some content " * 10)
    otherwise = "is described otherwise"
    for field, value in {"local_name": b"b", "local_method": 0, "local_crc": 5, "local_size": 5, "local_packed": 5}.items():
        entry = ZipEntry(b"a", b"some content " * 10, **{field: value})  # type: ignore[arg-type]  # one field at a time
        yield Hostile(f"zip: another {field} in the entry", partial(zip_file, entry), otherwise)
    yield Hostile("zip: encrypted", lambda: zip_file(ZipEntry(b"a", b"x", flags=1)), "is encrypted")
    for method in (1, 2, 5, 6, 7, 9, 10, 12, 14, 18, 19, 20, 93, 94, 95, 96, 97, 98, 99):
        made = partial(zip_file, ZipEntry(b"a", b"x", method=method))
        yield Hostile(f"zip: method {method}", made, f"is compressed by method {method}")
    sizes = {"less": (10, "holds more than"), "more": (1000, "is damaged"), "nothing": (0, "holds more than")}
    for name, (size, says) in sizes.items():
        yield Hostile(f"zip: a size that says {name}", partial(zip_file, ZipEntry(b"a", b"some content " * 10, size=size)), says)
    yield Hostile("zip: a wrong checksum", lambda: zip_file(ZipEntry(b"a", b"x" * 50, crc=7)), "is damaged")
    for at, says in ((99_999, "is not where"), (2**32 - 2, "is not where"), (7, "is not where")):
        yield Hostile(f"zip: an entry at {at}", partial(zip_file, one, ZipEntry(b"b", b"x", offset=at)), says)
    overlaps = "overlaps another entry"
    inside = ZipEntry(b"a", b"", method=0, stored=zip_file(ZipEntry(b"b", b"some content"))[:-22])
    yield Hostile("zip: entries that share their content", lambda: zip_file(one, ZipEntry(b"a", one.content, offset=0)), overlaps)
    yield Hostile("zip: an entry inside another", lambda: zip_file(inside, ZipEntry(b"b", b"some content", offset=31)), overlaps)
    yield Hostile("zip: packed beyond the end", lambda: zip_file(ZipEntry(b"a", b"x", packed=5000, local_packed=5000)), overlaps)
    for kind, size in (("too short", 4), ("empty", 0)):
        extra = struct.pack("<2H", 1, size) + b"\xff" * size
        made = partial(zip_file, ZipEntry(b"a", b"x", offset=0xFFFFFFFF, extra=extra))
        yield Hostile(f"zip: a 64-bit field that is {kind}", made, "is not where")
    for wide in (2**63, 2**64 - 1, 2**40):
        extra = struct.pack("<2HQ", 1, 8, wide)
        far = ZipEntry(b"a", b"x", offset=0xFFFFFFFF, extra=extra)
        yield Hostile(f"zip: the 64-bit offset {wide}", partial(zip_file, far), "is not where")
        huge = ZipEntry(b"a", b"x", size=0xFFFFFFFF, extra=extra)
        yield Hostile(f"zip: the 64-bit size {wide}", partial(zip_file, huge), "expands to more than")
    yield Hostile("zip: on another disk", lambda: zip_file(ZipEntry(b"a", b"x", disk=1)), "a part of a divided zip file")
    yield Hostile("zip: a name twice", lambda: zip_file(one, one), "is there twice")
    yield Hostile("zip: a file below a file", lambda: zip_file(one, ZipEntry(b"a/b", b"x")), "which is a file")
    through = (ZipEntry(b"a", b"/etc", mode=0o120777), ZipEntry(b"a/passwd", b"x"))
    yield Hostile("zip: a file through a symlink", lambda: zip_file(*through), "which is a symlink")


def ends() -> Iterator[Hostile]:
    """What is said at the end of the file."""
    whole = zip_of(("appspec.yml", APPSPEC), ("a", b"x"))
    at = len(whole) - 22
    fields = {
        "signature": (0, b"PK\5\7", "has no end"),
        "disk": (4, b"\1\0", "the end of the zip file is damaged"),
        "first disk": (6, b"\1\0", "the end of the zip file is damaged"),
        "entries here": (8, b"\x09\0", "the end of the zip file is damaged"),
        "directory size": (12, b"\1\0\0\0", "is not where its end says"),
        "huge directory": (12, b"\xfe\xff\xff\x7f", "entries"),
        "directory place": (16, b"\0\0\0\0", "is not where its end says"),
        "place beyond": (16, b"\xfe\xff\xff\x7f", "is not where its end says"),
        "comment": (20, b"\x09\0", "the end of the zip file is damaged"),
        "64 bits, but none": (16, b"\xff\xff\xff\xff", "the end of the zip file is damaged"),
    }
    for name, (place, value, says) in fields.items():
        made = whole[: at + place] + value + whole[at + place + len(value) :]
        yield Hostile(f"zip: its end lies about: {name}", partial(bytes, made), says)
    central = whole.index(b"PK\1\2")
    for place, value in ((0, b"PK\1\3"), (28, b"\xff\xff"), (30, b"\xff\xff"), (32, b"\xff\xff")):
        made = whole[: central + place] + value + whole[central + place + len(value) :]
        yield Hostile(f"zip: its directory lies at {place}", partial(bytes, made), "the directory of the zip file is damaged")
    yield Hostile("zip: bytes before the first entry", lambda: b"#!/bin/sh\n" + whole, "neither tar, tgz nor zip")
    yield Hostile("zip: bytes before the directory", lambda: whole[:central] + b"smuggled" + whole[central:], "is not where its end says")
    for count, place in ((2, 2**63), (2, 2**64 - 1), (2**60, 0), (0, 0)):
        end_64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, 46, place)
        locator = struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
        made = whole[:at] + end_64 + locator + whole[at : at + 16] + b"\xff\xff\xff\xff" + whole[at + 20 :]
        says = "more than 50 entries" if count > 2 else "is not where its end says"
        yield Hostile(f"zip: a 64-bit end with {count} entries at {place}", partial(bytes, made), says)
        made = made.replace(locator, struct.pack("<4sLQL", b"PK\6\7", 0, 2**64 - 1, 1))
        says = "the end of the zip file is damaged"
        yield Hostile(f"zip: a 64-bit end elsewhere, {count} entries at {place}", partial(bytes, made), says)
