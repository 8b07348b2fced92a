"""`hookline-agent run`: puts the parts of an agent together, serves a coordinator, and stops in order."""

from __future__ import annotations

import asyncio
import dataclasses
import faulthandler
import logging
import os
import signal
from typing import TYPE_CHECKING

from agent.clock import SystemClock
from agent.config import DataDirectory, Identity, agent_version, boot_id, host_name, loopback, observed
from agent.errors import AgentError
from agent.executor import CoordinatorBundles
from agent.identity import IdentityFiles
from agent.identity.diagnosis import why_not_valid
from agent.journal import FileJournal
from agent.local import presence
from agent.local.parts import begin_to_log, host_policy, parts, retention, source_settings, unseen, usable_prefix
from agent.local.presence import Presence
from agent.local.settings import add_arguments as add_settings
from agent.local.settings import settings
from agent.local.systemd import ServiceManager
from agent.logs import LogPublisher, PublishedHooks
from agent.loop import Agent
from agent.machine import Machine
from agent.stream import AgentStream
from agent.stream.line import line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from agent.clock import Clock
    from agent.identity import Credentials
    from agent.local.settings import Settings
    from agent.policy import PolicyFile

log = logging.getLogger("hookline.agent")

STOP_SECONDS = 1.0
LONGEST_STOP_SECONDS = 10
"""An agent that has not ended by then says where it stands, and ends all the same: all that has to last is on the disk."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.description = (
        "Connects to a coordinator and serves it until SIGTERM or SIGINT. Hooks that run then are finished by their "
        "supervisors, and the next agent with the same data directory reports them."
    )
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Serves until told to stop."""
    manager = ServiceManager(os.environ)
    told = settings(args, os.environ)
    begin_to_log(told.log_level)
    name = host_name(told.host)
    if told.insecure:
        loopback(told.the_coordinator)
    usable_prefix(told)
    policy = host_policy(told)
    credentials = None if told.insecure else _credentials(told.data_dir)
    directory = DataDirectory(told.data_dir)
    try:
        if credentials is not None:
            name = credentials.enrolment.name
            directory.become(credentials.enrolment.host_id)
            told = dataclasses.replace(told, coordinator=told.coordinator or credentials.enrolment.coordinator)
        identity = Identity(
            host_id=directory.host_id,
            name=name,
            boot_id=boot_id(),
            agent_version=agent_version(),
            tags=told.tags,
            facts=observed(told.coordinator or "", told.zone),
        )
        journal = FileJournal(directory.journal)
        try:
            faulthandler.enable()  # the watchdog ends a loop that is stuck by SIGABRT: the log then says where it stuck
            asyncio.run(_serve(told, identity, journal, policy, manager, credentials))
        finally:
            journal.close()
    finally:
        directory.close()
    os._exit(0)  # Taking Python and gRPC down in good order may wait for their threads, and nothing is left to tidy.


def _end_soon(*_signal: object) -> None:
    """Gives the end of this process a time that nothing can put off, and that it keeps when it is asked again."""
    if signal.getitimer(signal.ITIMER_REAL) != (0, 0):
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LONGEST_STOP_SECONDS + 1)  # Who reads what it says may hang as well.
    faulthandler.dump_traceback_later(LONGEST_STOP_SECONDS, exit=True)


def _stop_on_signals(stop: Callable[[], None]) -> None:
    """Has the loop call `stop`, and begins with the end at once: the loop itself may wait for whoever reads what it says."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
        signal.signal(number, _end_soon)  # after the loop's own, which wakes it all the same; a write that waits is interrupted by it


def _credentials(directory: Path) -> Credentials:
    """What this host shows. Says so when it is of no use just now; a clock that is wrong may still be set right."""
    credentials = IdentityFiles(directory).credentials()
    if credentials is None:
        raise AgentError(
            f"cannot connect: this machine is no host yet (there is no identity in {directory}); join with the command that"
            " `hookline token create` prints, or use --insecure with a coordinator on this machine that does as well"
        )
    why = why_not_valid(credentials.enrolment, SystemClock().now_ms())
    if why is not None:
        log.error("certificate not good now why=%r", why)
    return credentials


async def _serve(
    told: Settings, identity: Identity, journal: FileJournal, policy: PolicyFile, manager: ServiceManager, credentials: Credentials | None
) -> None:
    clock = SystemClock()
    coordinator, data_dir = told.the_coordinator, None if credentials is None else told.data_dir
    bundles = CoordinatorBundles(coordinator=coordinator, host_id=identity.host_id, settings=source_settings(told), data_dir=data_dir)
    asked_to_stop = asyncio.Event()
    _stop_on_signals(asked_to_stop.set)
    if hidden := unseen(policy.policy(), os.environ):
        log.info("hooks do not see all of the agent's environment policy=%s variables=%s", policy.path, ",".join(hidden))
    log.info("agent starts host=%s host_id=%s pid=%d coordinator=%s", identity.name, identity.host_id, os.getpid(), coordinator)
    async with (
        line(coordinator, credentials, told.data_dir, clock) as way,
        parts(
            directory=told.data_dir,
            root_prefix=told.root_prefix,
            boot_id=identity.boot_id,
            clock=clock,
            kept=retention(told),
            policy=policy,
        ) as made,
    ):
        try:
            async with asyncio.TaskGroup() as tasks:
                logs = LogPublisher(files=made.hooks, host_id=identity.host_id, channel=way.channel, clock=clock)
                executor = made.executor(tasks, host=identity.name, hooks=PublishedHooks(made.hooks, logs), source=bundles)
                agent = Agent(machine=Machine(journal.entries), journal=journal, executor=executor, clock=clock)
                standing = _Standing(told, identity, manager, clock, bundles, logs)
                stream = AgentStream(
                    agent=agent, identity=identity, channel=way.channel, clock=clock, listener=standing, why_not=way.why_not
                )
                tasks.create_task(way.look_after(stream.move, logs.move), name="certificate")
                logs.resume(agent.machine.unfinished)
                agent.start()
                tasks.create_task(executor.start_ahead(), name="start ahead")
                tasks.create_task(logs.run(), name="logs")
                tasks.create_task(manager.watch(clock), name="watchdog")
                streaming = tasks.create_task(stream.run(), name="stream")
                manager.ready()
                try:
                    await asked_to_stop.wait()
                finally:  # asked, or because a part of it has failed
                    _end_soon()
                log.info("agent stops host=%s", identity.name)
                manager.stopping()
                stream.stop("stopping")
                await asyncio.wait([streaming], timeout=STOP_SECONDS / 2)
                raise _Stop
        except* _Stop:
            pass


class _Standing:
    """How the agent stands with its coordinator, told to all who want to know."""

    def __init__(
        self,
        told: Settings,
        identity: Identity,
        manager: ServiceManager,
        clock: Clock,
        bundles: CoordinatorBundles,
        logs: LogPublisher,
    ) -> None:
        self._directory: Path = told.data_dir
        self._manager = manager
        self._clock = clock
        self._bundles = bundles
        self._logs = logs
        now = clock.now_ms()
        self._presence = Presence(
            pid=os.getpid(),
            version=agent_version(),
            host=identity.name,
            coordinator=told.the_coordinator,
            root_prefix=str(told.root_prefix),
            started_at=now,
            since=now,
        )
        self._leave(self._presence)

    def connected(self, *, bundle_address: str, log_bytes_per_second: int) -> None:
        """A Welcome has come."""
        self._bundles.serve_from(bundle_address)
        self._logs.keep_to(log_bytes_per_second)
        self._leave(dataclasses.replace(self._presence, connected=True, since=self._clock.now_ms(), why=""))

    def disconnected(self, why: str) -> None:
        """A stream was lost, or none could be opened."""
        since = self._clock.now_ms() if self._presence.connected else self._presence.since
        self._leave(dataclasses.replace(self._presence, connected=False, since=since, why=why))

    def _leave(self, present: Presence) -> None:
        self._presence = present
        presence.write(self._directory, present)
        self._manager.status(
            f"Connected to {present.coordinator}" if present.connected else f"Not connected to {present.coordinator}: {present.why}"
        )


class _Stop(Exception):
    """Ends the task group of an agent that was told to stop."""
