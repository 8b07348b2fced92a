"""A listener that has ended is noticed."""

import asyncio

import pytest

from coordinator.config import Address
from coordinator.gateway.watching import ListenerEnded, watch


class Impatient:
    """A clock on which nobody waits."""

    def now(self) -> int:
        return 0

    def elapsed(self) -> int:
        return 0

    async def sleep(self, milliseconds: int) -> None:
        await asyncio.sleep(0)


async def test_a_listener_that_has_ended_is_noticed_and_one_that_serves_is_left_alone() -> None:
    came = asyncio.Event()

    def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
    watching = asyncio.create_task(watch([address], Impatient()))
    await came.wait()
    assert not watching.done()
    server.close()
    with pytest.raises(ListenerEnded, match="its listener has ended"):
        await watching
