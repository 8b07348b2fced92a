"""The program `hookline`: its commands, the options before them, and how it ends."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from coordinator.cli.access import audit, doctor, login, operators
from coordinator.cli.arguments import common_options, keep_common, show_examples
from coordinator.cli.commands import admin, alarms, catalog, completion, enrolment, fleet, groups, logs, revisions, status, triggers
from coordinator.cli.commands.rollouts import deployments, restart, rollback, wishes
from coordinator.cli.declared import commands as declared
from coordinator.cli.foresight import commands as foresight
from coordinator.cli.foresight import explain
from coordinator.cli.refusals import Interrupted
from coordinator.cli.signing import commands as signing

SECTIONS: dict[str, Sequence[click.Command]] = {
    "Roll out": (
        revisions.push,
        deployments.deploy,
        deployments.approve,
        deployments.follow,
        deployments.stop,
        restart.restart,
        rollback.rollback,
    ),
    "While it goes on": (wishes.pause, wishes.resume, wishes.promote, wishes.retry, wishes.skip),
    "Know before": (foresight.plan, foresight.simulate, explain.explain),
    "Look": (status.status, status.deployments, status.targets, status.target, logs.logs, status.history, revisions.revisions, fleet.hosts),
    "Set up": (
        catalog.app,
        groups.group,
        catalog.config,
        alarms.alarm,
        triggers.trigger,
        declared.apply,
        declared.export,
        revisions.register,
        enrolment.token,
        fleet.tag,
        fleet.host,
        signing.keygen,
        signing.sign,
        completion.completion,
        admin.admin,
    ),
    "Who may": (login.login, login.logout, login.whoami, operators.operator, audit.audit, doctor.doctor),
}
EXAMPLES = (
    "hookline app create shop",
    "hookline group create shop production --tag role=web",
    "hookline push shop ./build",
    "hookline deploy shop production --revision r-0123456789abcdef --follow",
    "hookline status",
)


class Program(click.Group):
    """The group of all commands: lists them by purpose, and lets Ctrl-C end any of them with exit code 130."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the command."""
        rest = super().parse_args(ctx, args)
        keep_common(ctx)
        return rest

    def invoke(self, ctx: click.Context) -> Any:  # Any is click's own word for what a command returns
        """Run a command."""
        if ctx.obj is not None:  # a clock for tests
            ctx.meta["hookline.clock"] = ctx.obj
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by purpose."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(command.name or "", command.get_short_help_str(200)) for command in commands])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """How to begin, and the exit codes."""
        show_examples(formatter, EXAMPLES, ())
        with formatter.section("Exit codes"):
            formatter.write_text(
                "0 done; 1 refused, or the followed deployment did not succeed; 2 usage; 3 coordinator unreachable; "
                "4 apply --dry-run found a difference; 130 Ctrl-C"
            )


program = Program(
    "hookline",
    help="Roll out application revisions to fleets of your own hosts.\n\nSay 'hookline COMMAND --help' for examples of each command.",
    commands=[command for commands in SECTIONS.values() for command in commands],
    params=common_options(hidden=False),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
program = click.version_option(package_name="hookline")(program)


def main() -> None:
    """Run the program and exit."""
    program.main(prog_name="hookline")
    sys.exit(0)
