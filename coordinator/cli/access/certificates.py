"""`hookline operator certificate`: certificates with which operators call, in the place of tokens."""

from typing import TYPE_CHECKING

import click

from coordinator.cli import protos
from coordinator.cli.access.grants import GRANTS, NAME, lifetime, written
from coordinator.cli.access.tokens import login_command
from coordinator.cli.arguments import Parsed, command, group
from coordinator.cli.clock import new_request_id
from coordinator.cli.console import Console
from coordinator.cli.wording.spelling import to_json
from coordinator.cli.wording.text import Columns, clean, columns, date_time

if TYPE_CHECKING:
    from hookline.v1.access_pb2 import Grant, OperatorCertificate


@command(
    "create",
    examples=["hookline operator certificate create anna", "hookline operator certificate create ci --lifetime 7d --grant deployer:shop"],
    related=["login", "operator certificate list", "operator token create"],
)
@NAME
@click.option(
    "--ttl", type=Parsed("duration", lifetime), default="15m", show_default=True, help="How long there is to log in; at most 24h."
)
@click.option(
    "--lifetime",
    "lasts",
    type=Parsed("duration", lifetime),
    default="30d",
    show_default=True,
    help="How long the certificate is good, and each that it is renewed to; at most 90d.",
)
@GRANTS
@click.option("--for", "description", default="", metavar="TEXT", help="What it is for.")
def create(console: Console, name: str, ttl: int, lasts: int, grants: "tuple[Grant, ...]", description: str) -> None:
    """Let an operator have a certificate, and print the command to log in with. It is printed this once, and good once.

    The key is made where the command is typed and never leaves that machine; the certificate is renewed by itself while it is in use.
    """
    request = protos.access.CreateOperatorTokenRequest(
        operator_name=name, grants=grants, description=description, request_id=new_request_id()
    )
    request.ttl.FromSeconds(ttl)
    request.certificate_lifetime.FromSeconds(lasts)
    made = console.connection.ask(console.connection.access.CreateOperatorToken, request)
    if console.json:
        console.json_value(to_json(made))
        return
    console.line(login_command(made, console.coordinator))
    console.remark(f"To be typed on the operator's machine, once, until {date_time(made.operator_token.expire_time)}.")


@command(
    "list",
    examples=["hookline operator certificate list", "hookline operator certificate list anna"],
    related=["operator certificate revoke", "operator token list"],
)
@click.argument("name", metavar="[NAME]", required=False, default="")
def list_certificates(console: Console, name: str) -> None:
    """List certificates that are still good, of one operator or of all."""
    request = protos.access.ListOperatorCertificatesRequest(operator_name=name)
    pages = console.connection.pages(console.connection.access.ListOperatorCertificates, request)
    shown: Columns[OperatorCertificate] = columns(
        ("CERTIFICATE", lambda each: clean(each.operator_certificate_id)),
        ("OPERATOR", lambda each: clean(each.operator_name)),
        ("UNTIL", lambda each: date_time(each.expire_time)),
        ("RENEWED", lambda each: date_time(each.renew_time) if each.HasField("renew_time") else "never"),
        ("GRANTS", lambda each: " ".join(written(each.grants)) or "all"),
        ("FOR", lambda each: clean(each.description)),
        ("BY", lambda each: clean(each.created_by)),
        whole="CERTIFICATE OPERATOR",
    )
    console.listing([each for page in pages for each in page.operator_certificates], shown, "No certificate is good.")


@command(
    "revoke", examples=["hookline operator certificate revoke oc-0A1B2C3D4"], related=["operator certificate list", "operator suspend"]
)
@click.argument("certificate", metavar="CERTIFICATE")
def revoke(console: Console, certificate: str) -> None:
    """Make a certificate useless at once, and all that it was renewed to; the id is in the list."""
    request = protos.access.RevokeOperatorCertificateRequest(operator_certificate_id=certificate, request_id=new_request_id())
    console.connection.ask(console.connection.access.RevokeOperatorCertificate, request)
    if console.json:
        console.json_value({})
    else:
        console.line(f"certificate {certificate} is revoked")


certificate = group("certificate", "Certificates of operators: create, list, revoke.", create, list_certificates, revoke)
