"""Lines that several hosts print alike, put together so that they are shown once. Each host's own lines keep their order.

Pure: takes lines and the time, says what to show. Knows neither the terminal nor the coordinator.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

AT_MOST = 20_000
"""Lines that wait for others like them; of more, the first are shown."""

LOOK_AHEAD = 500
"""Lines among which the like of a host's next one is looked for."""

_STAMP = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


class Folded(NamedTuple):
    """A line as the first of its hosts printed it, and how many did."""

    line: bytes
    host_id: str
    hosts: int


class _Entry:
    """A line that waits, in a list of them."""

    __slots__ = ("host_id", "hosts", "key", "line", "next", "shown", "since")

    def __init__(self, host_id: str, line: bytes, key: bytes, since: float) -> None:
        self.host_id = host_id
        self.line = line
        self.key = key
        self.since = since
        self.hosts = 1
        self.shown = False
        self.next: _Entry | None = None


class Fold:
    """Lines that wait for their like. A line is like another when they differ in nothing but the time before them.

    Nothing that has its place is moved: of hosts that print different lines in between, the like of a line is found or not found
    by which of them printed first, and is shown twice in the latter case.
    """

    def __init__(self, window: float | None) -> None:
        """`window` seconds are waited; None: until the end, or until too many wait."""
        self._window = window
        self._head = self._tail = _Entry("", b"", b"", 0.0)
        self._came: dict[_Entry, None] = {}
        self._keys: Counter[bytes] = Counter()
        self._last: dict[str, _Entry] = {}

    def add(self, host_id: str, line: bytes, now: float) -> Iterator[Folded]:
        """The next line of a host; what has no more room to wait."""
        key = _STAMP.sub(b"", line, count=1)
        before = self._last.get(host_id)
        if before is not None and before.shown:
            before = None
        entry = self._like(before or self._head, key)
        if entry is None:
            entry = _Entry(host_id, line, key, now)
            # Beside the host's line before it, not at the end: what follows may still be like what other hosts printed.
            after = before or self._tail
            after.next, entry.next = entry, after.next
            if after is self._tail:
                self._tail = entry
            self._came[entry] = None
            self._keys[key] += 1
        else:
            entry.hosts += 1
        self._last[host_id] = entry
        return self._through(self._head.next) if len(self._came) > AT_MOST else iter(())

    def due(self, now: float) -> Iterator[Folded]:
        """What has waited long enough, and whatever stands before it."""
        while self._came and self._window is not None and now - (oldest := next(iter(self._came))).since >= self._window:
            yield from self._through(oldest)

    def end(self) -> Iterator[Folded]:
        """All that is left."""
        while self._head.next is not None:
            yield from self._through(self._head.next)

    def _like(self, after: _Entry, key: bytes) -> _Entry | None:
        if not self._keys[key]:
            return None
        entry = after.next
        for _ in range(LOOK_AHEAD):
            if entry is None or entry.key == key:
                return entry
            entry = entry.next
        return None

    def _through(self, last: _Entry | None) -> Iterator[Folded]:
        while last is not None and not last.shown and (entry := self._head.next) is not None:
            self._head.next = entry.next
            if entry is self._tail:
                self._tail = self._head
            entry.shown = True
            del self._came[entry]
            self._keys[entry.key] -= 1
            if not self._keys[entry.key]:
                del self._keys[entry.key]
            yield Folded(entry.line, entry.host_id, entry.hosts)
