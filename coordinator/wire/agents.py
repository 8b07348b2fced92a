"""Protobuf and core, both ways, for the agents' stream.

Whatever an agent says is bounded here, once: numbers that the store cannot hold, texts without end and words that nobody knows are
refused with a sentence or cut, so that no agent can make the coordinator stumble over what it stores.

What goes to agents is made as bytes: an instruction differs between ten thousand hosts in a few fields only, so the common part
is serialised once, and the rest appended (in protobuf's encoding, concatenation is merging).
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from coordinator.core.errors import Invalid
from coordinator.core.facts import Fence, Hello, Holding, Report
from coordinator.core.lifecycle import EventStatus, InstructionStatus, LifecycleErrorCode, LifecycleEvent
from coordinator.core.model import (
    CoordinatorLocation,
    DeploymentId,
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
    Signature,
)
from coordinator.core.orders import Cancel, Instruction
from coordinator.core.tags import TAG_KEY_LENGTH, TAG_VALUE_LENGTH, TAGS_AT_MOST
from coordinator.wire.scrub import scrubbed
from hookline.v1 import agent_pb2 as pb
from hookline.v1 import resources_pb2 as resources

MESSAGE_BYTES: Final = 1 << 20
DIAGNOSTICS_BYTES: Final = 8 << 10
LOG_BYTES_PER_SECOND: Final = 256 << 10

GROUPS_AT_MOST: Final = 1_000
"""Deployment groups that one host may know of."""

WORDS_AT_MOST: Final = 64
"""Facts, and capabilities, that one agent may tell of itself."""

ID_LENGTH: Final = 64
"""Characters of a boot id, a journal's, a group's or a revision's: ours have 16 to 36."""

TEXT_LENGTH: Final = 256
"""Characters of a version, a capability, a fact."""

NUMBER_AT_MOST: Final = 1 << 62
"""Report numbers and epochs end here: the store's integers have 63 bits, and what is counted on from here must fit too."""

LATEST: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, past which no time can be written down."""

_HOST_ID: Final = re.compile(r"[0-9a-f]{32}")
_NAME: Final = re.compile(r"[A-Za-z0-9._+=,@-]{1,100}")
_EVENTS: Final[dict[int, LifecycleEvent | None]] = {0: None, **{int(event): event for event in LifecycleEvent}}
_OF_AN_EVENT: Final = {int(status): status for status in (EventStatus.InProgress, EventStatus.Succeeded, EventStatus.Failed)}
"""What may be reported of a lifecycle event."""
_INSTRUCTION_STATUSES: Final = {int(status): status for status in InstructionStatus}
_ERROR_CODES: Final = {int(code): code for code in LifecycleErrorCode}


def hello(message: pb.Hello, *, stream: int, at: int, elapsed: int) -> Hello:
    """Read an agent's Hello. Raises Invalid with a sentence for the agent."""
    if not _HOST_ID.fullmatch(message.host_id):
        raise Invalid("cannot accept the agent: its host_id is not 32 lower-case hexadecimal digits", field="host_id")
    if not _NAME.fullmatch(message.name):
        raise Invalid(
            f"cannot accept host {message.name[:120]!r}: a name has 1 to 100 characters of A-Z a-z 0-9 . _ + = , @ -", field="name"
        )
    if not message.journal_id:
        raise Invalid("cannot accept the agent: its journal_id is empty", field="journal_id")
    _check_bounds(message)
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
        fences={
            GroupId(epoch.deployment_group_id): Fence(epoch.target_epoch, DeploymentId(epoch.deployment_id))
            for epoch in message.target_epochs
        },
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


def _check_bounds(message: pb.Hello) -> None:
    """Raise Invalid when there is more of something than can be kept."""
    name, epochs, holdings = message.name, message.target_epochs, message.holdings
    for field, many, most in (
        ("tags", len(message.tags), TAGS_AT_MOST),
        ("facts", len(message.facts), WORDS_AT_MOST),
        ("capabilities", len(message.capabilities), WORDS_AT_MOST),
        ("target_epochs", len(epochs), GROUPS_AT_MOST),
        ("holdings", len(holdings), GROUPS_AT_MOST),
    ):
        if many > most:
            raise Invalid(f"cannot accept host {name}: it declares {many} {field}, at most {most} are kept", field=field)
    ids = {message.boot_id, message.journal_id, *(epoch.deployment_group_id for epoch in epochs)}
    ids.update(*((one.deployment_group_id, one.installed_revision_id, one.deployed_revision_id) for one in holdings))
    texts = {message.agent_version, *message.capabilities, *message.facts, *message.facts.values()}
    for kind, length in ((ids, ID_LENGTH), (texts, TEXT_LENGTH), (message.tags, TAG_KEY_LENGTH), (message.tags.values(), TAG_VALUE_LENGTH)):
        for text in kind:
            if len(text) > length:
                raise Invalid(f"cannot accept host {name}: {text[:40]!r} goes on for {len(text)} characters, at most {length} are kept")
    if max(message.last_seq, message.acked_seq, *(epoch.target_epoch for epoch in epochs)) > NUMBER_AT_MOST:
        raise Invalid(f"cannot accept host {name}: its journal counts past {NUMBER_AT_MOST}, which nobody can have reached")


def reports(message: pb.Reports) -> tuple[Report, ...]:
    """Read reports. Raises Invalid for statuses that nobody knows, or that cannot be reported: the agent speaks another contract."""
    seq = message.first_seq
    if not 0 < seq <= NUMBER_AT_MOST:
        raise Invalid(f"cannot read reports from number {seq} on: they count from 1, and nobody can have reached {NUMBER_AT_MOST}")
    read: list[Report] = []
    instruction_id = InstructionId("")
    try:
        for one in message.reports:
            if one.instruction_id:
                instruction_id = InstructionId(one.instruction_id)
            event, time = _EVENTS[one.lifecycle_event], one.time_unix_ms
            said = (
                seq,
                instruction_id,
                event,
                EventStatus.Pending if event is None else _OF_AN_EVENT[one.status],
                time if 0 <= time <= LATEST else min(max(time, 0), LATEST),
                _INSTRUCTION_STATUSES[one.instruction_status],
                _diagnostics(one.diagnostics) if one.HasField("diagnostics") else None,
            )
            read.append(Report._make(said))
            seq += 1
    except KeyError:
        raise Invalid("cannot read a report: it has a status or lifecycle event that this coordinator does not know") from None
    return tuple(read)


def _diagnostics(message: resources.Diagnostics) -> Diagnostics:
    return Diagnostics(
        error_code=_ERROR_CODES.get(message.error_code, LifecycleErrorCode.UnknownError),
        script_name=scrubbed(message.script_name[:1024]),
        message=scrubbed(message.message[:4096]),
        log_tail=scrubbed(message.log_tail[-2048:]),
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


def _signature(of: Signature) -> resources.Signature:
    return resources.Signature(statement=of.statement.encode(), signature=of.signature.encode())


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
        signature=None if plan.revision.signature is None else _signature(plan.revision.signature),
        ignore_application_stop_failures=plan.ignore_application_stop_failures,
    )
    listed = message.restart_events if plan.restarts else message.lifecycle_events
    for event in plan.lifecycle_events:
        planned = listed.add(lifecycle_event=resources.LifecycleEvent.ValueType(event))
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
