"""Lines that several hosts print alike: once each, no host's order broken, nobody kept waiting for longer than the window."""

import random

import pytest

from coordinator.cli.following import folding
from coordinator.cli.following.folding import Fold, Folded


def shown(lines: list[Folded]) -> list[tuple[bytes, int]]:
    return [(line.line, line.hosts) for line in lines]


def test_a_line_waits_for_its_like_no_longer_than_the_window() -> None:
    fold = Fold(0.3)
    assert not list(fold.add("a", b"same", 0.0))
    assert not list(fold.add("b", b"same", 0.2))
    assert not list(fold.due(0.25))
    assert shown(list(fold.due(0.3))) == [(b"same", 2)]
    assert not list(fold.add("c", b"same", 0.4))
    assert shown(list(fold.end())) == [(b"same", 1)]


def test_whatever_stands_before_a_line_that_has_waited_is_shown_with_it() -> None:
    fold = Fold(0.3)
    fold.add("a", b"a1", 0.0)
    fold.add("b", b"b1", 0.1)
    fold.add("a", b"a2", 0.2)
    assert shown(list(fold.due(0.4))) == [(b"a1", 1), (b"a2", 1), (b"b1", 1)]


def test_lines_that_differ_in_their_time_only_are_alike() -> None:
    fold = Fold(None)
    fold.add("a", b"2026-11-23 12:00:00 [stdout]12:00:00", 0.0)
    fold.add("b", b"2026-11-23 12:00:09 [stdout]12:00:00", 0.0)
    fold.add("c", b"2026-11-23 12:00:09 [stdout]12:00:09", 0.0)
    assert [line.hosts for line in fold.end()] == [2, 1]


def test_one_host_that_says_the_same_twice_has_said_it_twice() -> None:
    fold = Fold(None)
    for _ in range(3):
        fold.add("a", b"retry", 0.0)
    fold.add("b", b"retry", 0.0)
    assert shown(list(fold.end())) == [(b"retry", 2), (b"retry", 1), (b"retry", 1)]


@pytest.mark.parametrize("seed", range(20))
def test_every_host_finds_all_its_lines_in_their_order(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "AT_MOST", 40)
    chance = random.Random(seed)
    printed = {host: [b"%d" % chance.randrange(12) for _ in range(60)] for host in "abcd"}
    fold, lines, now = Fold(0.3), [], 0.0
    rest = {host: list(of) for host, of in printed.items()}
    while any(rest.values()):
        host = chance.choice([host for host, left in rest.items() if left])
        now += chance.random() / 20
        lines += [*fold.add(host, rest[host].pop(0), now), *fold.due(now)]
    lines += fold.end()
    assert sum(line.hosts for line in lines) == 240
    for of in printed.values():
        remaining = iter(lines)
        assert all(any(line.line == wanted for line in remaining) for wanted in of)
