"""How many calls each address, operator and application may make: so many at once, so many a second, and then it is told when to come back.

Addresses are counted before anybody knows who calls, so that a call too many costs neither a look into the database nor a row of the audit.
"""

import math
from typing import Final

from coordinator.api.access.entrance import Context, Entrance, Stay, peer_address
from coordinator.core.errors import Limit
from coordinator.core.identity.access import Principal
from coordinator.engine.ports import Clock
from coordinator.service.access.attempts import network_of

CALLERS_AT_MOST: Final = 10_000
"""Whoever has not called for the longest time is forgotten first."""


class TooManyCalls(Limit):
    """Somebody calls faster than they may."""

    code = "TooManyCallsException"

    def __init__(self, message: str, retry_after: int = 1_000) -> None:
        """It may call again after so many milliseconds."""
        super().__init__(message)
        self.retry_after = retry_after


class Rates:
    """So many calls a second of each caller, after a burst."""

    def __init__(self, clock: Clock, *, per_second: float, burst: int) -> None:
        """Nobody has called yet."""
        self._clock = clock
        self._price = 1_000 / per_second
        self._allowance = (burst - 1) * self._price
        self._paid_until: dict[str, float] = {}

    def owed(self, caller: str) -> int:
        """Milliseconds after which a call of theirs may come; 0: it may, and is counted."""
        now = self._clock.elapsed()
        paid_until = max(self._paid_until.pop(caller, 0.0), now)
        ahead = paid_until - now - self._allowance
        self._paid_until[caller] = paid_until if ahead > 0 else paid_until + self._price
        if len(self._paid_until) > CALLERS_AT_MOST:
            del self._paid_until[next(iter(self._paid_until))]
        return math.ceil(max(ahead, 0))


class Paced:
    """An entrance through which no address comes faster than it may. The addresses of one IPv6 network count as one."""

    def __init__(self, inner: Entrance, rates: Rates) -> None:
        """`inner` says who calls."""
        self._inner = inner
        self._rates = rates

    async def principal(self, context: Context) -> Principal:
        """See `Entrance`. Raises TooManyCalls."""
        address = peer_address(context)
        owed = self._rates.owed(network_of(address))
        if owed:
            raise TooManyCalls(f"cannot take another call from {address} just now: too many came; try again in {owed / 1000:.1f} s", owed)
        return await self._inner.principal(context)

    def stay(self, principal: Principal) -> Stay | None:
        """See `Entrance`."""
        return self._inner.stay(principal)

    def left(self, principal: Principal, stay: Stay | None) -> None:
        """See `Entrance`."""
        self._inner.left(principal, stay)
