"""The journal keeps what it was given, through torn ends, and says when it cannot be trusted."""

import os
import resource
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import AgentError
from agent.facts import Accepted, Acked, EndAsked, Entry, Fenced, Held, InstructionReceived, Judged, Numbered, Repeated, Reported, Started
from agent.journal import FileJournal, JournalDamaged, JournalUnwritable
from agent.model import (
    DeploymentId,
    Diagnostics,
    ErrorCode,
    Fence,
    GroupId,
    Holding,
    Installed,
    InstructionId,
    InstructionStatus,
    LifecycleEvent,
    Report,
    RevisionId,
    Signature,
)
from tests.agent.instructions import TWO, Told, instruction, must_begin

_ID = InstructionId("d-1/h/1/1")
_INSTALLED = Installed(revision_id=RevisionId("r1"), deployment_id=DeploymentId("d-1"))
_WHY = Diagnostics(error_code=ErrorCode.SCRIPT_FAILED, message="exit 1", script_name="a.sh", log_tail="é\n\x00")
EVERY_KIND: list[Entry] = [
    Accepted(instruction()),
    Accepted(replace(instruction("d-3"), ignore_application_stop_failures=True)),
    Accepted(replace(instruction("d-4"), restart=True)),
    Accepted(replace(instruction("d-2"), signature=Signature("any byté\n".encode(), bytes(range(256))))),
    Started(_ID, None),
    Started(_ID, _INSTALLED),
    Repeated(_ID, 2),
    Judged(_ID, None),
    Judged(_ID, _WHY),
    EndAsked(_ID, InstructionStatus.CANCELLED, "stopped"),
    Reported(1, Report(instruction_id=_ID, at=5, status=InstructionStatus.WAITING, diagnostics=Diagnostics(message="waits"))),
    Reported(
        2,
        Report(instruction_id=_ID, at=6, status=InstructionStatus.REFUSED, diagnostics=_WHY, event=LifecycleEvent.INSTALL),
        GroupId("g"),
        4,
    ),
    Numbered(9),
    Fenced(GroupId("g"), Fence(target_epoch=3, deployment_id=DeploymentId("d-1"))),
    Held(GroupId("g"), Holding()),
    Held(GroupId("g"), Holding(installed=_INSTALLED, deployed=RevisionId("r1"))),
    Held(GroupId("g"), Holding(installed=_INSTALLED, before=RevisionId("r0"))),
    Acked(8),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def _written(path: Path, *writings: list[Entry]) -> FileJournal:
    journal = FileJournal(path)
    for entries in writings:
        journal.append(entries)
    return journal


def test_every_kind_of_entry_comes_back_as_it_was(path: Path) -> None:
    _written(path, EVERY_KIND).close()
    assert FileJournal(path).entries == EVERY_KIND


def test_a_journal_keeps_its_id_and_another_one_has_another(path: Path, tmp_path: Path) -> None:
    first = FileJournal(path)
    assert len(first.journal_id) == 32
    assert FileJournal(path).journal_id == first.journal_id
    assert FileJournal(tmp_path / "other").journal_id != first.journal_id


@pytest.mark.slow
def test_a_torn_end_costs_the_last_writing_only_wherever_it_is_torn(path: Path) -> None:
    _written(path, [Numbered(1)], [Numbered(2)]).close()
    whole = path.stat().st_size
    _written(path, EVERY_KIND).close()
    content = path.read_bytes()
    for size in range(whole, len(content)):
        path.write_bytes(content[:size])
        journal = FileJournal(path)
        assert journal.entries == [Numbered(1), Numbered(2)]
        journal.append([Numbered(3)])
        assert FileJournal(path).entries == [Numbered(1), Numbered(2), Numbered(3)]


@pytest.mark.parametrize("missing", [1, 17, 400])
def test_a_last_writing_that_the_disk_left_as_noughts_is_torn(path: Path, missing: int) -> None:
    _written(path, [Numbered(1)]).close()
    whole = path.stat().st_size
    _written(path, EVERY_KIND).close()
    content = path.read_bytes()
    for hole in (range(whole, len(content)), range(len(content) - missing, len(content)), range(whole, whole + missing)):
        torn = bytearray(content)
        torn[hole.start : hole.stop] = bytes(len(hole))
        path.write_bytes(torn)
        assert FileJournal(path).entries == [Numbered(1)]


def test_damage_before_the_last_writing_is_refused_wherever_it_is(path: Path) -> None:
    header = len(b"hookline journal 1 \n") + 32
    _written(path, [Numbered(1)]).close()
    first = path.stat().st_size
    _written(path, [Numbered(2)]).close()
    content = path.read_bytes()
    for offset in range(header, first):
        damaged = bytearray(content)
        damaged[offset] ^= 0xFF
        path.write_bytes(damaged)
        with pytest.raises(JournalDamaged, match="cannot read the journal .* are damaged. Move it away"):
            FileJournal(path)
        assert path.read_bytes() == damaged


def test_a_damaged_first_line_is_refused(path: Path) -> None:
    FileJournal(path).close()
    path.write_bytes(b"X" + path.read_bytes()[1:])
    with pytest.raises(JournalDamaged, match="first line"):
        FileJournal(path)


def test_a_newer_format_is_refused_naming_both(path: Path) -> None:
    FileJournal(path).close()
    path.write_bytes(path.read_bytes().replace(b"journal 1", b"journal 2"))
    with pytest.raises(AgentError, match="format 2, this one reads 1"):
        FileJournal(path)


def test_an_acknowledgement_waits_for_the_next_writing(path: Path) -> None:
    journal = _written(path, [Numbered(1)])
    before = path.stat().st_size
    journal.append([Acked(1)])
    assert path.stat().st_size == before
    journal.append([Numbered(2)])
    assert FileJournal(path).entries == [Numbered(1), Numbered(2), Acked(1)]


def test_an_acknowledgement_is_written_at_an_orderly_end(path: Path) -> None:
    _written(path, [Numbered(1)], [Acked(1)]).close()
    assert FileJournal(path).entries == [Numbered(1), Acked(1)]


def test_a_rewritten_journal_keeps_its_id_and_goes_on(path: Path) -> None:
    journal = _written(path, [Numbered(1)], [Numbered(2)])
    journal.rewrite([Numbered(2)])
    journal.append([Numbered(3)])
    again = FileJournal(path)
    assert (again.journal_id, again.entries) == (journal.journal_id, [Numbered(2), Numbered(3)])


def test_a_rewriting_that_a_crash_cut_short_leaves_the_old_journal(path: Path) -> None:
    _written(path, [Numbered(1)]).close()
    path.with_suffix(".new").write_bytes(b"half")
    assert FileJournal(path).entries == [Numbered(1)]
    assert not path.with_suffix(".new").exists()


def test_a_machine_read_from_a_journal_is_the_machine_that_wrote_it(path: Path) -> None:
    told = Told()
    told.walk(must_begin(told.tell(InstructionReceived(instruction("d-1", events=TWO)))))
    told.tell(InstructionReceived(instruction("d-2", epoch=2)))
    _written(path, told.journal).close()
    assert Told(FileJournal(path).entries).machine.standing == told.machine.standing


def test_a_child_process_does_not_inherit_the_journal(path: Path) -> None:
    _written(path, [Numbered(1)])
    links = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")}
    (fd,) = [int(fd) for fd, target in links.items() if target == str(path)]
    assert not os.get_inheritable(fd)


def test_a_full_disk_is_said_and_costs_no_earlier_entry(path: Path) -> None:
    journal = _written(path, [Numbered(1)])
    size = path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
    try:
        with pytest.raises(JournalUnwritable, match="cannot write the journal .*: file too large; make room"):
            journal.append(EVERY_KIND)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    with pytest.raises(JournalUnwritable, match="an earlier writing failed"):
        journal.append([Numbered(2)])
    journal.append([Acked(1)])
    journal.close()
    assert path.stat().st_size == size + 10
    assert FileJournal(path).entries == [Numbered(1)]
