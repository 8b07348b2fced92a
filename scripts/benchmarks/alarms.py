"""`scripts/bench alarms`: how soon an alert stops a rollout and begins its rollback, and what looking at many alarms costs.

The rollout goes to simulated hosts, one after another, so that one is always being deployed to. Alertmanager's call comes over HTTP, its
alert is stored before it is believed, and the stop is committed before the first host is told. Prometheus is a stub in this process, whose
work is not counted.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from scripts.benchmarks import child
from scripts.benchmarks.figures import Figure, percentile
from scripts.benchmarks.fleets import rollout

HOSTS: Final = 100
ALARMS: Final = 50
GROUPS: Final = 20
SECONDS: Final = 20.0


async def prometheus(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request of a connection with a series that is quiet."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            now = time.time()
            values = [[now - 5 * back, "0.5"] for back in range(8, -1, -1)]
            matrix = [{"metric": {"job": "shop", "instance": str(number)}, "values": values} for number in range(10)]
            body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": matrix}}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    except asyncio.IncompleteReadError:
        pass
    finally:
        writer.close()


async def measure(rounds: int, directory: Path) -> AsyncIterator[Figure]:
    """All figures."""
    async with child.child("fleets.alarmed", str(directory / "coordinator")) as server:
        address = str((await server.ask(do="address"))["address"])
        async with rollout.fleet(address, HOSTS, messages=0):
            while (await server.ask(do="connected"))["hosts"] < HOSTS:  # noqa: ASYNC110  the count is in another process
                await asyncio.sleep(0.1)
            await server.ask(do="watch")
            measured = [await server.ask(do="alarm") for _ in range(rounds)]
        stopped, back = ([one[name] * 1000 for one in measured] for name in ("stopped", "back"))
        yield Figure(name="alert received to stop committed, median", value=percentile(stopped, 50), unit="ms")
        yield Figure(name="alert received to stop committed, p99", value=percentile(stopped, 99), unit="ms", bar=100)
        yield Figure(name="stop to first host that rolls back, p99", value=percentile(back, 99), unit="ms", bar=1000)
        async with await asyncio.start_server(prometheus, "127.0.0.1", 0) as stub:
            url = f"http://127.0.0.1:{stub.sockets[0].getsockname()[1]}"
            polled = await server.ask(do="poll", url=url, alarms=ALARMS, groups=GROUPS, seconds=SECONDS)
        yield Figure(name=f"{ALARMS} alarms, each for {GROUPS} groups: share of a core", value=polled["core"] * 100, unit="%", bar=10)
        yield Figure(name="what groups were told a second", value=polled["seen"] / SECONDS, unit="facts")
