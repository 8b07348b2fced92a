"""`hookline app` and `hookline config`: applications, and how fast their deployments go."""

from typing import TYPE_CHECKING, Unpack

import click

from coordinator.cli import protos, suggestions
from coordinator.cli.arguments import APPLICATION, Parsed, command, group, minimum_healthy_hosts, show_minimum
from coordinator.cli.clock import new_request_id
from coordinator.cli.console import Console
from coordinator.cli.wording import shapes
from coordinator.cli.wording.shapes import SaidShape
from coordinator.cli.wording.spelling import to_json
from coordinator.cli.wording.text import Columns, clean, columns, with_age

if TYPE_CHECKING:
    from hookline.v1.catalog_pb2 import Application, DeploymentConfig
    from hookline.v1.resources_pb2 import MinimumHealthyHosts


@command("create", examples=["hookline app create shop"], related=["app list", "group create", "push"])
@APPLICATION
def create_application(console: Console, application: str) -> None:
    """Make an application: something that is deployed."""
    request = protos.catalog.CreateApplicationRequest(application_name=application, request_id=new_request_id())
    made = console.connection.ask(console.connection.catalog.CreateApplication, request).application
    if console.json:
        console.json_value(to_json(made))
    else:
        console.line(f"application {clean(made.application_name)} is made")
        console.remark(f"Next: hookline group create {application} GROUP --tag KEY=VALUE")


@command("list", examples=["hookline app list", "hookline app list --output json"], related=["app show", "group list", "revisions"])
def list_applications(console: Console) -> None:
    """List the applications."""
    pages = console.connection.pages(console.connection.catalog.ListApplications, protos.catalog.ListApplicationsRequest())
    found = [application for page in pages for application in page.applications]
    shown: Columns[Application] = columns(
        ("APPLICATION", lambda application: clean(application.application_name)),
        ("CREATED", lambda application: with_age(application.create_time, console.clock.now())),
        whole="APPLICATION",
    )
    console.listing(found, shown, "There is no application yet. Make one with: hookline app create APP")


@command("show", examples=["hookline app show shop"], related=["group list", "revisions", "app delete"])
@APPLICATION
def show_application(console: Console, application: str) -> None:
    """Show an application and its deployment groups."""
    request = protos.catalog.GetApplicationRequest(application_name=application)
    found = console.connection.ask(console.connection.catalog.GetApplication, request).application
    if console.json:
        console.json_value(to_json(found))
        return
    asked = protos.catalog.ListDeploymentGroupsRequest(application_name=application)
    pages = console.connection.pages(console.connection.catalog.ListDeploymentGroups, asked)
    names = [clean(group.deployment_group_name) for page in pages for group in page.deployment_groups]
    created = with_age(found.create_time, console.clock.now())
    console.details([("application", clean(found.application_name)), ("created", created), ("groups", ", ".join(names) or "none yet")])


@command("delete", examples=["hookline app delete shop"], related=["app list", "group delete"])
@APPLICATION
def delete_application(console: Console, application: str) -> None:
    """Remove an application with its groups and revisions; its history stays."""
    request = protos.catalog.DeleteApplicationRequest(application_name=application, request_id=new_request_id())
    console.connection.ask(console.connection.catalog.DeleteApplication, request)
    if console.json:
        console.json_value({})
    else:
        console.line(f"application {application} is removed")


app = group(
    "app",
    "Applications: create, list, show, delete.",
    create_application,
    list_applications,
    show_application,
    delete_application,
)

CONFIG_NAME = click.argument("config", metavar="NAME", shell_complete=suggestions.configs)


@command(
    "create",
    examples=[
        "hookline config create two-at-least --minimum-healthy-hosts HOST_COUNT:2",
        "hookline config create half --minimum-healthy-hosts FLEET_PERCENT:50",
        "hookline config create careful --minimum-healthy-hosts FLEET_PERCENT:75 --step 1+bake=10m --step 25%+gate=any",
        "hookline config create zonal --minimum-healthy-hosts FLEET_PERCENT:50 --zonal --first-zone-monitor 30m",
    ],
    related=["config list", "group update", "deploy"],
)
@click.argument("config", metavar="NAME")
@click.option(
    "--minimum-healthy-hosts",
    "minimum",
    required=True,
    type=Parsed("minimum", minimum_healthy_hosts),
    metavar="TYPE:VALUE",
    help="How many hosts must stay healthy meanwhile: HOST_COUNT:2, or FLEET_PERCENT:50.",
)
@shapes.options
def create_config(console: Console, /, config: str, minimum: "MinimumHealthyHosts", **said: Unpack[SaidShape]) -> None:
    """Make a deployment config: how many hosts must stay healthy while a deployment goes on, and how it grows. Configs never change."""
    request = protos.catalog.CreateDeploymentConfigRequest(
        deployment_config_name=config, minimum_healthy_hosts=minimum, request_id=new_request_id()
    )
    shapes.put(request, said)
    made = console.connection.ask(console.connection.catalog.CreateDeploymentConfig, request).deployment_config
    if console.json:
        console.json_value(to_json(made))
    else:
        console.line(f"deployment config {clean(made.deployment_config_name)} is made")


@command("list", examples=["hookline config list"], related=["config show", "config create"])
def list_configs(console: Console) -> None:
    """List the deployment configs, the predefined ones among them."""
    request = protos.catalog.ListDeploymentConfigsRequest()
    pages = console.connection.pages(console.connection.catalog.ListDeploymentConfigs, request)
    found = [config for page in pages for config in page.deployment_configs]
    shown: Columns[DeploymentConfig] = columns(
        ("CONFIG", lambda config: clean(config.deployment_config_name)),
        ("MINIMUM HEALTHY HOSTS", lambda config: show_minimum(config.minimum_healthy_hosts)),
        ("CREATED", lambda config: _made(console, config)),
        whole="CONFIG",
    )
    console.listing(found, shown, "There is no deployment config.")


@command("show", examples=["hookline config show CodeDeployDefault.OneAtATime"], related=["config list"])
@CONFIG_NAME
def show_config(console: Console, config: str) -> None:
    """Show a deployment config."""
    request = protos.catalog.GetDeploymentConfigRequest(deployment_config_name=config)
    found = console.connection.ask(console.connection.catalog.GetDeploymentConfig, request).deployment_config
    if console.json:
        console.json_value(to_json(found))
        return
    minimum = show_minimum(found.minimum_healthy_hosts)
    console.details(
        [
            ("config", clean(found.deployment_config_name)),
            ("minimum healthy hosts", minimum),
            ("shape", shapes.show(found)),
            ("created", _made(console, found)),
        ]
    )


@command("delete", examples=["hookline config delete half"], related=["config list"])
@CONFIG_NAME
def delete_config(console: Console, config: str) -> None:
    """Remove a deployment config that no group uses."""
    request = protos.catalog.DeleteDeploymentConfigRequest(deployment_config_name=config, request_id=new_request_id())
    console.connection.ask(console.connection.catalog.DeleteDeploymentConfig, request)
    if console.json:
        console.json_value({})
    else:
        console.line(f"deployment config {config} is removed")


def _made(console: Console, of: "DeploymentConfig") -> str:
    return "predefined" if of.predefined else with_age(of.create_time, console.clock.now())


config = group("config", "Deployment configs: create, list, show, delete.", create_config, list_configs, show_config, delete_config)
