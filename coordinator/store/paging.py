"""Where a page ended: the sort key of its last row, bound to the question that was asked. Rows that come or go between do no harm."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from coordinator.core.errors import Invalid
from coordinator.service.ports import Cursor, Page

R = TypeVar("R")
T = TypeVar("T")
Key = list[str | int]

MARK_BYTES: Final = 6
LARGEST: Final = (1 << 63) - 1


class Paging:
    """Makes and reads the cursors of one list, asked for with one set of filters."""

    def __init__(self, *question: object) -> None:
        """`question`: which list, and every filter."""
        self._mark = hashlib.sha256(json.dumps(question, default=str).encode()).hexdigest()[: 2 * MARK_BYTES]

    def after(self, cursor: Cursor, first: Key) -> Key:
        """The sort key behind which the page begins; `first` at the beginning. Raises Invalid for a cursor of something else."""
        if not cursor:
            return first
        try:
            mark, *key = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
        except (ValueError, TypeError, RecursionError):
            mark, key = None, []
        if mark != self._mark or [type(one) for one in key] != [type(one) for one in first] or not all(map(_bindable, key)):
            raise Invalid(
                "cannot go on from this page_token: it belongs to another list or other filters; begin again without one",
                field="page_token",
            )
        return list(key)

    def page(self, rows: Sequence[R], size: int, key: Callable[[R], Key], item: Callable[[R], T]) -> Page[T]:
        """A page of up to `size` of the rows, of which one more than that was asked for."""
        shown = rows[:size]
        following = self._cursor(key(shown[-1])) if len(rows) > size and shown else ""
        return Page(items=[item(row) for row in shown], next=following)

    def _cursor(self, key: Key) -> Cursor:
        return base64.urlsafe_b64encode(json.dumps([self._mark, *key]).encode()).decode("ascii")


def _bindable(one: str | int) -> bool:
    """Whether a database can compare with it: whoever forges a cursor can put anything in."""
    if isinstance(one, int):
        return 0 <= one <= LARGEST
    return not any("\ud800" <= character <= "\udfff" for character in one)
