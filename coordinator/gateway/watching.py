"""Looks whether the coordinator's listeners still answer, for gRPC does not say when one has ended.

A call whose path is no UTF-8 ends grpcio's asynchronous server for good, whoever sends it; what is left then serves nobody and looks well.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from coordinator.config import Address
from coordinator.engine.ports import Clock

EVERY: Final = 3_000
"""Milliseconds."""

WITHIN: Final = 2.0
"""Seconds that a connection may take."""


class ListenerEnded(Exception):
    """Nobody listens any more where the coordinator should."""


async def watch(addresses: Sequence[Address], clock: Clock) -> None:
    """Connect to each address again and again; raises ListenerEnded when that is refused."""
    while True:
        await clock.sleep(EVERY)
        for address in addresses:
            try:
                async with asyncio.timeout(WITHIN):
                    _, writer = await asyncio.open_connection(address.host, address.port)
            except ConnectionRefusedError as error:
                raise ListenerEnded(f"cannot serve at {address} any more: its listener has ended") from error
            except (OSError, TimeoutError):  # too many files, say: that will be found by others
                continue
            writer.close()
