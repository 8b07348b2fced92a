"""Looks whether the coordinator's listeners still answer, for gRPC does not say when one has ended.

A call whose path is no UTF-8 ends grpcio's asynchronous server for good, whoever sends it; what is left then serves nobody and looks well.
Where strangers may call, such a listener is opened again, and nobody else notices; with any other the coordinator ends, to be started
again.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from coordinator.config.settings import Address
from coordinator.engine.ports import Clock

log = logging.getLogger(__name__)

EVERY: Final = 3_000
"""Milliseconds."""

WITHIN: Final = 2.0
"""Seconds that a connection may take, and what is left of a server that has ended."""


class ListenerEnded(Exception):
    """Nobody listens any more where the coordinator should."""


class Server(Protocol):
    """What serves: gRPC's server, say."""

    async def start(self) -> None:
        """Serve."""
        ...

    async def stop(self, grace: float | None) -> None:
        """End, once open calls have ended, or after so many seconds."""
        ...


class Listener:
    """A listener that can be opened again."""

    def __init__(self, address: Address, make: Callable[[Address], tuple[Server, int]]) -> None:
        """`make` makes a server that listens there once it is started, and says at which port."""
        self.address = address
        """The port is known once it was started."""
        self._make = make
        self._server: Server | None = None

    async def start(self) -> None:
        """Serve. Raises RuntimeError when the address is in use."""
        self._server, port = self._make(self.address)
        self.address = Address(self.address.host, port)
        await self._server.start()

    async def start_again(self) -> None:
        """Serve again, at the same port, after the server has ended by itself: what it still holds is let go first.

        Raises RuntimeError when that cannot be.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(WITHIN):
                await self.stop(None)
        await self.start()

    async def stop(self, grace: float | None) -> None:
        """Take no more calls, and end those that last longer than `grace`."""
        if self._server is not None:
            await self._server.stop(grace)


async def watch(addresses: Sequence[Address], clock: Clock, again: Sequence[Listener] = ()) -> None:
    """Connect to each address again and again; raises ListenerEnded when that is refused. Those of `again` are opened again instead."""
    while True:
        await clock.sleep(EVERY)
        for address in addresses:
            if not await _answers(address):
                raise ListenerEnded(f"cannot serve at {address} any more: its listener has ended")
        for listener in again:
            if not await _answers(listener.address):
                log.error("listener has ended and is opened again address=%s", listener.address)
                try:
                    await listener.start_again()
                except RuntimeError as error:
                    raise ListenerEnded(f"cannot serve at {listener.address} any more: its listener has ended, and {error}") from error


async def _answers(address: Address) -> bool:
    """Whether somebody listens there."""
    try:
        async with asyncio.timeout(WITHIN):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except ConnectionRefusedError:
        return False
    except (OSError, TimeoutError):  # too many files, say: that will be found by others
        return True
    writer.close()
    return True
