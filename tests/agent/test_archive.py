"""Bundles are unpacked as they are meant, and damaged ones are refused. The hostile ones: test_hostile_bundles.py."""

import io
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.bundle.archives.archive import Limits
from agent.bundle.archives.tar import TarReader
from agent.bundle.archives.unpack import unpack
from agent.model import BundleType
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


def test_a_header_is_read_whatever_its_bytes_add_up_to(tmp_path: Path) -> None:
    full = tar_entry("z" * 99)
    for at, length in ((157, 100), (265, 64), (329, 16), (500, 12)):
        full = raw_header(full, at, b"\xff" * length)
    entries = [raw_header(full, 345, b"z" * 11 + bytes([last])) for last in range(1, 128)]
    sums = [int(entry[148:154], 8) for entry in entries]
    assert sums[0] < 2**16 - 16 < sums[-1]  # where the sum that is compared begins anew
    (tmp_path / "bundle.tar").write_bytes(tar(*entries))
    reader = TarReader(tmp_path / "bundle.tar", SMALL, compressed=False)
    assert len(list(reader.members())) == len(entries)


def test_a_header_of_an_old_program_that_added_signed_bytes_is_read(tmp_path: Path) -> None:
    entry = raw_header(tar_entry("z" * 99), 265, b"\xff" * 20)
    signed = sum(struct.unpack("512b", entry[:148] + b" " * 8 + entry[156:]))
    (tmp_path / "bundle.tar").write_bytes(tar(entry[:148] + f"{signed:06o}\0 ".encode() + entry[156:]))
    reader = TarReader(tmp_path / "bundle.tar", SMALL, compressed=False)
    assert [member.name for member, _ in reader.members()] == ["z" * 99]


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


@pytest.mark.parametrize("said", [BundleType.GUESSED, BundleType.TAR, BundleType.TGZ])
def test_a_bundle_is_read_as_what_it_is_when_that_was_said_of_it(tmp_path: Path, said: BundleType) -> None:
    (tmp_path / "bundle.tar").write_bytes(tgz(SPEC))
    unpack(tmp_path / "bundle.tar", tmp_path / "out", SMALL, said)
    assert names(tmp_path / "out") == ["appspec.yml"]


@pytest.mark.parametrize("bundle, said", [(tar(SPEC), BundleType.TGZ), (tar(SPEC), BundleType.ZIP), (zip_of(("a", b"x")), BundleType.TAR)])
def test_a_bundle_of_another_type_than_was_said_is_refused(tmp_path: Path, bundle: bytes, said: BundleType) -> None:
    (tmp_path / "bundle.tar").write_bytes(bundle)
    with pytest.raises(PayloadError, match=f"the revision says that it is a {said}, and it is a (tar|zip); register it"):
        unpack(tmp_path / "bundle.tar", tmp_path / "out", SMALL, said)


def test_a_directory_is_no_archive_and_an_archive_no_directory(tmp_path: Path) -> None:
    (tmp_path / "bundle.tar").write_bytes(tar(SPEC))
    with pytest.raises(PayloadError, match="it is a directory, and it is a tar"):
        unpack(tmp_path / "bundle.tar", tmp_path / "out", SMALL, BundleType.DIRECTORY)
    with pytest.raises(PayloadError, match="it is a zip, and it is a directory"):
        unpack(tmp_path, tmp_path / "out", SMALL, BundleType.ZIP)


@pytest.mark.parametrize("cut", [1, 300, 511, 512, 700, 1100])
@pytest.mark.parametrize("packed", ["tar", "tgz", "zip"])
def test_a_bundle_that_was_cut_off_is_refused(tmp_path: Path, cut: int, packed: str) -> None:
    content = os.urandom(3000)
    bundle = {"tar": tar(tar_entry("a", content))[:-1024], "tgz": tgz(tar_entry("a", content)), "zip": zip_of(("a", content))}[packed]
    assert refused(tmp_path, bundle[:-cut]).code is PayloadErrorCode.BROKEN_BUNDLE


def refused_or_unfinished(tmp_path: Path, bundle: bytes) -> str:
    """The refusal; a zip file may lie about sizes that only show while it is inflated, and still nothing lands outside."""
    with pytest.raises(PayloadError) as caught:
        unpacked(tmp_path, bundle)
    assert {path.name for path in tmp_path.iterdir()} <= {"bundle.tar", "out"}
    return caught.value.message


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
