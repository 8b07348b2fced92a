"""The installed program against a real gRPC server: whole deployments, kill -9 in mid-hook, and an orderly stop."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hookline.v1 import agent_pb2, resources_pb2
from tests.agent.coordinator import Coordinator, Line, instruction_message
from tests.agent.stage import until

pytestmark = pytest.mark.e2e

PROGRAM = Path(sys.executable).parent / "hookline-agent"
APPSPEC = """
version: 0.0
os: linux
files: [{source: /, destination: /srv/app}]
hooks:
  AfterInstall: [{location: hook.sh, timeout: 30}]
  ApplicationStart: [{location: hook.sh, timeout: 30}]
"""
# Every run of a script is one line of its own; AfterInstall waits until the test lets it go on.
SCRIPT = """#!/bin/sh
echo "$LIFECYCLE_EVENT $DEPLOYMENT_ID $HOOKLINE_HOST" >> "$HOOKLINE_ROOT_PREFIX/ran"
if [ $LIFECYCLE_EVENT = AfterInstall ]; then
  echo begun > "$HOOKLINE_ROOT_PREFIX/begun"
  read answer < "$HOOKLINE_ROOT_PREFIX/gate"
  exit $answer
fi
"""


class Machine:
    """A directory that stands for a host, and the agents that are started on it."""

    def __init__(self, path: Path, address: str) -> None:
        self.path = path
        self.root = path / "root"
        self.address = address
        self.agents: list[Process] = []
        bundle = self.root / "bundle"
        bundle.mkdir(parents=True)
        (bundle / "appspec.yml").write_text(APPSPEC)
        (bundle / "hook.sh").write_text(SCRIPT)
        for fifo in ("begun", "gate"):
            os.mkfifo(self.root / fifo)

    async def start(self, *, stderr: int = PIPE, **environment: str) -> Process:
        """Starts an agent."""
        agent = await asyncio.create_subprocess_exec(
            *(PROGRAM, "run", "--coordinator", self.address, "--host", "h1", "--data-dir", self.path / "agent"),
            *("--root-prefix", self.root, "--tag", "role=web", "--insecure"),
            stderr=stderr,
            env={**os.environ, **environment},
        )
        self.agents.append(agent)
        return agent

    async def hook_has_begun(self) -> None:
        """Waits until AfterInstall runs."""
        await asyncio.wait_for(asyncio.to_thread((self.root / "begun").read_text), 20)

    async def let_the_hook_end(self, code: int = 0) -> None:
        """Lets AfterInstall end."""
        await asyncio.wait_for(asyncio.to_thread((self.root / "gate").write_text, f"{code}\n"), 20)

    def ran(self) -> list[str]:
        """What scripts say they were."""
        return (self.root / "ran").read_text().splitlines()


@pytest.fixture
async def coordinator() -> AsyncIterator[Coordinator]:
    async with Coordinator() as coordinator:
        yield coordinator


@pytest.fixture
async def machine(tmp_path: Path, coordinator: Coordinator) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path, coordinator.address)
    yield machine
    for agent in machine.agents:
        if agent.returncode is None:
            agent.kill()
            await agent.communicate()


async def _deployed_to_the_hook(coordinator: Coordinator, machine: Machine) -> tuple[Line, Process]:
    agent = await machine.start()
    line = await coordinator.called()
    hello = await line.welcome()
    assert dict(hello.tags) == {"role": "web"}
    location = resources_pb2.RevisionLocation(file=resources_pb2.FileLocation(path="/bundle"))
    await line.say(instruction_message(location=location))
    await machine.hook_has_begun()
    return line, agent


async def _ended(agent: Process) -> bytes:
    """What an agent said that ends by itself. One that does not says where it stands, and that is the failure."""
    saying = asyncio.create_task(agent.communicate())
    ended, _ = await asyncio.wait([saying], timeout=30)
    if not ended:
        agent.send_signal(signal.SIGABRT)
        pytest.fail(f"the agent does not end; it stands here:\n{(await saying)[1].decode()}")
    return saying.result()[1]


def _ends(numbered: list[tuple[int, agent_pb2.Report]]) -> list[tuple[int, int]]:
    """Every event that ended and how, each only once."""
    in_progress = resources_pb2.LIFECYCLE_EVENT_STATUS_IN_PROGRESS
    return [(report.lifecycle_event, report.status) for _, report in sorted(dict(numbered).items()) if report.status != in_progress]


WELL = resources_pb2.LIFECYCLE_EVENT_STATUS_SUCCEEDED
ALL_WELL = [(event, WELL) for event in range(4, 11)]


async def test_a_deployment_runs_all_seven_events(coordinator: Coordinator, machine: Machine) -> None:
    line, _ = await _deployed_to_the_hook(coordinator, machine)
    await machine.let_the_hook_end()
    assert _ends(await line.all_reports(14)) == ALL_WELL
    assert machine.ran() == ["AfterInstall d-1 h1", "ApplicationStart d-1 h1"]
    assert (machine.root / "srv/app/hook.sh").exists()


async def test_a_hook_outlives_kill_9_of_its_agent_and_its_true_result_is_told(coordinator: Coordinator, machine: Machine) -> None:
    line, agent = await _deployed_to_the_hook(coordinator, machine)
    agent.kill()
    await agent.communicate()
    await line.gone.wait()
    await machine.start()
    line = await coordinator.called()
    hello = await line.welcome()
    assert hello.last_seq == 9
    await machine.let_the_hook_end(3)
    numbered = await line.all_reports(10)
    assert _ends(numbered) == [*ALL_WELL[:4], (8, resources_pb2.LIFECYCLE_EVENT_STATUS_FAILED)]
    assert "exit code 3" in numbered[-1][1].diagnostics.message
    assert machine.ran() == ["AfterInstall d-1 h1"]


async def test_a_hook_that_ends_while_no_agent_runs_is_told_by_the_next(coordinator: Coordinator, machine: Machine) -> None:
    _, agent = await _deployed_to_the_hook(coordinator, machine)
    agent.kill()
    await agent.communicate()
    await machine.let_the_hook_end()
    await machine.start()
    line = await coordinator.called()
    await line.welcome()
    assert _ends(await line.all_reports(14)) == ALL_WELL
    assert machine.ran() == ["AfterInstall d-1 h1", "ApplicationStart d-1 h1"]


async def test_sigterm_says_goodbye_and_leaves_the_running_hook_alone(coordinator: Coordinator, machine: Machine) -> None:
    line, agent = await _deployed_to_the_hook(coordinator, machine)
    agent.send_signal(signal.SIGTERM)
    while (message := await line.hear()) is not None and message.WhichOneof("message") != "goodbye":
        pass
    assert message is not None
    line.hang_up()
    told = await _ended(agent)
    assert (agent.returncode, b"Traceback" in told) == (0, False)
    await machine.start()
    line = await coordinator.called()
    await line.welcome()
    await machine.let_the_hook_end()
    assert _ends(await line.all_reports(14)) == ALL_WELL
    assert machine.ran() == ["AfterInstall d-1 h1", "ApplicationStart d-1 h1"]


async def test_the_service_manager_is_told_everything_and_a_stop_in_mid_hook_loses_nothing(
    coordinator: Coordinator, machine: Machine, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)

        async def told(*awaited: str) -> None:
            for line in awaited:
                while (await asyncio.to_thread(manager.recv, 1000)).decode() != line:
                    pass

        agent = await machine.start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="300000")
        line = await coordinator.called()
        await line.welcome()
        await told("READY=1", f"STATUS=Connected to {machine.address}", "WATCHDOG=1", "WATCHDOG=1")
        location = resources_pb2.RevisionLocation(file=resources_pb2.FileLocation(path="/bundle"))
        await line.say(instruction_message(location=location))
        await machine.hook_has_begun()
        agent.send_signal(signal.SIGTERM)
        await told("STOPPING=1")
    line.hang_up()
    await _ended(agent)
    assert agent.returncode == 0
    await machine.let_the_hook_end(3)  # while no agent runs
    await machine.start()
    line = await coordinator.called()
    await line.welcome()
    numbered = await line.all_reports(10)
    assert _ends(numbered) == [*ALL_WELL[:4], (8, resources_pb2.LIFECYCLE_EVENT_STATUS_FAILED)]
    assert "exit code 3" in numbered[-1][1].diagnostics.message
    assert machine.ran() == ["AfterInstall d-1 h1"]


async def test_an_instruction_that_comes_during_a_stop_is_left_to_the_next_agent(coordinator: Coordinator, machine: Machine) -> None:
    line, agent = await _deployed_to_the_hook(coordinator, machine)
    agent.send_signal(signal.SIGTERM)
    while (message := await line.hear()) is not None and message.WhichOneof("message") != "goodbye":
        pass
    await line.say(instruction_message("d-2", group="g-2"))
    line.hang_up()
    await _ended(agent)
    await machine.start()
    line = await coordinator.called()
    hello = await line.welcome()
    assert [epoch.deployment_group_id for epoch in hello.target_epochs] == ["g-1"]
    await machine.let_the_hook_end()


async def test_an_agent_stops_although_its_coordinator_does_not_answer(coordinator: Coordinator, machine: Machine) -> None:
    agent = await machine.start()
    await coordinator.called()  # and never say Welcome
    agent.send_signal(signal.SIGINT)
    told = await _ended(agent)
    assert (agent.returncode, b"Traceback" in told) == (0, False)


def _waits_to_speak(agent: Process) -> bool:
    """Whether an agent waits for whoever reads its stderr: the kernel names the call that it is in, and that call's first argument."""
    return Path(f"/proc/{agent.pid}/syscall").read_text().split()[1:2] == [hex(2)]


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("speaks", ["before it is asked to stop", "when it is asked to stop"])
async def test_a_stop_ends_although_nobody_reads_what_the_agent_says(coordinator: Coordinator, machine: Machine, speaks: str) -> None:
    ours, theirs = os.pipe()
    agent = await machine.start(stderr=theirs)
    line = await coordinator.called()
    await line.welcome()
    os.set_blocking(theirs, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(theirs, b"x" * 4096)
    os.set_blocking(theirs, True)  # the agent has the same open file, and waits from its next line on
    if speaks == "before it is asked to stop":
        line.hang_up()
        await until(lambda: _waits_to_speak(agent))
    agent.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(agent.wait(), 60) == -signal.SIGALRM
    os.close(ours)
    os.close(theirs)


async def test_two_agents_cannot_share_a_data_directory(coordinator: Coordinator, machine: Machine) -> None:
    first = await machine.start()
    await (await coordinator.called()).welcome()
    second = await machine.start()
    told = await _ended(second)
    assert second.returncode == 2
    assert f"the agent with pid {first.pid} has it" in told.decode()


async def test_a_damaged_journal_stops_the_agent_with_advice(coordinator: Coordinator, machine: Machine) -> None:
    (machine.path / "agent").mkdir()
    (machine.path / "agent" / "journal").write_text("not a journal\n")
    agent = await machine.start()
    told = await _ended(agent)
    assert agent.returncode == 2
    assert "Move it away" in told.decode()
