"""`hookline operator token`: the tokens with which operators call."""

from typing import TYPE_CHECKING

import click

from coordinator.cli import protos
from coordinator.cli.access.grants import GRANTS, NAME, lifetime, written
from coordinator.cli.arguments import Parsed, command, group
from coordinator.cli.clock import new_request_id
from coordinator.cli.connection import reached_as
from coordinator.cli.console import Console
from coordinator.cli.wording.spelling import to_json
from coordinator.cli.wording.text import Columns, clean, columns, date_time

if TYPE_CHECKING:
    from hookline.v1.access_pb2 import CreateOperatorTokenResponse, Grant, OperatorToken


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
@GRANTS
@click.option("--for", "description", default="", metavar="TEXT", help="What it is for.")
def create(console: Console, name: str, ttl: int, grants: "tuple[Grant, ...]", description: str) -> None:
    """Make a token for an operator, and print the command to log in with. It is printed this once."""
    request = protos.access.CreateOperatorTokenRequest(
        operator_name=name, grants=grants, description=description, request_id=new_request_id()
    )
    request.ttl.FromSeconds(ttl)
    made = console.connection.ask(console.connection.access.CreateOperatorToken, request)
    if console.json:
        console.json_value(to_json(made))
        return
    console.line(login_command(made, console.coordinator))
    token = made.operator_token
    console.remark(f"Token {token.operator_token_id} is good until {date_time(token.expire_time)}. Its text is not kept: hand it on now.")


def login_command(made: "CreateOperatorTokenResponse", coordinator: str) -> str:
    """What an operator types who was given a token."""
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
def revoke(console: Console, token: str) -> None:
    """Make a token useless at once; the id is in the list."""
    request = protos.access.RevokeOperatorTokenRequest(operator_token_id=token, request_id=new_request_id())
    console.connection.ask(console.connection.access.RevokeOperatorToken, request)
    if console.json:
        console.json_value({})
    else:
        console.line(f"token {token} is revoked")


token = group("token", "Tokens of operators: create, list, revoke.", create, list_tokens, revoke)
