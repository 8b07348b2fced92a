"""`hookline-agent status` tells from files alone how an agent stands, and the agent does not notice."""

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app import main
from agent.config import DataDirectory
from agent.facts import Accepted, Acked, Held, Reported
from agent.journal import FileJournal
from agent.local import presence
from agent.local.condition import condition, holder
from agent.local.presence import Presence
from agent.local.status import lines
from agent.model import DeploymentId, EventStatus, GroupId, Holding, Installed, LifecycleEvent, Report, RevisionId
from tests.agent.instructions import instruction

PRESENT = Presence(
    pid=os.getpid(),
    version="0.1.0",
    host="web-1",
    coordinator="127.0.0.1:8443",
    root_prefix="/",
    started_at=0,
    since=0,
    connected=True,
    why="",
)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[DataDirectory]:
    directory = DataDirectory(tmp_path / "agent")
    presence.write(directory.path, dataclasses.replace(PRESENT, root_prefix=str(tmp_path)))
    yield directory
    directory.close()


def in_words(directory: DataDirectory, tmp_path: Path, *, now: int = 0) -> dict[str, str]:
    found = dict(lines(condition(directory.path, tmp_path), now=now))
    return {name: words for name, words in found.items() if name != "disk"}


def test_an_idle_agent(directory: DataDirectory, tmp_path: Path) -> None:
    FileJournal(directory.journal).close()
    found = condition(directory.path, tmp_path)
    assert (found.pid, found.presence is not None, found.reports) == (os.getpid(), True, 0)
    words = dict(lines(found, now=7_300_000))
    assert words["agent"] == f"running for 2 h, pid {os.getpid()}, version 0.1.0"
    assert words["host"] == f"web-1 ({directory.host_id})"
    assert words["coordinator"] == "127.0.0.1:8443, connected for 2 h"
    assert (words["now"], words["holds"], words["reports"]) == ("nothing to do", "nothing yet", "0, all acknowledged")


def test_a_busy_agent_that_is_cut_off(directory: DataDirectory, tmp_path: Path) -> None:
    wanted = instruction("d-2")
    journal = FileJournal(directory.journal)
    held = Installed(revision_id=RevisionId("r1"), deployment_id=DeploymentId("d-1"))
    begun = Report(instruction_id=wanted.instruction_id, at=60_000, status=EventStatus.IN_PROGRESS, event=LifecycleEvent.APPLICATION_STOP)
    holding = Held(wanted.group_id, Holding(installed=held, deployed=RevisionId("r0")))
    journal.append([holding, Accepted(wanted), Reported(1, begun), Acked(0)])
    presence.write(directory.path, dataclasses.replace(PRESENT, connected=False, since=30_000, why="cannot reach it"))
    words = in_words(directory, tmp_path, now=90_000)
    presence.write(directory.path, PRESENT)
    told = in_words(directory, tmp_path, now=90_000)["reports"]
    journal.close()
    assert told == "1, 0 acknowledged on record; the record of the last comes with the next report"
    assert words["coordinator"] == "127.0.0.1:8443, not connected for 60 s: cannot reach it"
    assert words["now"] == f"ApplicationStop for 30 s, deployment d-2 of revision {wanted.revision_id} to {wanted.group_name}"
    assert words["reports"] == "1, 1 not acknowledged yet"
    assert words["holds"] == f"{wanted.group_name}: revision r1, installed by d-1; the last whole deployment was of r0"


def test_an_agent_that_does_not_run_any_more_is_not_believed(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "agent")
    presence.write(directory.path, PRESENT)
    directory.close()
    assert holder(directory.path / "agent.lock") is None
    found = condition(directory.path, tmp_path)
    words = dict(lines(found, now=0))
    assert words["agent"].startswith("not running")
    assert words["coordinator"] == "127.0.0.1:8443 (not connected)"


def test_a_torn_end_of_the_journal_is_what_reading_beside_a_writer_looks_like(directory: DataDirectory, tmp_path: Path) -> None:
    journal = FileJournal(directory.journal)
    journal.append([Accepted(instruction("d-1"))])
    journal.close()
    with directory.journal.open("ab") as file:
        file.write(b"\xffHKL\x10")
    before = directory.journal.read_bytes()
    assert len(condition(directory.path, tmp_path).instructions) == 1
    assert directory.journal.read_bytes() == before


def test_programs_read_json_and_the_exit_code(directory: DataDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["status", "--data-dir", str(directory.path), "--root-prefix", str(tmp_path)]
    assert main([*typed, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["running"], told["pid"], told["presence"]["host"]) == (True, os.getpid(), "web-1")
    assert main(["status", "--data-dir", str(tmp_path)]) == 3
    assert "no agent has run here yet" in capsys.readouterr().out
    assert main(["status", "--data-dir", str(tmp_path / "nowhere")]) == 2
    assert "there is no data directory" in capsys.readouterr().err


def test_what_a_local_deployment_brought_is_told_apart(directory: DataDirectory, tmp_path: Path) -> None:
    local = DataDirectory(directory.path / "local")
    journal = FileJournal(local.journal)
    held = Installed(revision_id=RevisionId("r9"), deployment_id=DeploymentId("d-9-local"))
    journal.append([Held(GroupId("here"), Holding(installed=held, deployed=RevisionId("r9")))])
    journal.close()
    local.close()
    assert in_words(directory, tmp_path)["holds"] == "here by deploy-local: revision r9, installed by d-9-local"


def test_a_presence_that_cannot_be_understood_is_none(tmp_path: Path) -> None:
    assert presence.read(tmp_path) is None
    (tmp_path / "presence.json").write_text('{"pid": 1, "more": 2}')
    assert presence.read(tmp_path) is None
    presence.write(tmp_path / "nowhere", PRESENT)  # says so in the log, and nothing else


def test_the_policy_is_told_or_why_it_cannot_be(directory: DataDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FileJournal(directory.journal).close()
    policy = tmp_path / "agent-policy.toml"
    policy.write_text('destinations = ["/srv"]\nroot_hooks = false\n')
    policy.chmod(0o600)
    asked = ["status", "--data-dir", str(directory.path), "--root-prefix", str(tmp_path), "--policy", str(policy)]
    main(asked)
    assert f"policy       {policy}: destinations /srv; no root hooks\n" in capsys.readouterr().out
    policy.chmod(0o606)
    main([*asked, "--json"])
    assert f"others may write {policy}" in json.loads(capsys.readouterr().out)["policy"]
