"""Protobuf to the agent's values and back. Nothing else knows both; the stream is the only one that asks."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from agent.model import (
    BundleType,
    DeploymentId,
    Diagnostics,
    ErrorCode,
    EventPlan,
    EventStatus,
    FileExistsBehavior,
    GroupId,
    Instruction,
    InstructionId,
    InstructionStatus,
    LifecycleEvent,
    Location,
    Place,
    Report,
    RevisionId,
    Signature,
)
from hookline.v1 import agent_pb2, resources_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.config import Identity
    from agent.facts import Standing

_EVENTS = dict(enumerate(LifecycleEvent, start=1))
_EVENT_NUMBERS = {event: resources_pb2.LifecycleEvent.ValueType(number) for number, event in _EVENTS.items()}
_STATUS_NUMBERS = {
    EventStatus.IN_PROGRESS: resources_pb2.LIFECYCLE_EVENT_STATUS_IN_PROGRESS,
    EventStatus.SUCCEEDED: resources_pb2.LIFECYCLE_EVENT_STATUS_SUCCEEDED,
    EventStatus.FAILED: resources_pb2.LIFECYCLE_EVENT_STATUS_FAILED,
}
_INSTRUCTION_STATUS_NUMBERS = {
    InstructionStatus.WAITING: agent_pb2.INSTRUCTION_STATUS_WAITING,
    InstructionStatus.REFUSED: agent_pb2.INSTRUCTION_STATUS_REFUSED,
    InstructionStatus.CANCELLED: agent_pb2.INSTRUCTION_STATUS_CANCELLED,
}
_ERROR_NUMBERS = {
    ErrorCode.SCRIPT_MISSING: resources_pb2.LIFECYCLE_ERROR_CODE_SCRIPT_MISSING,
    ErrorCode.SCRIPT_NOT_EXECUTABLE: resources_pb2.LIFECYCLE_ERROR_CODE_SCRIPT_NOT_EXECUTABLE,
    ErrorCode.SCRIPT_TIMED_OUT: resources_pb2.LIFECYCLE_ERROR_CODE_SCRIPT_TIMED_OUT,
    ErrorCode.SCRIPT_FAILED: resources_pb2.LIFECYCLE_ERROR_CODE_SCRIPT_FAILED,
    ErrorCode.UNKNOWN_ERROR: resources_pb2.LIFECYCLE_ERROR_CODE_UNKNOWN_ERROR,
    ErrorCode.INTERRUPTED: resources_pb2.LIFECYCLE_ERROR_CODE_INTERRUPTED,
}
_BUNDLE_TYPES = {
    resources_pb2.BUNDLE_TYPE_UNSPECIFIED: BundleType.GUESSED,
    resources_pb2.BUNDLE_TYPE_TAR: BundleType.TAR,
    resources_pb2.BUNDLE_TYPE_TGZ: BundleType.TGZ,
    resources_pb2.BUNDLE_TYPE_ZIP: BundleType.ZIP,
    resources_pb2.BUNDLE_TYPE_DIRECTORY: BundleType.DIRECTORY,
}
_BEHAVIORS = {
    resources_pb2.FILE_EXISTS_BEHAVIOR_UNSPECIFIED: FileExistsBehavior.UNSAID,
    resources_pb2.FILE_EXISTS_BEHAVIOR_DISALLOW: FileExistsBehavior.DISALLOW,
    resources_pb2.FILE_EXISTS_BEHAVIOR_OVERWRITE: FileExistsBehavior.OVERWRITE,
    resources_pb2.FILE_EXISTS_BEHAVIOR_RETAIN: FileExistsBehavior.RETAIN,
}
_CREATORS = {
    resources_pb2.DEPLOYMENT_CREATOR_UNSPECIFIED: "user",
    resources_pb2.DEPLOYMENT_CREATOR_USER: "user",
    resources_pb2.DEPLOYMENT_CREATOR_CODE_DEPLOY_ROLLBACK: "codeDeployRollback",
    resources_pb2.DEPLOYMENT_CREATOR_CODE_DEPLOY_AUTO_UPDATE: "CodeDeployAutoUpdate",
}


EVENT_SECONDS = 3_600.0
"""What a lifecycle event may take when nobody said."""


class Unreadable(Exception):
    """An instruction says something that this agent does not know."""


def hello(identity: Identity, journal_id: str, standing: Standing) -> agent_pb2.AgentMessage:
    """The first message on a stream."""
    return agent_pb2.AgentMessage(
        hello=agent_pb2.Hello(
            host_id=identity.host_id,
            name=identity.name,
            boot_id=identity.boot_id,
            journal_id=journal_id,
            last_seq=standing.last_seq,
            acked_seq=standing.acked_seq,
            agent_version=identity.agent_version,
            target_epochs=[
                agent_pb2.TargetEpoch(deployment_group_id=group_id, target_epoch=fence.target_epoch, deployment_id=fence.deployment_id)
                for group_id, fence in standing.fences
            ],
            tags=dict(identity.tags),
            facts=dict(identity.facts),
            holdings=[
                agent_pb2.Holding(
                    deployment_group_id=group_id,
                    installed_revision_id="" if holding.installed is None else holding.installed.revision_id,
                    deployed_revision_id=holding.deployed or "",
                )
                for group_id, holding in standing.holdings
            ],
        )
    )


def reports(first_seq: int, reports: Sequence[Report], *, diagnostics_bytes: int) -> agent_pb2.AgentMessage:
    """Reports with consecutive numbers; an instruction's id is said once."""
    message = agent_pb2.AgentMessage()
    message.reports.first_seq = first_seq
    said = ""
    for report in reports:
        written = message.reports.reports.add()
        if report.instruction_id != said:
            written.instruction_id = said = report.instruction_id
        written.time_unix_ms = report.at
        if isinstance(report.status, InstructionStatus):
            written.instruction_status = _INSTRUCTION_STATUS_NUMBERS[report.status]
        else:
            written.status = _STATUS_NUMBERS[report.status]
        if report.event is not None:
            written.lifecycle_event = _EVENT_NUMBERS[report.event]
        if report.diagnostics is not None:
            written.diagnostics.CopyFrom(_diagnostics(report.diagnostics, limit=diagnostics_bytes))
    return message


def instruction(message: agent_pb2.Instruction) -> Instruction:
    """What the coordinator wants done. Raises Unreadable."""
    try:
        return Instruction(
            instruction_id=InstructionId(message.instruction_id),
            digest=message.digest.hex(),
            target_epoch=message.target_epoch,
            deployment_id=DeploymentId(message.deployment_id),
            group_id=GroupId(message.deployment_group_id),
            group_name=message.deployment_group_name,
            application_name=message.application_name,
            revision_id=RevisionId(message.revision_id),
            location=_location(message.location),
            events=_plans(
                tuple(
                    (plan.lifecycle_event, plan.timeout.seconds + plan.timeout.nanos / 1e9)
                    for plan in (message.restart_events or message.lifecycle_events)
                )
            ),
            file_exists_behavior=_BEHAVIORS[message.file_exists_behavior],
            creator=_CREATORS[message.creator],
            signature=_signature(message),
            ignore_application_stop_failures=message.ignore_application_stop_failures,
            restart=bool(message.restart_events),
        )
    except KeyError as error:
        raise Unreadable(f"{error.args[0]!r} has no meaning here; is this agent older than the coordinator?") from error


@lru_cache(maxsize=16)
def _plans(listed: tuple[tuple[int, float], ...]) -> tuple[EventPlan, ...]:
    """The events that an instruction lists, with their seconds. Shared: a hundred instructions are remembered, and most list the same."""
    return tuple(EventPlan(event=_EVENTS[number], timeout_seconds=seconds or EVENT_SECONDS) for number, seconds in listed)


def _signature(message: agent_pb2.Instruction) -> Signature | None:
    return Signature(message.signature.statement, message.signature.signature) if message.HasField("signature") else None


def _location(message: resources_pb2.RevisionLocation) -> Location:
    words: dict[str, str]
    match message.WhichOneof("place"):
        case "coordinator":
            place, words = Place.COORDINATOR, {"size": str(message.coordinator.size)}
        case "s3":
            s3 = message.s3
            place, words = Place.S3, {"bucket": s3.bucket, "key": s3.key, "version": s3.version, "e_tag": s3.e_tag}
        case "github":
            place, words = Place.GITHUB, {"repository": message.github.repository, "commit_id": message.github.commit_id}
        case "http":
            place, words = Place.HTTP, {"url": message.http.url}
        case "file":
            place, words = Place.FILE, {"path": message.file.path}
        case _:
            raise Unreadable("it does not say where the bundle lies; is this agent older than the coordinator?")
    return Location(
        place=place,
        words=tuple((name, word) for name, word in words.items() if word),
        bundle_type=_BUNDLE_TYPES[message.bundle_type],
        sha256=message.sha256.hex(),
    )


def _diagnostics(diagnostics: Diagnostics, *, limit: int) -> resources_pb2.Diagnostics:
    """Within the limit: the log's end is worth more than its beginning, a message's beginning more than its end."""
    script_name = _clipped(diagnostics.script_name, limit // 8)
    message = _clipped(diagnostics.message, limit // 4)
    return resources_pb2.Diagnostics(
        error_code=resources_pb2.LIFECYCLE_ERROR_CODE_UNSPECIFIED
        if diagnostics.error_code is None
        else _ERROR_NUMBERS[diagnostics.error_code],
        script_name=script_name,
        message=message,
        log_tail=_clipped(diagnostics.log_tail, limit // 2, end=True),
    )


def _clipped(text: str, limit: int, *, end: bool = False) -> str:
    encoded = text.encode(errors="replace")
    if len(encoded) <= limit:
        return encoded.decode()
    return (encoded[-limit:] if end else encoded[:limit]).decode(errors="ignore")
