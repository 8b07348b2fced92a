"""Cursors: whoever forges one is told so, whatever it holds."""

import base64
import json

import pytest

from coordinator.core.errors import Invalid
from coordinator.store.paging import LARGEST, Paging

PAGING = Paging("things", "shop")


def forged(*key: object) -> str:
    """A cursor of these things with another key."""
    mark = json.loads(base64.urlsafe_b64decode(page(["a", 1])))[0]
    return base64.urlsafe_b64encode(json.dumps([mark, *key]).encode()).decode()


def page(key: list[str | int]) -> str:
    return PAGING.page([key, key], 1, lambda row: row, lambda row: row).next


@pytest.mark.parametrize("key", [["a", 1], ["", 0], ["ü\0", LARGEST], ["\U0001f600", 7]])
def test_a_cursor_says_where_its_page_ended(key: list[str | int]) -> None:
    assert PAGING.after(page(key), ["", 0]) == key


@pytest.mark.parametrize(
    "cursor",
    [
        forged("a", LARGEST + 1),
        forged("a", 10**400),
        forged("a", -1),
        forged("a", True),
        forged("a", 1.0),
        forged("a"),
        forged("a", 1, 2),
        forged("\ud800", 1),
        forged(["a"], 1),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        base64.urlsafe_b64encode(b"5").decode(),
        base64.urlsafe_b64encode(b"\xff").decode(),
        "x",
        "ü",
    ],
    ids=lambda cursor: cursor[:12],
)
def test_a_forged_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid, match="cannot go on from this page_token") as refused:
        PAGING.after(cursor, ["", 0])
    assert refused.value.field == "page_token"
