"""The agent and the service manager: what is said to it, what is kept from hooks, and units that it understands."""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.local.parts import inherited
from agent.local.systemd import ServiceManager

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        yield listening


def test_the_service_manager_hears_how_the_agent_stands(manager: socket.socket) -> None:
    told = ServiceManager({"NOTIFY_SOCKET": manager.getsockname()})
    told.ready()
    told.status("Connected to 127.0.0.1:8443")
    told.stopping()
    assert [manager.recv(100) for _ in range(3)] == [b"READY=1", b"STATUS=Connected to 127.0.0.1:8443", b"STOPPING=1"]


def test_an_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("")  # the system chooses one
        listening.settimeout(30)
        ServiceManager({"NOTIFY_SOCKET": "@" + listening.getsockname()[1:].decode()}).ready()
        assert listening.recv(100) == b"READY=1"


class Clock(SystemClock):
    """Lets time pass by noting it."""

    def __init__(self, most: int) -> None:
        self.slept: list[float] = []
        self._most = most

    async def sleep(self, seconds: float) -> None:
        """Notes it; ends whoever sleeps for too long."""
        self.slept.append(seconds)
        if len(self.slept) == self._most:
            raise EOFError


async def test_the_watchdog_is_fed_three_times_as_often_as_it_asks(manager: socket.socket) -> None:
    clock = Clock(3)
    with pytest.raises(EOFError):
        await ServiceManager({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "60000000"}).watch(clock)
    assert clock.slept == [20, 20, 20]
    assert [manager.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}])
async def test_a_watchdog_that_is_not_ours_is_not_fed(environment: dict[str, str]) -> None:
    clock = Clock(1)
    await ServiceManager(environment).watch(clock)
    assert clock.slept == []


def test_nothing_is_said_where_nobody_listens(tmp_path: Path) -> None:
    ServiceManager({}).ready()
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()


def test_hooks_see_neither_the_service_manager_nor_the_agents_settings() -> None:
    environment = {
        "NOTIFY_SOCKET": "/run/x",
        "WATCHDOG_USEC": "1",
        "WATCHDOG_PID": "1",
        "HOOKLINE_AGENT_COORDINATOR": "127.0.0.1:1",
        "PORT": "80",
    }
    ServiceManager(environment)
    assert inherited(environment) == {"PORT": "80"}


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda unit: unit.name)
def test_systemd_understands_the_unit(tmp_path: Path, unit: Path) -> None:
    programs = f"ExecStart={Path(sys.executable).parent}/"
    (tmp_path / unit.name).write_text(unit.read_text().replace("ExecStart=/usr/bin/", programs))
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", tmp_path / unit.name], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_what_hooks_have_started_outlives_the_agents_unit() -> None:
    unit = (UNITS / "hookline-agent.service").read_text()
    for line in ("Type=notify", "KillMode=process", "OOMPolicy=continue", "Restart=always", "StateDirectory=hookline-agent"):
        assert re.search(f"^{line}$", unit, re.MULTILINE)
