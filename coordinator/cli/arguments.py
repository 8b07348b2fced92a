"""What commands take: options that every command knows, arguments that many share, and the types of their values.

A command is declared with `command(...)`, which gives it a Console as first parameter, examples and related commands in its help.
"""

import functools
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Concatenate, Generic, ParamSpec, TypeVar

import click

from coordinator.cli import protos, suggestions
from coordinator.cli.connection import ADMIN_SOCKET
from coordinator.cli.console import DEFAULT_TIMEOUT, JSON, TEXT, Console
from coordinator.cli.wording.spelling import spell

if TYPE_CHECKING:
    from hookline.v1.resources_pb2 import (
        AutoRollbackConfiguration,
        AutoRollbackEvent,
        MinimumHealthyHosts,
        OfflinePolicy,
        TagFilter,
        TagFilterList,
    )

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")
AnyCommand = TypeVar("AnyCommand", bound=Callable[..., object])  # a function that is about to become a command
COMMON = ("coordinator", "ca", "insecure", "output", "timeout")


def common_options(*, hidden: bool) -> list[click.Parameter]:
    """Options that stand before the command, and that every command takes as well; there only --output is in the help."""
    environment = not hidden  # the environment speaks once, before the command
    return [
        click.Option(
            ["--coordinator"],
            metavar="HOST:PORT",
            envvar="HOOKLINE_COORDINATOR" if environment else None,
            hidden=hidden,
            help="Where the coordinator listens, or unix:PATH for its admin socket. "
            f"[HOOKLINE_COORDINATOR; where you logged in; {ADMIN_SOCKET} when it is there]",
        ),
        click.Option(
            ["--ca"],
            metavar="FILE",
            envvar="HOOKLINE_CA" if environment else None,
            hidden=hidden,
            help="The root certificate to trust, PEM, where nobody has logged in. [HOOKLINE_CA]",
        ),
        click.Option(
            ["--insecure"],
            is_flag=True,
            default=None,
            envvar="HOOKLINE_INSECURE" if environment else None,
            hidden=hidden,
            help="Speak plaintext, to a coordinator on this machine only. [HOOKLINE_INSECURE=1]",
        ),
        click.Option(["--output"], type=click.Choice([TEXT, JSON]), help="Text for people, or JSON for scripts. [text]"),
        click.Option(
            ["--timeout"],
            type=Parsed("seconds", _seconds),
            metavar="SECONDS",
            hidden=hidden,
            help=f"How long one call to the coordinator may take. [{DEFAULT_TIMEOUT:g}]",
        ),
    ]


def _seconds(typed: str) -> float:
    if re.fullmatch(r"\d{1,6}(\.\d+)?", typed) is None or float(typed) <= 0:
        raise ValueError(f"{typed!r} is not a number of seconds greater than 0")
    return float(typed)


def keep_common(context: click.Context) -> None:
    """Move the common options out of a command's parameters to where Console looks; those of the command win."""
    for name in COMMON:
        value = context.params.pop(name, None)
        if value is not None:
            context.meta[f"hookline.{name}"] = value


class Command(click.Command):
    """A command with the common options, examples and related commands."""

    examples: tuple[str, ...] = ()
    related: tuple[str, ...] = ()

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own, then the common ones that it does not have itself, then --help."""
        own = super().get_params(ctx)
        names = {parameter.name for parameter in own}
        common = [option for option in _hidden_options() if option.name not in names]
        return [*own[:-1], *common, own[-1]]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and keep the common options apart."""
        rest = super().parse_args(ctx, args)
        keep_common(ctx)
        return rest

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples and related commands."""
        show_examples(formatter, self.examples, self.related)


@functools.cache
def _hidden_options() -> list[click.Parameter]:
    return common_options(hidden=True)


def show_examples(formatter: click.HelpFormatter, examples: Iterable[str], related: Iterable[str]) -> None:
    """Write the end of a help text."""
    if examples:
        with formatter.section("Examples"):
            for example in examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")
    if related:
        with formatter.section("Related"):
            formatter.write_text(", ".join(f"hookline {name}" for name in related))


def command(
    name: str, *, examples: Iterable[str] = (), related: Iterable[str] = ()
) -> Callable[[Callable[Concatenate[Console, Parameters], None]], Command]:
    """Declare a command: its first parameter is the Console."""

    def declare(function: Callable[Concatenate[Console, Parameters], None]) -> Command:
        @functools.wraps(function)
        @click.pass_context
        def run(context: click.Context, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
            console = Console(context)
            try:
                function(console, *args, **kwargs)
            finally:
                console.close()

        made = click.command(name, cls=Command)(run)
        made.examples, made.related = tuple(examples), tuple(related)
        return made

    return declare


def group(name: str, help_text: str, *commands: Command) -> click.Group:
    """A command that has commands."""
    return click.Group(name, help=help_text, commands=list(commands), context_settings={"help_option_names": ["-h", "--help"]})


class Parsed(click.ParamType[Value], Generic[Value]):
    """A value that a function makes of what was typed; its ValueError says what is wrong."""

    def __init__(self, name: str, parse: Callable[[str], Value]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Value:
        """Parse, or refuse with the sentence of the ValueError."""
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def tag_filter(typed: str) -> "TagFilter":
    """KEY=VALUE, KEY or =VALUE."""
    key, equals, value = typed.partition("=")
    if not key and not value:
        raise ValueError(f"cannot read {typed!r}: write KEY=VALUE, KEY (any value) or =VALUE (any key)")
    kinds = protos.resources.TagFilterType
    kind = (
        kinds.TAG_FILTER_TYPE_VALUE_ONLY if not key else kinds.TAG_FILTER_TYPE_KEY_AND_VALUE if equals else kinds.TAG_FILTER_TYPE_KEY_ONLY
    )
    return protos.resources.TagFilter(key=key, value=value, type=kind)


def tag_filter_list(typed: str) -> "TagFilterList":
    """Tag filters with commas between them."""
    return protos.resources.TagFilterList(tag_filters=[tag_filter(one) for one in typed.split(",")])


def show_tag_filter(of: "TagFilter") -> str:
    """A tag filter as people type it."""
    kinds = protos.resources.TagFilterType
    if of.type == kinds.TAG_FILTER_TYPE_VALUE_ONLY or not of.key:
        return f"={of.value}"
    return of.key if of.type == kinds.TAG_FILTER_TYPE_KEY_ONLY or not of.value else f"{of.key}={of.value}"


def minimum_healthy_hosts(typed: str) -> "MinimumHealthyHosts":
    """HOST_COUNT:2 or FLEET_PERCENT:50; CodeDeploy's own type=HOST_COUNT,value=2 as well."""
    found = re.fullmatch(r"(?:type=)?(HOST_COUNT|FLEET_PERCENT)(?::|,value=)(\d{1,6})", typed, re.IGNORECASE)
    if found is None:
        raise ValueError(f"cannot read {typed!r}: write HOST_COUNT:2 (hosts) or FLEET_PERCENT:50 (percent of the group)")
    kinds = protos.resources.MinimumHealthyHostsType
    by_count = found[1].upper() == "HOST_COUNT"
    if not by_count and int(found[2]) > 99:
        raise ValueError("cannot keep more than 99 percent of the hosts healthy: then no host could be deployed to")
    kind = kinds.MINIMUM_HEALTHY_HOSTS_TYPE_HOST_COUNT if by_count else kinds.MINIMUM_HEALTHY_HOSTS_TYPE_FLEET_PERCENT
    return protos.resources.MinimumHealthyHosts(type=kind, value=int(found[2]))


def show_minimum(of: "MinimumHealthyHosts") -> str:
    """Minimum healthy hosts as people type them; the rule of CodeDeployDefault.OneAtATime, which nobody can type, in words."""
    if of.type == protos.resources.MINIMUM_HEALTHY_HOSTS_TYPE_MOST_CONCURRENCY:
        return f"all but {of.value}"
    return f"{spell(protos.resources.MinimumHealthyHostsType, of.type)}:{of.value}"


def auto_rollback(typed: str) -> "AutoRollbackConfiguration":
    """`failure`, `stop`, `alarm`, several with commas between them, or `none`."""
    words = [word.strip() for word in typed.lower().split(",")]
    known = _rollback_words()
    if words == ["none"]:
        return protos.resources.AutoRollbackConfiguration()
    if strange := [word for word in words if word not in known]:
        raise ValueError(f"cannot read {strange[0]!r}: write failure, stop or alarm, several with commas between them, or none")
    return protos.resources.AutoRollbackConfiguration(enabled=True, events=sorted({known[word] for word in words}))


def show_auto_rollback(of: "AutoRollbackConfiguration") -> str:
    """When a deployment is rolled back by itself."""
    return ",".join(word for word, event in _rollback_words().items() if of.enabled and event in of.events) or "none"


def _rollback_words() -> "dict[str, AutoRollbackEvent.ValueType]":
    events = protos.resources.AutoRollbackEvent
    return {
        "failure": events.AUTO_ROLLBACK_EVENT_DEPLOYMENT_FAILURE,
        "stop": events.AUTO_ROLLBACK_EVENT_DEPLOYMENT_STOP_ON_REQUEST,
        "alarm": events.AUTO_ROLLBACK_EVENT_DEPLOYMENT_STOP_ON_ALARM,
    }


def offline_policy(typed: str) -> "OfflinePolicy":
    """`wait`, `wait:10m`, `wait:10m:2`, `skip`, `skip:3` or `fail`."""
    found = re.fullmatch(r"(?:(wait)(?::(\d{1,6})([smh])(?::(\d{1,6}))?)?|(skip)(?::(\d{1,6}))?|(fail))", typed.lower())
    if found is None:
        raise ValueError(f"cannot read {typed!r}: write wait:10m (wait:10m:2 to go without two then), skip, skip:3 (three at most) or fail")
    kinds = protos.resources.OfflineAction
    waits, length, unit, spared, _, most, fails = found.groups()
    if waits:
        policy = protos.resources.OfflinePolicy(action=kinds.OFFLINE_ACTION_WAIT, budget=int(spared or 0))
        if length:
            policy.wait.seconds = int(length) * {"s": 1, "m": 60, "h": 3600}[unit]
        return policy
    if fails:
        return protos.resources.OfflinePolicy(action=kinds.OFFLINE_ACTION_FAIL)
    return protos.resources.OfflinePolicy(action=kinds.OFFLINE_ACTION_SKIP, budget=int(most) if most else None)


def show_offline_policy(of: "OfflinePolicy") -> str:
    """What is done about hosts that are offline, as people type it."""
    words = [spell(protos.resources.OfflineAction, of.action).lower()]
    if of.HasField("wait"):
        words.append(f"{of.wait.seconds // 60}m" if of.wait.seconds % 60 == 0 else f"{of.wait.seconds}s")
    if of.HasField("budget") and of.budget:
        words.append(f"{of.budget}")
    return ":".join(words)


APPLICATION = click.argument("application", metavar="APP", shell_complete=suggestions.applications)
GROUP = click.argument("group", metavar="GROUP", shell_complete=suggestions.groups)
DEPLOYMENT = click.argument("deployment", metavar="DEPLOYMENT", shell_complete=suggestions.deployments)
HOST = click.argument("host", metavar="HOST", shell_complete=suggestions.hosts)
CONFIG = click.option("--config", metavar="NAME", shell_complete=suggestions.configs, help="The deployment config. [the group's own]")
AUTO_ROLLBACK = click.option(
    "--auto-rollback",
    type=Parsed("auto_rollback", auto_rollback),
    metavar="failure,stop,alarm|none",
    help="Roll back by itself when the deployment fails, when somebody stops it, when an alarm stops it (one or more of them), or never.",
)
REQUIRE_SIGNATURE = click.option(
    "--require-signature/--no-require-signature",
    default=None,
    help="Take signed revisions only, or any. Hosts check signatures by their own policy.",
)
OFFLINE = click.option(
    "--offline",
    type=Parsed("offline", offline_policy),
    metavar="wait:TIME[:N]|skip[:N]|fail",
    help="Hosts that are offline in their turn: wait for them, 5m at least (and go without N that do not come), leave out up to N, or "
    "fail. [wait:5m]",
)
REQUIRE_APPROVAL = click.option(
    "--require-approval/--no-require-approval",
    default=None,
    help="Let a deployment wait until an approver other than its creator has approved it, or not.",
)
OUTDATED = click.option(
    "--outdated-instances-strategy",
    "outdated_strategy",
    type=click.Choice(["UPDATE", "IGNORE"], case_sensitive=False),
    metavar="UPDATE|IGNORE",
    help="Hosts that join or come back later: give them the last successful revision at once, or let them wait. [UPDATE]",
)
ROLLBACK_CONFIG = click.option(
    "--rollback-config",
    metavar="NAME|same",
    shell_complete=suggestions.configs,
    help="The deployment config by which deployments are rolled back: its minimum healthy hosts is their floor; same: their own. [same]",
)
QUEUEING = click.option(
    "--queueing",
    type=click.Choice(["REFUSE", "QUEUE", "SUPERSEDE"], case_sensitive=False),
    metavar="REFUSE|QUEUE|SUPERSEDE",
    help="A deployment that is asked for while another one is under way: refuse it, let it wait, or let it wait and replace those that "
    "wait already. [REFUSE]",
)
TAGS = click.option(
    "--tag",
    "tag_filters",
    type=Parsed("tag", tag_filter),
    multiple=True,
    metavar="KEY=VALUE",
    help="Hosts with this tag belong to the group (any of several); KEY: whatever its value; =VALUE: whatever its key; fact:os=linux, "
    "fact:arch and fact:version: as the agent sees its host.",
)
TAG_SETS = click.option(
    "--tag-set",
    "tag_sets",
    type=Parsed("tag_set", tag_filter_list),
    multiple=True,
    metavar="KEY=VALUE,...",
    help="Instead of --tag: hosts with any tag of every set belong to the group; up to three times.",
)
LIMIT = click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="At most this many, the newest; 0: all.")
