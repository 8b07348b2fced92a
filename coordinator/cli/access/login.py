"""`hookline login`, `logout` and `whoami`: who this operator is to the coordinator."""

from typing import TYPE_CHECKING

import click

from coordinator.cli import protos
from coordinator.cli.access import kept, own
from coordinator.cli.access.grants import written
from coordinator.cli.arguments import command
from coordinator.cli.connection import Connection, check_address
from coordinator.cli.console import Console
from coordinator.cli.refusals import Refusal
from coordinator.cli.wording.spelling import to_json
from coordinator.cli.wording.text import clean, date_time

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
    help="The operator's token, one for a certificate (hlc_...), or one of the identity provider. [HOOKLINE_TOKEN]",
)
def login(console: Console, address: str, token: str) -> None:
    """Keep where the coordinator is, whom to trust there, and a token; every command uses them from then on.

    Nothing is trusted unseen: the fingerprint comes with the token, from whoever made it. With a token for a certificate (hlc_..., from
    `hookline operator certificate create`) it makes a key that never leaves this machine, has a certificate issued for it, and keeps that
    in place of the token, which is used up. Commands renew it when three fifths of its time are over.
    """
    from coordinator.cli.access import handshake  # ssl takes a while to import

    check_address(address)
    if not token.startswith(("hlo_", own.TOKEN_PREFIX)) and token.count(".") != 2:
        raise click.UsageError(
            f"cannot log in with this token: an operator's begins with hlo_ or {own.TOKEN_PREFIX}, and an identity provider's has two dots "
            "in it"
        )
    trust = handshake.root_of(address, console.ca) if handshake.is_fingerprint(console.ca) else kept.read_trust(console.ca)
    handshake.look(address, trust)
    way = Connection(address, insecure=False, timeout=console.timeout, clock=console.clock, trust=trust, token=token)
    try:
        if token.startswith(own.TOKEN_PREFIX):
            _certified(console, own.take(way, address, console.clock))
            return
        found = way.ask(way.access.WhoAmI, protos.access.WhoAmIRequest())
    finally:
        way.close()
    file = kept.write(kept.Login(coordinator=address, trust=trust, token=token))
    _show(console, found)
    console.remark(f"Kept in {file}.")


def _certified(console: Console, login: kept.Login) -> None:
    """Say who somebody is who has taken a certificate. It is kept by now: its token is used up, whatever comes of this."""
    assert login.certificate is not None
    pair = kept.pair_of(login.certificate)
    way = Connection(login.coordinator, insecure=False, timeout=console.timeout, clock=console.clock, trust=login.trust, pair=pair)
    try:
        _show(console, way.ask(way.access.WhoAmI, protos.access.WhoAmIRequest()))
    except Refusal as refusal:
        raise type(refusal)(
            f"the certificate is kept, but {login.coordinator} cannot be called with it yet: {refusal.message}\n"
            "It is the coordinator's --certificate-listen; once it can be reached, say: hookline doctor"
        ) from None
    finally:
        way.close()
    console.remark(f"The key and its certificate are kept in {kept.path().with_name(login.certificate.file)}.")


@command("logout", examples=["hookline logout"], related=["login", "operator token revoke"])
def logout(console: Console) -> None:
    """Forget the coordinator and the token on this machine, or delete the key and its certificate.

    A token stays good: an admin can revoke it.
    """
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
            ("by", clean(found.credential_id)),
            ("good until", date_time(found.token_expire_time)),
            ("seen from", clean(found.address)),
        ]
    )
