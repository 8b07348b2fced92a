"""How late the event loop is."""

import asyncio
from typing import Final

from prometheus_client import CollectorRegistry, Histogram

SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
EVERY: Final = 0.5


class LoopLag:
    """Measures twice a second how late the event loop comes to a timer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Not measuring yet."""
        self._seconds = Histogram(
            "hookline_event_loop_lag_seconds", "How late the event loop came to a timer.", buckets=SECONDS, registry=registry
        )
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Measure the running loop from now on."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(EVERY, self._tick, loop, loop.time() + EVERY)

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self._seconds.observe(max(0.0, now - due))
        self._timer = loop.call_at(now + EVERY, self._tick, loop, now + EVERY)
