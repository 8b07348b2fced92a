"""`hookline admin`: what is done on the coordinator's own machine, by the program that knows its files."""

import os
import shutil
import sys
from pathlib import Path

import click

from coordinator.cli.refusals import Refusal

PROGRAM = "hookline-coordinator"
PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@click.group("admin", short_help="On the coordinator's machine: back up and restore.")
def admin() -> None:
    """On the coordinator's machine, as root or its user: back up while it runs, restore while it does not."""


@admin.command("backup", context_settings=PASSED_ON, short_help="Copy database, bundles and keys beside the running coordinator.")
@click.pass_context
def backup(context: click.Context) -> None:
    """The same as `hookline-coordinator backup`."""
    _become(context)


@admin.command("restore", context_settings=PASSED_ON, short_help="Bring a backup back to a coordinator that is stopped.")
@click.pass_context
def restore(context: click.Context) -> None:
    """The same as `hookline-coordinator restore`."""
    _become(context)


def _become(context: click.Context) -> None:
    """Go on as the coordinator's program, with the same words."""
    beside = Path(sys.argv[0]).resolve().with_name(PROGRAM)
    found = str(beside) if beside.is_file() else shutil.which(PROGRAM)
    if found is None:
        raise Refusal(f"cannot find {PROGRAM}: run this on the coordinator's machine, where it is installed")
    os.execv(found, [PROGRAM, str(context.info_name), *context.args])
