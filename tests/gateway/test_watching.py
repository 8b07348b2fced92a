"""A listener that has ended is noticed."""

import asyncio
import socket

import pytest

from coordinator.config.settings import Address
from coordinator.gateway.listeners.watching import Listener, ListenerEnded, watch


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


class Door:
    """A server that somebody can take away."""

    def __init__(self, address: Address) -> None:
        self._socket = socket.create_server(address)
        self.port: int = self._socket.getsockname()[1]
        self.started = asyncio.Event()

    async def start(self) -> None:
        self.server = await asyncio.start_server(lambda _, writer: writer.close(), sock=self._socket)
        self.started.set()

    async def stop(self, grace: float | None) -> None:
        self.server.close()


async def test_a_listener_that_can_be_opened_again_is_and_the_coordinator_ends_only_where_that_cannot_be() -> None:
    doors: list[Door] = []
    opened = asyncio.Event()

    def make(address: Address) -> tuple[Door, int]:
        if len(doors) == 2:
            raise RuntimeError("the port is in use")
        doors.append(Door(address))
        if len(doors) == 2:
            opened.set()
        return doors[-1], doors[-1].port

    listener = Listener(Address("127.0.0.1", 0), make)
    await listener.start()
    watching = asyncio.create_task(watch([], Impatient(), [listener]))
    await doors[0].stop(None)
    await opened.wait()
    assert doors[0].port == doors[1].port == listener.address.port
    await doors[1].started.wait()
    assert not watching.done()
    await doors[1].stop(None)
    with pytest.raises(ListenerEnded, match="its listener has ended, and the port is in use"):
        await watching
