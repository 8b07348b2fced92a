"""What operators say and hear, in the core's words.

Enums of the core that are numbers have the protos' numbers (`core/lifecycle.py` says so, a test holds it); the others stand in tables here.
Reading raises Invalid for what the core has no word for; lengths, shapes and whether a thing exists are the services' business.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import TypeVar, assert_never

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from coordinator.core.errors import Invalid
from coordinator.core.identity import signature as signatures
from coordinator.core.lifecycle import DeploymentStatus, TargetStatus
from coordinator.core.model import (
    AlarmConfiguration,
    AutoRollbackEvent,
    BundleType,
    CoordinatorLocation,
    Diagnostics,
    FileExistsBehavior,
    FileLocation,
    GitHubLocation,
    HttpLocation,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    OfflineAction,
    OfflinePolicy,
    OutdatedInstancesStrategy,
    Place,
    Queueing,
    Revision,
    S3Location,
    ServiceRole,
    Signature,
)
from coordinator.core.tags import TagFilter, TagFilterType, TagSets
from hookline.v1 import catalog_pb2
from hookline.v1 import resources_pb2 as pb

MINIMUM_HEALTHY_HOSTS_TYPES = {
    MinimumHealthyHostsType.HOST_COUNT: pb.MINIMUM_HEALTHY_HOSTS_TYPE_HOST_COUNT,
    MinimumHealthyHostsType.FLEET_PERCENT: pb.MINIMUM_HEALTHY_HOSTS_TYPE_FLEET_PERCENT,
    MinimumHealthyHostsType.MOST_CONCURRENCY: pb.MINIMUM_HEALTHY_HOSTS_TYPE_MOST_CONCURRENCY,
}
AUTO_ROLLBACK_EVENTS = {
    AutoRollbackEvent.DEPLOYMENT_FAILURE: pb.AUTO_ROLLBACK_EVENT_DEPLOYMENT_FAILURE,
    AutoRollbackEvent.DEPLOYMENT_STOP_ON_ALARM: pb.AUTO_ROLLBACK_EVENT_DEPLOYMENT_STOP_ON_ALARM,
    AutoRollbackEvent.DEPLOYMENT_STOP_ON_REQUEST: pb.AUTO_ROLLBACK_EVENT_DEPLOYMENT_STOP_ON_REQUEST,
}

Number = TypeVar("Number", bound=IntEnum)


def time(milliseconds: int | None) -> Timestamp | None:
    """UTC milliseconds as a Timestamp; None, which leaves the field unset, for None."""
    return None if milliseconds is None else instant(milliseconds)


def instant(milliseconds: int) -> Timestamp:
    """UTC milliseconds as a Timestamp."""
    return Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


def minimum_healthy_hosts(value: MinimumHealthyHosts) -> pb.MinimumHealthyHosts:
    """The rule of a deployment config."""
    return pb.MinimumHealthyHosts(type=MINIMUM_HEALTHY_HOSTS_TYPES[value.type], value=value.value)


def read_minimum_healthy_hosts(message: pb.MinimumHealthyHosts, *, field: str) -> MinimumHealthyHosts:
    """The rule that a caller asks for."""
    for kind, number in MINIMUM_HEALTHY_HOSTS_TYPES.items():
        if number == message.type:
            return MinimumHealthyHosts(type=kind, value=message.value)
    raise Invalid(f"cannot read {field}.type: it must be HOST_COUNT or FLEET_PERCENT", field=f"{field}.type")


def auto_rollback(events: frozenset[AutoRollbackEvent]) -> pb.AutoRollbackConfiguration:
    """When a deployment is rolled back by itself; no events: never."""
    return pb.AutoRollbackConfiguration(enabled=bool(events), events=sorted(AUTO_ROLLBACK_EVENTS[event] for event in events))


def read_auto_rollback(message: pb.AutoRollbackConfiguration, *, field: str) -> frozenset[AutoRollbackEvent]:
    """The events that a caller wants rolled back; none when it is not enabled."""
    known = {number: event for event, number in AUTO_ROLLBACK_EVENTS.items()}
    names = ", ".join(AUTO_ROLLBACK_EVENTS)
    if strange := [number for number in message.events if number not in known]:
        raise Invalid(f"cannot read {field}.events: {strange[0]} is not an event; {names} are", field=f"{field}.events")
    if message.enabled and not message.events:
        raise Invalid(f"cannot enable {field} without an event: add one or more of {names}", field=f"{field}.events")
    return frozenset(known[number] for number in message.events) if message.enabled else frozenset()


def read_time(told: Timestamp, *, field: str) -> int:
    """UTC milliseconds of a time that a caller said. Raises Invalid for one that is no time."""
    try:
        told.ToDatetime()
    except ValueError:
        raise Invalid(f"cannot take this {field}: it lies outside of the years 1 to 9999", field=field) from None
    return told.seconds * 1000 + told.nanos // 1_000_000


def duration(milliseconds: int) -> Duration:
    """Milliseconds as a Duration."""
    return Duration(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


def read_duration(message: Duration) -> int:
    """Whole milliseconds, however long or wrong; below 0 too."""
    return message.seconds * 1000 + message.nanos // 1_000_000


def alarm_configuration(value: AlarmConfiguration) -> pb.AlarmConfiguration:
    """Which alarms are watched."""
    return pb.AlarmConfiguration(
        enabled=value.enabled,
        ignore_poll_alarm_failure=value.ignore_poll_alarm_failure,
        alarms=value.alarms,
        bake_time=duration(value.bake_time) if value.bake_time else None,
        watch_after_success=duration(value.watch_after_success) if value.watch_after_success else None,
        refuse_while_active=value.refuse_while_active,
    )


def read_alarm_configuration(message: pb.AlarmConfiguration) -> AlarmConfiguration:
    """Which alarms a caller wants watched."""
    return AlarmConfiguration(
        enabled=message.enabled,
        ignore_poll_alarm_failure=message.ignore_poll_alarm_failure,
        alarms=tuple(message.alarms),
        bake_time=read_duration(message.bake_time),
        watch_after_success=read_duration(message.watch_after_success),
        refuse_while_active=message.refuse_while_active,
    )


def offline_policy(value: OfflinePolicy) -> pb.OfflinePolicy:
    """What a group does about hosts that are offline."""
    waits = value.action is OfflineAction.WAIT
    return pb.OfflinePolicy(
        action=pb.OfflineAction.ValueType(value.action),
        wait=Duration(seconds=value.wait // 1000) if waits else None,
        budget=value.budget,
    )


def read_offline_policy(message: pb.OfflinePolicy, *, field: str) -> OfflinePolicy:
    """What a caller wants done about hosts that are offline; what is not said takes the default of the action."""
    usual = OfflinePolicy()
    action = read_number(OfflineAction, message.action, f"{field}.action") if message.action else usual.action
    budget = None if action is OfflineAction.SKIP else 0
    return OfflinePolicy(
        action=action,
        wait=message.wait.seconds * 1000 if message.HasField("wait") else usual.wait,
        budget=message.budget if message.HasField("budget") else budget,
    )


def read_outdated_strategy(number: int, *, field: str) -> OutdatedInstancesStrategy:
    """What a caller wants done about hosts that come later; UPDATE when nothing is said."""
    return read_number(OutdatedInstancesStrategy, number or OutdatedInstancesStrategy.UPDATE, field)


def read_queueing(number: int, *, field: str) -> Queueing:
    """What a caller wants done about a deployment while another one is under way; REFUSE when nothing is said."""
    return read_number(Queueing, number or Queueing.REFUSE, field)


def service_role(value: ServiceRole) -> catalog_pb2.ServiceRole:
    """What the coordinator may do for a group."""
    return catalog_pb2.ServiceRole(
        sources=value.sources,
        max_hosts=value.max_hosts,
        deployment_config_names=value.config_names,
        no_automatic_rollback=not value.automatic_rollback,
    )


def read_service_role(message: catalog_pb2.ServiceRole) -> ServiceRole:
    """What a caller wants it to be."""
    return ServiceRole(
        sources=tuple(message.sources),
        max_hosts=message.max_hosts,
        config_names=tuple(message.deployment_config_names),
        automatic_rollback=not message.no_automatic_rollback,
    )


def tag_filter(value: TagFilter) -> pb.TagFilter:
    """One condition on a host's tags."""
    return pb.TagFilter(key=value.key, value=value.value, type=pb.TagFilterType.ValueType(value.type))


def read_tag_filters(messages: Iterable[pb.TagFilter], *, field: str) -> tuple[TagFilter, ...]:
    """The conditions that a caller names; one without a type compares what it gives."""
    return tuple(_tag_filter(message, f"{field}[{index}]") for index, message in enumerate(messages))


def tag_filter_list(values: Iterable[TagFilter]) -> pb.TagFilterList:
    """One list of a tag set."""
    return pb.TagFilterList(tag_filters=[tag_filter(one) for one in values])


def read_tag_sets(messages: Iterable[pb.TagFilterList], *, field: str) -> TagSets:
    """The lists of conditions that a caller names."""
    return tuple(read_tag_filters(message.tag_filters, field=f"{field}[{index}].tag_filters") for index, message in enumerate(messages))


def _tag_filter(message: pb.TagFilter, field: str) -> TagFilter:
    kind: int = message.type
    if kind == pb.TAG_FILTER_TYPE_UNSPECIFIED:
        both = TagFilterType.KEY_AND_VALUE if message.value else TagFilterType.KEY_ONLY
        kind = both if message.key else TagFilterType.VALUE_ONLY
    return TagFilter(key=message.key, value=message.value, type=read_number(TagFilterType, kind, f"{field}.type"))


def signature(of: Signature) -> pb.Signature:
    """Who answers for a revision, with what can be seen of it."""
    said = signatures.read(of)
    return pb.Signature(statement=of.statement.encode(), signature=of.signature.encode(), key_id=said.key_id, counter=said.counter)


def read_signature(message: pb.Signature, *, field: str) -> Signature:
    """A signature without minisign's first line, which nobody signs."""
    try:
        statement, lines = message.statement.decode("ascii"), message.signature.decode("ascii")
    except UnicodeDecodeError:
        raise Invalid("cannot accept the signature: it is not text", field=field) from None
    return Signature(statement=statement, signature=lines.partition("\n")[2] if lines.startswith("untrusted comment: ") else lines)


def location(revision: Revision) -> pb.RevisionLocation:
    """Where a revision's bundle lies and what it must hash to."""
    message = pb.RevisionLocation(bundle_type=pb.BundleType.ValueType(revision.bundle_type), sha256=revision.sha256)
    match revision.place:
        case CoordinatorLocation(size=size):
            message.coordinator.CopyFrom(pb.CoordinatorLocation(size=size))
        case S3Location() as s3:
            message.s3.CopyFrom(pb.S3Location(bucket=s3.bucket, key=s3.key, version=s3.version, e_tag=s3.e_tag))
        case GitHubLocation(repository=repository, commit_id=commit_id):
            message.github.CopyFrom(pb.GitHubLocation(repository=repository, commit_id=commit_id))
        case HttpLocation(url=url):
            message.http.CopyFrom(pb.HttpLocation(url=url))
        case FileLocation(path=path):
            message.file.CopyFrom(pb.FileLocation(path=path))
        case _:
            assert_never(revision.place)
    return message


def read_place(message: pb.RevisionLocation, *, field: str) -> Place:
    """Where a caller says that a bundle lies."""
    match message.WhichOneof("place"):
        case "coordinator":
            return CoordinatorLocation(size=message.coordinator.size)
        case "s3":
            s3 = message.s3
            return S3Location(bucket=s3.bucket, key=s3.key, version=s3.version, e_tag=s3.e_tag)
        case "github":
            return GitHubLocation(repository=message.github.repository, commit_id=message.github.commit_id)
        case "http":
            return HttpLocation(url=message.http.url)
        case "file":
            return FileLocation(path=message.file.path)
        case None:
            raise Invalid(f"cannot read {field}: it says no place; give one of s3, github, http, file", field=field)


def read_bundle_type(number: int, *, field: str) -> BundleType:
    """How a caller says that a bundle is packed."""
    return read_number(BundleType, number, field)


def read_file_exists_behavior(number: int, *, field: str) -> FileExistsBehavior:
    """What a caller wants Install to do with files that exist."""
    return read_number(FileExistsBehavior, number, field)


def read_deployment_statuses(numbers: Iterable[int], *, field: str) -> tuple[DeploymentStatus, ...]:
    """The statuses that a caller asks for."""
    return tuple(read_number(DeploymentStatus, number, field) for number in numbers)


def read_target_statuses(numbers: Iterable[int], *, field: str) -> tuple[TargetStatus, ...]:
    """The statuses that a caller asks for."""
    return tuple(read_number(TargetStatus, number, field) for number in numbers)


def diagnostics(value: Diagnostics | None) -> pb.Diagnostics | None:
    """Why a lifecycle event failed; None where it did not."""
    if value is None:
        return None
    return pb.Diagnostics(
        error_code=pb.LifecycleErrorCode.ValueType(value.error_code),
        script_name=value.script_name,
        message=value.message,
        log_tail=value.log_tail,
    )


def read_number(enum: type[Number], number: int, field: str) -> Number:
    """The member of an enum that has a number of the protos."""
    try:
        return enum(number)
    except ValueError:
        names = ", ".join(member.name for member in enum if member)
        raise Invalid(f"cannot read {field}: {number} is none of {names}", field=field) from None
