"""Every hostile bundle of the corpus is refused with its reason, quickly, and nothing is written where it should not be."""

import os
import stat
import time
from pathlib import Path

import pytest

from agent.bundle.archives.archive import Limits
from agent.bundle.archives.unpack import unpack
from agent.payload import PayloadError
from tests.agent.archives import APPSPEC, Hostile, ZipEntry, pax, tar, tar_entry, tgz, zip_file, zip_of
from tests.agent.hostile import corpus

SMALL = Limits(packed_bytes=10**7, unpacked_bytes=10**8, free_ratio_bytes=10**6, members=50, reserve_bytes=0)
CORPUS = {hostile.name: hostile for hostile in corpus()}
SECONDS = 2.0


class Sandbox:
    """A place to unpack into, with neighbours that must not change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "a/b").mkdir(parents=True)
        (root / "evil").write_bytes(b"untouched")
        (root / "a/passwd").write_bytes(b"untouched")
        self.out = root / "a/b/out"
        self.before = self._around()

    def unpack(self, bundle: bytes) -> None:
        path = self.root.parent / f"{self.root.name}.bundle"
        path.write_bytes(bundle)
        unpack(path, self.out, SMALL)

    def check(self) -> None:
        """What is around is as it was, and what is inside is harmless."""
        assert self._around() == self.before
        for path in self.out.rglob("*") if self.out.exists() else ():
            found = path.lstat()
            assert stat.S_IFMT(found.st_mode) in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
            if path.is_symlink():
                assert path.resolve().is_relative_to(self.out.resolve())
            else:
                assert stat.S_IMODE(found.st_mode) & ~0o755 == 0

    def _around(self) -> dict[str, tuple[int, bytes]]:
        around = {}
        for folder, names, files in os.walk(self.root):
            names[:] = [name for name in names if Path(folder, name) != self.out]
            for name in [*names, *files]:
                path = Path(folder, name)
                content = path.read_bytes() if path.is_file() else b""
                around[str(path)] = (stat.S_IMODE(path.lstat().st_mode), content)
        return around


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path / "sandbox")


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    assert len(CORPUS) == sum(1 for _ in corpus()) >= 300


@pytest.mark.parametrize("hostile", CORPUS.values(), ids=CORPUS)
def test_a_hostile_bundle_is_refused_with_its_reason(sandbox: Sandbox, hostile: Hostile) -> None:
    bundle = hostile.make()
    began = time.process_time()
    with pytest.raises(PayloadError) as caught:
        sandbox.unpack(bundle)
    assert time.process_time() - began < SECONDS
    assert caught.value.message.startswith("cannot unpack the bundle: ")
    assert hostile.says
    assert hostile.says in caught.value.message
    assert caught.value.message.isprintable()
    sandbox.check()


NAMES = [
    "-rf",
    "a b",
    "a\tb",
    "a\x1b[31mb",
    "a\\..\\b",
    "..a",
    "...",
    "a..",
    "C:\\x",
    "CON",
    "~root",
    "$(id)",
    "%2e%2e",
    "\u202egpj.exe",
    "ﬀ",
    "é",
    "e\u0301",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("packed", ["tar", "pax", "zip"])
def test_a_weird_name_is_a_name_like_any_other(sandbox: Sandbox, packed: str, name: str) -> None:
    bundle = {
        "tar": tar(tar_entry("appspec.yml", APPSPEC), tar_entry(name, b"x")),
        "pax": tgz(tar_entry("appspec.yml", APPSPEC), pax([("path", name)]), tar_entry("y", b"x")),
        "zip": zip_of(("appspec.yml", APPSPEC), (name, b"x")),
    }[packed]
    sandbox.unpack(bundle)
    sandbox.check()
    assert (sandbox.out / name).read_bytes() == b"x"


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6777, 0o1777, 0o777, 0o7777])
def test_no_mode_that_a_stranger_chose_is_dangerous(sandbox: Sandbox, mode: int) -> None:
    entries = (tar_entry("appspec.yml", APPSPEC), tar_entry("su", b"x", mode=mode), tar_entry("d/", kind=b"5", mode=mode))
    sandbox.unpack(tar(*entries))
    sandbox.check()
    assert stat.S_IMODE((sandbox.out / "su").stat().st_mode) == mode & 0o755


def test_names_that_differ_in_case_are_different_files(sandbox: Sandbox) -> None:
    sandbox.unpack(zip_file(ZipEntry(b"appspec.yml", APPSPEC), ZipEntry(b"A", b"1"), ZipEntry(b"a", b"2")))
    assert (sandbox.out / "A").read_bytes() + (sandbox.out / "a").read_bytes() == b"12"
