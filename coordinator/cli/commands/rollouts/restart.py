"""`hookline restart`: what is installed, once more."""

import click

from coordinator.cli import protos, suggestions
from coordinator.cli.arguments import APPLICATION, CONFIG, GROUP, command
from coordinator.cli.commands.rollouts.deployments import FOLLOW, create
from coordinator.cli.console import Console


@command(
    "restart",
    examples=[
        "hookline restart shop production --follow",
        "hookline restart shop production --config CodeDeployDefault.OneAtATime --follow",
        'hookline restart shop production --host web-1 --description "leaks memory"',
    ],
    related=["deploy", "plan", "follow", "status"],
)
@APPLICATION
@GROUP
@CONFIG
@click.option("--description", default="", metavar="TEXT", help="Why.")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    shell_complete=suggestions.hosts,
    help="Only on this host of the group (and on others named so). The whole group counts for minimum healthy hosts.",
)
@FOLLOW
def restart(
    console: Console, application: str, group: str, config: str | None, description: str, hosts: tuple[str, ...], *, follow: bool
) -> None:
    """Restart the application on the hosts of a group, without deploying anything.

    ApplicationStop, ApplicationStart and ValidateService of the revision that succeeded last run again on the hosts that have it
    installed, batch by batch as in a deployment. Nothing is downloaded, and nothing is rolled back. Like any other deployment it ends the
    watch of the one before it (--watch-for). plan --restart shows how it would go.
    """
    request = protos.deployments.CreateDeploymentRequest(
        application_name=application,
        deployment_group_name=group,
        deployment_config_name=config or "",
        description=description,
        hosts=hosts,
        deployment_mode=protos.deployments.DEPLOYMENT_MODE_RESTART,
    )
    create(console, request, follow=follow)
