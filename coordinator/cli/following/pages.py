"""What hooks print as an operator sees it: each host's pieces put together to lines, made harmless, those of many hosts folded."""

import base64
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from coordinator.cli.console import Console
from coordinator.cli.following.folding import Fold, Folded
from coordinator.cli.wording.text import clean, clean_output

if TYPE_CHECKING:
    from hookline.v1.deployments_pb2 import ReadLogsResponse

TICK = 0.1
"""Seconds between two looks for lines that have waited long enough."""


class Pages:
    """Puts the pieces of each host together and shows whole lines."""

    def __init__(self, console: Console, *, named: bool, raw: bool, fold: Fold | None) -> None:
        """`named`: each line begins with its host. `raw`: nothing is made harmless. `fold`: where lines wait for others like them."""
        self._console = console
        self._named = named
        self._raw = raw
        self._fold = fold
        self._away = False
        self._rests: dict[str, bytes] = {}
        self._offsets: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._open: dict[str, bool] = {}
        self._lock = threading.Lock()  # lines that have waited long enough are shown by a thread

    @property
    def empty(self) -> bool:
        """Whether nothing has come."""
        return not self._names

    @property
    def unfinished(self) -> list[str]:
        """The hosts whose output has begun to come and has no end yet."""
        return sorted(clean(self._names[host_id]) for host_id, still in self._open.items() if still)

    def reconnecting(self) -> None:
        """The coordinator is away."""
        if not self._away:
            self._console.remark("the connection to the coordinator broke; connecting again, nothing will be lost or repeated")
        self._away = True

    def add(self, piece: "ReadLogsResponse") -> None:
        """Show what a piece completes."""
        with self._lock:
            self._add(piece)

    def end(self) -> None:
        """Show what waits, and what has no end of line."""
        with self._lock:
            for host_id, rest in self._rests.items():
                self._show(host_id, self._offsets[host_id], rest)
            self._rests.clear()
            self._folded(self._fold.end() if self._fold else ())

    @contextmanager
    def live(self) -> Iterator[None]:
        """Shows lines when they have waited long enough, for as long as this lasts."""
        ended = threading.Event()
        thread = threading.Thread(target=self._tick, args=(ended,), name="lines that waited", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(1.0)  # it may wait for a terminal that takes nothing more

    def _tick(self, ended: threading.Event) -> None:
        while self._fold is not None and not ended.wait(TICK):
            try:
                with self._lock:
                    self._folded(self._fold.due(self._console.clock.elapsed()))
            except OSError:  # nobody reads any more; the next piece says so to whoever called
                return

    def _add(self, piece: "ReadLogsResponse") -> None:
        host_id, self._away = piece.host_id, False
        self._names[host_id] = piece.host_name
        self._open[host_id] = not piece.complete
        rest = self._rests.pop(host_id, b"")
        begin = piece.offset - len(rest)
        *lines, rest = (rest + piece.content).split(b"\n")
        for line in lines:
            self._show(host_id, begin, line)
            begin += len(line) + 1
        if rest and (piece.complete or piece.dropped_bytes):
            self._show(host_id, begin, rest)
        elif rest:
            self._rests[host_id], self._offsets[host_id] = rest, begin
        if piece.dropped_bytes:
            self._dropped(host_id, piece.offset + len(piece.content), piece.dropped_bytes)

    def _show(self, host_id: str, offset: int, line: bytes) -> None:
        if not self._console.json:
            self._line(host_id, line)
            return
        try:
            self._object(host_id, offset=offset, line=line.decode())
        except UnicodeDecodeError:
            exact = base64.b64encode(line).decode()
            self._object(host_id, offset=offset, line=line.decode(errors="replace"), line_base64=exact)

    def _dropped(self, host_id: str, offset: int, size: int) -> None:
        if self._console.json:
            self._object(host_id, offset=offset, dropped_bytes=size)
        else:
            self._line(host_id, b"[hookline]dropped %d bytes of output" % size)

    def _line(self, host_id: str, line: bytes) -> None:
        if self._fold is None:
            self._folded([Folded(line, host_id, 1)])
        else:
            now = self._console.clock.elapsed()
            self._folded(self._fold.add(host_id, line, now))
            self._folded(self._fold.due(now))

    def _folded(self, lines: Iterable[Folded]) -> None:
        for line, host_id, hosts in lines:
            whose = f"{hosts} hosts: " if hosts > 1 else f"{clean(self._names[host_id])} | " if self._named else ""
            if self._raw:
                click.echo(whose.encode() + line)
            else:
                self._console.line(whose + clean_output(line.decode(errors="replace")))

    def _object(self, host_id: str, **more: str | int) -> None:
        click.echo(json.dumps({"host_id": host_id, "host_name": self._names[host_id], **more}))
