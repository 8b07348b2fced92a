"""`hookline-agent join`: makes this machine a host of a coordinator that is known by the fingerprint of its root certificate."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

from agent.clock import SystemClock
from agent.config import DataDirectory, agent_version, host_name
from agent.errors import AgentError
from agent.identity import IdentityFiles
from agent.identity.handshake import root_of
from agent.identity.joining import Application, Joining
from agent.local.settings import add_arguments as add_settings
from agent.local.settings import settings
from agent.stream.enrolment import EnrolmentDoor

if TYPE_CHECKING:
    import argparse

    from agent.identity import Enrolment

_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.description = (
        "Makes this machine a host: makes a key, which never leaves it, asks the coordinator for a certificate with a join token, and waits"
        " until an operator has let it in. `hookline token create` prints the command to type. Nobody is trusted but who stands below the"
        f" certificate with the fingerprint --ca. Exit code: 0 when it is a host, 2 when that was refused, {_INTERRUPTED} after Ctrl-C."
    )
    parser.add_argument("address", metavar="HOST:PORT", help="where the coordinator lets machines in (its --enrol-listen)")
    parser.add_argument("--token", default="", metavar="hlj_...", help="the join token; not needed to go on with waiting")
    parser.add_argument("--ca", required=True, metavar="SHA256", help="the fingerprint of the coordinator's root certificate")
    parser.add_argument("--again", action="store_true", help="begin anew, with a new key: what this machine was before is given up")
    add_settings(parser, ("host", "data_dir"))


def run(args: argparse.Namespace) -> int:
    """Joins."""
    told = settings(args, os.environ)
    name = host_name(told.host)
    directory = DataDirectory(told.data_dir)
    try:
        files = IdentityFiles(directory.path)
        if not args.again and (known := files.credentials()) is not None:
            is_host = f"it is host {known.enrolment.name} ({known.enrolment.host_id}) of {known.enrolment.coordinator} already"
            raise AgentError(f"cannot join with the data directory {directory.path}: {is_host}; --again makes it a new host")
        application = Application(
            name=name,
            token=args.token,
            enrol_address=args.address,
            authority=args.ca.lower().replace(":", ""),
            root=asyncio.run(root_of(args.address, args.ca)),
            agent_version=agent_version(),
        )
        if args.again and args.token:  # without a token nothing could begin anew
            files.forget()
        joining = Joining(files=files, door=EnrolmentDoor(), clock=SystemClock(), say=_say)
        joined = asyncio.run(_joined(joining, application))
        if joined is None:
            _say(f"\nStopped waiting; the same command{' without --again' if args.again else ''} goes on with it.")
            return _INTERRUPTED
        directory.become(joined.host_id)
    finally:
        directory.close()
    sys.stdout.write(_words(joined))
    return 0


async def _joined(joining: Joining, application: Application) -> Enrolment | None:
    """Who this machine is; None: it was told to stop waiting."""
    waiting = asyncio.ensure_future(joining.join(application))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, waiting.cancel)
    try:
        return (await waiting).enrolment
    except asyncio.CancelledError:
        return None


def _words(joined: Enrolment) -> str:
    return f"This machine is host {joined.name} ({joined.host_id}) of {joined.coordinator}. Start its agent: hookline-agent run\n"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
