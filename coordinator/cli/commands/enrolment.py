"""`hookline token` and `hookline hosts approve|revoke|rename`: how machines become hosts, and how they are shut out."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from coordinator.cli import protos
from coordinator.cli.arguments import HOST, Parsed, command, group
from coordinator.cli.clock import new_request_id
from coordinator.cli.connection import reached_as
from coordinator.cli.console import Console
from coordinator.cli.wording.spelling import spelt, to_json
from coordinator.cli.wording.text import Columns, clean, columns, date_time, span, tags, with_age

if TYPE_CHECKING:
    from hookline.v1.fleet_pb2 import CreateJoinTokenResponse, Enrolment, JoinToken

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_GROUPED = 16  # digits of a fingerprint between two blanks, so that it can be compared by eye


def _duration(typed: str) -> int:
    found = re.fullmatch(r"(\d{1,6})([smh]?)", typed)
    if found is None or not int(found[1]):
        raise ValueError(f"cannot read {typed!r}: write a length of time such as 15m, 90s or 2h")
    return int(found[1]) * _SECONDS[found[2]]


def _of_group(typed: str) -> tuple[str, str]:
    application, slash, name = typed.partition("/")
    if not slash or not application or not name:
        raise ValueError(f"cannot read {typed!r}: write APP/GROUP, as in shop/production")
    return application, name


def _pair(typed: str) -> tuple[str, str]:
    key, equals, value = typed.partition("=")
    if not equals or not key:
        raise ValueError(f"cannot read {typed!r}: write KEY=VALUE")
    return key, value


def _allowed(flag: str, *, help: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """What hosts may do that come with a token; the flags that were given are one parameter."""
    return click.option(flag, "allowed", flag_value=flag, multiple=True, help=help)


@command(
    "create",
    examples=[
        "hookline token create --group shop/production",
        "hookline token create --uses 20 --ttl 1h --name 'web-*' --tag role=web --auto-approve",
    ],
    related=["token list", "hosts approve", "hosts"],
)
@click.option("--group", "of_group", type=Parsed("group", _of_group), metavar="APP/GROUP", help="Its hosts get the tags of this group.")
@click.option("--tag", "own_tags", type=Parsed("tag", _pair), multiple=True, metavar="KEY=VALUE", help="A tag that its hosts get.")
@click.option("--ttl", type=Parsed("duration", _duration), default="15m", show_default=True, help="How long it can be used; at most 24h.")
@click.option("--uses", type=click.IntRange(1, 10_000), default=1, show_default=True, help="How many machines may come with it.")
@click.option("--name", "pattern", default="", metavar="PATTERN", help="Names that its hosts may have, with * and ?. [any]")
@_allowed("--auto-approve", help="Let its hosts in at once; without it each waits for `hookline hosts approve`.")
@_allowed("--trust-tags", help="Let tags count that its hosts declare by themselves.")
def create_token(
    console: Console,
    of_group: tuple[str, str] | None,
    own_tags: tuple[tuple[str, str], ...],
    ttl: int,
    uses: int,
    pattern: str,
    allowed: tuple[str, ...],
) -> None:
    """Make a join token, and print the command that a machine becomes a host with. It is printed this once."""
    application, name = of_group or ("", "")
    request = protos.fleet.CreateJoinTokenRequest(
        uses=uses,
        tags=dict(own_tags),
        auto_approve="--auto-approve" in allowed,
        trust_tags="--trust-tags" in allowed,
        name_pattern=pattern,
        application_name=application,
        deployment_group_name=name,
        request_id=new_request_id(),
    )
    request.ttl.FromSeconds(ttl)
    made = console.connection.ask(console.connection.fleet.CreateJoinToken, request)
    if console.json:
        console.json_value(to_json(made))
        return
    console.line(_join_command(made, console.coordinator))
    used = "once" if uses == 1 else f"{uses} times"
    then = "its host is let in at once" if request.auto_approve else "then: hookline hosts approve NAME"
    console.remark(f"Paste it on the machine, as root, within {span(ttl)}; it can be used {used}; {then}.")


def _join_command(made: "CreateJoinTokenResponse", coordinator: str) -> str:
    """The address is as the coordinator knows it; where it listens on every address, as the operator has reached it."""
    address = reached_as(made.enrol_address, coordinator)
    return f"hookline-agent join {clean(address)} --token {clean(made.text)} --ca {clean(made.authority_fingerprint)}"


@command("list", examples=["hookline token list"], related=["token create", "token revoke"])
def list_tokens(console: Console) -> None:
    """List the join tokens that can still be used; their texts are kept nowhere."""
    request = protos.fleet.ListJoinTokensRequest()
    found = [each for page in console.connection.pages(console.connection.fleet.ListJoinTokens, request) for each in page.join_tokens]
    shown: Columns[JoinToken] = columns(
        ("TOKEN", lambda each: clean(each.join_token_id)),
        ("ENDS", lambda each: date_time(each.expire_time)),
        ("USES LEFT", lambda each: str(each.uses_left)),
        ("NAMES", lambda each: clean(each.name_pattern)),
        ("TAGS", lambda each: tags(each.tags.items())),
        ("LETS IN", lambda each: "at once" if each.auto_approve else "after approval"),
        ("BY", lambda each: clean(each.created_by)),
        whole="TOKEN",
    )
    console.listing(found, shown, "There is no join token. Make one: hookline token create")


@command("revoke", examples=["hookline token revoke 4f0c9a1be2d7"], related=["token list", "hosts revoke"])
@click.argument("token_id", metavar="TOKEN")
def revoke_token(console: Console, token_id: str) -> None:
    """Make a join token useless, by its id; hosts that came with it stay."""
    request = protos.fleet.RevokeJoinTokenRequest(join_token_id=token_id, request_id=new_request_id())
    console.connection.ask(console.connection.fleet.RevokeJoinToken, request)
    if console.json:
        console.json_value({})
    else:
        console.line(f"join token {token_id} is revoked")


token = group("token", "Join tokens, with which machines become hosts: create, list, revoke.", create_token, list_tokens, revoke_token)


@command("approve", examples=["hookline hosts approve web-3"], related=["hosts", "token create", "hosts revoke"])
@HOST
def approve(console: Console, host: str) -> None:
    """Let a host in that waits, one that was locked, or one that was away for too long.

    Compare the key that is shown with the one that its agent prints: another machine may have asked under that name.
    """
    request = protos.fleet.ApproveHostRequest(host=host, request_id=new_request_id())
    _tell(console, console.connection.ask(console.connection.fleet.ApproveHost, request).enrolment, "may come in")


@command(
    "revoke",
    examples=["hookline hosts revoke web-3 --reason 'its disk was stolen'"],
    related=["hosts", "hosts adopt"],
)
@HOST
@click.option("--reason", default="", metavar="TEXT", help="For the history.")
def revoke(console: Console, host: str, reason: str) -> None:
    """Shut a host out for ever: its stream ends at once, and its name is free once no deployment waits for it.

    The machine can come back as a new host, with a join token.
    """
    request = protos.fleet.RevokeHostRequest(host=host, reason=reason, request_id=new_request_id())
    _tell(console, console.connection.ask(console.connection.fleet.RevokeHost, request).enrolment, "is shut out, for ever")


@command(
    "adopt",
    examples=["hookline hosts adopt web-3", "hookline hosts adopt web-3 9c1f0b6de2a84c0f8d1c2b3a4e5f6071 --reason 'new disk'"],
    related=["hosts", "hosts approve", "hosts revoke", "token create"],
)
@HOST
@click.argument("machine", metavar="[MACHINE]", required=False, default="")
@click.option("--reason", default="", metavar="TEXT", help="For the audit.")
def adopt(console: Console, host: str, machine: str, reason: str) -> None:
    """Let a machine that waits take the place of a host that is gone: its name and its tags.

    Without MACHINE it is the one that waits for the host's name. The host's id is shut out for ever, and what happened there stays its
    history; the machine begins with nothing deployed. Compare the key that is shown with the one that its agent prints.
    """
    request = protos.fleet.AdoptHostRequest(host=host, machine=machine, reason=reason, request_id=new_request_id())
    _tell(console, console.connection.ask(console.connection.fleet.AdoptHost, request).enrolment, "has a new machine, which may come in")


@command("rename", examples=["hookline hosts rename web-3 web-30"], related=["hosts"])
@HOST
@click.argument("name", metavar="NAME")
def rename(console: Console, host: str, name: str) -> None:
    """Give a host another name; it counts from its next connection on."""
    request = protos.fleet.RenameHostRequest(host=host, name=name, request_id=new_request_id())
    _tell(console, console.connection.ask(console.connection.fleet.RenameHost, request).enrolment, f"was {clean(host)}")


def _tell(console: Console, enrolment: "Enrolment", what: str) -> None:
    if console.json:
        console.json_value(to_json(enrolment))
        return
    console.line(f"host {clean(enrolment.name)} {what}")
    console.remark(f"its id is {clean(enrolment.host_id)}, its key {readable(enrolment.key_fingerprint)}")


def waiting(console: Console) -> "list[Enrolment]":
    """The machines that somebody has to decide about."""
    fleet = protos.fleet
    statuses = fleet.ENROLMENT_STATUS_PENDING, fleet.ENROLMENT_STATUS_LOCKED, fleet.ENROLMENT_STATUS_AWAY
    request = protos.fleet.ListEnrolmentsRequest(statuses=statuses)
    return [each for page in console.connection.pages(console.connection.fleet.ListEnrolments, request) for each in page.enrolments]


def show_waiting(console: Console, found: "list[Enrolment]") -> None:
    """They have a table of their own: they are no hosts yet, or none at present."""
    shown: Columns[Enrolment] = columns(
        ("HOST", lambda each: clean(each.name)),
        ("STATUS", lambda each: spelt(each, "status")),
        ("FROM", lambda each: clean(each.address)),
        ("ASKED", lambda each: with_age(each.request_time, console.clock.now())),
        ("KEY", lambda each: readable(each.key_fingerprint)),
        whole="HOST STATUS",
    )
    console.line()
    console.rows(found, shown, "", "Waiting for `hookline hosts approve HOST`; compare the key with what its agent prints.")
    for each in found:
        if each.name_of_host_id:
            name, machine = clean(each.name), clean(each.host_id)
            console.remark(
                f"There is a host {name} already. The machine {machine} takes its place: hookline hosts adopt {name}; "
                f"or is another: hookline hosts rename {machine} NAME"
            )


def readable(fingerprint: str) -> str:
    """In groups, as the agent prints it."""
    digits = clean(fingerprint)
    return " ".join(digits[at : at + _GROUPED] for at in range(0, len(digits), _GROUPED))
