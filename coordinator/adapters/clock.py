"""The machine's clock: the one place of the coordinator that asks what time it is."""

import asyncio
import time


class SystemClock:
    """Implements the engine's port `Clock`."""

    def now(self) -> int:
        """UTC milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def elapsed(self) -> int:
        """Monotonic milliseconds."""
        return time.monotonic_ns() // 1_000_000

    async def sleep(self, milliseconds: int) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(milliseconds / 1000)
