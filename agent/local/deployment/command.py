"""`hookline-agent deploy-local`: a whole deployment on this host without a coordinator, by the same machine, hooks and unpacking process.

It has a journal and a lock of its own below the agent's data directory: the agent never reports what its coordinator did not ask for.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent import journal as journals
from agent.clock import SystemClock
from agent.config import DataDirectory, DirectoryInUse, boot_id, host_name
from agent.errors import AgentError
from agent.executor import CoordinatorBundles
from agent.facts import CancelReceived, Connected, EventNeverBegan, Fact, InstructionReceived
from agent.journal import FileJournal
from agent.local.deployment import SUBDIRECTORY
from agent.local.deployment import instruction as typed
from agent.local.deployment.console import Console
from agent.local.parts import begin_to_log, parts, retention, source_settings, usable_prefix
from agent.local.settings import add_arguments as add_settings
from agent.local.settings import settings
from agent.loop import Agent
from agent.machine import Machine
from agent.machine.past import Past
from agent.model import REPEATABLE_EVENTS
from agent.policy import NoPolicy
from agent.workspace import Workspace

if TYPE_CHECKING:
    import argparse

    from agent.local.parts import Parts
    from agent.local.settings import Settings
    from agent.model import Instruction

_ATTEMPT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.description = (
        "Deploys a bundle on this host without a coordinator, to try an AppSpec file and its hooks: the same events, hooks, installation"
        " and directories as a deployment of a coordinator. Shows each event as it ends, and what scripts print. Ctrl-C ends the"
        " running script, and the rest is skipped. Exit code: 0 when all events succeeded, 1 when one failed, 2 when nothing was begun."
    )
    typed.add_arguments(parser)
    parser.add_argument("-c", "--agent-configuration-file", dest="config", type=Path, metavar="FILE", help="the same as --config")
    add_settings(parser, ("data_dir", "root_prefix", "host"))


def run(args: argparse.Namespace) -> int:
    """Deploys; returns when the deployment has ended."""
    begin_to_log("warning")
    told = settings(args, os.environ)
    host_name(told.host)
    wanted = typed.instruction(args)
    _refuse_a_group_of_the_coordinator(told.data_dir / "journal", wanted)
    usable_prefix(told)
    typed.refuse_to_pack_itself(wanted.location, told.data_dir, Workspace(root_prefix=told.root_prefix).deployment_root)
    with suppress(OSError):  # which the next step says
        told.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        directory = DataDirectory(told.data_dir / SUBDIRECTORY)
    except DirectoryInUse as error:
        raise AgentError(f"cannot deploy: another local deployment (pid {error.pid}) runs on this host; wait for its end") from error
    try:
        journal = FileJournal(directory.journal)
        try:
            return asyncio.run(_deploy(told, directory.path, journal, wanted))
        finally:
            journal.close()
    finally:
        directory.close()


def _refuse_a_group_of_the_coordinator(journal: Path, wanted: Instruction) -> None:
    """The agent could begin to deploy to the same directories at any moment."""
    try:
        past = Past(journals.read(journal)[1])
    except OSError:
        return
    if wanted.group_id in past.fences:
        raise AgentError(f"cannot deploy to {wanted.group_id}: the coordinator deploys to this group; name another --deployment-group")


async def _deploy(told: Settings, directory: Path, journal: FileJournal, wanted: Instruction) -> int:
    clock, exit_code = SystemClock(), 1
    async with parts(
        directory=directory, root_prefix=told.root_prefix, boot_id=boot_id(), clock=clock, kept=retention(told), policy=NoPolicy()
    ) as made:
        output = made.hooks.output_path(wanted.instruction_id)
        try:
            async with asyncio.TaskGroup() as tasks:
                source = CoordinatorBundles(coordinator="", host_id="", settings=source_settings(told))
                executor = made.executor(tasks, host=told.host, hooks=made.hooks, source=source)
                agent = Agent(machine=Machine(journal.entries), journal=journal, executor=executor, clock=clock)
                fence = Past(journal.entries).fences.get(wanted.group_id)
                wanted = dataclasses.replace(wanted, target_epoch=1 if fence is None else fence.target_epoch + 1)
                console = Console(agent=agent, instruction=wanted, output=output, screen=sys.stdout)
                stop = _Interruption(agent, made, console, wanted, tasks)
                tasks.create_task(executor.start_ahead(), name="start ahead")
                tasks.create_task(console.follow(clock), name="output")
                console.say(f"{wanted.deployment_id}: deploys {wanted.revision_id} to {wanted.group_id}")
                _begin(agent, console, journal, wanted)
                exit_code = await stop.or_end()
                raise _Ended
        except* _Ended:
            pass
        finally:
            output.unlink(missing_ok=True)
    return exit_code


def _begin(agent: Agent, console: Console, journal: FileJournal, wanted: Instruction) -> None:
    """Ends what an interrupted deployment has left, and begins this one, which waits for a script that runs still."""
    left = Past(journal.entries).queue
    cancels: list[Fact] = [
        CancelReceived(course.instruction.instruction_id, course.group_id, course.target_epoch, "its local deployment was interrupted")
        for course in left
    ]
    begun = ((course.instruction.instruction_id, course.begun) for course in left)
    agent.tell(*cancels, *(EventNeverBegan(id_, event) for id_, event in begun if event is not None and event in REPEATABLE_EVENTS))
    agent.start()
    agent.outbox = console
    agent.tell(Connected(agent.machine.standing.last_seq))
    agent.tell(InstructionReceived(wanted))


class _Interruption:
    """What SIGINT and SIGTERM do: the first ends the deployment as soon as can be, the second leaves at once."""

    def __init__(self, agent: Agent, made: Parts, console: Console, wanted: Instruction, tasks: asyncio.TaskGroup) -> None:
        self._agent = agent
        self._hooks = made.hooks
        self._console = console
        self._instruction = wanted
        self._tasks = tasks
        self._exit_code = 0
        self._over = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, partial(self._interrupt, number))

    async def or_end(self) -> int:
        """The exit code, when the deployment has ended or was left."""
        self._console.ended.add_done_callback(lambda _: self._over.set())
        await self._over.wait()
        if self._console.ended.done() and self._console.ended.result():
            self._console.say("The AppSpec file is valid and the local deployment succeeded")
            return 0
        if self._exit_code:
            self._console.say("The local deployment was interrupted")
            return self._exit_code
        self._console.say("The local deployment failed")
        return 1

    def _interrupt(self, number: signal.Signals) -> None:
        event, wanted = self._console.running, self._instruction
        again, self._exit_code = self._exit_code != 0, 128 + number
        if again or event in REPEATABLE_EVENTS:
            self._over.set()  # what is half done is put right by the next download or installation
            return
        self._agent.tell(CancelReceived(wanted.instruction_id, wanted.group_id, wanted.target_epoch, f"interrupted by {number.name}"))
        if event is not None:
            self._console.say(f"{event}: its script is being ended; interrupt again to leave it running")
            self._tasks.create_task(self._hooks.cancel(wanted.instruction_id, _ATTEMPT), name="cancel")


class _Ended(Exception):
    """Ends the task group of a deployment."""
