"""What the shell offers when the operator presses Tab: names that the coordinator knows.

Silent when it does not answer within a second: a completion never waits long and never prints an error.
"""

from collections.abc import Callable, Iterable

import click

from coordinator.cli import protos
from coordinator.cli.connection import Connection
from coordinator.cli.console import Console
from coordinator.cli.wording.text import clean

SECONDS = 1.0
SUGGESTED = 200
Suggest = Callable[[click.Context, click.Parameter, str], list[str]]


def _suggestion(names: Callable[[Connection, click.Context], Iterable[str]]) -> Suggest:
    """A completion out of a function that asks the coordinator."""

    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        console = Console(context)
        console.timeout, console.quiet = SECONDS, True
        try:
            console.connection.pauses = ()
            return [name for name in names(console.connection, context) if name.startswith(incomplete) and name == clean(name)]
        except click.ClickException:
            return []
        finally:
            console.close()

    return complete


def _typed(context: click.Context, name: str) -> str:
    value = context.params.get(name)
    return value if isinstance(value, str) else ""


def _applications(connection: Connection, _context: click.Context) -> Iterable[str]:
    request = protos.catalog.ListApplicationsRequest(page_size=SUGGESTED)
    return [application.application_name for application in connection.ask(connection.catalog.ListApplications, request).applications]


def _groups(connection: Connection, context: click.Context) -> Iterable[str]:
    request = protos.catalog.ListDeploymentGroupsRequest(application_name=_typed(context, "application"), page_size=SUGGESTED)
    reply = connection.ask(connection.catalog.ListDeploymentGroups, request)
    return [group.deployment_group_name for group in reply.deployment_groups]


def _revisions(connection: Connection, context: click.Context) -> Iterable[str]:
    request = protos.catalog.ListRevisionsRequest(application_name=_typed(context, "application"), page_size=SUGGESTED)
    return [revision.revision_id for revision in connection.ask(connection.catalog.ListRevisions, request).revisions]


def _configs(connection: Connection, _context: click.Context) -> Iterable[str]:
    request = protos.catalog.ListDeploymentConfigsRequest(page_size=SUGGESTED)
    reply = connection.ask(connection.catalog.ListDeploymentConfigs, request)
    return [config.deployment_config_name for config in reply.deployment_configs]


def _alarms(connection: Connection, _context: click.Context) -> Iterable[str]:
    request = protos.alarms.ListAlarmsRequest(page_size=SUGGESTED)
    return [alarm.alarm_name for alarm in connection.ask(connection.alarms.ListAlarms, request).alarms]


def _deployments(connection: Connection, _context: click.Context) -> Iterable[str]:
    request = protos.deployments.ListDeploymentsRequest(page_size=SUGGESTED)
    return [deployment.deployment_id for deployment in connection.ask(connection.deployments.ListDeployments, request).deployments]


def _hosts(connection: Connection, _context: click.Context) -> Iterable[str]:
    request = protos.fleet.ListHostsRequest(page_size=SUGGESTED)
    return [host.name for host in connection.ask(connection.fleet.ListHosts, request).hosts]


applications = _suggestion(_applications)
groups = _suggestion(_groups)
revisions = _suggestion(_revisions)
configs = _suggestion(_configs)
alarms = _suggestion(_alarms)
deployments = _suggestion(_deployments)
hosts = _suggestion(_hosts)
