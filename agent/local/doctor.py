"""`hookline-agent doctor`: looks at what has to be right on this host, and says what to do about what is not."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from typing import TYPE_CHECKING

from agent.local.checks import Verdict, findings
from agent.local.settings import add_arguments as add_settings
from agent.local.settings import settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.description = (
        "Checks what has to be right for the agent: its settings, its identity, the coordinator, the clock, the user, the data directory,"
        " room on the disk, hooks, unpacking, and programs that revisions may need. Takes the settings of `run`; ask as the agent's user."
        " Exit code: 0 when nothing fails, 1 when something does, 2 when the settings cannot be read."
    )
    parser.add_argument("--json", action="store_true", help="one JSON array of objects with check, verdict (ok, warn, fail), found, advice")
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Checks."""
    found = asyncio.run(findings(settings(args, os.environ)))
    if args.json:
        told = json.dumps([dataclasses.asdict(each) for each in found]) + "\n"
    else:
        told = "".join(
            f"{each.verdict:<5} {each.check:<15} {each.found}\n" + (f"{'':<22}{each.advice}\n" if each.advice else "") for each in found
        )
    sys.stdout.write(told)
    return 1 if any(each.verdict is Verdict.FAIL for each in found) else 0
