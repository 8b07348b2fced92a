"""`hookline audit`: what operators have done and tried."""

import json
from typing import TYPE_CHECKING

import click

from coordinator.cli import protos
from coordinator.cli.arguments import LIMIT, command, group
from coordinator.cli.console import Console
from coordinator.cli.refusals import Refusal
from coordinator.cli.wording.spelling import to_json
from coordinator.cli.wording.text import Columns, clean, columns, date_time

if TYPE_CHECKING:
    from hookline.v1.access_pb2 import AuditEntry

BY = click.option("--by", "principal", default="", metavar="PRINCIPAL", help="Only calls of this one: operator:NAME, or local.")


@command("list", examples=["hookline audit list", "hookline audit list --by operator:anna --limit 10"], related=["audit verify", "history"])
@BY
@LIMIT
def list_audit(console: Console, principal: str, limit: int) -> None:
    """List the calls that changed something, and those that were refused; the newest first."""
    request = protos.access.ListAuditRequest(principal=principal)
    pages = console.connection.pages(console.connection.audit.ListAudit, request, limit)
    shown: Columns[AuditEntry] = columns(
        ("NO", lambda each: str(each.audit_no)),
        ("TIME", lambda each: date_time(each.time)),
        ("WHO", lambda each: clean(each.principal)),
        ("FROM", lambda each: clean(each.address)),
        ("CALL", lambda each: clean(each.method.rpartition("/")[2])),
        ("ABOUT", lambda each: clean(each.subject)),
        ("ANSWER", lambda each: clean(each.code)),
        ("WHY", lambda each: clean(each.reason)),
        whole="NO TIME WHO CALL ANSWER",
    )
    console.listing(console.limited((each for page in pages for each in page.entries), limit), shown, "Nothing was changed yet.")


@command("export", examples=["hookline audit export > audit.jsonl"], related=["audit verify"])
@BY
def export(console: Console, principal: str) -> None:
    """Print the audit as JSON, a row a line, the oldest first, with its hashes."""
    request = protos.access.ListAuditRequest(principal=principal, oldest_first=True)
    for page in console.connection.pages(console.connection.audit.ListAudit, request):
        for each in page.entries:
            console.line(json.dumps(to_json(each)))


@command("verify", examples=["hookline audit verify", "hookline audit verify --noted 1204:5d41..."], related=["audit list", "audit export"])
@click.option(
    "--noted", default="", metavar="NO:HASH", help="A row's hash that was noted elsewhere, as the coordinator's log does every hour."
)
def verify(console: Console, noted: str) -> None:
    """Compute the chain of hashes anew, and say whether a row was altered, taken out or put in.

    It takes about a second for 25,000 rows: with very many, allow it more with --timeout.
    """
    found = console.connection.ask(console.connection.audit.VerifyAudit, _noted(noted))
    if console.json:
        console.json_value(to_json(found))
    elif found.intact:
        console.line(f"The audit is whole: {found.entries} rows.")
        if found.entries:
            console.line(f"Note this elsewhere, and compare later: --noted {found.entries}:{found.head_hash.hex()}")
    if not found.intact:
        raise Refusal(f"the audit was altered: {clean(found.problem)}")


def _noted(typed: str) -> "protos.access.VerifyAuditRequest":
    if not typed:
        return protos.access.VerifyAuditRequest()
    number, _, said = typed.partition(":")
    try:
        return protos.access.VerifyAuditRequest(noted_audit_no=int(number), noted_hash=bytes.fromhex(said))
    except ValueError:
        raise click.UsageError(f"cannot read {typed!r} as --noted: write NO:HASH, as the coordinator's log and this command do") from None


audit = group("audit", "What operators have done and tried: list, export, verify.", list_audit, export, verify)
