"""`hookline group`: which hosts get an application, and by which rules."""

from typing import TYPE_CHECKING, Unpack

import click

from coordinator.cli import arguments, protos
from coordinator.cli.arguments import (
    APPLICATION,
    AUTO_ROLLBACK,
    CONFIG,
    GROUP,
    OFFLINE,
    OUTDATED,
    QUEUEING,
    REQUIRE_APPROVAL,
    REQUIRE_SIGNATURE,
    ROLLBACK_CONFIG,
    TAG_SETS,
    TAGS,
    AnyCommand,
    Parsed,
    command,
    show_tag_filter,
)
from coordinator.cli.clock import new_request_id
from coordinator.cli.commands import triggers
from coordinator.cli.console import Console
from coordinator.cli.wording import watched
from coordinator.cli.wording.spelling import number, spelt, to_json
from coordinator.cli.wording.text import Columns, clean, columns, with_age
from coordinator.cli.wording.watched import SaidAlarms

if TYPE_CHECKING:
    from hookline.v1.catalog_pb2 import DeploymentGroup, LastDeployment, ServiceRole
    from hookline.v1.resources_pb2 import AutoRollbackConfiguration, OfflinePolicy, TagFilter, TagFilterList


def _role_word(typed: str) -> tuple[str, str]:
    """One bound of a service role."""
    name, equals, value = typed.partition("=")
    sound = (
        value.isascii() and value.isdigit() and int(value) > 0 if name == "hosts" else value == "no" if name == "rollback" else bool(value)
    )
    if typed != "anything" and (name not in ("source", "config", "hosts", "rollback") or not equals or not sound):
        raise ValueError(f"cannot read {typed!r}: write source=WHERE, config=NAME, hosts=N, rollback=no or anything")
    return name, value


def _role(words: tuple[tuple[str, str], ...]) -> "ServiceRole":
    """A service role of the bounds that were typed."""
    role = protos.catalog.ServiceRole(no_automatic_rollback=("rollback", "no") in words)
    role.sources.extend(value for name, value in words if name == "source")
    role.deployment_config_names.extend(value for name, value in words if name == "config")
    role.max_hosts = min((int(value) for name, value in words if name == "hosts"), default=0)
    return role


def _may(of: "ServiceRole") -> str:
    """As it was typed."""
    words = [f"source={clean(one)}" for one in of.sources] + [f"config={clean(one)}" for one in of.deployment_config_names]
    words += [f"hosts={of.max_hosts}"] * bool(of.max_hosts) + ["rollback=no"] * of.no_automatic_rollback
    return " ".join(words)


MAY = click.option(
    "--may",
    type=Parsed("may", _role_word),
    multiple=True,
    metavar="source=WHERE|config=NAME|hosts=N|rollback=no|anything",
    help="What the coordinator may do for the group, whoever asks: said anew as a whole; what is not said is not bounded. [anything]",
)


class SaidRules(SaidAlarms):
    """The rules of a group that were said; None and () were not."""

    tag_filters: "tuple[TagFilter, ...]"
    tag_sets: "tuple[TagFilterList, ...]"
    config: str | None
    auto_rollback: "AutoRollbackConfiguration | None"
    require_signature: bool | None
    offline: "OfflinePolicy | None"
    require_approval: bool | None
    outdated_strategy: str | None
    queueing: str | None
    rollback_config: str | None
    may: tuple[tuple[str, str], ...]


def _rules(function: AnyCommand) -> AnyCommand:
    """The options whose values are `SaidRules`."""
    rules = (TAGS, TAG_SETS, CONFIG, AUTO_ROLLBACK, REQUIRE_SIGNATURE, OFFLINE, REQUIRE_APPROVAL, OUTDATED, QUEUEING, ROLLBACK_CONFIG, MAY)
    for option in reversed((*rules, watched.options)):
        function = option(function)
    return function


@command(
    "create",
    examples=[
        "hookline group create shop production --tag role=web --tag role=api",
        "hookline group create shop staging --tag stage=staging --config CodeDeployDefault.AllAtOnce --auto-rollback failure",
        "hookline group create shop west --tag-set role=web,role=api --tag-set region=west      # (web or api) and west",
        "hookline group create shop arm --tag-set role=web --tag-set fact:arch=aarch64",
        "hookline group create shop live --tag role=web --alarm HighErrors --bake 10m --auto-rollback failure,alarm",
        "hookline group create shop canary --tag canary            # hosts with the tag, whatever its value",
    ],
    related=["group update", "hosts", "tag add", "config list", "alarm list", "deploy"],
)
@APPLICATION
@click.argument("group", metavar="GROUP")
@_rules
def create(console: Console, /, application: str, group: str, **said: Unpack[SaidRules]) -> None:
    """Make a deployment group: the hosts that any of its tags selects get the application together.

    Without --config deployments go one host at a time (CodeDeployDefault.OneAtATime).
    """
    if not said["tag_filters"] and not said["tag_sets"]:
        raise click.UsageError(
            "cannot make a group without hosts: say at least one --tag KEY=VALUE, or --tag-set (hookline hosts shows the tags there are)"
        )
    wanted, _ = _ruled(application, group, **said)
    request = protos.catalog.CreateDeploymentGroupRequest(deployment_group=wanted, request_id=new_request_id())
    made = console.connection.ask(console.connection.catalog.CreateDeploymentGroup, request).deployment_group
    _show_change(console, made, "is made")
    _advise(console, made)
    console.remark(f"Next: hookline push {application} DIR; then: hookline deploy {application} {group} --revision REVISION --follow")


@command("list", examples=["hookline group list shop"], related=["group show", "app list", "status"])
@APPLICATION
def list_groups(console: Console, application: str) -> None:
    """List the deployment groups of an application."""
    request = protos.catalog.ListDeploymentGroupsRequest(application_name=application)
    pages = console.connection.pages(console.connection.catalog.ListDeploymentGroups, request)
    found = [group for page in pages for group in page.deployment_groups]
    shown: Columns[DeploymentGroup] = columns(
        ("GROUP", lambda group: clean(group.deployment_group_name)),
        ("TAGS", _tags),
        ("CONFIG", lambda group: clean(group.deployment_config_name)),
        ("AUTO ROLLBACK", lambda group: arguments.show_auto_rollback(group.auto_rollback_configuration)),
        ("LAST STATUS", lambda group: spelt(group.last_attempted_deployment, "status")),
        ("LAST DEPLOYMENT", lambda group: clean(group.last_attempted_deployment.deployment_id)),
        whole="GROUP CONFIG LAST DEPLOYMENT",
    )
    console.listing(
        found, shown, f"{application} has no group yet. Make one with: hookline group create {application} GROUP --tag KEY=VALUE"
    )


@command("show", examples=["hookline group show shop production"], related=["group update", "trigger list", "deployments", "rollback"])
@APPLICATION
@GROUP
def show(console: Console, application: str, group: str) -> None:
    """Show a deployment group with its last deployments."""
    request = protos.catalog.GetDeploymentGroupRequest(application_name=application, deployment_group_name=group)
    answer = console.connection.ask(console.connection.catalog.GetDeploymentGroup, request)
    found = answer.deployment_group
    if console.json:
        console.json_value(to_json(found))
        return
    console.details(
        [
            ("group", f"{clean(found.application_name)}/{clean(found.deployment_group_name)}"),
            ("id", clean(found.deployment_group_id)),
            ("hosts with any of", _tags(found)),
            ("config", clean(found.deployment_config_name)),
            ("auto rollback", arguments.show_auto_rollback(found.auto_rollback_configuration)),
            ("alarms", watched.show_configuration(found.alarm_configuration)),
            ("", watched.advice(found)),
            ("offline hosts", arguments.show_offline_policy(found.offline_policy)),
            ("hosts that come later", spelt(found, "outdated_instances_strategy")),
            ("rollback config", clean(found.rollback_deployment_config_name)),
            ("queueing", spelt(found, "queueing")),
            ("signatures", "required" if found.require_signature else ""),
            ("may", _may(found.service_role)),
            ("", clean(answer.notice)),
            ("approval", "by a second person" if found.require_approval else ""),
            *((f"tells {clean(one.trigger_name)}", triggers.show(one)) for one in found.triggers),
            ("created", with_age(found.create_time, console.clock.now())),
            ("last successful", _last(console, found.last_successful_deployment) or "none yet"),
            ("last attempted", _last(console, found.last_attempted_deployment) or "none yet"),
        ]
    )


@command(
    "update",
    examples=[
        "hookline group update shop production --config CodeDeployDefault.HalfAtATime",
        "hookline group update shop production --tag role=web --tag role=api        # these instead of the old ones",
        "hookline group update shop production --auto-rollback failure,stop",
        "hookline group update shop production --require-signature --require-approval",
        "hookline group update shop production --may source=coordinator --may hosts=50 --may config=CodeDeployDefault.OneAtATime",
        "hookline group update shop production --alarm HighErrors --alarm SlowAnswers --bake 10m --auto-rollback failure,alarm",
        "hookline group update shop production --no-alarms        # for now; --alarms watches the same ones again",
        "hookline group update shop production --offline skip:3    # leave out up to three hosts that are offline",
    ],
    related=["group show", "config list", "alarm list"],
)
@APPLICATION
@GROUP
@_rules
def update(console: Console, /, application: str, group: str, **said: Unpack[SaidRules]) -> None:
    """Change what is said, leave the rest. A running deployment keeps what it froze at its creation."""
    wanted, mask = _ruled(application, group, **said)
    if not mask:
        raise click.UsageError(
            "cannot change nothing: say at least one of --tag, --tag-set, --config, --auto-rollback, --require-signature, --offline, "
            "--require-approval, --outdated-instances-strategy, --queueing, --rollback-config, --may, --alarm, --no-alarms, "
            "--ignore-poll-alarm-failure, --bake, --watch-for and --if-active"
        )
    request = protos.catalog.UpdateDeploymentGroupRequest(
        deployment_group=wanted, update_mask=protos.field_mask.FieldMask(paths=mask), request_id=new_request_id()
    )
    answer = console.connection.ask(console.connection.catalog.UpdateDeploymentGroup, request)
    changed = answer.deployment_group
    _show_change(console, changed, "is changed")
    if answer.notice:
        console.remark(clean(answer.notice))
    if "auto_rollback_configuration" in mask or any("alarm" in path for path in mask):
        _advise(console, changed)


@command("delete", examples=["hookline group delete shop staging"], related=["group list", "app delete"])
@APPLICATION
@GROUP
def delete(console: Console, application: str, group: str) -> None:
    """Remove a deployment group; its history stays."""
    request = protos.catalog.DeleteDeploymentGroupRequest(
        application_name=application, deployment_group_name=group, request_id=new_request_id()
    )
    console.connection.ask(console.connection.catalog.DeleteDeploymentGroup, request)
    if console.json:
        console.json_value({})
    else:
        console.line(f"deployment group {application}/{group} is removed")


def _ruled(application: str, group: str, **said: Unpack[SaidRules]) -> "tuple[DeploymentGroup, list[str]]":
    """A group with the rules that were said, and the names of their fields."""
    wanted = protos.catalog.DeploymentGroup(application_name=application, deployment_group_name=group)
    mask = []
    if said["tag_filters"]:
        wanted.tag_filters.extend(said["tag_filters"])
        mask.append("tag_filters")
    if said["tag_sets"]:
        wanted.tag_sets.extend(said["tag_sets"])
        mask.append("tag_sets")
    if said["config"] is not None:
        wanted.deployment_config_name = said["config"]
        mask.append("deployment_config_name")
    if said["auto_rollback"] is not None:
        wanted.auto_rollback_configuration.CopyFrom(said["auto_rollback"])
        mask.append("auto_rollback_configuration")
    if said["require_signature"] is not None:
        wanted.require_signature = said["require_signature"]
        mask.append("require_signature")
    if said["offline"] is not None:
        wanted.offline_policy.CopyFrom(said["offline"])
        mask.append("offline_policy")
    if said["require_approval"] is not None:
        wanted.require_approval = said["require_approval"]
        mask.append("require_approval")
    if said["outdated_strategy"] is not None:
        kinds = protos.resources.OutdatedInstancesStrategy
        wanted.outdated_instances_strategy = kinds.ValueType(number(kinds, said["outdated_strategy"]))
        mask.append("outdated_instances_strategy")
    if said["rollback_config"] is not None:
        wanted.rollback_deployment_config_name = "" if said["rollback_config"] == "same" else said["rollback_config"]
        mask.append("rollback_deployment_config_name")
    if said["queueing"] is not None:
        wanted.queueing = protos.resources.Queueing.ValueType(number(protos.resources.Queueing, said["queueing"]))
        mask.append("queueing")
    if said["may"]:
        wanted.service_role.CopyFrom(_role(said["may"]))
        mask.append("service_role")
    mask += [f"alarm_configuration.{field}" for field in watched.apply(wanted.alarm_configuration, said)]
    return wanted, mask


def _show_change(console: Console, group: "DeploymentGroup", change: str) -> None:
    if console.json:
        console.json_value(to_json(group))
    else:
        console.line(f"deployment group {clean(group.application_name)}/{clean(group.deployment_group_name)} {change}")


def _advise(console: Console, group: "DeploymentGroup") -> None:
    if said := watched.advice(group):
        console.remark(said)


def _tags(group: "DeploymentGroup") -> str:
    if group.tag_sets:
        return " and ".join(",".join(clean(show_tag_filter(found)) for found in one.tag_filters) for one in group.tag_sets)
    return " ".join(clean(show_tag_filter(found)) for found in group.tag_filters)


def _last(console: Console, last: "LastDeployment") -> str:
    if not last.deployment_id:
        return ""
    ended = last.complete_time if last.HasField("complete_time") else last.create_time
    age = with_age(ended, console.clock.now())
    return f"{clean(last.deployment_id)} {spelt(last, 'status')} {clean(last.revision_id)} {age}"


group = arguments.group("group", "Deployment groups: create, list, show, update, delete.", create, list_groups, show, update, delete)
