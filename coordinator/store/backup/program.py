"""`hookline-coordinator backup` and `restore`: what they may be told, what they say, how they end."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from coordinator.core.errors import DeployError
from coordinator.store.backup.backup import Copied, back_up
from coordinator.store.backup.restore import restore

COMMANDS: Final = ("backup", "restore")
DATA_DIR: Final = Path("/var/lib/hookline")
EXIT_CODES: Final = "Exit codes: 0 done; 1 refused; 2 usage."
BACKUP: Final = """Copies the coordinator's database, the bundles that its revisions refer to, and its certificates and keys (pki/) to a new
directory, while the coordinator runs, and checks the copy. What hooks printed (logs/) is left out: what failed has its last lines in the
database. Whoever can read a backup can speak as this coordinator: keep it as you keep its data directory."""
RESTORE: Final = """Brings a backup back to the data directory of a coordinator that is stopped. The database is checked for damage, bundles
against their digests. What was there already is refused, or put aside with --replace; logs/ stays. Start the coordinator afterwards: each
agent tells it what has happened on its host since the backup, rollouts go on, and no hook runs twice."""
SINCE: Final = """Hosts that joined since then have to join again; hosts, operators and tokens that were shut out since then are let in
again: shut them out again. Deployments created since then are forgotten, though not what they did on the hosts."""


def main(arguments: Sequence[str]) -> int:
    """Do it; the exit code."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "backup":
            _show(back_up(given.data_dir, given.to), f"backed up {given.data_dir} to {given.to}")
        else:
            _restore(given)
    except DeployError as error:
        sys.stderr.write(f"hookline-coordinator: {error}\n")
        return 1
    return 0


def _restore(given: argparse.Namespace) -> None:
    copied, aside = restore(given.backup, given.data_dir, replace=given.replace)
    _show(copied, f"restored {given.backup} to {given.data_dir}")
    if aside is not None:
        sys.stdout.write(f"What was there before lies in {aside}; remove it when it is no longer needed.\n")
    newest = copied.contents.newest_entry
    about = f"The history ends at {newest} (UTC). " if newest else ""
    sys.stdout.write(f"{about}{' '.join(SINCE.split())}\nNext: start the coordinator with --data-dir {given.data_dir}\n")


def _show(copied: Copied, done: str) -> None:
    for sentence in copied.left_out:
        sys.stderr.write(f"hookline-coordinator: {sentence}\n")
    told = copied.contents
    bundles = len(told.bundles) - len(copied.left_out)
    counts = f"{told.deployments} deployments, {bundles} bundles, {copied.keys} files of certificates and keys"
    sys.stdout.write(f"{done}: schema {told.version}, {counts}; checked\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hookline-coordinator", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    backup = commands.add_parser("backup", description=BACKUP, epilog=EXIT_CODES, allow_abbrev=False)
    backup.add_argument("--to", type=Path, required=True, metavar="DIR", help="the directory to make; it must not be there yet")
    back = commands.add_parser("restore", description=RESTORE, epilog=EXIT_CODES, allow_abbrev=False)
    back.add_argument("--from", dest="backup", type=Path, required=True, metavar="DIR", help="what `backup` has made")
    back.add_argument("--replace", action="store_true", help="put aside what the data directory holds already, in replaced-N beside it")
    for command in (backup, back):
        command.add_argument(
            "--data-dir", type=Path, default=DATA_DIR, metavar="DIR", help="the coordinator's data directory (default: %(default)s)"
        )
    return parser
