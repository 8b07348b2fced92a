"""`hookline hosts`, `tag` and `host`: the machines with an agent."""

from typing import TYPE_CHECKING

import click

from coordinator.cli import protos, suggestions
from coordinator.cli.arguments import HOST, Parsed, command, group, tag_filter
from coordinator.cli.clock import new_request_id
from coordinator.cli.commands.enrolment import adopt, approve, rename, revoke, show_waiting, waiting
from coordinator.cli.console import Console
from coordinator.cli.wording.spelling import spelt, to_json
from coordinator.cli.wording.text import Columns, clean, columns, tags, with_age

if TYPE_CHECKING:
    from hookline.v1.fleet_pb2 import Host, HostHolding
    from hookline.v1.resources_pb2 import TagFilter

FACT = "fact:"
"""How tags begin that are a host's facts; a list of hosts would be nothing but those."""


@command(
    "list",
    examples=[
        "hookline hosts",
        "hookline hosts web-3",
        "hookline hosts list --tag role=web",
        "hookline hosts --output json | jq -r '.[].name'",
    ],
    related=["hosts approve", "tag add", "host remove", "group create"],
)
@click.argument("host", metavar="[HOST]", required=False, shell_complete=suggestions.hosts)
@click.option(
    "--tag",
    "filters",
    type=Parsed("tag", tag_filter),
    multiple=True,
    metavar="KEY=VALUE",
    help="Only hosts with this tag (any of several).",
)
def list_hosts(console: Console, host: str | None, filters: "tuple[TagFilter, ...]") -> None:
    """List the hosts with their tags and revisions, and who waits to become one; or show one host."""
    if host is not None:
        _one(console, host)
        return
    request = protos.fleet.ListHostsRequest(tag_filters=filters)
    found = [each for page in console.connection.pages(console.connection.fleet.ListHosts, request) for each in page.hosts]
    shown: Columns[Host] = columns(
        ("HOST", lambda each: clean(each.name)),
        ("STATUS", lambda each: spelt(each, "status")),
        ("TAGS", lambda each: tags(item for item in each.tags.items() if not item[0].startswith(FACT))),
        ("HOLDS", lambda each: ", ".join(_holds(holding) for holding in each.holdings)),
        ("CONNECTED", lambda each: with_age(each.connect_time, console.clock.now())),
        whole="HOST STATUS",
    )
    empty = (
        "No host has that tag."
        if filters
        else "There is no host yet. Let a machine become one: hookline token create prints the command to type there."
    )
    console.listing(found, shown, empty)
    if not console.json and not filters and (undecided := waiting(console)):
        show_waiting(console, undecided)


def _one(console: Console, host: str) -> None:
    found = console.connection.ask(console.connection.fleet.GetHost, protos.fleet.GetHostRequest(host=host)).host
    if console.json:
        console.json_value(to_json(found))
        return
    now = console.clock.now()
    console.details(
        [
            ("host", clean(found.name)),
            ("id", clean(found.host_id)),
            ("status", spelt(found, "status")),
            ("tags", tags(found.tags.items())),
            ("set by operators", tags(found.operator_tags.items())),
            ("may read", ", ".join(map(clean, found.sources))),
            ("holds", "\n".join(_holds(holding) for holding in found.holdings)),
            ("facts", tags(found.facts.items())),
            ("agent", clean(found.agent_version)),
            ("connected", with_age(found.connect_time, now)),
            ("first seen", with_age(found.register_time, now)),
        ]
    )


def _holds(holding: "HostHolding") -> str:
    revision = holding.deployed_revision_id or holding.installed_revision_id or "nothing"
    unfinished = holding.installed_revision_id and holding.installed_revision_id != holding.deployed_revision_id
    parts = [f"{holding.application_name}/{holding.deployment_group_name} {revision}"]
    if unfinished and holding.deployed_revision_id:
        parts.append(f"(installed: {holding.installed_revision_id})")
    parts.append(", ".join(filter(None, (spelt(holding, "instance_health"), spelt(holding, "revision_health")))))
    return clean(" ".join(part for part in parts if part))


class Hosts(click.Group):
    """Lists, unless the first word is one of its commands: a host's name may stand in its place."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, with `list` put in where it was left out."""
        named = args[:1] and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else ["list", *args])


hosts = Hosts(
    "hosts",
    help="The machines with an agent: list (which need not be said), approve, adopt, revoke, rename.",
    commands=[list_hosts, approve, adopt, revoke, rename],
    context_settings={"help_option_names": ["-h", "--help"]},
)


@command(
    "add",
    examples=["hookline tag add web-1 web-2 role=web stage=production"],
    related=["tag remove", "hosts", "group create"],
)
@click.argument("words", metavar="HOST... KEY=VALUE...", nargs=-1, required=True, shell_complete=suggestions.hosts)
def add_tags(console: Console, words: tuple[str, ...]) -> None:
    """Set tags on hosts, on all of them or none. They win over tags of the same key that agents declare.

    Words with "=" are tags, the others hosts; a host whose name has a "=" in it is named by its id.
    """
    names = [word for word in words if "=" not in word]
    pairs = dict(word.split("=", 1) for word in words if "=" in word)
    if not names or not pairs:
        raise click.UsageError("cannot set tags: say at least one host and at least one KEY=VALUE")
    if "" in pairs:
        raise click.UsageError("cannot set a tag without a key: write KEY=VALUE")
    request = protos.fleet.AddTagsRequest(hosts=names, tags=pairs, request_id=new_request_id())
    _show_tags(console, list(console.connection.ask(console.connection.fleet.AddTags, request).hosts))


@command("remove", examples=["hookline tag remove web-1 web-2 --key stage"], related=["tag add", "hosts"])
@click.argument("names", metavar="HOST...", nargs=-1, required=True, shell_complete=suggestions.hosts)
@click.option("--key", "keys", required=True, multiple=True, metavar="KEY", help="The tag's key; may be said several times.")
def remove_tags(console: Console, names: tuple[str, ...], keys: tuple[str, ...]) -> None:
    """Remove tags that were set with `tag add`; what the agent declares shows again."""
    request = protos.fleet.RemoveTagsRequest(hosts=names, keys=keys, request_id=new_request_id())
    _show_tags(console, list(console.connection.ask(console.connection.fleet.RemoveTags, request).hosts))


def _show_tags(console: Console, found: "list[Host]") -> None:
    shown: Columns[Host] = columns(("HOST", lambda host: clean(host.name)), ("TAGS", lambda host: tags(host.tags.items())), whole="HOST")
    console.listing(found, shown, "")


tag = group("tag", "Tags of hosts, by which groups choose them: add, remove.", add_tags, remove_tags)


@command("remove", examples=["hookline host remove web-3"], related=["hosts"])
@HOST
def remove_host(console: Console, host: str) -> None:
    """Forget a host that is gone; its history stays."""
    console.connection.ask(console.connection.fleet.RemoveHost, protos.fleet.RemoveHostRequest(host=host, request_id=new_request_id()))
    if console.json:
        console.json_value({})
    else:
        console.line(f"host {host} is forgotten")


@command(
    "profile",
    examples=["hookline host profile web-3 --source coordinator --source 's3://bundles/shop/*'", "hookline host profile web-3 --anything"],
    related=["hosts", "group update"],
)
@HOST
@click.option("--source", "sources", multiple=True, metavar="WHERE", help="Where its bundles may come from; ends with /* for all below.")
@click.option("--anything", is_flag=True, help="From anywhere that its own policy allows.")
def profile(console: Console, host: str, sources: tuple[str, ...], *, anything: bool) -> None:
    """Say where the bundles may come from that a host reads, as a whole; deployments of others to it are refused.

    WHERE is coordinator, https://HOST/PATH, s3://BUCKET/KEY, github://OWNER/REPOSITORY or file:///PATH.
    """
    if bool(sources) is anything:
        raise click.UsageError("cannot tell what it may read: say --source WHERE, as often as need be, or --anything")
    request = protos.fleet.SetInstanceProfileRequest(host=host, sources=sources, request_id=new_request_id())
    found = console.connection.ask(console.connection.fleet.SetInstanceProfile, request).host
    if console.json:
        console.json_value(to_json(found))
    else:
        console.line(f"host {clean(found.name)} may read {', '.join(map(clean, found.sources)) or 'anything'}")


host = group("host", "One host: profile, remove.", profile, remove_host)
