"""What hook scripts print: one byte stream per instruction, the logs for people, and the tail for the diagnostics.

The stream only ever grows, so an offset in it stays true; past its limit bytes are dropped, and a line says so and how many.
A disk that is full costs output, never a hook. What looks like a secret is masked before it is written anywhere.
"""

from __future__ import annotations

import os

from agent.scrub import Scrubber, hidden_parts
from agent.supervisor import clock
from agent.supervisor.deployments import open_for_append

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.supervisor.deployments import DeploymentsLog

TAIL_CHARACTERS = 2048
_LONGEST_LINE = 64 * 1024
_STAMP_LENGTH = len("2026-01-31 12:59:00 ")


class Output:
    """The output of one lifecycle event, written line by line as it comes."""

    def __init__(self, stream: str, log: str, limit: int, deployments: DeploymentsLog, secrets: set[bytes] | None = None) -> None:
        """`secrets` are masked wherever they are printed; `hide` adds to them."""
        self._secrets = set() if secrets is None else secrets
        self._stream = open_for_append(stream)
        self._log = open_for_append(log)
        self._deployments = deployments
        self._room = limit - _size(self._stream)
        self._dropped = 0
        self._unfinished: dict[str, bytes] = {}
        self._scrubbers: dict[str, Scrubber] = {}
        self._tail: list[str] = []
        self._tail_length = 0
        self._wall = 0
        self._stamp = b""

    def hide(self, values: Iterable[bytes]) -> None:
        """Masks these in all that is printed from now on."""
        for value in values:
            self._secrets.update(hidden_parts(value))

    def headline(self, text: str) -> None:
        """Adds a line of ours, which is never dropped for the limit's sake."""
        self._write(self._now() + _encoded(text) + b"\n")
        self._remember([text])

    def printed(self, source: str, octets: bytes) -> None:
        """Adds what a script printed on `stdout` or `stderr`; a line is written when its end has come."""
        *lines, unfinished = (self._unfinished.pop(source, b"") + octets).split(b"\n")
        if len(unfinished) >= _LONGEST_LINE:
            lines.append(unfinished)
        elif unfinished:
            self._unfinished[source] = unfinished
        if lines:
            self._add(source, lines)

    def script_ended(self) -> None:
        """Writes the lines that were left without an end, and says how much has been dropped since the last such line."""
        for source, line in self._unfinished.items():
            self._add(source, [line])
        self._unfinished.clear()
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self.headline(f"[hookline]dropped {dropped} bytes of output")

    def tail(self) -> str:
        """The last whole lines that together stay below 2,048 characters."""
        return "".join(f"{line}\n" for line in self._tail)

    def close(self) -> None:
        """Closes the files."""
        self._deployments.close()
        for fd in (self._stream, self._log):
            if fd is not None:
                os.close(fd)

    def _add(self, source: str, lines: Sequence[bytes]) -> None:
        begin = self._now() + _encoded(f"[{source}]")
        lines = self._scrubber(source).scrub(b"\n".join(lines)).split(b"\n")
        block = begin + (b"\n" + begin).join(lines) + b"\n"
        self._remember([f"[{source}]{line.decode('utf-8', 'replace')}" for line in lines[-TAIL_CHARACTERS // 8 :]])
        if len(block) > self._room:
            fits = block.rfind(b"\n", 0, max(self._room, 0)) + 1
            if not self._dropped:
                self._write(block[:fits])
                self._write(self._now() + b"[hookline]the limit of this output is reached, what follows is dropped\n")
                block = block[fits:]
            self._dropped += len(block) - block.count(b"\n") * len(begin)
            self._room = 0
        else:
            self._write(block)

    def _scrubber(self, source: str) -> Scrubber:
        """What masks secrets in what comes from there; it has to see every line, for some secrets take several."""
        return self._scrubbers.setdefault(source, Scrubber(self._secrets))

    def _write(self, block: bytes) -> None:
        if not block:
            return
        written = _append(self._stream, block)
        _append(self._log, block)
        self._deployments.add(block, self._stamp, self._wall % 1000)
        self._room -= written
        self._dropped += len(block) - written

    def _remember(self, lines: Sequence[str]) -> None:
        for line in lines:
            kept = _shortened(line)
            self._tail.append(kept)
            self._tail_length += len(kept) + 1
        while self._tail_length >= TAIL_CHARACTERS:
            self._tail_length -= len(self._tail.pop(0)) + 1

    def _now(self) -> bytes:
        wall = clock.wall_ms()
        if wall // 1000 != self._wall // 1000:
            self._stamp = clock.stamp(wall).encode() + b" "
        self._wall = wall
        return self._stamp


def tail_of(stream: str) -> str:
    """The tail of the last event in a stream whose supervisor was killed before it could tell it."""
    try:
        with open(stream, "rb") as file:
            begin = max(os.fstat(file.fileno()).st_size - 2 * _LONGEST_LINE, 0)
            file.seek(begin)
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    tail: list[str] = []
    left = TAIL_CHARACTERS - 1
    if not lines[-1]:
        lines.pop()
    for line in reversed(lines[begin > 0 :]):  # the first may have lost its begin
        shown = _shortened(line[_STAMP_LENGTH:])
        left -= len(shown) + 1
        if left < 0:
            break
        tail.append(f"{shown}\n")
        if shown.startswith("LifecycleEvent - "):
            break
    return "".join(reversed(tail))


def _shortened(line: str) -> str:
    """A line that fits the tail: of one that is too long, its source and its end."""
    return line if len(line) < TAIL_CHARACTERS - 1 else f"{line[:8]}...{line[16 - TAIL_CHARACTERS :]}"


def _size(fd: int | None) -> int:
    """The size of a file, whose last line gets its end if a crash left it without."""
    size = 0 if fd is None else os.fstat(fd).st_size
    if fd is not None and size and os.pread(fd, 1, size - 1) != b"\n":
        size += _append(fd, b"\n")
    return size


def _append(fd: int | None, block: bytes) -> int:
    try:
        return 0 if fd is None else os.write(fd, block)
    except OSError:
        return 0


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
