"""How often each address may show something that is wrong."""

from ipaddress import IPv6Address, ip_address
from typing import Final

from coordinator.engine.ports import Clock

WINDOW: Final = 60_000
"""Milliseconds after which what went wrong is forgotten."""
FAILURES_AT_MOST: Final = 20
ADDRESSES_AT_MOST: Final = 10_000


class Attempts:
    """Counts failures by address, for a minute. The addresses of one IPv6 network count as one."""

    def __init__(self, clock: Clock) -> None:
        """Nobody has failed yet."""
        self._clock = clock
        self._failures: dict[str, int] = {}
        self._since = clock.elapsed()

    def allowed(self, address: str) -> bool:
        """Whether somebody from there may try again."""
        self._move_on()
        return self._failures.get(network_of(address), 0) < FAILURES_AT_MOST

    def failed(self, address: str) -> None:
        """Somebody from there has tried in vain."""
        self._move_on()
        if len(self._failures) < ADDRESSES_AT_MOST:
            network = network_of(address)
            self._failures[network] = self._failures.get(network, 0) + 1

    def _move_on(self) -> None:
        if self._clock.elapsed() - self._since >= WINDOW:
            self._failures.clear()
            self._since = self._clock.elapsed()


def network_of(address: str) -> str:
    """What counts as one place to call from: an address, or the first half of an IPv6 address."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return found.exploded[:19] if isinstance(found, IPv6Address) else address
