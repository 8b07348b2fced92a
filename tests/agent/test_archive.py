"""Bundles are unpacked as they are meant, and a hostile one is refused before a single byte of it is written."""

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.bundle.archives.archive import Limits
from agent.bundle.archives.unpack import unpack
from agent.payload import PayloadError, PayloadErrorCode
from tests.agent.archives import APPSPEC, pax, raw_header, raw_zip, tar, tar_entry, tgz, zip_of

SMALL = Limits(packed_bytes=10**6, unpacked_bytes=10**7, free_ratio_bytes=10**5, members=50, reserve_bytes=0)
SPEC = tar_entry("appspec.yml", APPSPEC)


def unpacked(tmp_path: Path, bundle: bytes, limits: Limits = SMALL) -> Path:
    (tmp_path / "bundle.tar").write_bytes(bundle)
    unpack(tmp_path / "bundle.tar", tmp_path / "out", limits)
    return tmp_path / "out"


def refused(tmp_path: Path, bundle: bytes, limits: Limits = SMALL) -> PayloadError:
    """The refusal, after which nothing but the bundle is there."""
    with pytest.raises(PayloadError) as caught:
        unpacked(tmp_path, bundle, limits)
    assert [path.name for path in tmp_path.rglob("*")] in (["bundle.tar"], ["bundle.tar", "out"], ["out", "bundle.tar"])
    return caught.value


def names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


@pytest.mark.parametrize("make", [tar, tgz])
def test_a_tar_file_is_unpacked_with_modes_times_and_symlinks(tmp_path: Path, make: Callable[..., bytes]) -> None:
    long = "a/" * 30 + "n" * 180
    bundle = make(
        SPEC,
        tar_entry("empty/", kind=tarfile.DIRTYPE),
        tar_entry("./app/run.sh", b"#!/bin/sh\n", mode=0o755),
        tar_entry("app/current", kind=tarfile.SYMTYPE, target="run.sh"),
        tar_entry("app/dangling", kind=tarfile.SYMTYPE, target="../nothing"),
        tar_entry("app/twin", kind=tarfile.LNKTYPE, target="./app/run.sh"),
        tar_entry(long, b"deep"),
    )
    out = unpacked(tmp_path, bundle)
    assert (out / "empty").is_dir()
    assert (out / "app/run.sh").read_bytes() == (out / "app/twin").read_bytes() == b"#!/bin/sh\n"
    assert stat.S_IMODE((out / "app/run.sh").stat().st_mode) == 0o755
    assert (out / "app/run.sh").stat().st_mtime == 1_700_000_000
    assert os.readlink(out / "app/current") == "run.sh"
    assert os.readlink(out / "app/dangling") == "../nothing"
    assert (out / long).read_bytes() == b"deep"


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_what_the_standard_library_writes_is_read(tmp_path: Path, form: int) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz", format=form) as file:
        for name in ("appspec.yml", "d/" + "x" * 90 + "/" + "y" * 60, "d/ü.txt"):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = 5, 12
            file.addfile(info, io.BytesIO(b"12345"))
    out = unpacked(tmp_path, whole.getvalue())
    assert (out / "d/ü.txt").read_bytes() == b"12345"
    assert (out / ("d/" + "x" * 90 + "/" + "y" * 60)).exists()


def test_a_zip_file_is_unpacked_with_modes_and_symlinks(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("appspec.yml", APPSPEC)
        file.writestr("empty/", b"")
        info = zipfile.ZipInfo("app/run.sh")
        info.external_attr = 0o100755 << 16
        file.writestr(info, b"#!/bin/sh\n" * 1000)
        link = zipfile.ZipInfo("app/current")
        link.external_attr = 0o120777 << 16
        file.writestr(link, b"run.sh")
        with file.open("big.bin", "w", force_zip64=True) as big:
            big.write(b"z" * 300_000)
    out = unpacked(tmp_path, whole.getvalue(), Limits(reserve_bytes=0))
    assert (out / "app/run.sh").read_bytes() == b"#!/bin/sh\n" * 1000
    assert stat.S_IMODE((out / "app/run.sh").stat().st_mode) == 0o755
    assert os.readlink(out / "app/current") == "run.sh"
    assert (out / "empty").is_dir()
    assert (out / "big.bin").stat().st_size == 300_000


def test_a_single_directory_with_an_appspec_becomes_the_root(tmp_path: Path) -> None:
    comment = pax([("comment", "0" * 40)], kind=tarfile.XGLTYPE)
    bundle = tgz(
        comment, tar_entry("repo-1/", kind=tarfile.DIRTYPE), tar_entry("repo-1/AppSpec.yml", APPSPEC), tar_entry("repo-1/a/b", b"x")
    )
    assert names(unpacked(tmp_path, bundle)) == ["AppSpec.yml", "a", "a/b"]


@pytest.mark.parametrize("other", ["repo-1/readme", "second/x"])
def test_any_other_single_directory_stays_as_it_is(tmp_path: Path, other: str) -> None:
    entries = [tar_entry("repo-1/a/appspec.yml", APPSPEC), tar_entry(other, b"x")]
    assert "repo-1/a/appspec.yml" in names(unpacked(tmp_path, tar(*entries)))


def test_what_a_bundle_must_not_set_is_taken_away_from_modes(tmp_path: Path) -> None:
    out = unpacked(tmp_path, tar(SPEC, tar_entry("su", b"x", mode=0o6777), tar_entry("d/", kind=tarfile.DIRTYPE, mode=0o1777)))
    assert stat.S_IMODE((out / "su").stat().st_mode) == 0o755
    assert stat.S_IMODE((out / "d").stat().st_mode) == 0o755


def test_a_directory_of_the_host_is_copied_under_the_same_rules(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a").mkdir(parents=True)
    (source / "a/b").write_bytes(b"x")
    (source / "link").symlink_to("a/b")
    unpack(source, tmp_path / "out", SMALL)
    assert names(tmp_path / "out") == ["a", "a/b", "link"]
    os.mkfifo(source / "pipe")
    with pytest.raises(PayloadError, match="'pipe' is neither file, directory nor symlink"):
        unpack(source, tmp_path / "out", SMALL)


def link(name: str, target: str) -> bytes:
    return tar_entry(name, kind=tarfile.SYMTYPE, target=target)


def hard(name: str, target: str) -> bytes:
    return tar_entry(name, kind=tarfile.LNKTYPE, target=target)


HOSTILE_TARS: dict[str, tuple[list[bytes], str]] = {
    "a path that climbs out": ([tar_entry("../evil", b"x")], "leads out of the bundle"),
    "a path that climbs out in the middle": ([tar_entry("a/../../evil", b"x")], "leads out of the bundle"),
    "a path that ends in dots": ([tar_entry("a/..", kind=tarfile.DIRTYPE)], "leads out of the bundle"),
    "an absolute path": ([tar_entry("/etc/evil", b"x")], "has an absolute path"),
    "an absolute path behind slashes": ([tar_entry("//etc/evil", b"x")], "has an absolute path"),
    "an absolute pax path": ([pax([("path", "/etc/evil")]), tar_entry("a", b"x")], "has an absolute path"),
    "a pax path that climbs out": ([pax([("path", "a/../../evil")]), tar_entry("a", b"x")], "leads out of the bundle"),
    "a long GNU name that climbs out": ([tar_entry("x/" * 60 + "../" * 80 + "evil", b"x")], "leads out of the bundle"),
    "an empty name": ([tar_entry(".", b"x")], "has no name"),
    "a line end in a name": ([tar_entry("a\nb", b"x")], "control character"),
    "a name that is too long": ([pax([("path", "n" * 300)]), tar_entry("a", b"x")], "a name that is too long"),
    "a path that is too long": ([pax([("path", "/".join(["n" * 200] * 30))]), tar_entry("a", b"x")], "a name that is too long"),
    "a path that is too deep": ([pax([("path", "d/" * 70 + "f")]), tar_entry("a", b"x")], "lies deeper than 64"),
    "a symlink to an absolute path": ([link("a", "/etc")], "is a symlink to '/etc'"),
    "a symlink that climbs out": ([link("a/b", "../../etc")], "outside the bundle"),
    "a symlink through another that climbs out": (
        [
            link("d", "."),
            link("e/x", "../d/../.."),
        ],
        "outside the bundle",
    ),
    "a symlink chain that climbs out": (
        [
            link("a/b/c", "../.."),
            link("x", "a/b/c/.."),
        ],
        "outside the bundle",
    ),
    "a symlink loop": ([link("a", "b"), link("b", "a")], "leads in circles"),
    "a symlink to itself": ([link("a", "a")], "leads in circles"),
    "a symlink to nothing": ([link("a", "")], "only targets inside"),
    "a symlink with an endless target": ([pax([("linkpath", "d/" * 3000)]), link("a", "x")], "too long"),
    "a file below a symlink": ([link("a", "b"), tar_entry("a/x", b"x")], "lies below 'a', which is a symlink"),
    "a file below a later symlink": ([tar_entry("a/x", b"x"), link("a", "b")], "lies below 'a', which is a symlink"),
    "a file below a file": ([tar_entry("a", b"x"), tar_entry("a/b", b"x")], "lies below 'a', which is a file"),
    "a symlink swapped for a directory": ([link("a", "b"), tar_entry("a/", kind=tarfile.DIRTYPE)], "is there twice"),
    "a file that is there twice": ([tar_entry("a", b"x"), tar_entry("./a", b"y")], "is there twice"),
    "a hard link out of the bundle": ([hard("a", "../../etc/passwd")], "leads out of the bundle"),
    "a hard link to an absolute path": ([hard("a", "/etc/passwd")], "has an absolute path"),
    "a hard link to a symlink": ([link("b", "c"), hard("a", "b")], "is no earlier file"),
    "a hard link to what comes later": ([hard("a", "b"), tar_entry("b", b"x")], "is no earlier file"),
    "a hard link to itself": ([hard("a", "a")], "is no earlier file"),
    "a hard link to a directory": ([tar_entry("d/", kind=tarfile.DIRTYPE), hard("a", "d")], "is no earlier file"),
    "a character device": ([tar_entry("a", kind=tarfile.CHRTYPE)], "is a character device"),
    "a block device": ([tar_entry("a", kind=tarfile.BLKTYPE)], "is a block device"),
    "a FIFO": ([tar_entry("a", kind=tarfile.FIFOTYPE)], "is a FIFO"),
    "a sparse file": ([tar_entry("a", kind=tarfile.GNUTYPE_SPARSE)], "is a sparse file"),
    "a pax sparse file": ([pax([("GNU.sparse.major", "1")]), tar_entry("a", b"x")], "sparse file"),
    "an unknown type": ([tar_entry("a", kind=b"V")], "is of the unknown type"),
    "a global header that renames": ([pax([("path", "x")], kind=tarfile.XGLTYPE), tar_entry("a", b"x")], "a global header"),
    "a negative size": ([raw_header(tar_entry("a"), 124, b"\xff" * 12)], "a size is no number"),
    "a size beyond all bounds": ([raw_header(tar_entry("a"), 124, b"\x80" + b"\xff" * 11)], "a size is too large"),
    "a size of 8 GiB": ([raw_header(tar_entry("a"), 124, b"77777777777\0")], ""),
    "a size that is no number": ([raw_header(tar_entry("a"), 124, b"-0000000001\0")], "a size is no number"),
    "a pax size that is negative": ([pax([("size", "-512")]), tar_entry("a", b"x")], "a size is no number"),
    "a pax size with a sign": ([pax([("size", "+1")]), tar_entry("a", b"x")], "a size is no number"),
    "a pax record with a wrong length": ([tar_entry("pax", b"99 path=x\n", kind=tarfile.XHDTYPE), tar_entry("a", b"x")], "damaged"),
    "a pax record of length zero": ([tar_entry("pax", b"0 path=x\n", kind=tarfile.XHDTYPE), tar_entry("a", b"x")], "damaged"),
    "a pax header that is too long": ([tar_entry("pax", b"x" * 70_000, kind=tarfile.XHDTYPE)], "at most 65536"),
    "a long name for nothing": ([pax([("path", "x")])], "belongs to no entry"),
    "a wrong checksum": ([tar_entry("a")[:100] + b"\1" + tar_entry("a")[101:]], "checksum is wrong"),
    "more entries than allowed": ([tar_entry(f"f{number}") for number in range(60)], "more than 50 entries"),
    "more bytes than allowed": ([tar_entry("a", b"x" * 150_000)], "expands to more than"),
}


@pytest.mark.parametrize("packed", ["tar", "tgz"])
@pytest.mark.parametrize("name", HOSTILE_TARS)
def test_a_hostile_tar_file_is_refused_before_anything_is_written(tmp_path: Path, name: str, packed: str) -> None:
    entries, says = HOSTILE_TARS[name]
    make = tgz if packed == "tgz" else tar
    limits = SMALL if "bytes" not in name or packed == "tgz" else Limits(unpacked_bytes=10**5, reserve_bytes=0)
    assert says in refused(tmp_path, make(SPEC, *entries), limits).message


@pytest.mark.parametrize("cut", [1, 300, 511, 512, 700, 1100])
@pytest.mark.parametrize("packed", ["tar", "tgz", "zip"])
def test_a_bundle_that_was_cut_off_is_refused(tmp_path: Path, cut: int, packed: str) -> None:
    content = os.urandom(3000)
    bundle = {"tar": tar(tar_entry("a", content))[:-1024], "tgz": tgz(tar_entry("a", content)), "zip": zip_of(("a", content))}[packed]
    assert refused(tmp_path, bundle[:-cut]).code is PayloadErrorCode.BROKEN_BUNDLE


@pytest.mark.parametrize("bundle", [b"", b"x", b"words " * 200, b"\x1f\x8b" + b"x" * 600, b"PK\3\4" + b"x" * 600, b"PK\5\6"])
def test_what_is_no_bundle_at_all_is_refused(tmp_path: Path, bundle: bytes) -> None:
    assert refused(tmp_path, bundle).code is PayloadErrorCode.BROKEN_BUNDLE


HOSTILE_ZIPS: dict[str, tuple[bytes, str]] = {
    "a path that climbs out": (zip_of(("../evil", b"x")), "leads out of the bundle"),
    "an absolute path": (zip_of(("/etc/evil", b"x")), "has an absolute path"),
    "a symlink out of the bundle": (zip_of(("a", b"../../etc"), mode=0o120777), "outside the bundle"),
    "a symlink to an absolute path": (zip_of(("a", b"/etc"), mode=0o120777), "is a symlink to '/etc'"),
    "a symlink with an endless target": (zip_of(("a", b"x" * 5000), mode=0o120777), "too long"),
    "a device": (zip_of(("a", b""), mode=0o020666), "is neither file, directory nor symlink"),
    "a FIFO": (zip_of(("a", b""), mode=0o010666), "is neither file, directory nor symlink"),
    "a name that is there twice": (raw_zip([(b"a", b"x", -1), (b"a", b"y", -1)]), "is there twice"),
    "entries that share their content": (raw_zip([(b"a", b"x" * 1000, -1), (b"a", b"x" * 1000, 0)]), "overlaps another entry"),
    "another name in the directory": (raw_zip([(b"a", b"x", -1)], central_names=[b"b"]), "is described otherwise"),
    "less said than there is": (raw_zip([(b"a", b"x" * 5000, -1)], said_size=10), "holds more than"),
    "more said than there is": (raw_zip([(b"a", b"x" * 50, -1)], said_size=1000), "is damaged"),
    "an offset outside the file": (raw_zip([(b"a", b"x", -1), (b"b", b"x", 99_999)]), "is not where the directory says"),
    "a bomb": (zip_of(("a", b"\0" * 2_000_000)), "expands to more than"),
    "a bomb of many": (zip_of(*((f"a{number}", b"\0" * 90_000) for number in range(20))), "expands to more than"),
    "more entries than allowed": (zip_of(*((f"a{number}", b"") for number in range(60))), "more than 50 entries"),
    "bytes before the first entry": (b"#!/bin/sh\n" + zip_of(("a", b"x")), "neither tar, tgz nor zip"),
}


@pytest.mark.parametrize("name", HOSTILE_ZIPS)
def test_a_hostile_zip_file_is_refused(tmp_path: Path, name: str) -> None:
    bundle, says = HOSTILE_ZIPS[name]
    found = refused_or_unfinished(tmp_path, bundle)
    assert says in found


def refused_or_unfinished(tmp_path: Path, bundle: bytes) -> str:
    """The refusal; a zip file may lie about sizes that only show while it is inflated, and still nothing lands outside."""
    with pytest.raises(PayloadError) as caught:
        unpacked(tmp_path, bundle)
    assert {path.name for path in tmp_path.iterdir()} <= {"bundle.tar", "out"}
    return caught.value.message


def test_an_encrypted_zip_entry_is_refused(tmp_path: Path) -> None:
    bundle = bytearray(zip_of(("a", b"x")))
    bundle[6] |= 1
    bundle[bundle.index(b"PK\1\2") + 8] |= 1
    assert "is encrypted" in refused(tmp_path, bytes(bundle)).message


def test_a_flipped_bit_in_a_zip_entry_is_found(tmp_path: Path) -> None:
    bundle = bytearray(raw_zip([(b"a", os.urandom(500), -1)]))
    bundle[100] ^= 1
    assert "damaged" in refused_or_unfinished(tmp_path, bytes(bundle))


def test_backslashes_of_a_zip_file_from_windows_are_separators(tmp_path: Path) -> None:
    bundle = bytearray(raw_zip([(b"appspec.yml", b"x", -1), (b"app\\a.txt", b"y", -1)]))
    at = bundle.index(b"PK\1\2")
    while at >= 0:
        bundle[at + 5] = 0
        at = bundle.find(b"PK\1\2", at + 4)
    assert names(unpacked(tmp_path, bytes(bundle))) == ["app", "app/a.txt", "appspec.yml"]


def test_a_gzip_bomb_is_refused_without_being_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(tar(tar_entry("a", b"\0" * 40_000_000)), compresslevel=9)
    found = refused(tmp_path, bomb, Limits(free_ratio_bytes=10**6, reserve_bytes=0))
    assert found.code is PayloadErrorCode.TOO_LARGE


def test_a_gzip_bomb_behind_the_end_of_the_tar_file_is_refused(tmp_path: Path) -> None:
    bomb = tgz(SPEC) + gzip.compress(b"\1" * 20_000_000, compresslevel=9)
    assert refused(tmp_path, bomb, Limits(free_ratio_bytes=10**6, reserve_bytes=0)).code is PayloadErrorCode.TOO_LARGE


def test_a_bundle_that_does_not_fit_on_the_disk_is_refused_with_path_and_bytes(tmp_path: Path) -> None:
    found = refused(tmp_path, tar(SPEC), Limits(reserve_bytes=2**60))
    assert found.code is PayloadErrorCode.DISK_FULL
    assert str(tmp_path / "out") in found.message
    assert "it needs 4096 bytes" in found.message


WHOLE = tgz(SPEC, tar_entry("app/a", b"some words " * 40), link("app/l", "a"), hard("app/h", "app/a"))
PLAIN = tar(SPEC, tar_entry("app/a", b"some words " * 40), link("app/l", "a"), pax([("path", "app/p")]), tar_entry("q", b"x"))
ZIPPED = raw_zip([(b"appspec.yml", APPSPEC, -1), (b"app/a", b"some words " * 40, -1)])


@given(
    st.sampled_from([WHOLE, PLAIN, ZIPPED]),
    st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=12)), min_size=1, max_size=6),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damaged_bundle_writes_outside_or_crashes(
    tmp_path_factory: pytest.TempPathFactory, bundle: bytes, edits: list[tuple[int, bytes]]
) -> None:
    tmp_path = tmp_path_factory.mktemp("damaged")
    content = bytearray(bundle)
    for at, piece in edits:
        at %= len(content)
        content[at : at + len(piece)] = piece
    try:
        unpacked(tmp_path, bytes(content))
    except PayloadError as error:
        message = error.message
        assert message.startswith("cannot unpack the bundle")
    except OSError as error:
        assert error.filename.startswith(str(tmp_path / "out"))  # noqa: PT017 - a name that no file system takes
    assert {path.name for path in tmp_path.iterdir()} <= {"bundle.tar", "out"}
