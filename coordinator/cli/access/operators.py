"""`hookline operator`: who may call the coordinator, what they may do, and the tokens with which they call."""

from typing import TYPE_CHECKING

import click

from coordinator.cli import protos
from coordinator.cli.access.grants import grant, lifetime, written
from coordinator.cli.arguments import Parsed, command, group
from coordinator.cli.clock import new_request_id
from coordinator.cli.connection import reached_as
from coordinator.cli.console import Console
from coordinator.cli.spelling import spelt, to_json
from coordinator.cli.text import Columns, clean, columns, date_time, with_age

if TYPE_CHECKING:
    from hookline.v1.access_pb2 import CreateOperatorTokenResponse, Grant, Operator, OperatorToken

NAME = click.argument("name", metavar="NAME")
GRANT = Parsed("grant", grant)
GRANT_METAVAR = "ROLE[:APP[/GROUP]]"


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
    """Keep an operator out: their tokens are refused at once, and what they have open ends."""
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


@command(
    "create",
    examples=[
        "hookline operator token create anna",
        "hookline operator token create ci --ttl 90d --grant deployer:shop --for 'GitLab runner'",
    ],
    related=["login", "operator token list"],
)
@NAME
@click.option("--ttl", type=Parsed("duration", lifetime), default="30d", show_default=True, help="How long it is good; at most 365d.")
@click.option(
    "--grant",
    "grants",
    type=GRANT,
    multiple=True,
    metavar=GRANT_METAVAR,
    help="It allows no more than this. [all that its operator may do]",
)
@click.option("--for", "description", default="", metavar="TEXT", help="What it is for.")
def create_token(console: Console, name: str, ttl: int, grants: "tuple[Grant, ...]", description: str) -> None:
    """Make a token for an operator, and print the command to log in with. It is printed this once."""
    request = protos.access.CreateOperatorTokenRequest(
        operator_name=name, grants=grants, description=description, request_id=new_request_id()
    )
    request.ttl.FromSeconds(ttl)
    made = console.connection.ask(console.connection.access.CreateOperatorToken, request)
    if console.json:
        console.json_value(to_json(made))
        return
    console.line(_command(made, console.coordinator))
    token = made.operator_token
    console.remark(f"Token {token.operator_token_id} is good until {date_time(token.expire_time)}. Its text is not kept: hand it on now.")


def _command(made: "CreateOperatorTokenResponse", coordinator: str) -> str:
    if not made.authority_fingerprint:  # a coordinator without TLS has no authority
        return clean(made.text)
    return clean(f"hookline login {reached_as(made.operator_address, coordinator)} --ca {made.authority_fingerprint} --token {made.text}")


@command("list", examples=["hookline operator token list", "hookline operator token list anna"], related=["operator token revoke"])
@click.argument("name", metavar="[NAME]", required=False, default="")
def list_tokens(console: Console, name: str) -> None:
    """List tokens that are still good, of one operator or of all."""
    request = protos.access.ListOperatorTokensRequest(operator_name=name)
    pages = console.connection.pages(console.connection.access.ListOperatorTokens, request)
    shown: Columns[OperatorToken] = columns(
        ("TOKEN", lambda each: clean(each.operator_token_id)),
        ("OPERATOR", lambda each: clean(each.operator_name)),
        ("UNTIL", lambda each: date_time(each.expire_time)),
        ("GRANTS", lambda each: " ".join(written(each.grants)) or "all"),
        ("FOR", lambda each: clean(each.description)),
        ("BY", lambda each: clean(each.created_by)),
        whole="TOKEN OPERATOR",
    )
    console.listing([each for page in pages for each in page.operator_tokens], shown, "No token is good.")


@command("revoke", examples=["hookline operator token revoke ot-0A1B2C3D4"], related=["operator token list"])
@click.argument("token", metavar="TOKEN")
def revoke_token(console: Console, token: str) -> None:
    """Make a token useless at once; the id is in the list."""
    request = protos.access.RevokeOperatorTokenRequest(operator_token_id=token, request_id=new_request_id())
    console.connection.ask(console.connection.access.RevokeOperatorToken, request)
    if console.json:
        console.json_value({})
    else:
        console.line(f"token {token} is revoked")


operator = group(
    "operator",
    "Who may call the coordinator: create, list, suspend, resume, grant, ungrant; token.",
    create,
    list_operators,
    suspend,
    resume,
    add_grant,
    take_grant,
)
operator.add_command(group("token", "Tokens of operators: create, list, revoke.", create_token, list_tokens, revoke_token))
