"""`hookline operator`: who may call the coordinator, and what they may do."""

from typing import TYPE_CHECKING

import click

from coordinator.cli import protos
from coordinator.cli.access.certificates import certificate
from coordinator.cli.access.grants import GRANT, GRANT_METAVAR, NAME, written
from coordinator.cli.access.tokens import token
from coordinator.cli.arguments import command, group
from coordinator.cli.clock import new_request_id
from coordinator.cli.console import Console
from coordinator.cli.wording.spelling import spelt, to_json
from coordinator.cli.wording.text import Columns, clean, columns, with_age

if TYPE_CHECKING:
    from hookline.v1.access_pb2 import Grant, Operator


@command("create", examples=["hookline operator create anna --grant admin", "hookline operator create ci --grant deployer:shop/production"])
@NAME
@click.option("--grant", "grants", type=GRANT, multiple=True, metavar=GRANT_METAVAR, help="What they may do; may be said several times.")
def create(console: Console, name: str, grants: "tuple[Grant, ...]") -> None:
    """Make an operator. Names are never used again: who leaves is suspended."""
    request = protos.access.CreateOperatorRequest(operator_name=name, grants=grants, request_id=new_request_id())
    _show(console, console.connection.ask(console.connection.access.CreateOperator, request).operator)
    console.remark(f"Next: hookline operator token create {name}")


@command("list", examples=["hookline operator list"], related=["operator grant", "operator token list"])
def list_operators(console: Console) -> None:
    """List operators and what they may do."""
    pages = console.connection.pages(console.connection.access.ListOperators, protos.access.ListOperatorsRequest())
    shown: Columns[Operator] = columns(
        ("OPERATOR", lambda each: clean(each.operator_name)),
        ("STATUS", lambda each: spelt(each, "status")),
        ("GRANTS", lambda each: " ".join(written(each.grants))),
        ("CREATED", lambda each: with_age(each.create_time, console.clock.now())),
        ("BY", lambda each: clean(each.created_by)),
        whole="OPERATOR STATUS",
    )
    console.listing(
        [each for page in pages for each in page.operators], shown, "There is no operator. Make one: hookline operator create NAME"
    )


@command("suspend", examples=["hookline operator suspend anna --reason 'left the team'"], related=["operator resume"])
@NAME
@click.option("--reason", default="", metavar="TEXT", help="For the history and the audit.")
def suspend(console: Console, name: str, reason: str) -> None:
    """Keep an operator out: their tokens and certificates are refused at once, and what they have open ends."""
    request = protos.access.SuspendOperatorRequest(operator_name=name, reason=reason, request_id=new_request_id())
    _show(console, console.connection.ask(console.connection.access.SuspendOperator, request).operator)


@command("resume", examples=["hookline operator resume anna"], related=["operator suspend"])
@NAME
def resume(console: Console, name: str) -> None:
    """Let a suspended operator in again."""
    request = protos.access.ResumeOperatorRequest(operator_name=name, request_id=new_request_id())
    _show(console, console.connection.ask(console.connection.access.ResumeOperator, request).operator)


@command(
    "grant", examples=["hookline operator grant anna deployer:shop", "hookline operator grant bert viewer"], related=["operator ungrant"]
)
@NAME
@click.argument("what", metavar=GRANT_METAVAR, type=GRANT)
def add_grant(console: Console, name: str, what: "Grant") -> None:
    """Let an operator do more.

    viewer sees; deployer also pushes and deploys; approver also lets hosts in; admin also changes everything else. With :APP or :APP/GROUP
    only there.
    """
    request = protos.access.GrantRoleRequest(operator_name=name, grant=what, request_id=new_request_id())
    _show(console, console.connection.ask(console.connection.access.GrantRole, request).operator)


@command("ungrant", examples=["hookline operator ungrant anna deployer:shop"], related=["operator grant", "operator list"])
@NAME
@click.argument("what", metavar=GRANT_METAVAR, type=GRANT)
def take_grant(console: Console, name: str, what: "Grant") -> None:
    """Take a grant back, named as it is listed."""
    request = protos.access.RevokeGrantRequest(operator_name=name, grant=what, request_id=new_request_id())
    _show(console, console.connection.ask(console.connection.access.RevokeGrant, request).operator)


def _show(console: Console, operator: "Operator") -> None:
    if console.json:
        console.json_value(to_json(operator))
        return
    grants = "\n".join(written(operator.grants)) or "nothing"
    console.details([("operator", clean(operator.operator_name)), ("status", spelt(operator, "status")), ("may", grants)])


operator = group(
    "operator",
    "Who may call the coordinator: create, list, suspend, resume, grant, ungrant; token, certificate.",
    create,
    list_operators,
    suspend,
    resume,
    add_grant,
    take_grant,
)
operator.add_command(token)
operator.add_command(certificate)
