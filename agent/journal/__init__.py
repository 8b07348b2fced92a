"""The agent's journal: an append-only file of checksummed writings, forced to the disk before anything is done about them.

Synchronous on purpose: one forced write costs 0.29 ms here against 0.35 ms (and thrice that at p99) through a thread, and an agent
has nothing to do meanwhile that may not wait for it. Knows bytes and entries; what they mean is the machine's.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from typing import TYPE_CHECKING

from agent.errors import AgentError
from agent.facts import Acked, Entry
from agent.journal.entries import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_FORMAT = b"hookline journal 1 "
_HEADER = re.compile(rb"hookline journal (\d+) ([0-9a-f]{32})\n")
_HEADER_SIZE = len(_FORMAT) + 33
_MARK = b"\xffHKL"  # never part of a writing: that is ASCII
_FRAME = struct.Struct("<4sII")


class JournalDamaged(AgentError):
    """The journal cannot be trusted, and an agent that forgot might run a hook twice."""


class JournalUnwritable(AgentError):
    """What happened cannot be remembered, so nothing more may be done. Hooks that run go on under their supervisors."""

    exit_code = 1  # a later start may go better


class FileJournal:
    """A journal in a file. `entries` is what was read when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.with_suffix(".new").unlink(missing_ok=True)
        if not path.exists():
            self._write_anew(os.urandom(16).hex(), ())
        content = path.read_bytes()
        self.journal_id = _journal_id(path, content)
        self.entries, sound = _read(path, content)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        if sound < len(content):
            os.ftruncate(self._file, sound)
            os.fsync(self._file)
        self._acked: Acked | None = None
        self._is_whole = True

    def append(self, entries: Sequence[Entry]) -> None:
        """Writes entries in one go: after a crash all are there or none. Returns when they are on the disk.

        Acknowledgements alone wait for the next writing: to lose one costs a repeat.
        """
        lasting = [entry for entry in entries if not isinstance(entry, Acked)]
        for entry in entries:
            if isinstance(entry, Acked):
                self._acked = entry
        if lasting:
            self._append(lasting if self._acked is None else [*lasting, self._acked])

    def rewrite(self, entries: Iterable[Entry]) -> None:
        """Replaces the whole journal; after a crash it is the old one or the new one."""
        try:
            self._write_anew(self.journal_id, entries)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        os.close(self._file)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._acked = None

    def close(self) -> None:
        """Writes what waits and lets the file go."""
        try:
            if self._acked is not None and self._is_whole:
                self._append([self._acked])
        finally:
            os.close(self._file)

    def _append(self, entries: Sequence[Entry]) -> None:
        if not self._is_whole:
            raise JournalUnwritable(f"cannot write the journal {self._path}: an earlier writing failed")
        try:
            _write(self._file, _framed(entries))
            os.fdatasync(self._file)
        except OSError as error:
            # Whatever came after a writing that is not whole would look like damage.
            self._acked, self._is_whole = None, False
            raise _unwritable(self._path, error) from error
        self._acked = None

    def _write_anew(self, journal_id: str, entries: Iterable[Entry]) -> None:
        new = self._path.with_suffix(".new")
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write(file, _FORMAT + journal_id.encode() + b"\n")
            for entry in entries:
                _write(file, _framed([entry]))
            os.fsync(file)
        finally:
            os.close(file)
        new.rename(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def read(path: Path) -> tuple[str, list[Entry]]:
    """A journal's id and its entries, as far as they are whole. Changes nothing, so that it may be read while an agent writes."""
    content = path.read_bytes()
    return _journal_id(path, content), _read(path, content)[0]


class MemoryJournal:
    """A journal that lives as long as its process, for simulated fleets and tests."""

    def __init__(self, journal_id: str, entries: Iterable[Entry] = ()) -> None:
        self.journal_id = journal_id
        self.entries: list[Entry] = list(entries)

    def append(self, entries: Sequence[Entry]) -> None:
        """Keeps entries."""
        self.entries.extend(entries)

    def rewrite(self, entries: Iterable[Entry]) -> None:
        """Replaces all entries."""
        self.entries = list(entries)

    def close(self) -> None:
        """Does nothing: there is nothing to let go."""


def _unwritable(path: Path, error: OSError) -> JournalUnwritable:
    why = (error.strerror or str(error)).lower()
    return JournalUnwritable(f"cannot write the journal {path}: {why}; make room or mend the disk, then start the agent again")


def _framed(entries: Sequence[Entry]) -> bytes:
    text = to_text(entries)
    return _FRAME.pack(_MARK, len(text), zlib.crc32(text)) + text


def _write(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def _journal_id(path: Path, content: bytes) -> str:
    header = _HEADER.match(content)
    if header is None:
        raise JournalDamaged(f"cannot read the journal {path}: its first line is not that of a journal. {_ADVICE.format(path=path)}")
    if header[1] != b"1":
        raise AgentError(f"cannot read the journal {path}: it was written by a newer agent (format {header[1].decode()}, this one reads 1)")
    return header[2].decode()


def _read(path: Path, content: bytes) -> tuple[list[Entry], int]:
    """The entries, and how many bytes of the journal are sound."""
    entries: list[Entry] = []
    offset = _HEADER_SIZE
    while (text := _text_at(content, offset)) is not None:
        try:
            entries += from_text(text)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise AgentError(
                f"cannot read the journal {path}: at byte {offset} stands {error}; was it written by a newer agent?"
            ) from error
        offset += _FRAME.size + len(text)
    # A crash can spoil the last writing alone, because every writing is on the disk before the next begins.
    after = content.find(_MARK, offset + 1)
    while after != -1:
        if _text_at(content, after) is not None:
            raise JournalDamaged(f"cannot read the journal {path}: bytes {offset} to {after} are damaged. {_ADVICE.format(path=path)}")
        after = content.find(_MARK, after + 1)
    return entries, offset


def _text_at(content: bytes, offset: int) -> bytes | None:
    if len(content) < offset + _FRAME.size:
        return None
    mark, size, checksum = _FRAME.unpack_from(content, offset)
    text = content[offset + _FRAME.size : offset + _FRAME.size + size]
    return text if mark == _MARK and len(text) == size and zlib.crc32(text) == checksum else None


_ADVICE = (
    "Move it away to begin with an empty one (mv {path} {path}.damaged): the coordinator then ends what it had sent to this host"
    " as interrupted, and no hook runs twice; keep the moved file, it tells what ran"
)
