"""Logs on disk: every byte once and in order, marks where bytes are dropped, and nothing acknowledged that a crash can take."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from coordinator.adapters.clock import SystemClock
from coordinator.core.errors import Invalid, StorageFailed
from coordinator.core.model import DeploymentId, HostId
from coordinator.service.logs import Log, Printed, Sent
from coordinator.store.logs import file, frames, log
from coordinator.store.logs.keep import PACK_PAUSE, Logs, Retention
from coordinator.store.logs.octets import BLOCK, MAGIC

ONE, OTHER = DeploymentId("d-AAAAAAAA1"), DeploymentId("d-AAAAAAAA2")
WEB_1, WEB_2 = HostId("1" * 32), HostId("2" * 32)


class LaterClock(SystemClock):
    """Looks for logs to compress when a test says so, an hour later."""

    def __init__(self) -> None:
        self.look = asyncio.Semaphore(0)
        self.hours = 0

    def now(self) -> int:
        return super().now() + self.hours * 3_600_000

    async def sleep(self, milliseconds: int) -> None:
        if milliseconds == PACK_PAUSE:
            await self.look.acquire()
            self.hours += 1
        else:
            await super().sleep(milliseconds)


async def ended(deployment_id: DeploymentId) -> bool:
    return deployment_id == ONE


@asynccontextmanager
async def running(
    directory: Path, *, max_bytes: int = 1 << 30, sync_seconds: float = 0.01, clock: SystemClock | None = None
) -> AsyncIterator[Logs]:
    retention = Retention(days=30, max_bytes=max_bytes)
    logs = Logs(directory, retention=retention, clock=clock or LaterClock(), ended=ended, sync_seconds=sync_seconds)
    writing = asyncio.create_task(logs.run())
    try:
        yield logs
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


@pytest.fixture
async def logs(tmp_path: Path) -> AsyncIterator[Logs]:
    async with running(tmp_path) as logs:
        yield logs


async def take(log: Log, content: bytes, *, offset: int = 0, host: HostId = WEB_1, stream: str = "0/1", complete: bool = False) -> int:
    """Have a piece taken and kept; the offset that is acknowledged."""
    taken = await log.take(Sent(host, stream, offset, content, complete))
    await log.kept(taken.mark)
    return taken.offset


async def everything(log: Log, host: HostId | None = None, position: int = 0) -> list[Printed]:
    found: list[Printed] = []
    while True:
        pieces, position = await log.read(position, host)
        found += pieces
        if position == log.end:
            return found


async def text(log: Log, host: HostId | None = None) -> bytes:
    return b"".join(piece.content for piece in await everything(log, host))


async def test_pieces_of_all_hosts_are_read_in_the_order_in_which_they_came(logs: Logs) -> None:
    async with logs.open(ONE) as log:
        for number in range(50):
            host = (WEB_1, WEB_2)[number % 2]
            await take(log, b"%03d\n" % number, offset=number // 2 * 4, host=host)
        assert await text(log) == b"".join(b"%03d\n" % number for number in range(50))
        assert await text(log, WEB_2) == b"".join(b"%03d\n" % number for number in range(1, 50, 2))
        assert [piece.offset for piece in await everything(log, WEB_2)] == list(range(0, 100, 4))


async def test_what_comes_twice_is_kept_once_and_what_overlaps_only_as_far_as_it_is_new(logs: Logs) -> None:
    async with logs.open(ONE) as log:
        assert await take(log, b"one two ") == 8
        assert await take(log, b"one two ") == 8
        assert await take(log, b"two three", offset=4) == 13
        assert await text(log) == b"one two three"


async def test_a_gap_is_not_taken_and_answered_with_the_offset_to_go_on_from(logs: Logs) -> None:
    async with logs.open(ONE) as log:
        assert await take(log, b"one") == 3
        taken = await log.take(Sent(WEB_1, "0/1", 10, b"later", True))
        assert (taken.offset, taken.complete) == (3, False)
        assert await text(log) == b"one"
        assert not log.finished(None)


async def test_an_end_is_kept_and_nothing_is_taken_after_it(logs: Logs) -> None:
    async with logs.open(ONE) as log:
        await take(log, b"all", complete=True)
        assert log.finished(None)
        assert await take(log, b"more", offset=3) == 3
        assert [(piece.content, piece.complete) for piece in await everything(log)] == [(b"all", False), (b"", True)]
        await take(log, b"", host=WEB_2)
        assert log.finished(None)
        await take(log, b"begun", host=WEB_2)
        assert (log.finished(WEB_1), log.finished(WEB_2), log.finished(None)) == (True, False, False)


async def test_a_later_instruction_of_a_host_goes_on_where_the_earlier_one_ended(logs: Logs) -> None:
    async with logs.open(ONE) as log:
        await take(log, b"first ", complete=True)
        await take(log, b"second", stream="0/2")
        assert [(piece.offset, piece.content) for piece in await everything(log, WEB_1)] == [(0, b"first "), (6, b""), (6, b"second")]


async def test_past_its_limit_a_stream_is_dropped_with_a_mark_that_keeps_offsets_true(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "STREAM_AT_MOST", 10)
    async with logs.open(ONE) as opened:
        assert await take(opened, b"0123456789abc") == 13
        assert await take(opened, b"def", offset=13, complete=True) == 16
        assert [(piece.offset, piece.content, piece.dropped) for piece in await everything(opened, WEB_1)] == [
            (0, b"0123456789", 0),
            (10, b"", 3),
            (13, b"", 3),
            (16, b"", 0),
        ]


async def test_a_reader_finds_an_offset_of_a_host_without_reading_the_others(logs: Logs) -> None:
    async with logs.open(ONE) as log:
        for number in range(20):
            await take(log, b"x" * 100, offset=number * 100, host=WEB_2)
            await take(log, b"%010d" % number, offset=number * 10)
        pieces, _ = await log.read(log.start_of(WEB_1, 155), WEB_1)
        assert (pieces[0].offset, pieces[0].content) == (150, b"0000000015")
        assert log.start_of(WEB_1, 200) == log.end
        assert log.start_of(HostId("3" * 32), 0) == log.end


async def test_a_position_at_which_nothing_begins_is_refused(logs: Logs) -> None:
    async with logs.open(ONE) as log:
        await take(log, b"some output")
        for position in (3, log.end + 100):
            with pytest.raises(Invalid, match="cannot go on from position"):
                await log.read(position, None)


async def test_what_was_acknowledged_is_there_after_a_restart_and_offsets_go_on(tmp_path: Path) -> None:
    async with running(tmp_path) as logs, logs.open(ONE) as log:
        await take(log, b"before ")
        await take(log, b"other", host=WEB_2, complete=True)
    async with running(tmp_path) as logs, logs.open(ONE) as log:
        assert await take(log, b"before after", offset=0) == 12
        assert await text(log, WEB_1) == b"before after"
        assert await take(log, b"again", host=WEB_2) == 5
        assert log.finished(WEB_2)


@pytest.mark.parametrize("cut", [1, 10, 60, 80])
async def test_what_a_crash_left_half_written_is_cut_off_and_taken_again(tmp_path: Path, cut: int) -> None:
    async with running(tmp_path) as logs, logs.open(ONE) as log:
        await take(log, b"whole ")
        whole = log.end
        await take(log, b"torn by a power cut", offset=6)
    path = tmp_path / f"{ONE}.log"
    os.truncate(path, path.stat().st_size - cut)
    async with running(tmp_path) as logs, logs.open(ONE) as log:
        assert log.end == whole
        assert await take(log, b"torn by a power cut", offset=6) == 25
        assert await text(log) == b"whole torn by a power cut"


async def test_content_that_never_reached_the_disk_is_not_believed(tmp_path: Path) -> None:
    async with running(tmp_path) as logs, logs.open(ONE) as log:
        await take(log, b"whole ")
        await take(log, b"lost content", offset=6)
    path = tmp_path / f"{ONE}.log"
    path.write_bytes(path.read_bytes().replace(b"lost content", bytes(12)))
    async with running(tmp_path) as logs, logs.open(ONE) as log:
        assert await text(log) == b"whole "


async def test_a_file_that_is_damaged_in_its_midst_is_left_alone_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "UNSURE", 200)
    async with running(tmp_path) as logs, logs.open(ONE) as log:
        for number in range(20):
            await take(log, b"0123456789", offset=number * 10)
    path = tmp_path / f"{ONE}.log"
    damaged = bytearray(path.read_bytes())
    damaged[300] ^= 0xFF
    damaged[310] ^= 0xFF
    path.write_bytes(bytes(damaged))
    async with running(tmp_path) as logs:
        with pytest.raises(StorageFailed, match="damaged at byte"):
            async with logs.open(ONE):
                pass
    assert path.read_bytes() == bytes(damaged)


async def test_a_log_that_cannot_be_written_says_so_and_goes_on_when_it_can(tmp_path: Path) -> None:
    async with running(tmp_path / "logs") as logs:
        async with logs.open(ONE) as log:
            (tmp_path / "logs").rename(tmp_path / "gone")
            taken = await log.take(Sent(WEB_1, "0/1", 0, b"nowhere", False))
            with pytest.raises(StorageFailed, match="cannot keep the log"):
                await log.kept(taken.mark)
        (tmp_path / "gone").rename(tmp_path / "logs")
        async with logs.open(ONE) as log:
            assert await take(log, b"somewhere") == 9
            assert await text(log) == b"somewhere"


async def test_reading_waits_for_what_comes(logs: Logs) -> None:
    async with logs.open(ONE) as log:
        waiting = asyncio.create_task(log.beyond(0))
        await take(log, b"news")
        await asyncio.wait_for(waiting, 5)


async def test_much_at_once_waits_for_the_disk_and_arrives_whole(logs: Logs) -> None:
    block = os.urandom(file.AT_ONCE // 4)
    async with logs.open(ONE) as log, asyncio.TaskGroup() as tasks:
        for host in range(8):
            tasks.create_task(publish(log, HostId(f"{host:032x}"), block, times=64))
    async with logs.open(ONE) as log:
        assert await text(log, HostId(f"{3:032x}")) == block * 64
        assert log.end == 8 * 64 * (len(block) + frames.BARE + 36)


async def publish(log: Log, host: HostId, block: bytes, *, times: int) -> None:
    for number in range(times):
        await log.take(Sent(host, "0/1", number * len(block), block, False))
    await take(log, b"", offset=times * len(block), host=host)


async def test_the_oldest_logs_go_when_there_are_too_many_bytes_and_those_in_use_stay(tmp_path: Path) -> None:
    async with running(tmp_path) as logs:
        for number in range(5):
            async with logs.open(DeploymentId(f"d-{number:09d}")) as log:
                await take(log, b"x" * 10_000)
    for number in range(5):
        os.utime(tmp_path / f"d-{number:09d}.log", (1_900_000_000 + number,) * 2)
    async with running(tmp_path, max_bytes=35_000) as logs, logs.open(DeploymentId("d-000000000")):
        await asyncio.wait_for(gone(tmp_path / "d-000000002.log"), 5)
        assert sorted(path.stem for path in tmp_path.iterdir()) == ["d-000000000", "d-000000003", "d-000000004"]


async def test_logs_go_when_their_days_are_over(tmp_path: Path) -> None:
    async with running(tmp_path) as logs:
        for deployment in (ONE, OTHER):
            async with logs.open(deployment) as log:
                await take(log, b"output")
    os.utime(tmp_path / f"{ONE}.log", (SystemClock().now() / 1_000 - 31 * 86_400,) * 2)
    async with running(tmp_path):
        await asyncio.wait_for(gone(tmp_path / f"{ONE}.log"), 5)
        assert (tmp_path / f"{OTHER}.log").exists()


async def test_what_comes_when_nothing_more_may_be_kept_is_dropped_with_a_mark(tmp_path: Path) -> None:
    async with running(tmp_path, max_bytes=1_000) as logs, logs.open(ONE) as log:
        assert await take(log, b"x" * 2_000) == 2_000
        assert await take(log, b"y" * 500, offset=2_000) == 2_500
        assert [(len(piece.content), piece.dropped) for piece in await everything(log)] == [(2_000, 0), (0, 500)]


def lines(host: str, count: int = 9_000) -> bytes:
    return b"".join(b"2026-11-23 12:00:00 [stdout]%s says line %d\n" % (host.encode(), number) for number in range(count))


async def printed(log: Log, host: HostId, content: bytes, *, offset: int = 0) -> None:
    for begin in range(0, len(content), 50_000):
        await log.take(Sent(host, "0/1", offset + begin, content[begin : begin + 50_000], False))
    await take(log, b"", offset=offset + len(content), host=host)


async def packed(path: Path, clock: LaterClock, *, smaller_than: int) -> None:
    """Have logs compressed until this one is."""
    async with asyncio.timeout(30):
        while not (path.read_bytes().startswith(MAGIC) and path.stat().st_size < smaller_than):
            clock.look.release()
            await asyncio.sleep(0)
            await asyncio.to_thread(lambda: None)


async def test_a_log_of_an_ended_deployment_is_compressed_and_reads_as_before(tmp_path: Path) -> None:
    path, other, clock = tmp_path / f"{ONE}.log", tmp_path / f"{OTHER}.log", LaterClock()
    async with running(tmp_path, clock=clock) as logs:
        async with logs.open(OTHER) as log:
            await printed(log, WEB_1, lines("web-1"))
        async with logs.open(ONE) as log:
            await printed(log, WEB_1, lines("web-1"))
            await printed(log, WEB_2, lines("web-2"))
            at, found = log.end, await everything(log)
        before = path.stat()
        await packed(path, clock, smaller_than=before.st_size // 3)
        assert path.stat().st_mtime_ns == before.st_mtime_ns
        assert not other.read_bytes().startswith(MAGIC)
        async with logs.open(ONE) as log:
            assert (log.end, await everything(log)) == (at, found)
            assert await text(log, WEB_2) == lines("web-2")
            piece = found[len(found) // 2]
            assert (await log.read(piece.position, None))[0][0] == found[len(found) // 2 + 1]
            pieces, _ = await log.read(log.start_of(WEB_2, 60_000), WEB_2)
            assert pieces[0].offset == 50_000
            with pytest.raises(Invalid, match="cannot go on from position"):
                await log.read(BLOCK + 1, None)


async def test_what_comes_after_the_compression_follows_and_is_compressed_with_the_rest(tmp_path: Path) -> None:
    path, clock = tmp_path / f"{ONE}.log", LaterClock()
    async with running(tmp_path, clock=clock) as logs:
        async with logs.open(ONE) as log:
            await printed(log, WEB_1, lines("web-1"))
        await packed(path, clock, smaller_than=200_000)
        async with logs.open(ONE) as log:
            await printed(log, WEB_1, lines("late"), offset=len(lines("web-1")))
            assert await text(log) == lines("web-1") + lines("late")
        grown = path.stat().st_size
    async with running(tmp_path, clock=clock) as logs:
        async with logs.open(ONE) as log:
            assert await text(log) == lines("web-1") + lines("late")
        await packed(path, clock, smaller_than=grown // 2)
        async with logs.open(ONE) as log:
            assert await text(log) == lines("web-1") + lines("late")


async def test_a_log_in_use_is_compressed_another_time_and_its_reader_goes_on(tmp_path: Path) -> None:
    path, clock = tmp_path / f"{ONE}.log", LaterClock()
    async with running(tmp_path, clock=clock) as logs:
        async with logs.open(ONE) as log:
            await printed(log, WEB_1, lines("web-1"))
            for _ in range(3):
                clock.look.release()
            while not clock.look.locked():  # noqa: ASYNC110 - nobody could set an event
                await asyncio.sleep(0)
            assert await take(log, b"more", offset=len(lines("web-1"))) == len(lines("web-1")) + 4
            assert await text(log) == lines("web-1") + b"more"
        await packed(path, clock, smaller_than=200_000)
        async with logs.open(ONE) as log:
            assert await text(log) == lines("web-1") + b"more"


async def test_a_compressed_log_that_is_damaged_is_left_alone_and_named(tmp_path: Path) -> None:
    path, clock = tmp_path / f"{ONE}.log", LaterClock()
    async with running(tmp_path, clock=clock) as logs:
        async with logs.open(ONE) as log:
            await printed(log, WEB_1, lines("web-1"))
        await packed(path, clock, smaller_than=200_000)
    whole = path.read_bytes()
    for at in (18, len(whole) // 2):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        path.write_bytes(bytes(damaged))
        async with running(tmp_path) as logs:
            with pytest.raises(StorageFailed, match="damaged at byte"):
                async with logs.open(ONE):
                    pass
        assert path.read_bytes() == bytes(damaged)


async def gone(path: Path) -> None:
    while await asyncio.to_thread(path.exists):
        pass
