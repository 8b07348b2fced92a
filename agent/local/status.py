"""`hookline-agent status`: how the agent of this host stands, for people and for programs."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import TYPE_CHECKING

from agent.clock import SystemClock
from agent.errors import AgentError
from agent.local.condition import condition
from agent.local.parts import host_policy
from agent.local.settings import add_arguments as add_settings
from agent.local.settings import settings
from agent.policy import summary

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from agent.local.condition import Condition
    from agent.local.settings import Settings

NOT_RUNNING = 3
"""The exit code when no agent runs, as `systemctl status` has it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.description = (
        "Says whether the agent runs, how it stands with its coordinator, what it does and what the host holds, from the files in its data"
        f" directory; a running agent does not notice. Exit code: 0 when it runs, {NOT_RUNNING} when not, 2 when that cannot be said."
    )
    parser.add_argument("--json", action="store_true", help="one JSON object; times are milliseconds since 1970")
    add_settings(parser, ("data_dir", "root_prefix", "policy"))


def run(args: argparse.Namespace) -> int:
    """Says it."""
    told = settings(args, os.environ)
    found = condition(told.data_dir, told.root_prefix)
    if args.json:
        sys.stdout.write(json.dumps({"running": found.pid is not None, **dataclasses.asdict(found), "policy": _policy(told)}) + "\n")
    else:
        told_lines = (*lines(found, now=SystemClock().now_ms()), ("policy", _policy(told)))
        sys.stdout.write("".join(f"{name:<13}{words}\n" for name, words in told_lines))
    return NOT_RUNNING if found.pid is None else 0


def _policy(told: Settings) -> str:
    try:
        return summary(host_policy(told).policy())
    except AgentError as error:
        return str(error)


def lines(found: Condition, *, now: int) -> Iterator[tuple[str, str]]:
    """A condition in words."""
    present = found.presence
    alive = present is not None and found.pid == present.pid
    if found.pid is None:
        yield "agent", f"not running (data directory {found.data_dir}, program {found.program_version})"
    elif present is not None and alive:
        yield "agent", f"running for {_for(now - present.started_at)}, pid {found.pid}, version {present.version}"
        if present.version != found.program_version:
            yield "", f"the program is {found.program_version} by now: restart the agent; a hook that runs is not lost"
    else:
        yield "agent", f"running, pid {found.pid}"
    yield "host", f"{present.host} ({found.host_id})" if present else found.host_id or "no agent has run here yet"
    if present is not None and alive and present.connected:
        yield "coordinator", f"{present.coordinator}, connected for {_for(now - present.since)}"
    elif present is not None and alive:
        yield "coordinator", f"{present.coordinator}, not connected for {_for(now - present.since)}: {present.why}"
    elif present is not None:
        yield "coordinator", f"{present.coordinator} (not connected)"
    yield from _work(found, now=now)
    disk = found.disk
    yield "disk", f"{_bytes(disk.deployments)} of deployments, {_bytes(disk.data_dir)} of the agent's own, {_bytes(disk.free)} free"


def _work(found: Condition, *, now: int) -> Iterator[tuple[str, str]]:
    unsent = found.reports - found.acknowledged
    noted = "all acknowledged" if not unsent else f"{unsent} not acknowledged yet"
    present = found.presence
    if unsent and present is not None and present.pid == found.pid and present.connected:
        # An acknowledgement is written down with the next report, so that the last ones of an idle agent are not on record.
        noted = f"{found.acknowledged} acknowledged on record; the record of the last comes with the next report"
    yield "reports", f"{found.reports}, {noted}"
    if not found.instructions:
        yield "now", "nothing to do"
    for number, each in enumerate(found.instructions):
        where = f"deployment {each.deployment_id} of revision {each.revision_id} to {each.group_name}"
        doing = "waits" if each.event is None else f"{each.event} for {_for(now - each.since)}"
        yield "" if number else "now", f"{doing}, {where}"
    if not found.holdings:
        yield "holds", "nothing yet"
    for number, held in enumerate(found.holdings):
        whole = "" if held.deployed == held.installed else f"; the last whole deployment was of {held.deployed or 'none'}"
        by = " by deploy-local" if held.local else ""
        installed = f"revision {held.installed}, installed by {held.installed_by}"
        yield "" if number else "holds", f"{held.group_name or held.group_id}{by}: {installed}{whole}"


def _for(milliseconds: int) -> str:
    seconds = max(0, milliseconds) // 1000
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"


def _bytes(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    power = min(4, (count.bit_length() - 1) // 10)
    amount = count / 1024**power
    return f"{amount:.{0 if amount >= 10 else 1}f} {'KMGT'[power - 1]}iB"
