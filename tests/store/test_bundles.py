"""The directory of bundles: what is removed from it, and what never is."""

import asyncio
import hashlib
import io
import tarfile
from collections.abc import Collection
from pathlib import Path

import pytest

from coordinator.store.bundles import Bundles


def bundle(words: str) -> bytes:
    """A bundle with an AppSpec file that says something."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        entry = tarfile.TarInfo("appspec.yml")
        entry.size = len(words)
        archive.addfile(entry, io.BytesIO(words.encode()))
    return raw.getvalue()


def digest(words: str) -> bytes:
    return hashlib.sha256(bundle(words)).digest()


async def push(keep: Bundles, words: str) -> bytes:
    sha256 = digest(words)
    upload = await keep.begin(len(bundle(words)), sha256)
    await upload.write(bundle(words))
    await upload.finish()
    await upload.discard()
    return sha256


@pytest.fixture
def keep(tmp_path: Path) -> Bundles:
    return Bundles(tmp_path / "bundles")


def wanting(*digests: bytes) -> "Wanted":
    return Wanted(digests)


class Wanted:
    """Says which bundles are wanted, when it is told to."""

    def __init__(self, digests: Collection[bytes]) -> None:
        self.digests = digests
        self.asked, self.answer = asyncio.Event(), asyncio.Event()
        self.answer.set()

    async def __call__(self) -> Collection[bytes]:
        self.asked.set()
        await self.answer.wait()
        return self.digests


async def test_what_nobody_wants_is_removed_and_the_rest_stays(keep: Bundles) -> None:
    kept, gone = await push(keep, "one"), await push(keep, "two")
    (keep.directory / "notes.txt").write_text("somebody else's")
    assert keep.count() == (2, len(bundle("one")) + len(bundle("two")))
    await keep.tidy(wanting(kept))
    assert (await keep.has(kept), await keep.has(gone)) == (True, False)
    assert keep.count() == (1, len(bundle("one")))
    assert sorted(path.name for path in keep.directory.rglob("*")) == sorted(["incoming", "notes.txt", kept.hex()])


async def test_what_is_held_stays_although_nobody_wants_it(keep: Bundles) -> None:
    with keep.hold(digest("one")), keep.hold(digest("one")):
        sha256 = await push(keep, "one")
        await keep.tidy(wanting())
        assert await keep.has(sha256)
    await keep.tidy(wanting())
    assert not await keep.has(sha256)


async def test_what_was_held_since_the_question_stays_because_the_answer_may_be_older(keep: Bundles) -> None:
    wanted = wanting()
    wanted.answer.clear()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(keep.tidy(wanted))
        await wanted.asked.wait()
        with keep.hold(digest("one")):
            sha256 = await push(keep, "one")
        wanted.answer.set()
    assert await keep.has(sha256)


async def test_whoever_reads_a_bundle_that_is_removed_reads_on(keep: Bundles) -> None:
    sha256 = await push(keep, "one")
    with keep.path(sha256).open("rb") as reading:
        first = reading.read(10)
        await keep.tidy(wanting())
        assert first + reading.read() == bundle("one")
