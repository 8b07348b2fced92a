"""What can be declared: how each kind is named, completed with its defaults, read, made, changed and removed.

Two declarations are the same when they are equal once they are completed, so what the coordinator fills in is no difference. Of each
kind, `names` are the fields that have to be said, of `either` exactly one has to be, and those in `never` the coordinator sets.
"""

from typing import TYPE_CHECKING, Final, Self, TypeAlias

from coordinator.cli import protos
from coordinator.cli.clock import new_request_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.message import Message

    from coordinator.cli.connection import Connection
    from hookline.v1.alarms_pb2 import Alarm
    from hookline.v1.catalog_pb2 import Application, DeploymentConfig, DeploymentGroup
    from hookline.v1.resources_pb2 import AlarmConfiguration, Canaries, OfflinePolicy, RolloutStep, TagFilter

USUAL_CONFIG: Final = "CodeDeployDefault.OneAtATime"
USUAL_INTERVAL: Final = 5
USUAL_WAIT: Final = 300
USUAL_GATE: Final = 86_400
USUAL_COUNT: Final = 5
USUAL_PACE: Final = 30
"""How often a metric of an analysis is measured, and each how many seconds."""
RULES: Final = ("auto_rollback_configuration", "offline_policy", "alarm_configuration", "service_role")
"""Messages of a group that say nothing when they are empty."""


class DeclaredAlarm:
    """An alarm."""

    kind = "Alarm"
    names = ("alarm_name",)
    either: tuple[str, ...] = ("expression", "prometheus_alert", "alertmanager_alert")
    never = ("create_time", "update_time")

    def __init__(self, message: "Alarm") -> None:
        self.message = message

    @property
    def name(self) -> str:
        """Its name."""
        return self.message.alarm_name

    @classmethod
    def empty(cls) -> Self:
        """One of which nothing is said."""
        return cls(protos.alarms.Alarm())

    @classmethod
    def all(cls, connection: "Connection") -> "Iterator[Self]":
        """Those that there are."""
        for page in connection.pages(connection.alarms.ListAlarms, protos.alarms.ListAlarmsRequest()):
            yield from map(cls, page.alarms)

    def complete(self) -> None:
        """Say the defaults."""
        message = self.message
        _forget(message, self.never)
        if not message.HasField("interval"):
            message.interval.seconds = USUAL_INTERVAL
        _round(message.interval)
        message.no_data = message.no_data or protos.alarms.ALARM_STATUS_UNKNOWN
        message.on_error = message.on_error or protos.alarms.ALARM_STATUS_UNKNOWN
        if message.HasField("expression"):
            message.expression.several = message.expression.several or protos.alarms.SEVERAL_SERIES_ANY
            _round(message.expression.for_duration)
            if not message.expression.for_duration.ToMilliseconds():
                message.expression.ClearField("for_duration")

    def create(self, connection: "Connection") -> None:
        """Make it."""
        connection.ask(connection.alarms.CreateAlarm, protos.alarms.CreateAlarmRequest(alarm=self.message, request_id=new_request_id()))

    def update(self, connection: "Connection", fields: "Iterable[str]") -> None:
        """Change it; of its sources the one that is set takes the place of the other."""
        mask = protos.field_mask.FieldMask(paths=_said(self.message, fields))
        request = protos.alarms.UpdateAlarmRequest(alarm=self.message, update_mask=mask, request_id=new_request_id())
        connection.ask(connection.alarms.UpdateAlarm, request)

    def delete(self, connection: "Connection") -> None:
        """Remove it."""
        request = protos.alarms.DeleteAlarmRequest(alarm_name=self.name, request_id=new_request_id())
        connection.ask(connection.alarms.DeleteAlarm, request)


class DeclaredConfig:
    """A deployment config, which never changes."""

    kind = "DeploymentConfig"
    names = ("deployment_config_name", "minimum_healthy_hosts")
    either: tuple[str, ...] = ()
    never = ("predefined", "create_time")

    def __init__(self, message: "DeploymentConfig") -> None:
        self.message = message

    @property
    def name(self) -> str:
        """Its name."""
        return self.message.deployment_config_name

    @classmethod
    def empty(cls) -> Self:
        """One of which nothing is said."""
        return cls(protos.catalog.DeploymentConfig())

    @classmethod
    def all(cls, connection: "Connection") -> "Iterator[Self]":
        """Those that there are, the predefined ones too."""
        for page in connection.pages(connection.catalog.ListDeploymentConfigs, protos.catalog.ListDeploymentConfigsRequest()):
            yield from map(cls, page.deployment_configs)

    def complete(self) -> None:
        """Say the defaults."""
        message = self.message
        _forget(message, self.never)
        if message.HasField("canaries"):
            _complete_pause(message.canaries)
            for one in message.canaries.tag_filters:
                _complete_filter(one)
        for step in message.steps:
            _complete_pause(step)
        if message.HasField("zonal_config"):
            zonal = message.zonal_config
            zonal.zone_tag = zonal.zone_tag or "fact:zone"
            if not zonal.HasField("minimum_healthy_hosts_per_zone"):
                zonal.minimum_healthy_hosts_per_zone.type = protos.resources.MINIMUM_HEALTHY_HOSTS_TYPE_FLEET_PERCENT

    def create(self, connection: "Connection") -> None:
        """Make it."""
        request = protos.catalog.CreateDeploymentConfigRequest(
            deployment_config_name=self.name, minimum_healthy_hosts=self.message.minimum_healthy_hosts, request_id=new_request_id()
        )
        for field in ("canaries", "zonal_config"):
            if self.message.HasField(field):
                getattr(request, field).CopyFrom(getattr(self.message, field))
        request.steps.extend(self.message.steps)
        connection.ask(connection.catalog.CreateDeploymentConfig, request)

    def delete(self, connection: "Connection") -> None:
        """Remove it."""
        request = protos.catalog.DeleteDeploymentConfigRequest(deployment_config_name=self.name, request_id=new_request_id())
        connection.ask(connection.catalog.DeleteDeploymentConfig, request)


class DeclaredApplication:
    """An application."""

    kind = "Application"
    names = ("application_name",)
    either: tuple[str, ...] = ()
    never = ("create_time",)

    def __init__(self, message: "Application") -> None:
        self.message = message

    @property
    def name(self) -> str:
        """Its name."""
        return self.message.application_name

    @classmethod
    def empty(cls) -> Self:
        """One of which nothing is said."""
        return cls(protos.catalog.Application())

    @classmethod
    def all(cls, connection: "Connection") -> "Iterator[Self]":
        """Those that there are."""
        for page in connection.pages(connection.catalog.ListApplications, protos.catalog.ListApplicationsRequest()):
            yield from map(cls, page.applications)

    def complete(self) -> None:
        """It has nothing but its name."""
        _forget(self.message, self.never)

    def create(self, connection: "Connection") -> None:
        """Make it."""
        request = protos.catalog.CreateApplicationRequest(application_name=self.name, request_id=new_request_id())
        connection.ask(connection.catalog.CreateApplication, request)

    def delete(self, connection: "Connection") -> None:
        """Remove it, with its revisions."""
        request = protos.catalog.DeleteApplicationRequest(application_name=self.name, request_id=new_request_id())
        connection.ask(connection.catalog.DeleteApplication, request)


class DeclaredGroup:
    """A deployment group."""

    kind = "DeploymentGroup"
    names = ("application_name", "deployment_group_name")
    either: tuple[str, ...] = ("tag_filters", "tag_sets")
    never = ("deployment_group_id", "create_time", "last_successful_deployment", "last_attempted_deployment", "etag")

    def __init__(self, message: "DeploymentGroup") -> None:
        self.message = message

    @property
    def name(self) -> str:
        """The application's name and its own."""
        return f"{self.message.application_name}/{self.message.deployment_group_name}"

    @classmethod
    def empty(cls) -> Self:
        """One of which nothing is said."""
        return cls(protos.catalog.DeploymentGroup())

    @classmethod
    def all(cls, connection: "Connection", application: str) -> "Iterator[Self]":
        """Those of an application."""
        request = protos.catalog.ListDeploymentGroupsRequest(application_name=application)
        for page in connection.pages(connection.catalog.ListDeploymentGroups, request):
            yield from map(cls, page.deployment_groups)

    def complete(self) -> None:
        """Say the defaults."""
        message = self.message
        _forget(message, self.never)
        message.deployment_config_name = message.deployment_config_name or USUAL_CONFIG
        for one in (*message.tag_filters, *(one for several in message.tag_sets for one in several.tag_filters)):
            _complete_filter(one)
        rollback = message.auto_rollback_configuration
        rollback.events[:] = sorted(set(rollback.events)) if rollback.enabled else []
        for trigger in message.triggers:
            trigger.trigger_events[:] = sorted(set(trigger.trigger_events))
        _complete_alarms(message.alarm_configuration)
        _complete_offline(message.offline_policy)
        strategy = message.outdated_instances_strategy
        message.outdated_instances_strategy = strategy or protos.resources.OUTDATED_INSTANCES_STRATEGY_UPDATE
        message.queueing = message.queueing or protos.resources.QUEUEING_REFUSE
        _forget(message, (name for name in RULES if not getattr(message, name).ByteSize()))

    def create(self, connection: "Connection") -> None:
        """Make it."""
        request = protos.catalog.CreateDeploymentGroupRequest(deployment_group=self.message, request_id=new_request_id())
        connection.ask(connection.catalog.CreateDeploymentGroup, request)

    def update(self, connection: "Connection", fields: "Iterable[str]") -> None:
        """Change it; tags and tag sets take the place of each other."""
        paths = set(fields)
        if {"tag_filters", "tag_sets"} <= paths:
            paths.remove("tag_filters" if self.message.tag_sets else "tag_sets")
        mask = protos.field_mask.FieldMask(paths=sorted(paths))
        request = protos.catalog.UpdateDeploymentGroupRequest(deployment_group=self.message, update_mask=mask, request_id=new_request_id())
        connection.ask(connection.catalog.UpdateDeploymentGroup, request)

    def delete(self, connection: "Connection") -> None:
        """Remove it."""
        request = protos.catalog.DeleteDeploymentGroupRequest(
            application_name=self.message.application_name,
            deployment_group_name=self.message.deployment_group_name,
            request_id=new_request_id(),
        )
        connection.ask(connection.catalog.DeleteDeploymentGroup, request)


Declared: TypeAlias = DeclaredAlarm | DeclaredConfig | DeclaredApplication | DeclaredGroup
"""Something that is declared, or that the coordinator has."""
Changeable: TypeAlias = DeclaredAlarm | DeclaredGroup
"""What can be changed; the others have nothing that could be, or never change."""

KINDS: Final[tuple[type[Declared], ...]] = (DeclaredAlarm, DeclaredConfig, DeclaredApplication, DeclaredGroup)
"""In the order in which they are made, because each may name those before it."""


def everything(connection: "Connection") -> "Iterator[Declared]":
    """All that the coordinator has, in the order of KINDS."""
    yield from DeclaredAlarm.all(connection)
    yield from DeclaredConfig.all(connection)
    applications = list(DeclaredApplication.all(connection))
    yield from applications
    for application in applications:
        yield from DeclaredGroup.all(connection, application.name)


def _forget(message: "Message", fields: "Iterable[str]") -> None:
    for field in list(fields):
        message.ClearField(field)


def _said(message: "Message", fields: "Iterable[str]") -> list[str]:
    """Of the fields that a change names, those that are set."""
    return sorted(set(fields) & {field.name for field, _ in message.ListFields()})


def _round(duration: "Duration") -> None:
    """To the milliseconds that the coordinator keeps."""
    duration.FromMilliseconds(duration.ToMilliseconds())


def _complete_filter(one: "TagFilter") -> None:
    kinds = protos.resources
    both = kinds.TAG_FILTER_TYPE_KEY_AND_VALUE if one.value else kinds.TAG_FILTER_TYPE_KEY_ONLY
    one.type = one.type or (both if one.key else kinds.TAG_FILTER_TYPE_VALUE_ONLY)


def _complete_pause(part: "Canaries | RolloutStep") -> None:
    _round(part.bake_time)
    if not part.bake_time.ToMilliseconds():
        part.ClearField("bake_time")
    if part.HasField("gate") and not part.gate.HasField("timeout"):
        part.gate.timeout.seconds = USUAL_GATE
    if not part.HasField("analysis"):
        return
    if not part.analysis.initial_delay.ToMilliseconds():
        part.analysis.ClearField("initial_delay")
    for metric in part.analysis.metrics:
        metric.count = metric.count or USUAL_COUNT
        if not metric.HasField("interval"):
            metric.interval.seconds = USUAL_PACE


def _complete_alarms(configuration: "AlarmConfiguration") -> None:
    configuration.alarms[:] = list(dict.fromkeys(configuration.alarms))
    for name in ("bake_time", "watch_after_success"):
        length = getattr(configuration, name)
        _round(length)
        if not length.ToMilliseconds():
            configuration.ClearField(name)


def _complete_offline(policy: "OfflinePolicy") -> None:
    actions = protos.resources
    policy.action = policy.action or actions.OFFLINE_ACTION_WAIT
    if policy.action != actions.OFFLINE_ACTION_WAIT:
        policy.ClearField("wait")
    elif not policy.HasField("wait"):
        policy.wait.seconds = USUAL_WAIT
    else:
        policy.wait.nanos = 0  # the coordinator keeps whole seconds
    if not policy.HasField("budget") and policy.action != actions.OFFLINE_ACTION_SKIP:
        policy.budget = 0
