"""The demo, as a newcomer types it: it tells its story and leaves nothing behind, however it ends."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import until
from tests.e2e.processes import left_in
from tests.e2e.prometheus import program

ROOT = Path(__file__).parents[2]
HOSTS = 6


class Demo:
    """Runs `scripts/demo` with its files in a directory of the test's own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {**os.environ, "TMPDIR": f"{directory}/"}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin, as a terminal would: in a process group of its own."""
        return subprocess.Popen(
            [str(ROOT / "scripts" / "demo"), *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )

    def play(self, *words: str) -> str:
        """What it prints, from beginning to end."""
        with self.start(*words) as running:
            out, _ = running.communicate(timeout=150)
        assert running.returncode == 0, out
        return out

    def left(self) -> list[str]:
        """Processes that are still there."""
        return [words for _, words in left_in(self.directory)]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path)
    try:
        yield demo
    finally:
        for pid, words in left_in(tmp_path):
            sys.stdout.write(f"left: {words}\n")
            os.kill(pid, signal.SIGKILL)


def check_story(out: str) -> None:
    assert len(re.findall(r"^  http://127\.0\.0\.1:\d+/  v2 on web-\d$", out, re.MULTILINE)) == HOSTS
    assert re.search(r"d-\w{9} .* Failed .* 1 Failed, 5 Skipped", out)
    assert re.search(r"rolls back d-\w{9}", out)


@pytest.mark.timeout(180)
def test_the_demo_ends_with_v2_everywhere_and_nothing_left(demo: Demo) -> None:
    out = demo.play()
    check_story(out)
    assert "  none is left\n" in out
    assert demo.left() == []
    assert list(demo.directory.iterdir()) == []


@pytest.mark.timeout(180)
def test_an_alarm_brings_the_fleet_back(demo: Demo) -> None:
    program("prometheus")
    out = demo.play("--alarms")
    assert re.search(r"d-\w{9} .* Stopped .* ALARM_ACTIVE: alarm HighErrors is active: 0\.\d+ is > 0\.05", out)
    assert re.search(r"from the alarm to the whole fleet on v1 +\d+\.\d s", out)
    assert len(re.findall(r"^  http://127\.0\.0\.1:\d+/  v1 on web-\d$", out, re.MULTILINE)) == HOSTS
    assert "  none is left\n" in out
    assert demo.left() == []


@pytest.mark.timeout(180)
def test_what_keep_leaves_running_can_be_looked_at_and_stopped(demo: Demo) -> None:
    out = demo.play("--keep")
    check_story(out)
    (where,) = re.findall(r"^  scripts/demo --stop (\S+)$", out, re.MULTILINE)
    (exported,) = re.findall(r"^  export (.*)$", out, re.MULTILINE)
    status = subprocess.run(["bash", "-c", f"export {exported}; hookline status"], capture_output=True, text=True, timeout=60, check=True)
    assert "web/production" in status.stdout
    assert "  none is left\n" in demo.play("--stop", where)
    assert demo.left() == []


def press_ctrl_c(running: subprocess.Popen[str]) -> None:
    """A terminal tells the whole process group."""
    os.killpg(running.pid, signal.SIGINT)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("end", [press_ctrl_c, subprocess.Popen.terminate], ids=["ctrl-c", "sigterm"])
def test_an_end_in_the_middle_leaves_nothing_behind(demo: Demo, end: Callable[[subprocess.Popen[str]], None]) -> None:
    with demo.start() as running:
        assert running.stdout is not None
        until(lambda: "InProgress" in (running.stdout.readline() if running.stdout else ""), "a host is being deployed to", 60)
        end(running)
        out = running.stdout.read()
    assert running.returncode == 130, out
    assert "  none is left\n" in out
    assert "Traceback" not in out
    assert demo.left() == []


@pytest.mark.timeout(120)
def test_a_reader_that_goes_away_leaves_nothing_behind(demo: Demo) -> None:
    with demo.start() as running:
        assert running.stdout is not None
        until(lambda: "hookline app create" in (running.stdout.readline() if running.stdout else ""), "the hosts are there", 60)
        running.stdout.close()
        assert running.wait(60) != 0
    assert demo.left() == []
