"""`hookline login`, `logout` and `whoami`: who this operator is to the coordinator."""

from typing import TYPE_CHECKING

import click

from coordinator.cli import protos
from coordinator.cli.access import kept
from coordinator.cli.access.grants import written
from coordinator.cli.arguments import command
from coordinator.cli.connection import Connection, check_address
from coordinator.cli.console import Console
from coordinator.cli.spelling import to_json
from coordinator.cli.text import clean, date_time

if TYPE_CHECKING:
    from hookline.v1.access_pb2 import WhoAmIResponse


@command(
    "login",
    examples=[
        "hookline login deploy.example.com:8445 --ca 4f0c... --token hlo_...",
        "HOOKLINE_TOKEN=hlo_... hookline login HOST:8445 --ca 4f0c...",
    ],
    related=["whoami", "logout", "doctor", "operator token create"],
)
@click.argument("address", metavar="HOST:PORT")
@click.option(
    "--ca", required=True, metavar="SHA256|FILE", help="The fingerprint of the coordinator's root certificate, or a file that holds it."
)
@click.option(
    "--token",
    required=True,
    envvar="HOOKLINE_TOKEN",
    metavar="hlo_...",
    help="The operator's token, or one of the identity provider. [HOOKLINE_TOKEN]",
)
def login(console: Console, address: str, token: str) -> None:
    """Keep where the coordinator is, whom to trust there, and a token; every command uses them from then on.

    Nothing is trusted unseen: the fingerprint comes with the token, from whoever made it.
    """
    from coordinator.cli.access import handshake  # ssl takes a while to import

    check_address(address)
    if not token.startswith("hlo_") and token.count(".") != 2:
        raise click.UsageError(
            "cannot log in with this token: an operator's begins with hlo_, and an identity provider's has two dots in it"
        )
    trust = handshake.root_of(address, console.ca) if handshake.is_fingerprint(console.ca) else kept.read_trust(console.ca)
    handshake.look(address, trust)
    way = Connection(address, insecure=False, timeout=console.timeout, clock=console.clock, trust=trust, token=token)
    try:
        found = way.ask(way.access.WhoAmI, protos.access.WhoAmIRequest())
    finally:
        way.close()
    file = kept.write(kept.Login(coordinator=address, trust=trust, token=token))
    _show(console, found)
    console.remark(f"Kept in {file}.")


@command("logout", examples=["hookline logout"], related=["login", "operator token revoke"])
def logout(console: Console) -> None:
    """Forget the coordinator and the token on this machine. The token stays good: an admin can revoke it."""
    there = kept.forget()
    if console.json:
        console.json_value({})
    else:
        console.line("logged out" if there else "nobody was logged in")


@command("whoami", examples=["hookline whoami"], related=["login", "doctor"])
def whoami(console: Console) -> None:
    """Say who you are to the coordinator, and what you may do."""
    _show(console, console.connection.ask(console.connection.access.WhoAmI, protos.access.WhoAmIRequest()))


def _show(console: Console, found: "WhoAmIResponse") -> None:
    if console.json:
        console.json_value(to_json(found))
        return
    console.details(
        [
            ("you are", clean(found.principal)),
            ("you may", "\n".join(written(found.grants)) or "nothing"),
            ("token until", date_time(found.token_expire_time)),
            ("seen from", clean(found.address)),
        ]
    )
