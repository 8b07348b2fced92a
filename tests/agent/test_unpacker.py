"""The unpacking process as the agent uses it: real round trips, patience and deadlines, deaths and kills."""

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.bundle import CoordinatorSource, DownloadRequest, InstallRequest, Limits, PayloadError, PayloadErrorCode, Unpacker, UrlSource
from agent.bundle.requests import CollectRequest, GitHubSource, PrepareRequest, Request, S3Source, Source, decode, encode
from agent.workspace import Workspace
from agent.workspace.retention import Retention
from tests.agent.archives import APPSPEC, tar_entry, tgz
from tests.agent.stage import is_running, until

BUNDLE = tgz(tar_entry("appspec.yml", APPSPEC), tar_entry("app/a", b"A" * 10_000))
DIGEST = hashlib.sha256(BUNDLE).hexdigest()


class FakeClock:
    """A clock whose sleeps take no time and are remembered."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return 0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        for _ in range(3):  # So that a deadline that has passed is noticed.
            await asyncio.sleep(0)

    def chance(self) -> float:
        return 0.5


@pytest.fixture
async def unpacker(tmp_path: Path) -> AsyncIterator[Unpacker]:
    (tmp_path / "host").mkdir()
    unpacker = Unpacker(root_prefix=tmp_path / "host")
    yield unpacker
    await unpacker.close()


def bundle(tmp_path: Path, content: bytes = BUNDLE) -> UrlSource:
    (tmp_path / "bundle.tgz").write_bytes(content)
    return UrlSource(url=f"file://{tmp_path}/bundle.tgz")


def download(source: Source, *, sha256: str = DIGEST, timeout: float = 30, deployment_id: str = "d-1") -> DownloadRequest:
    return DownloadRequest(
        group_id="g",
        deployment_id=deployment_id,
        revision="r-1",
        source=source,
        sha256=sha256,
        timeout=timeout,
        limits=Limits(reserve_bytes=0),
    )


def install(deployment_id: str = "d-1") -> InstallRequest:
    return InstallRequest(group_id="g", deployment_id=deployment_id, revision="r-1", timeout=30, reserve_bytes=0)


def ignore(done: int, total: int | None) -> None:
    """Progress that nobody looks at."""


def test_requests_survive_the_pipe() -> None:
    sources: list[Source] = [
        CoordinatorSource(address="h:1", metadata=(("a", "b"),)),
        UrlSource(url="http://h/x", private_origins=("h", "10.0.0.0/8")),
        S3Source(bucket="b", key="k"),
        GitHubSource(repository="a/b", commit_id="c"),
    ]
    downloads = [download(source) for source in sources]
    collect = CollectRequest(retention=Retention(max_revisions=7))
    requests: list[Request] = [*downloads, install(), PrepareRequest(download=downloads[0]), collect]
    for request in requests:
        assert decode(encode(request, "/p")) == (request, "/p")


async def test_a_bundle_is_downloaded_and_installed(unpacker: Unpacker, tmp_path: Path) -> None:
    await unpacker.start_ahead()
    told: list[tuple[int, int | None]] = []
    await unpacker.download(download(bundle(tmp_path)), lambda done, total: told.append((done, total)))
    workspace = Workspace(root_prefix=tmp_path / "host")
    directory = workspace.deployment("g", "d-1")
    assert (directory.archive / "app/a").read_bytes() == b"A" * 10_000
    assert directory.appspec.exists()
    assert not directory.bundle.exists()
    assert workspace.most_recent("g") == directory
    assert told[-1] == (len(BUNDLE), len(BUNDLE))
    await unpacker.install(install())
    assert (tmp_path / "host/srv/app/a").read_bytes() == b"A" * 10_000
    assert workspace.last_successful("g") == directory
    await unpacker.download(download(bundle(tmp_path)), ignore)
    await unpacker.install(install())


async def test_a_bundle_that_was_prepared_is_there_when_it_is_asked_for(unpacker: Unpacker, tmp_path: Path) -> None:
    request = download(bundle(tmp_path))
    await unpacker.prepare(request)  # There is no process that could.
    await unpacker.start_ahead()
    await unpacker.prepare(request)
    directory = Workspace(root_prefix=tmp_path / "host").deployment("g", "d-1")
    await until(lambda: directory.path.joinpath(f".{directory.bundle_source.name}.new").exists())
    assert not directory.archive.exists()
    (tmp_path / "bundle.tgz").unlink()
    told: list[int] = []
    await unpacker.download(request, lambda done, total: told.append(done))
    assert directory.archive.is_dir()
    assert told[-1] == len(BUNDLE)


async def test_what_cannot_be_prepared_fails_when_it_is_asked_for(unpacker: Unpacker, tmp_path: Path) -> None:
    await unpacker.start_ahead()
    request = download(UrlSource(url=f"file://{tmp_path}/missing"))
    await unpacker.prepare(request)
    with pytest.raises(PayloadError, match="no such file"):
        await unpacker.download(request, ignore)


async def test_a_process_that_prepared_for_nothing_is_replaced(unpacker: Unpacker, tmp_path: Path) -> None:
    await unpacker.start_ahead()
    first = children()
    await unpacker.start_ahead()
    assert children() == first
    await unpacker.prepare(download(bundle(tmp_path)))
    await unpacker.start_ahead()
    second = children()
    assert len(second) == 1
    assert second != first
    await unpacker.prepare(download(bundle(tmp_path)))
    await unpacker.download(download(bundle(tmp_path), deployment_id="d-2"), ignore)
    assert len(children()) == 1
    assert children() != second


async def test_the_past_goes_while_a_fresh_process_waits(tmp_path: Path) -> None:
    unpacker = Unpacker(root_prefix=tmp_path, retention=Retention(max_revisions=2))
    try:
        for number in range(4):
            await unpacker.start_ahead()
            await unpacker.download(download(bundle(tmp_path), deployment_id=f"d-{number}"), ignore)
        left = sorted(directory.deployment_id for directory in Workspace(root_prefix=tmp_path).deployments("g"))
        assert left == ["d-1", "d-2", "d-3"]
    finally:
        await unpacker.close()


def children() -> set[str]:
    """The processes that this one has started."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


async def test_a_directory_of_the_host_needs_no_digest(unpacker: Unpacker, tmp_path: Path) -> None:
    (tmp_path / "source/app").mkdir(parents=True)
    (tmp_path / "source/appspec.yml").write_bytes(APPSPEC)
    for content in ("one", "two"):
        (tmp_path / "source/app/a").write_text(content)
        await unpacker.download(download(UrlSource(url=f"file://{tmp_path}/source"), sha256=""), ignore)
        await unpacker.install(install())
        assert (tmp_path / "host/srv/app/a").read_text() == content


@pytest.mark.parametrize(
    "content, sha256, code, says",
    [
        (BUNDLE, "0" * 64, PayloadErrorCode.WRONG_DIGEST, DIGEST),
        (tgz(tar_entry("app/a", b"x")), None, PayloadErrorCode.MISSING_APPSPEC, "there is no appspec.yml and no appspec.yaml"),
        (
            tgz(tar_entry("appspec.yml", b"version: 0.0\nos: linux\nfiles: {}\n")),
            None,
            PayloadErrorCode.BAD_APPSPEC,
            "appspec.yml line 3, column 8",
        ),
        (tgz(tar_entry("../evil", b"x")), None, PayloadErrorCode.UNSAFE_BUNDLE, "'../evil' leads out"),
        (b"no bundle", None, PayloadErrorCode.BROKEN_BUNDLE, "neither tar, tgz nor zip"),
    ],
)
async def test_a_bad_bundle_fails_with_a_sentence_and_leaves_nothing(
    unpacker: Unpacker, tmp_path: Path, content: bytes, sha256: str | None, code: PayloadErrorCode, says: str
) -> None:
    source = bundle(tmp_path, content)
    with pytest.raises(PayloadError) as caught:
        await unpacker.download(download(source, sha256=sha256 or hashlib.sha256(content).hexdigest()), ignore)
    assert caught.value.code is code
    assert says in caught.value.message
    directory = Workspace(root_prefix=tmp_path / "host").deployment("g", "d-1")
    assert list(directory.path.iterdir()) == []
    assert Workspace(root_prefix=tmp_path / "host").most_recent("g") is None


async def test_a_source_other_than_a_local_directory_needs_a_digest(unpacker: Unpacker) -> None:
    with pytest.raises(PayloadError, match="has no SHA-256 to compare with"):
        await unpacker.download(download(UrlSource(url="http://127.0.0.1:1/x"), sha256=""), ignore)
    with pytest.raises(PayloadError, match="ftp is none of file, http and https"):
        await unpacker.download(download(UrlSource(url="ftp://127.0.0.1/x")), ignore)


async def test_cancelling_kills_the_process_and_the_same_request_works_again(unpacker: Unpacker, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    here = asyncio.Event()
    task = asyncio.ensure_future(unpacker.download(download(UrlSource(url=f"file://{tmp_path}/pipe")), lambda done, total: here.set()))
    writer = await asyncio.to_thread(os.open, tmp_path / "pipe", os.O_RDWR)
    async with asyncio.timeout(30):
        await here.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    os.close(writer)
    await unpacker.download(download(bundle(tmp_path)), ignore)
    await unpacker.install(install())


def program(*answers: dict[str, object] | str) -> tuple[str, ...]:
    """A process that answers each request with the next group of lines, parted by "next", and then does what a last word says."""
    script = f"""
import json, os, signal, sys
answers = {list(answers)!r}
for line in sys.stdin:
    while answers:
        answer = answers.pop(0)
        if answer == "next":
            break
        elif answer == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif answer == "exit":
            sys.exit(3)
        elif answer == "hang":
            signal.pause()
        print(json.dumps(answer), flush=True)
"""
    return (sys.executable, "-I", "-S", "-c", script)


async def test_a_process_whose_pipe_somebody_else_holds_open_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.bundle.unpacker._END_SECONDS", 0.1)
    unpacker = Unpacker(root_prefix=Path("/"), program=program())
    before = children()
    await unpacker.start_ahead()
    (pid,) = children() - before
    held = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY)
    async with asyncio.timeout(30):
        await unpacker.close()
    assert not is_running(int(pid))
    os.close(held)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time can be put forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


class Listener:
    """Hears of progress, and puts the time forward at the second word of it."""

    def __init__(self, jump: float) -> None:
        self._jump = jump
        self.heard = 0

    def __call__(self, done: int, total: int | None) -> None:
        self.heard += 1
        loop = asyncio.get_running_loop()
        if self.heard == 2 and isinstance(loop, JumpingLoop):
            loop.ahead += self._jump


OURS = CoordinatorSource(address="h:1", metadata=())
ELSEWHERE = UrlSource(url="https://h/x?signed")


def outcome(
    *answers: dict[str, object] | str, timeout: float = 3600, jump: float = 0, clock: FakeClock | None = None, source: Source = OURS
) -> PayloadError | None:
    """How a download ends that is answered so."""

    async def ask() -> PayloadError | None:
        unpacker = Unpacker(root_prefix=Path("/"), program=program(*answers), clock=clock or FakeClock())
        try:
            await unpacker.download(download(source, timeout=timeout), Listener(jump))
        except PayloadError as error:
            return error
        finally:
            await unpacker.close()
        return None

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(ask())


CUT: dict[str, object] = {"interrupted": "connection refused"}
DONE: dict[str, object] = {"done": True}
TEN: dict[str, object] = {"progress": [10, 20]}


def test_a_busy_source_is_waited_for_as_long_as_it_wishes() -> None:
    clock = FakeClock()
    assert outcome({"busy": 90}, "next", {"busy": 30.5}, "next", {"progress": [1, 1]}, DONE, clock=clock) is None
    assert clock.slept == [90, 30.5]


@pytest.mark.parametrize("source", [OURS, ELSEWHERE])
def test_a_wait_that_a_source_asked_for_is_no_silence(source: Source) -> None:
    assert outcome(TEN, {"busy": 50}, "next", TEN, CUT, "next", DONE, jump=100, source=source) is None


def test_another_server_than_the_coordinator_may_wish_for_ten_minutes_before_its_next_byte() -> None:
    found = outcome({"busy": 590}, "next", {"progress": [1, 9]}, {"busy": 590}, "next", {"busy": 11}, source=ELSEWHERE)
    assert found is not None
    assert found.code is PayloadErrorCode.STALLED
    assert found.message == (
        "cannot download the bundle from https://h/x: the server bids us wait, for 601 s by now, and 600 s are the most; deploy later"
    )
    assert outcome({"busy": 590}, "next", {"busy": 590}, "next", DONE) is None


def test_what_another_server_wishes_for_is_taken_from_the_time_of_the_event() -> None:
    found = outcome(TEN, {"busy": 50}, "next", TEN, CUT, "next", DONE, jump=100, timeout=70, source=ELSEWHERE)
    assert found is not None
    assert found.code is PayloadErrorCode.TIMED_OUT


def test_a_wait_that_the_coordinator_asked_for_counts_against_no_deadline() -> None:
    assert outcome(TEN, {"busy": 50}, "next", TEN, CUT, "next", DONE, jump=100, timeout=70) is None
    found = outcome(TEN, {"busy": 30}, "next", TEN, CUT, "next", DONE, jump=100, timeout=70)
    assert found is not None


def test_a_cut_connection_is_tried_again_ever_later_until_bytes_arrive() -> None:
    clock = FakeClock()
    assert outcome(CUT, "next", CUT, "next", CUT, "next", TEN, CUT, "next", {"progress": [20, 20]}, DONE, clock=clock) is None
    assert clock.slept == [0.25, 0.5, 1, 0.25]


def test_a_source_that_sends_no_byte_for_a_minute_fails_with_what_went_wrong_last() -> None:
    found = outcome(TEN, CUT, "next", TEN, "hang", jump=61)
    assert found is not None
    assert found.code is PayloadErrorCode.STALLED
    assert "no byte has arrived for 60 s; 10 of 20 bytes have arrived; the last trouble was: connection refused" in found.message


def test_a_download_past_its_deadline_fails_with_how_far_it_came() -> None:
    found = outcome({"unpacking": True}, {"progress": [10, None]}, {"progress": [10, None]}, "hang", jump=101, timeout=100)
    assert found is not None
    assert found.code is PayloadErrorCode.TIMED_OUT
    assert "the 100 s that the event has; 10 of an unknown number of bytes have arrived" in found.message


def test_unpacking_may_take_longer_than_a_pause_between_bytes() -> None:
    assert outcome(TEN, {"unpacking": True}, TEN, CUT, "next", DONE, jump=61) is None


@pytest.mark.parametrize("word, says", [("die", "was killed by signal 9"), ("exit", "ended with exit code 3")])
def test_a_process_that_dies_is_a_failure_with_its_cause(word: str, says: str) -> None:
    found = outcome(word)
    assert found is not None
    assert found.code is PayloadErrorCode.DIED
    assert says in found.message


@pytest.mark.e2e
async def test_the_process_dies_with_its_agent(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys, pathlib\nfrom agent.bundle import Unpacker\n"
        "async def main():\n    u = Unpacker(root_prefix=pathlib.Path('/'))\n    await u.start_ahead()\n"
        "    print(u._process.pid, flush=True)\n    await asyncio.Event().wait()\nasyncio.run(main())\n"
    )
    agent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert agent.stdout is not None
    pid = int(await agent.stdout.readline())
    watched = os.pidfd_open(pid)
    agent.send_signal(signal.SIGKILL)
    await agent.wait()
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(watched, gone.set)
    async with asyncio.timeout(30):
        await gone.wait()
    asyncio.get_running_loop().remove_reader(watched)
    os.close(watched)


@pytest.mark.e2e
async def test_installations_killed_at_random_moments_end_as_if_nothing_had_happened(unpacker: Unpacker, tmp_path: Path) -> None:
    entries = [tar_entry(f"app/{number}", b"x" * 2000) for number in range(120)]
    workspace = Workspace(root_prefix=tmp_path / "host")
    for turn in range(4):
        content = tgz(tar_entry("appspec.yml", APPSPEC), tar_entry("app/turn", str(turn).encode()), *entries[turn * 10 :])
        request = download(bundle(tmp_path, content), sha256=hashlib.sha256(content).hexdigest(), deployment_id=f"d-{turn}")
        for share in (0.02, 0.05, 0.2):
            for asked in (unpacker.download(request, ignore), unpacker.install(install(f"d-{turn}"))):
                try:
                    async with asyncio.timeout(share * (turn + 1)):
                        await asked
                except (TimeoutError, PayloadError):
                    pass
        await unpacker.download(request, ignore)
        await unpacker.install(install(f"d-{turn}"))
        found = sorted(path.name for path in (tmp_path / "host/srv/app").iterdir())
        assert found == sorted(["turn", *(str(number) for number in range(turn * 10, 120))])
        assert (tmp_path / "host/srv/app/turn").read_text() == str(turn)
        assert json.loads(workspace.install_steps("g").read_text())
