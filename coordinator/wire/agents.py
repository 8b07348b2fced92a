"""Protobuf and core, both ways, for the agents' stream.

What goes to agents is made as bytes: an instruction differs between ten thousand hosts in a few fields only, so the common part
is serialised once, and the rest appended (in protobuf's encoding, concatenation is merging).
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from coordinator.core.errors import Invalid
from coordinator.core.facts import Hello, Holding, Report
from coordinator.core.lifecycle import EventStatus, InstructionStatus, LifecycleErrorCode, LifecycleEvent
from coordinator.core.model import (
    CoordinatorLocation,
    Diagnostics,
    FileLocation,
    GitHubLocation,
    GroupId,
    HostId,
    HttpLocation,
    InstructionId,
    JournalId,
    Plan,
    Revision,
    RevisionId,
    S3Location,
    Session,
)
from coordinator.core.orders import Cancel, Instruction
from hookline.v1 import agent_pb2 as pb
from hookline.v1 import resources_pb2 as resources

MESSAGE_BYTES: Final = 1 << 20
DIAGNOSTICS_BYTES: Final = 8 << 10
LOG_BYTES_PER_SECOND: Final = 256 << 10
TAGS_AT_MOST: Final = 64

_HOST_ID: Final = re.compile(r"[0-9a-f]{32}")
_NAME: Final = re.compile(r"[A-Za-z0-9._+=,@-]{1,100}")
_EVENTS: Final[tuple[LifecycleEvent | None, ...]] = (None, *LifecycleEvent)
_STATUSES: Final = (EventStatus.Pending, *EventStatus)
_INSTRUCTION_STATUSES: Final = tuple(InstructionStatus)


def hello(message: pb.Hello, *, stream: int, at: int, elapsed: int) -> Hello:
    """Read an agent's Hello. Raises Invalid with a sentence for the agent."""
    if not _HOST_ID.fullmatch(message.host_id):
        raise Invalid("cannot accept the agent: its host_id is not 32 lower-case hexadecimal digits", field="host_id")
    if not _NAME.fullmatch(message.name):
        raise Invalid(f"cannot accept host {message.name!r}: a name has 1 to 100 characters of A-Z a-z 0-9 . _ + = , @ -", field="name")
    if not message.journal_id:
        raise Invalid("cannot accept the agent: its journal_id is empty", field="journal_id")
    if len(message.tags) > TAGS_AT_MOST:
        raise Invalid(f"cannot accept host {message.name}: it declares {len(message.tags)} tags, at most {TAGS_AT_MOST}", field="tags")
    return Hello(
        at=at,
        elapsed=elapsed,
        stream=stream,
        host_id=HostId(message.host_id),
        name=message.name,
        boot_id=message.boot_id,
        journal_id=JournalId(message.journal_id),
        last_seq=message.last_seq,
        acked_seq=message.acked_seq,
        agent_version=message.agent_version,
        capabilities=tuple(message.capabilities),
        target_epochs={GroupId(epoch.deployment_group_id): epoch.target_epoch for epoch in message.target_epochs},
        tags=dict(message.tags),
        facts=dict(message.facts),
        holdings=tuple(
            Holding(
                group_id=GroupId(holding.deployment_group_id),
                installed=RevisionId(holding.installed_revision_id),
                deployed=RevisionId(holding.deployed_revision_id),
            )
            for holding in message.holdings
        ),
    )


def reports(message: pb.Reports) -> tuple[Report, ...]:
    """Read reports. Statuses that this coordinator does not know raise Invalid: the agent speaks a newer contract."""
    seq = message.first_seq
    read: list[Report] = []
    instruction_id = InstructionId("")
    try:
        for one in message.reports:
            if one.instruction_id:
                instruction_id = InstructionId(one.instruction_id)
            said = (
                seq,
                instruction_id,
                _EVENTS[one.lifecycle_event],
                _STATUSES[one.status],
                one.time_unix_ms,
                _INSTRUCTION_STATUSES[one.instruction_status],
                _diagnostics(one.diagnostics) if one.HasField("diagnostics") else None,
            )
            read.append(Report._make(said))
            seq += 1
    except IndexError:
        raise Invalid("cannot read a report: it has a status or lifecycle event that this coordinator does not know") from None
    return tuple(read)


def _diagnostics(message: resources.Diagnostics) -> Diagnostics:
    return Diagnostics(
        error_code=LifecycleErrorCode(message.error_code or LifecycleErrorCode.UnknownError),
        script_name=message.script_name[:1024],
        message=message.message[:4096],
        log_tail=message.log_tail[-2048:],
    )


def revision_location(revision: Revision) -> resources.RevisionLocation:
    """Where a revision's bundle lies, for an agent or an operator."""
    location = resources.RevisionLocation(bundle_type=resources.BundleType.ValueType(revision.bundle_type), sha256=revision.sha256)
    match revision.place:
        case CoordinatorLocation(size=size):
            location.coordinator.size = size
        case S3Location() as s3:
            location.s3.bucket, location.s3.key, location.s3.version, location.s3.e_tag = s3.bucket, s3.key, s3.version, s3.e_tag
        case GitHubLocation() as github:
            location.github.repository, location.github.commit_id = github.repository, github.commit_id
        case HttpLocation(url=url):
            location.http.url = url
        case FileLocation(path=path):
            location.file.path = path
    return location


def instruction_common(plan: Plan) -> bytes:
    """What an instruction says to every host of a deployment, for `instruction_frame`."""
    message = pb.Instruction(
        deployment_id=plan.deployment_id,
        deployment_group_id=plan.group_id,
        deployment_group_name=plan.group_name,
        application_name=plan.application_name,
        revision_id=plan.revision.revision_id,
        location=revision_location(plan.revision),
        file_exists_behavior=resources.FileExistsBehavior.ValueType(plan.file_exists_behavior),
        creator=resources.DeploymentCreator.ValueType(plan.creator),
    )
    for event in plan.lifecycle_events:
        planned = message.lifecycle_events.add(lifecycle_event=resources.LifecycleEvent.ValueType(event))
        planned.timeout.FromMilliseconds(plan.event_timeout)
    return message.SerializeToString(deterministic=True)


def instruction_frame(instruction: Instruction, common: bytes) -> bytes:
    """Say an instruction: the same one always makes the same bytes and so the same digest."""
    own = pb.Instruction(instruction_id=instruction.instruction_id, target_epoch=instruction.target_epoch)
    body = own.SerializeToString(deterministic=True) + common
    digest = pb.Instruction(digest=hashlib.sha256(body).digest()).SerializeToString()
    return _frame(pb.CoordinatorMessage.INSTRUCTION_FIELD_NUMBER, body + digest)


def cancel_frame(cancel: Cancel) -> bytes:
    """Say a Cancel."""
    message = pb.Cancel(
        instruction_id=cancel.instruction_id,
        target_epoch=cancel.target_epoch,
        deployment_group_id=cancel.group_id,
        reason=cancel.reason,
    )
    return pb.CoordinatorMessage(cancel=message).SerializeToString()


def acknowledgement_frame(acked_seq: int) -> bytes:
    """Say that reports are committed."""
    return pb.CoordinatorMessage(acknowledgement=pb.Acknowledgement(acked_seq=acked_seq)).SerializeToString()


def heartbeat_ack_frame(interval: int) -> bytes:
    """Answer a heartbeat; `interval` in milliseconds."""
    message = pb.CoordinatorMessage()
    message.heartbeat_ack.heartbeat_interval.FromMilliseconds(interval)
    return message.SerializeToString()


def drain_frame(retry_after: int, reason: str) -> bytes:
    """Ask an agent to come back after some milliseconds."""
    message = pb.CoordinatorMessage(drain=pb.Drain(reason=reason))
    message.drain.retry_after.FromMilliseconds(retry_after)
    return message.SerializeToString()


def welcome_frame(session: Session, *, idle: int, busy: int, spread: int, bundle_address: str) -> bytes:
    """Accept a stream; times in milliseconds."""
    message = pb.CoordinatorMessage()
    welcome = message.welcome
    welcome.session_epoch = session.session_epoch
    welcome.acked_seq = session.acked_seq
    welcome.heartbeat_interval.FromMilliseconds(idle)
    welcome.busy_heartbeat_interval.FromMilliseconds(busy)
    welcome.reconnect_spread.FromMilliseconds(spread)
    welcome.bundle_address = bundle_address
    welcome.limits.message_bytes = MESSAGE_BYTES
    welcome.limits.diagnostics_bytes = DIAGNOSTICS_BYTES
    welcome.limits.log_bytes_per_second = LOG_BYTES_PER_SECOND
    return message.SerializeToString()


def _frame(field: int, body: bytes) -> bytes:
    """A CoordinatorMessage whose one field is `body`: tag, length, bytes."""
    return bytes((field << 3 | 2, *_varint(len(body)))) + body


def _varint(number: int) -> Sequence[int]:
    digits: list[int] = []
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return digits
