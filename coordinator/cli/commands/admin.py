"""`hookline admin`: what is done on the coordinator's own machine, by the program that knows its files."""

import os
import shutil
import sys
from pathlib import Path

import click

from coordinator.cli.arguments import command, group
from coordinator.cli.console import Console
from coordinator.cli.refusals import Refusal

PROGRAM = "hookline-coordinator"
DATA_DIR = click.option("--data-dir", metavar="DIR", help="The coordinator's data directory.  [default: /var/lib/hookline]")


@command("backup", examples=["hookline admin backup --to /backups/$(date +%F)"], related=["admin restore"])
@click.option("--to", required=True, metavar="DIR", help="The directory to make; it must not be there yet.")
@DATA_DIR
def backup(console: Console, to: str, data_dir: str | None) -> None:
    """Copy the coordinator's database, bundles and keys, while it runs, and check the copy.

    Whoever can read a backup can speak as this coordinator: keep it as you keep its data directory.
    """
    _become(console, "backup", "--to", to, *_of(data_dir))


@command("restore", examples=["hookline admin restore --from /backups/2027-01-15 --replace"], related=["admin backup"])
@click.option("--from", "made", required=True, metavar="DIR", help="What `backup` has made.")
@DATA_DIR
@click.option("--replace", is_flag=True, help="Put aside what the data directory holds already.")
def restore(console: Console, made: str, data_dir: str | None, replace: bool) -> None:
    """Bring a backup back to a coordinator that is stopped. Start it afterwards: rollouts go on, and no hook runs twice."""
    _become(console, "restore", "--from", made, *_of(data_dir), *(["--replace"] if replace else []))


admin = group("admin", "On the coordinator's machine, as root or its user: back up and restore.", backup, restore)


def _of(data_dir: str | None) -> list[str]:
    return [] if data_dir is None else ["--data-dir", data_dir]


def _become(console: Console, *words: str) -> None:
    """Go on as the coordinator's program."""
    if console.json:
        raise click.UsageError("what this says is for people: leave --output json out")
    beside = Path(sys.argv[0]).resolve().with_name(PROGRAM)
    found = str(beside) if beside.is_file() else shutil.which(PROGRAM)
    if found is None:
        raise Refusal(f"cannot find {PROGRAM}: run this on the coordinator's machine, where it is installed")
    os.execv(found, [PROGRAM, *words])
