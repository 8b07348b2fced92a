"""How many calls that last (followed deployments and output, pushes) are open at once, so that nobody takes the places of others.

Who runs the coordinator is not counted, and neither are agents, whose streams the gateway bounds.
"""

from collections import Counter
from collections.abc import Mapping

from coordinator.core.errors import Limit
from coordinator.core.identity.access import Kind, Principal
from coordinator.service.access.attempts import network_of

_COUNTED = frozenset({Kind.Operator, Kind.Invited, Kind.Nobody})


class TooManyStreams(Limit):
    """Somebody has as much open as they may."""

    code = "TooManyStreamsException"


class Seats:
    """Counts what is open: of each operator and each address, and about each application."""

    def __init__(self, at_most: Mapping[str, int]) -> None:
        """`at_most` by whose they are (operator, application, address); what has none is not counted."""
        self._at_most = at_most
        self._open: Counter[tuple[str, str]] = Counter()

    def take(self, principal: Principal) -> "Seat":
        """A seat for a call that lasts, to be left at its end. Raises TooManyStreams."""
        seat = Seat(self, counted=principal.kind in _COUNTED)
        seat.take("address", network_of(principal.address))
        if principal.kind is Kind.Operator:
            try:
                seat.take("operator", str(principal))
            except TooManyStreams:
                seat.leave()
                raise
        return seat

    def sit(self, kind: str, whose: str) -> None:
        """One more is open. Raises TooManyStreams."""
        most = self._at_most.get(kind)
        if most is not None and self._open[kind, whose] >= most:
            said = {"address": f"from {whose}", "operator": f"for {whose}", "application": f"about application {whose}"}[kind]
            raise TooManyStreams(f"cannot open another stream {said}: {most} are open already; end one first")
        self._open[kind, whose] += 1

    def rise(self, kind: str, whose: str) -> None:
        """One less is open."""
        self._open[kind, whose] -= 1
        if not self._open[kind, whose]:
            del self._open[kind, whose]


class Seat:
    """What one call that lasts is counted as."""

    def __init__(self, seats: Seats, *, counted: bool) -> None:
        """Nothing is taken yet, and nothing ever is unless it is to be `counted`."""
        self._seats = seats
        self._counted = counted
        self._taken: list[tuple[str, str]] = []

    def take(self, kind: str, whose: str) -> None:
        """Count it there as well. Raises TooManyStreams."""
        if self._counted:
            self._seats.sit(kind, whose)
            self._taken.append((kind, whose))

    def leave(self) -> None:
        """The call has ended."""
        for kind, whose in self._taken:
            self._seats.rise(kind, whose)
        self._taken.clear()
