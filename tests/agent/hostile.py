"""A corpus of hostile bundles, each with the reason for which it has to be refused. All are made here, byte by byte."""

import gzip
import tarfile
from collections.abc import Iterator
from functools import partial

from tests.agent import hostile_zips
from tests.agent.archives import APPSPEC, Hostile, ZipEntry, gnu_long, pax, raw_header, tar, tar_entry, tgz, zip_file, zip_of

SPEC = tar_entry("appspec.yml", APPSPEC)
OUT = "leads out of the bundle"
ABSOLUTE = "has an absolute path"


PATHS = {
    "../evil": OUT,
    "..": OUT,
    "./../evil": OUT,
    "a/..": OUT,
    "a/../../evil": OUT,
    "a/./../../evil": OUT,
    "a/b/../../../etc/passwd": OUT,
    "a//../..//evil": OUT,
    "/etc/evil": ABSOLUTE,
    "//etc/evil": ABSOLUTE,
    "/../etc/evil": ABSOLUTE,
    "/": ABSOLUTE,
    "a\nb": "control character",
    "\n": "control character",
    ".": "has no name",
    "././.": "has no name",
    "n" * 300: "a name that is too long",
    "ü" * 200: "a name that is too long",
    "/".join(["n" * 200] * 30): "a name that is too long",
    "d/" * 70 + "f": "lies deeper than 64",
}
TARGETS = {
    "/": "is a symlink to '/'",
    "/etc/passwd": "is a symlink to '/etc/passwd'",
    "//etc": "is a symlink to '//etc'",
    "..": "outside the bundle",
    "../..": "outside the bundle",
    "../../etc/passwd": "outside the bundle",
    "./../../etc": "outside the bundle",
    "x/../../../etc": "outside the bundle",
    "x/y/../../../../etc": "outside the bundle",
    "../" * 200 + "etc": "too long",
    "x/" * 3000: "too long",
    "": "only targets inside",
}
HARD_TARGETS = {
    "../../etc/passwd": OUT,
    "..": OUT,
    "a/../../x": OUT,
    "/etc/passwd": ABSOLUTE,
    "//etc/shadow": ABSOLUTE,
    "nowhere": "is no earlier file",
    "app": "is no earlier file",
    "later": "is no earlier file",
    "link": "is no earlier file",
    "app/../..": OUT,
    "n" * 300: "too long",
}


def corpus() -> Iterator[Hostile]:
    """All of them."""
    yield from _paths()
    yield from _links()
    yield from _kinds()
    yield from _numbers()
    yield from _extended_headers()
    yield from _together()
    yield from _vulnerabilities()
    yield from _cut_off()
    yield from hostile_zips.headers()
    yield from hostile_zips.ends()
    yield from _bombs()


def _tars(name: str, says: str, *entries: bytes) -> Iterator[Hostile]:
    """The same entries in a tar and in a tgz file."""
    yield Hostile(f"tar: {name}", partial(tar, SPEC, *entries), says)
    yield Hostile(f"tgz: {name}", partial(tgz, SPEC, *entries), says)


def _link(name: str, target: str) -> bytes:
    return tar_entry(name, kind=tarfile.SYMTYPE, target=target)


def _hard(name: str, target: str) -> bytes:
    return tar_entry(name, kind=tarfile.LNKTYPE, target=target)


def _shown(text: str) -> str:
    return text if len(text) < 40 else f"{text[:20]}... of {len(text)}"


def _paths() -> Iterator[Hostile]:
    for path, says in PATHS.items():
        shown = _shown(path)
        yield from _tars(f"{shown!r} in a pax header", says, pax([("path", path)]), tar_entry("a", b"x"))
        yield from _tars(f"{shown!r} as a long name of GNU", says, gnu_long(path), tar_entry("a", b"x"))
        if len(path.encode()) < 100:
            yield from _tars(f"{shown!r} in a header", says, tar_entry(path, b"x"))
        if "\n" not in path:
            yield Hostile(f"zip: {shown!r}", partial(zip_of, ("appspec.yml", APPSPEC), (path, b"x")), says)
    for kind, made in (("directory", tarfile.DIRTYPE), ("symlink", tarfile.SYMTYPE), ("hard link", tarfile.LNKTYPE)):
        for path in ("../evil", "a/../../evil", "/etc/evil"):
            yield from _tars(f"a {kind} named {path!r}", PATHS[path], tar_entry(path, kind=made, target="appspec.yml"))
    prefixed = raw_header(raw_header(tar_entry("evil", b"x"), 257, b"ustar\x0000"), 345, b"a/../..")
    yield from _tars("a prefix that climbs out", OUT, prefixed)
    yield from _tars("an absolute prefix", ABSOLUTE, raw_header(raw_header(tar_entry("evil", b"x"), 257, b"ustar\x0000"), 345, b"/etc"))
    yield Hostile("zip: a NUL in a name", lambda: zip_file(ZipEntry(b"a\0b", b"x")), "control character")
    windows = ZipEntry(b"..\\..\\evil", b"x", system=0)
    yield Hostile("zip: a path of Windows that climbs out", lambda: zip_file(windows), OUT)


def _links() -> Iterator[Hostile]:
    for target, says in TARGETS.items():
        shown = _shown(target)
        symlink = tar_entry("l", kind=tarfile.SYMTYPE, target=target if len(target) < 100 else "x")
        if len(target) < 100:
            yield from _tars(f"a symlink to {shown!r}", says, symlink)
        if target:
            yield from _tars(f"a symlink to {shown!r} in a pax header", says, pax([("linkpath", target)]), symlink)
            yield from _tars(f"a symlink to {shown!r} as a long link of GNU", says, gnu_long(target, b"K"), symlink)
        yield Hostile(f"zip: a symlink to {shown!r}", partial(zip_of, ("l", target.encode()), mode=0o120777), says)
    for target, says in HARD_TARGETS.items():
        link = tar_entry("h", kind=tarfile.LNKTYPE, target=target if len(target) < 100 else "x")
        before = (tar_entry("app/", kind=tarfile.DIRTYPE), tar_entry("link", kind=tarfile.SYMTYPE, target="appspec.yml"))
        after = tar_entry("later", b"x")
        if len(target) < 100:
            yield from _tars(f"a hard link to {_shown(target)!r}", says, *before, link, after)
        yield from _tars(f"a hard link to {_shown(target)!r} in a pax header", says, *before, pax([("linkpath", target)]), link, after)
    yield from _tars("a hard link to itself", "is no earlier file", tar_entry("h", kind=tarfile.LNKTYPE, target="./h"))


def _kinds() -> Iterator[Hostile]:
    for kind, says in ((b"3", "character device"), (b"4", "block device"), (b"6", "FIFO"), (b"S", "sparse file")):
        yield from _tars(says, says, tar_entry("a", kind=kind))
    for letter in b"89ABCDEFGHIJMNOPQRTUVWXYZabz":
        made = bytes([letter])
        yield Hostile(f"tar: the unknown type {made!r}", partial(tar, SPEC, tar_entry("a", kind=made)), "is of the unknown type")
    for kind_of_mode in (0o010000, 0o020000, 0o060000, 0o110000, 0o140000, 0o160000, 0o170000):
        made_zip = partial(zip_of, ("a", b""), mode=kind_of_mode | 0o666)
        yield Hostile(f"zip: the type {kind_of_mode:o}", made_zip, "is neither file, directory nor symlink")


def _numbers() -> Iterator[Hostile]:
    entry = tar_entry("a", b"x")
    fields = {
        "negative": b"\xff" * 12,
        "beyond all bounds": b"\x80" + b"\xff" * 11,
        "with a sign": b"-0000000001\0",
        "in words": b"many\0\0\0\0\0\0\0\0",
    }
    for name, field in fields.items():
        says = "a size is too large" if field[0] == 0x80 else "a size is no number"
        yield from _tars(f"a size {name}", says, raw_header(entry, 124, field))
        says = says.replace("size", "time")
        yield from _tars(f"a time {name}", says, raw_header(entry, 136, field))
    yield from _tars("a mode in words", "a mode is no number", raw_header(entry, 100, b"rwxr-xr-"))
    eight_gib, four_eib = b"77777777777\0", b"\x80" + b"\0" * 3 + b"\x40" + b"\0" * 7
    yield Hostile("tar: a size of 8 GiB", lambda: tar(SPEC, raw_header(entry, 124, eight_gib)), "expands to more than")
    yield Hostile("tar: a size of 4 EiB", lambda: tar(SPEC, raw_header(entry, 124, four_eib)), "expands to more than")
    for size in ("-512", "+1", "1.5", "1e9", "0x10", "", "9" * 30, "१"):
        yield from _tars(f"the pax size {size!r}", "a size is no number", pax([("size", size)]), entry)
    for time in ("now", "1e9", "--1", "9" * 30, "nan"):
        yield from _tars(f"the pax time {time!r}", "a time is no number", pax([("mtime", time)]), entry)
    flipped = bytearray(entry)
    flipped[100] ^= 1
    yield from _tars("a wrong checksum", "checksum is wrong", bytes(flipped))


def _extended_headers() -> Iterator[Hostile]:
    entry, extended = tar_entry("a", b"x"), partial(tar_entry, "pax", kind=tarfile.XHDTYPE)
    lengths = (b"99 path=x\n", b"0 path=x\n", b"1 path=x\n", b"-9 path=x\n", b"9path=x\n")
    records = (*lengths, b"path=x\n", b"10 path=xx", b"8 a b c\n", b"9 a\0b=c\n")
    for record in records:
        yield from _tars(f"the pax record {record!r}", "damaged", extended(record), entry)
    for key in ("path", "linkpath", "size", "mtime"):
        value = "1" if key in ("size", "mtime") else "x"
        made = pax([(key, value)], kind=tarfile.XGLTYPE)
        yield from _tars(f"a global {key}", "a global header that renames or resizes", made, entry)
    for key in ("GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.name", "GNU.sparse.realsize"):
        yield from _tars(f"the pax record {key}", "sparse file", pax([(key, "1")]), entry)
    yield from _tars("a pax header that is too long", "at most 65536 are read", extended(b"x" * 70_000))
    yield from _tars("a long name that is too long", "at most 8192 are read", gnu_long("n" * 9000), entry)
    yield from _tars("a pax header for nothing", "belongs to no entry", pax([("path", "x")]))
    yield from _tars("a long name for nothing", "belongs to no entry", gnu_long("x" * 120))
    yield from _tars("the last of two pax paths climbs out", OUT, pax([("path", "b")]), pax([("path", "../evil")]), entry)
    yield from _tars("two paths in one pax header", OUT, pax([("path", "b"), ("path", "../evil")]), entry)
    yield from _tars("a pax path over a long name", OUT, gnu_long("b"), pax([("path", "../evil")]), entry)
    smuggled = tar_entry("hidden", tar_entry("../evil", b"x"))
    yield from _tars("an entry behind a size that lies", "the file ends too early", pax([("size", "99999")]), smuggled)


def _together() -> Iterator[Hostile]:
    below, twice, outside, circles = "which is a symlink", "is there twice", "outside the bundle", "leads in circles"
    directory = partial(tar_entry, kind=tarfile.DIRTYPE)
    yield from _tars("a file below a symlink", below, _link("a", "b"), tar_entry("a/x", b"x"))
    yield from _tars("a file below a later symlink", below, tar_entry("a/x", b"x"), _link("a", "b"))
    yield from _tars("a directory below a symlink", below, _link("a", "b"), directory("a/x/"))
    yield from _tars("a hard link below a symlink", below, _link("a", "b"), _hard("a/x", "appspec.yml"))
    yield from _tars("a file below a file", "which is a file", tar_entry("a", b"x"), tar_entry("a/b", b"x"))
    yield from _tars("a file below a hard link", "which is a hard link", _hard("a", "appspec.yml"), tar_entry("a/b", b"x"))
    for name, one, other in (
        ("a file and a file", tar_entry("a", b"x"), tar_entry("./a", b"y")),
        ("a file and a directory", tar_entry("a", b"x"), directory("a/")),
        ("a symlink and a directory", _link("a", "b"), directory("a/")),
        ("a directory and a symlink", directory("a/"), _link("a", "b")),
        ("a symlink and a file", _link("a", "b"), tar_entry("a//", b"")),
        ("a symlink and a symlink", _link("a", "b"), _link("a", "c")),
        ("a file and a hard link", tar_entry("a", b"x"), _hard("a", "appspec.yml")),
    ):
        yield from _tars(f"{name} of one name", twice, one, other)
    yield from _tars("a loop of symlinks", circles, _link("a", "b"), _link("b", "a"))
    yield from _tars("a symlink to itself", circles, _link("a", "a"))
    yield from _tars("a symlink below itself", circles, _link("a", "a/b"))
    yield from _tars("a long loop", circles, *(_link(f"l{number}", f"l{(number + 1) % 45}") for number in range(45)))
    yield from _tars("out through another symlink", outside, _link("d", "."), _link("e/x", "../d/../.."))
    yield from _tars("out through a symlink to above", outside, _link("a/b/c", "../.."), _link("x", "a/b/c/.."))
    yield from _tars("out through a later symlink", outside, _link("x", "a/b/c/.."), _link("a/b/c", "../.."))


def _vulnerabilities() -> Iterator[Hostile]:
    """The shapes of what was wrong with tarfile, in 2025 and before."""
    directory = partial(tar_entry, kind=tarfile.DIRTYPE)
    outside = "outside the bundle"
    long, chain = "d" * 100, []
    for depth, step in enumerate("abcdefghijklmnop"):
        at = "/".join([long] * depth)
        chain += [directory(f"{at}/{long}/".lstrip("/")), _link(f"{at}/{step}".lstrip("/"), long)]
    through = "/".join("abcdefghijklmnop")
    up = gnu_long(f"{through}/../" + "../" * 40, b"K")
    yield from _tars("2025-4517: out where realpath gives up", outside, *chain, up, _link("escape", "x"))
    yield from _tars("2025-4330: a hard link to a symlink that leads out", "is no earlier file", _link("s", "appspec.yml"), _hard("h", "s"))
    yield from _tars("2025-4138: a target that only looks inside", outside, _link("a/b", "c/../../../x"))
    yield from _tars("2024-12718: the mode of the directory above", OUT, directory("../", mode=0o777))
    yield from _tars("2025-8194: a size that goes back", "a size is no number", raw_header(tar_entry("a"), 124, b"\xff" * 10 + b"\xfe\0"))
    yield from _tars("2007-4559: the oldest one", OUT, tar_entry("../" * 20 + "tmp/evil", b"x"))


def _cut_off() -> Iterator[Hostile]:
    content = bytes(range(256)) * 12
    whole = {"tar": tar(tar_entry("a", content))[:-1024], "tgz": tgz(SPEC, tar_entry("a", content)), "zip": zip_of(("a", content))}
    for form, bundle in whole.items():
        for part in range(1, 16):
            cut = len(bundle) * part // 16
            says = {"tar": "ends too early" if cut >= 512 else "neither tar", "tgz": "ends too early", "zip": "has no end"}[form]
            yield Hostile(f"{form}: cut off after {cut} bytes", partial(bytes, bundle[:cut]), says)
    for name, content, says in (
        ("nothing", b"", "neither tar"),
        ("words", b"words " * 200, "it is no tar file"),
        ("one block", b"\1" * 512, "it is no tar file"),
        ("the start of gzip", b"\x1f\x8b" + b"x" * 600, "damaged"),
        ("the start of zip", b"PK\3\4" + b"x" * 600, "has no end"),
    ):
        yield Hostile(f"no bundle: {name}", partial(bytes, content), says)
    yield Hostile("tgz: a wrong checksum of the whole", lambda: tgz(SPEC)[:-8] + b"\0" * 8, "damaged")
    yield Hostile("tgz: garbage behind the end", lambda: tgz(SPEC) + b"garbage" * 50, "damaged")


def _bombs() -> Iterator[Hostile]:
    expands, entries = "expands to more than", "more than 50 entries"
    zeros = b"\0" * 20_000_000
    yield Hostile("tgz: a bomb", lambda: tgz(tar_entry("a", zeros)), expands)
    yield Hostile("tgz: a bomb of the strongest compression", lambda: gzip.compress(tar(tar_entry("a", zeros)), 9), expands)
    yield Hostile("tgz: a bomb behind the end", lambda: tgz(SPEC) + gzip.compress(b"\1" * 20_000_000, 9), expands)
    yield Hostile("tgz: a bomb of many gzip members", lambda: tgz(SPEC) + gzip.compress(b"\1" * 100_000, 9) * 200, expands)
    yield Hostile("tgz: a bomb in a name", lambda: tgz(tar_entry("L", zeros, kind=b"L")), "at most 8192")
    yield Hostile("tgz: a bomb in a pax header", lambda: tgz(tar_entry("x", zeros, kind=b"x")), "at most 65536")
    yield Hostile("tgz: many files", lambda: tgz(*(tar_entry(f"f{number}") for number in range(5000))), entries)
    yield Hostile("tar: many directories", lambda: tar(*(tar_entry(f"f{number}/", kind=b"5") for number in range(5000))), entries)
    yield Hostile("tar: many symlinks", lambda: tar(*(tar_entry(f"f{n}", kind=b"2", target="x") for n in range(5000))), entries)
    yield Hostile("zip: a bomb", lambda: zip_of(("a", zeros)), expands)
    yield Hostile("zip: a bomb of many", lambda: zip_of(*((f"a{number}", b"\0" * 900_000) for number in range(20))), expands)
    yield Hostile("zip: many files", lambda: zip_of(*((f"f{number}", b"") for number in range(5000))), entries)
    kernel = ZipEntry(b"a", b"\0" * 1_000_000)
    again = ZipEntry(b"a", kernel.content, offset=0)
    yield Hostile("zip: many that share one bomb", lambda: zip_file(kernel, *[again] * 40), "overlaps another entry")
    bomb = ZipEntry(b"a", b"\0" * 20_000_000, size=100, local_size=100)
    yield Hostile("zip: a bomb that says it is small", lambda: zip_file(bomb), "holds more than")
    yield Hostile("zip: a symlink that is a bomb", lambda: zip_of(("a", b"\0" * 5_000_000), mode=0o120777), "too long")
