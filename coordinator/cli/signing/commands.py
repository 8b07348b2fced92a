"""`hookline keygen` and `sign`: who answers for a revision. Neither speaks with a coordinator."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from coordinator.cli.arguments import command
from coordinator.cli.console import Console

if TYPE_CHECKING:
    from coordinator.cli.pack import Bundle
    from coordinator.cli.signing.statement import Terms
    from hookline.v1.resources_pb2 import Signature

KEY_NAME = "hookline.key"
COUNTER = click.option("--counter", type=int, metavar="N", help="The release's number: greater than that of every release before it.")
GROUPS = click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="APP/GROUP",
    help="Only for this deployment group (any of several). [all of the application]",
)
EXPIRES = click.option("--expires", default="", metavar="WHEN", help="Good until then: 90d, 2027-01-31, 2027-01-31T12:00:00Z. [for ever]")
SIGNATURE = click.option(
    "--signature", type=click.Path(dir_okay=False), metavar="FILE", help="A signature that hookline sign has written; see there."
)


class SaidTerms(TypedDict):
    """What COUNTER, GROUPS and EXPIRES have said."""

    counter: int | None
    groups: tuple[str, ...]
    expires: str


class SaidSignature(SaidTerms):
    """What is said to sign a bundle on its way: with a key, or with a signature that is there already."""

    key: str | None
    signature: str | None


@command("keygen", examples=["hookline keygen --out release.key", "hookline keygen --no-password --out /secrets/ci.key"], related=["sign"])
@click.option(
    "--out", default=KEY_NAME, show_default=True, metavar="FILE", help="Where the secret key goes; the public one goes to FILE.pub."
)
@click.option("--no-password", is_flag=True, help="Do not encrypt the secret key: for machines that sign by themselves.")
def keygen(console: Console, out: str, no_password: bool) -> None:
    """Make a key pair to sign revisions with, and print the public key.

    The files are minisign's. The secret key is encrypted with a password, which is asked for or taken from HOOKLINE_SIGNING_PASSWORD.
    Agents that list the public key among the signing_keys of their policy take what it signs.
    """
    from coordinator.cli.signing.minisign import generate

    key = generate()
    content = key.secret_file(None if no_password else _new_password())
    try:
        secret = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(secret, "w") as file:
            file.write(content)
        Path(f"{out}.pub").write_text(key.public_file)
    except FileExistsError:
        raise click.ClickException(f"cannot write {out}: it is there already, and a key that is lost cannot be made again") from None
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename or out}: {(error.strerror or str(error)).lower()}") from None
    if console.json:
        console.json_value({"key_id": key.name, "public_key": key.public, "secret_key_file": out, "public_key_file": f"{out}.pub"})
        return
    console.line(key.public)
    console.remark(f"Key {key.name}. Keep {out} secret; list the line above as one of signing_keys in the policy of your hosts' agents.")


def _new_password() -> str:
    from coordinator.cli.signing.sign import PASSWORD

    said = os.environ.get(PASSWORD)
    if said is not None:
        return said
    return click.prompt("Password of the new key", hide_input=True, confirmation_prompt=True, err=True, type=str)


@command(
    "sign",
    examples=[
        "hookline sign shop ./build --key release.key --counter 42",
        "hookline sign shop shop-4.2.tgz --key release.key --counter 42 --group shop/production --expires 90d",
        "hookline register shop --http https://artifacts.example/shop-4.2.tgz --sha256 9f86d081... --signature shop-42.statement.minisig",
    ],
    related=["keygen", "push", "register"],
)
@click.argument("application", metavar="APP")
@click.argument("bundle", metavar="DIR|BUNDLE", type=click.Path(exists=True))
@click.option(
    "--key",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="The secret key; its password may stand in HOOKLINE_SIGNING_PASSWORD.",
)
@COUNTER
@GROUPS
@EXPIRES
@click.option("--out", default="", metavar="FILE", help="Where the statement goes; its signature beside it. [APP-N.statement]")
def sign(console: Console, /, application: str, bundle: str, key: str, out: str, **said: Unpack[SaidTerms]) -> None:
    """Sign a bundle, and print where the signature is.

    Writes a statement (which bundle, which release, for whom, until when) and its signature, that minisign -V can verify. A directory is
    packed as push packs it.
    """
    from coordinator.cli.signing.sign import open_bundle
    from coordinator.cli.signing.sign import sign as sign_bundle

    wanted = _terms(console, application, **said)
    opened = open_bundle(bundle)
    with opened.file:
        signed = sign_bundle(opened, wanted, key, bundle)
    path = signed.write(Path(out or f"{application}-{wanted.counter}.statement"))
    if console.json:
        console.json_value({"statement_file": str(path.with_suffix("")), "signature_file": str(path)})
        return
    console.line(str(path))
    console.remark(f"Next: hookline push {application} {bundle} --signature {path}")


def signature_of(console: Console, application: str, bundle: "Bundle", name: str, **said: Unpack[SaidSignature]) -> "Signature | None":
    """Who answers for a bundle: a new signature, one that is there already, or nobody."""
    key, signature = said["key"], said["signature"]
    if key is not None and signature is not None:
        raise click.UsageError("cannot use both --sign and --signature: say one of them")
    if key is None:
        if said["counter"] is not None or said["groups"] or said["expires"]:
            raise click.UsageError("cannot use --counter, --group or --expires without --sign KEY: they are signed")
        return read_signature(signature)
    from coordinator.cli.signing.sign import sign as sign_bundle

    wanted = _terms(console, application, counter=said["counter"], groups=said["groups"], expires=said["expires"])
    return sign_bundle(bundle, wanted, key, name).message


def read_signature(path: str | None) -> "Signature | None":
    """The signature of a file, with its statement; None: nobody has named one."""
    if path is None:
        return None
    from coordinator.cli.signing.sign import read

    return read(path).message


def _terms(console: Console, application: str, **said: Unpack[SaidTerms]) -> "Terms":
    from coordinator.cli.signing.statement import terms

    if said["counter"] is None:
        raise click.UsageError("cannot sign without --counter N: the release's number, greater than that of every release before it")
    return terms(application, said["counter"], said["groups"], said["expires"], console.clock.now())
