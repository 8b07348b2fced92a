"""`hookline-agent run`: puts the parts of an agent together, serves a coordinator, and stops in order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agent.bundle import Unpacker
from agent.clock import SystemClock
from agent.config import DataDirectory, Identity, agent_version, boot_id, host_name, loopback, observed, tags
from agent.environment import Environment
from agent.errors import AgentError
from agent.executor import CoordinatorBundles, EventExecutor
from agent.hooks import Hooks
from agent.journal import FileJournal
from agent.logs import LogPublisher, PublishedHooks
from agent.loop import Agent
from agent.machine import Machine
from agent.stream import AgentStream, insecure_channel
from agent.workspace import Workspace

if TYPE_CHECKING:
    import argparse

log = logging.getLogger("hookline.agent")

STOP_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.description = (
        "Connects to a coordinator and serves it until SIGTERM or SIGINT. Hooks that run then are finished by their "
        "supervisors, and the next agent with the same data directory reports them."
    )
    parser.add_argument("--coordinator", required=True, metavar="HOST:PORT", help="where the coordinator listens")
    parser.add_argument("--host", required=True, metavar="NAME", help="the name that operators see; 1 to 100 of A-Z a-z 0-9 . _ + = , @ -")
    parser.add_argument(
        "--data-dir", required=True, type=Path, metavar="DIR", help="what makes the agent itself again after a restart: keep it"
    )
    parser.add_argument(
        "--root-prefix",
        type=Path,
        default=Path("/"),
        metavar="DIR",
        help="the directory below which every absolute path of a deployment lies (default: /), so that many agents fit on one machine",
    )
    parser.add_argument(
        "--tag", action="append", default=[], metavar="KEY=VALUE", help="a tag of this host, for deployment groups; at most 64"
    )
    parser.add_argument("--insecure", action="store_true", help="speak plaintext; for loopback addresses only")


def run(args: argparse.Namespace) -> int:
    """Serves until told to stop."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if not args.insecure:
        raise AgentError("cannot speak TLS yet: use --insecure with a coordinator on a loopback address")
    coordinator = loopback(args.coordinator)
    name, declared = host_name(args.host), tags(args.tag)
    prefix: Path = args.root_prefix.absolute()
    try:
        prefix.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AgentError(f"cannot use {prefix} as the root prefix: {error.strerror}") from error
    directory = DataDirectory(args.data_dir)
    try:
        identity = Identity(
            host_id=directory.host_id, name=name, boot_id=boot_id(), agent_version=agent_version(), tags=declared, facts=observed()
        )
        journal = FileJournal(directory.journal)
        try:
            asyncio.run(_serve(coordinator, identity, journal, directory, prefix))
        finally:
            journal.close()
    finally:
        directory.close()
    return 0


async def _serve(coordinator: str, identity: Identity, journal: FileJournal, directory: DataDirectory, prefix: Path) -> None:
    clock = SystemClock()
    hooks = Hooks(directory=directory.path / "hooks", boot_id=identity.boot_id or None)
    unpacker = Unpacker(root_prefix=prefix, clock=clock)
    bundles = CoordinatorBundles(coordinator=coordinator, host_id=identity.host_id)
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    log.info("agent starts host=%s host_id=%s pid=%d coordinator=%s", identity.name, identity.host_id, os.getpid(), coordinator)
    async with insecure_channel(coordinator) as channel:
        try:
            async with asyncio.TaskGroup() as tasks:
                logs = LogPublisher(files=hooks, host_id=identity.host_id, channel=channel, clock=clock)
                executor = EventExecutor(
                    tasks=tasks,
                    hooks=PublishedHooks(hooks, logs),
                    unpacker=unpacker,
                    workspace=Workspace(root_prefix=prefix),
                    environment=Environment(own=os.environ, root_prefix=prefix, host=identity.name),
                    source=bundles,
                    clock=clock,
                )
                agent = Agent(machine=Machine(journal.entries), journal=journal, executor=executor, clock=clock)
                stream = AgentStream(agent=agent, identity=identity, channel=channel, clock=clock, bundles=bundles, limit_logs=logs.keep_to)
                logs.resume(agent.machine.unfinished)
                agent.start()
                tasks.create_task(executor.start_ahead(), name="start ahead")
                tasks.create_task(logs.run(), name="logs")
                streaming = tasks.create_task(stream.run(), name="stream")
                await asked_to_stop.wait()
                log.info("agent stops host=%s", identity.name)
                stream.stop("stopping")
                await asyncio.wait([streaming], timeout=STOP_SECONDS / 2)
                raise _Stop
        except* _Stop:
            pass
        finally:
            await hooks.close()
            await unpacker.close()


class _Stop(Exception):
    """Ends the task group of an agent that was told to stop."""
