"""What a supervisor writes of a hook's output: CodeDeploy's lines in CodeDeploy's files, and the tail for the diagnostics."""

import re
from pathlib import Path

import pytest

from agent.supervisor import deployments
from agent.supervisor.deployments import DeploymentsLog
from agent.supervisor.output import Output, tail_of

D = "d-ABCDEFGHI"
STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


class Event:
    """The files of one event."""

    def __init__(self, folder: Path) -> None:
        self.stream, self.log, self.all = folder / "stream", folder / "logs" / "scripts.log", folder / "deployment-logs" / "all.log"
        self.output = Output(str(self.stream), str(self.log), 1 << 20, DeploymentsLog(str(self.all), D))


@pytest.fixture
def event(tmp_path: Path) -> Event:
    return Event(tmp_path)


def add(log: DeploymentsLog, text: str) -> None:
    log.add(f"2026-11-23 12:00:00 {text}\n".encode(), b"2026-11-23 12:00:00 ", 7)


def test_the_log_of_a_deployment_and_that_of_all_have_the_lines_of_the_original(event: Event) -> None:
    event.output.headline("LifecycleEvent - AfterInstall")
    event.output.headline("Script - scripts/a.sh")
    event.output.printed("stdout", b"one\ntwo \x1b[1m\nno e")
    event.output.printed("stderr", b"bad\n")
    event.output.script_ended()
    event.output.close()
    texts = ["LifecycleEvent - AfterInstall", "Script - scripts/a.sh", "[stdout]one", "[stdout]two \x1b[1m", "[stderr]bad", "[stdout]no e"]
    for text, line, aggregated in zip(texts, event.log.read_text().splitlines(), event.all.read_text().splitlines(), strict=True):
        assert re.fullmatch(STAMP + " " + re.escape(text), line)
        assert re.fullmatch(rf"\[{STAMP}\.\d{{3}}\] \[{D}\]" + re.escape(text), aggregated)
    assert event.stream.read_bytes() == event.log.read_bytes()


def test_what_looks_like_a_time_in_the_output_stays_as_it_was(tmp_path: Path) -> None:
    log = DeploymentsLog(str(tmp_path / "all.log"), D)
    add(log, "[stdout]2026-11-23 12:00:00 2026-11-23 12:00:00 ")
    log.close()
    assert (tmp_path / "all.log").read_text() == f"[2026-11-23 12:00:00.007] [{D}][stdout]2026-11-23 12:00:00 2026-11-23 12:00:00 \n"


def test_eight_files_are_kept_and_writers_that_come_together_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "BYTES", 60)
    one, other = DeploymentsLog(str(tmp_path / "all.log"), D), DeploymentsLog(str(tmp_path / "all.log"), D)
    for number in range(20):
        add((one, other)[number // 3 % 2], f"{number:03d}")
    kept = sorted(line[-3:] for path in tmp_path.iterdir() for line in path.read_text().splitlines())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.log", *(f"all.log.{number}" for number in range(7))]
    assert kept == [f"{number:03d}" for number in range(20 - len(kept), 20)]
    assert all(path.stat().st_size < 60 + 3 * 50 for path in tmp_path.iterdir())


def test_a_log_that_cannot_be_written_costs_nothing_but_its_lines(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = DeploymentsLog(str(tmp_path / "file" / "all.log"), D)
    add(log, "nowhere")
    log.close()


def test_the_tail_of_a_killed_supervisor_is_that_of_its_last_event_alone(event: Event) -> None:
    event.output.headline("LifecycleEvent - BeforeInstall")
    event.output.printed("stdout", b"before\n")
    event.output.headline("LifecycleEvent - AfterInstall")
    event.output.printed("stdout", b"10%\r20%\ncaf\xc3\xa9\xe2\x80\xa8\n")
    assert tail_of(str(event.stream)) == "LifecycleEvent - AfterInstall\n[stdout]10%\r20%\n[stdout]caf\u00e9\u2028\n"


@pytest.mark.parametrize(
    "printed", [b"".join(b"line %d\n" % number for number in range(9_000)), b"x" * 70_000 + b"\n", b"\xc3\xa9" * 3_000]
)
def test_both_tails_are_whole_lines_below_2048_characters(event: Event, printed: bytes) -> None:
    event.output.headline("LifecycleEvent - AfterInstall")
    event.output.printed("stdout", printed)
    event.output.script_ended()
    tail = event.output.tail()
    assert 0 < len(tail) < 2048
    assert tail.endswith("\n")
    assert all(line.startswith("[stdout]") for line in tail.splitlines())
    assert tail_of(str(event.stream)) == tail
