"""A host's disk with the agent's journal on it, which survives its agents and now and then does not.

Stands in for `agent/journal.FileJournal` and keeps its promises: a writing is there whole or not at all, acknowledgements alone wait
for the next one. Entries go through the real codec, as they would through a file.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from agent.facts import Acked, Entry
from agent.journal.entries import from_text, to_text


@dataclass
class Disk:
    """What is on the disk."""

    journal_id: str
    entries: list[Entry] = field(default_factory=list)


class SimulatedJournal:
    """The journal as one agent has opened it. `check` is asked before and after each write, and raises when the agent is dead."""

    def __init__(self, disk: Disk, check: Callable[[], None]) -> None:
        """Read what is there."""
        self._disk = disk
        self._check = check
        self._acked: Acked | None = None
        self.journal_id = disk.journal_id
        self.entries: Sequence[Entry] = from_text(to_text(disk.entries))

    def append(self, entries: Sequence[Entry]) -> None:
        """Write entries in one go."""
        lasting = [entry for entry in entries if not isinstance(entry, Acked)]
        for entry in entries:
            if isinstance(entry, Acked):
                self._acked = entry
        if not lasting:
            return
        self._check()
        self._disk.entries += lasting if self._acked is None else [*lasting, self._acked]
        self._acked = None
        self._check()

    def rewrite(self, entries: Iterable[Entry]) -> None:
        """Replace everything."""
        self._check()
        self._disk.entries = list(entries)
        self._acked = None
        self._check()
