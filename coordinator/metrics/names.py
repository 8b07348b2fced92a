"""Whose names may be seen: the labels of an application's group, none unless the operator wants them, and never too many of them."""

from typing import Final

NAMED_AT_MOST: Final = 200
"""Groups that have labels of their own; the rest is counted together, as OTHERS."""

OTHERS: Final = "(others)"


class Names:
    """The labels of groups."""

    def __init__(self, *, wanted: bool) -> None:
        """Without names being `wanted`, everything is counted together."""
        self.wanted = wanted
        self.labels = ("application", "group") if wanted else ()
        self._known: set[tuple[str, str]] = set()

    def of(self, application: str, group: str) -> tuple[str, ...]:
        """The labels of a group: none, its names, or those of all that came later than NAMED_AT_MOST others."""
        if not self.wanted:
            return ()
        where = (application, group)
        if where not in self._known:
            if len(self._known) >= NAMED_AT_MOST:
                return (OTHERS, OTHERS)
            self._known.add(where)
        return where
