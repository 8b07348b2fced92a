"""How many streams a host may open, and how often: each Hello costs a commit, so one host's are not to hold up those of others."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from coordinator.core.errors import Unavailable
from coordinator.core.model import HostId
from coordinator.engine.ports import Clock

OPEN_AT_MOST: Final = 8
"""Streams of one host. It needs one, two while its certificate changes, and an old one may not know yet that its machine was cut off."""

PRICE: Final = 500
"""Milliseconds between two of its streams, once `BURST` have come."""

BURST: Final = 60


class Turnstile:
    """Counts the streams of each host that a certificate names."""

    def __init__(self, clock: Clock) -> None:
        """Nobody has come yet."""
        self._clock = clock
        self._open: Counter[HostId] = Counter()
        self._paid_until: dict[HostId, int] = {}

    @contextmanager
    def passed(self, host_id: HostId | None) -> Iterator[None]:
        """For as long as a stream is open; None: nobody knows yet whose it is. Raises Unavailable."""
        if host_id is None:
            yield
            return
        if self._open[host_id] >= OPEN_AT_MOST:
            raise Unavailable(
                f"cannot accept another stream of this host: {OPEN_AT_MOST} are open already; does a second agent have its key?"
            )
        now = self._clock.elapsed()
        paid_until = max(self._paid_until.get(host_id, 0), now)
        if paid_until - now > (BURST - 1) * PRICE:
            raise Unavailable("cannot accept another stream of this host just now: it opens them too often; come back")
        self._paid_until[host_id] = paid_until + PRICE
        self._open[host_id] += 1
        try:
            yield
        finally:
            self._open[host_id] -= 1
            if not self._open[host_id]:
                del self._open[host_id]
                if self._paid_until[host_id] <= self._clock.elapsed():
                    del self._paid_until[host_id]
