"""Who may fetch what: lines that both sides understand, a word that comes a little later, and a pipe that nobody waits for."""

import asyncio
import os

from coordinator.core.model import HostId
from coordinator.gateway.granting import Grants, Pipe, Serving

HOST, OTHER = HostId("1" * 32), HostId("2" * 32)
BUNDLE = "ab" * 32


def test_a_process_that_is_told_everything_knows_what_the_coordinator_knows() -> None:
    mine, its = Grants(), Grants()
    for line in (f"+{HOST}", f"+{OTHER}", f"={HOST} {BUNDLE}", f"={HOST} {'cd' * 32}", f"={OTHER} {BUNDLE}", f"-{OTHER}"):
        mine.hear(line)
    for line in mine.lines().splitlines():
        its.hear(line)
    assert (its.hosts, its.bundles) == (mine.hosts, mine.bundles) == ({HOST}, {HOST: {BUNDLE, "cd" * 32}})
    its.hear(f".{HOST}")
    assert (its.hosts, its.bundles) == ({HOST}, {})


async def test_the_word_of_the_coordinator_may_come_a_little_after_the_host() -> None:
    grants = Serving(young=0, patience=10)
    asked = asyncio.create_task(grants.allows(HOST, BUNDLE))
    await asyncio.sleep(0)
    grants.hear(f"={HOST} {'cd' * 32}")
    await asyncio.sleep(0)
    assert not asked.done()
    grants.hear(f"={HOST} {BUNDLE}")
    assert await asked is True


async def test_nobody_is_refused_before_hosts_had_time_to_come_back() -> None:
    assert await Serving(young=60, patience=0).allows(HOST, BUNDLE) is None
    assert await Serving(young=0, patience=0).allows(HOST, BUNDLE) is False


async def test_lines_for_a_process_that_does_not_read_wait_and_arrive_in_order() -> None:
    reading, writing = os.pipe()
    pipe = Pipe(writing)
    lines = [f"+{number:032x}" for number in range(10_000)]
    for line in lines:
        pipe.say(f"{line}\n")
    reader = asyncio.StreamReader()
    with os.fdopen(reading, "rb") as end:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), end)
        async with asyncio.timeout(30):
            assert [(await reader.readline()).decode().strip() for _ in lines] == lines
        transport.close()
    pipe.end()
    os.close(writing)


async def test_a_process_that_has_ended_is_told_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    pipe = Pipe(writing)
    pipe.say("+1\n")
    pipe.end()
    os.close(writing)
