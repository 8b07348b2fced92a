"""What one instruction prints: which piece of it is to be published next, and what is dropped so that publishing keeps up.

The file of an instruction only ever grows, so an offset in it is a place in its stream, dropped bytes included.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from agent.model import InstructionId

CONTENT_BYTES = 64 * 1024
IN_FLIGHT = 10
"""Pieces of one output that may wait for their acknowledgement, which comes about once a second: where many hosts print, pieces get
larger instead of more."""

BEHIND_BYTES = 16 * 1024 * 1024
"""What a running hook has printed and the coordinator has not got, at most; about a minute of what may be published."""

CAUGHT_UP_BYTES = 256 * 1024
"""What is left of that when it has become more: the rest is dropped, so that an operator sees what happens now."""


class Outputs(Protocol):
    """Where the hooks print (agent/hooks)."""

    def outputs(self) -> list[str]:
        """The instructions of which there is output, the oldest first."""
        ...

    def output_path(self, instruction_id: str) -> Path:
        """The file of an instruction."""
        ...


class Piece(NamedTuple):
    """What is to be published next. With nothing but an id it asks how far the coordinator has come."""

    instruction_id: InstructionId
    offset: int = 0
    content: bytes = b""
    dropped: int = 0
    """Bytes after the content that will never be sent."""
    complete: bool = False


class Output:
    """What one instruction prints, and how far it has been published."""

    __slots__ = ("acked", "asked", "closed", "ended", "flying", "instruction_id", "known", "path", "sent")

    def __init__(self, instruction_id: InstructionId, path: Path, *, known: bool) -> None:
        self.instruction_id = instruction_id
        self.path = path
        self.known = known  # whether the coordinator has said how far it has come, or can have nothing
        self.asked = False
        self.sent = 0
        self.acked = 0
        self.ended = False
        self.closed = False
        self.flying: deque[int] = deque()

    def restart(self) -> None:
        """The call is over: what was not acknowledged has to be said again."""
        self.sent = self.acked
        self.flying.clear()
        self.asked = self.closed = False

    def next_piece(self) -> Piece | None:
        """What there is to say; None: nothing now."""
        if not self.known:
            return None if self.asked else Piece(self.instruction_id)
        size = self.size()
        if (size <= self.sent and (self.closed or not self.ended)) or len(self.flying) == IN_FLIGHT:
            return None
        if not self.ended and size - self.sent > BEHIND_BYTES:
            return Piece(self.instruction_id, self.sent, dropped=self._to_drop(size))
        content = self._read(self.sent) if size > self.sent else b""
        complete = self.ended and self.sent + len(content) >= size
        return Piece(self.instruction_id, self.sent, content, complete=complete)

    def said(self, piece: Piece) -> None:
        """A piece is on its way."""
        self.asked = True
        self.sent += len(piece.content) + piece.dropped
        if piece.content or piece.dropped:
            self.flying.append(self.sent)
        self.closed = piece.complete

    def heard(self, acked_offset: int) -> None:
        """The coordinator has come so far; less than it said before means that it has lost something."""
        if not self.known or acked_offset < self.acked:
            self.known, self.closed, self.sent = True, False, acked_offset
            self.flying.clear()
        while self.flying and self.flying[0] <= acked_offset:
            self.flying.popleft()
        self.acked = acked_offset
        self.sent = max(self.sent, acked_offset)

    def size(self) -> int:
        """Bytes that were printed so far."""
        try:
            return os.stat(self.path).st_size
        except OSError:
            return 0

    def give_up(self, stamp: str) -> int:
        """Leaves a line that says how much was dropped in the place of everything; how much that was."""
        size = self.size()
        marked = self.path.with_suffix(".marked")
        marked.write_text(f"{stamp} [hookline]dropped {size} bytes of output: the coordinator could not take them for too long\n")
        marked.replace(self.path)
        return size

    def _to_drop(self, size: int) -> int:
        """Bytes to drop so that the rest is little and begins with a line."""
        at = size - CAUGHT_UP_BYTES
        return at + self._read(at).find(b"\n") + 1 - self.sent

    def _read(self, at: int) -> bytes:
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, CONTENT_BYTES, at)
        finally:
            os.close(fd)
