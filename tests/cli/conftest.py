"""A coordinator that answers from memory, and the program `hookline` as an operator uses it."""

import datetime
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from coordinator.cli.main import program
from tests.cli.coordinator import NOON, FakeCoordinator


class FakeClock:
    """Five minutes past noon; waiting takes no time, but is remembered."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.interrupt = False
        self.later = 0.0
        """Seconds by which it is later than that."""

    def now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(NOON + 300 + self.later, datetime.UTC)

    def elapsed(self) -> float:
        return sum(self.waits)

    def wait(self, seconds: float) -> None:
        if self.interrupt:
            raise KeyboardInterrupt
        self.waits.append(seconds)


class Operator:
    """Types commands."""

    def __init__(self, coordinator: FakeCoordinator) -> None:
        self.coordinator = coordinator
        self.clock = FakeClock()

    def types(self, *words: str, stdin: str | None = None) -> Result:
        """Run a command against the coordinator."""
        return self.types_alone("--coordinator", self.coordinator.address, "--insecure", *words, stdin=stdin)

    def types_alone(self, *words: str, stdin: str | None = None) -> Result:
        """Run a command as it is."""
        result = CliRunner().invoke(program, list(words), input=stdin, prog_name="hookline", obj=self.clock)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Local time is UTC, nothing is set in the environment, and nobody is logged in."""
    for name in ("HOOKLINE_COORDINATOR", "HOOKLINE_INSECURE", "HOOKLINE_CA", "HOOKLINE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def coordinator() -> Iterator[FakeCoordinator]:
    """A coordinator that knows nothing yet."""
    fake = FakeCoordinator()
    yield fake
    fake.stop()


@pytest.fixture
def operator(coordinator: FakeCoordinator) -> Operator:
    """Somebody at the command line."""
    return Operator(coordinator)
