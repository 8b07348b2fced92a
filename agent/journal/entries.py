"""Journal entries as text and back: one JSON array for each, its kind first.

Knows the shape of every entry and nothing of files. Words that a later version adds have to be optional here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, assert_never

from agent.facts import Accepted, Acked, EndAsked, Entry, Fenced, Held, Judged, Numbered, Repeated, Reported, Started
from agent.model import (
    BundleType,
    DeploymentId,
    Diagnostics,
    ErrorCode,
    EventPlan,
    EventStatus,
    Fence,
    FileExistsBehavior,
    GroupId,
    Holding,
    Installed,
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

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Any: what comes out of JSON has no type until it has been read, here and nowhere else.
Plain = list[Any]

_STATUSES: dict[str, EventStatus | InstructionStatus] = {
    status.value: status for kind in (EventStatus, InstructionStatus) for status in kind
}


def to_text(entries: Iterable[Entry]) -> bytes:
    """Entries that are written in one go."""
    return json.dumps([_plain(entry) for entry in entries], separators=(",", ":")).encode()


def from_text(text: bytes) -> Sequence[Entry]:
    """The entries of one writing. Raises ValueError, KeyError, TypeError or IndexError for what this version cannot read."""
    return [_entry(plain) for plain in json.loads(text)]


def _plain(entry: Entry) -> Plain:
    match entry:
        case Reported():
            report = entry.report
            plain = ["reported", entry.seq, report.instruction_id, report.at, report.status, report.event]
            return [*plain, _plain_diagnostics(report.diagnostics), entry.group_id, entry.target_epoch]
        case Accepted():
            return ["accepted", _plain_instruction(entry.instruction)]
        case Started():
            return ["started", entry.instruction_id, _plain_installed(entry.serving)]
        case Repeated():
            return ["repeated", entry.instruction_id, entry.attempt]
        case Judged():
            return ["judged", entry.instruction_id, _plain_diagnostics(entry.diagnostics)]
        case EndAsked():
            return ["end asked", entry.instruction_id, entry.status, entry.reason]
        case Acked():
            return ["acked", entry.seq]
        case Numbered():
            return ["numbered", entry.last_seq]
        case Fenced():
            return ["fenced", entry.group_id, entry.fence.target_epoch, entry.fence.deployment_id]
        case Held():
            holding = entry.holding
            before = [] if holding.before is None else [holding.before]
            return ["held", entry.group_id, _plain_installed(holding.installed), holding.deployed, *before]
        case _:
            assert_never(entry)


def _entry(plain: Plain) -> Entry:
    match plain[0]:
        case "reported":
            return _reported(plain)
        case "accepted":
            return Accepted(_instruction(plain[1]))
        case "started":
            return Started(InstructionId(plain[1]), _installed(plain[2]))
        case "repeated":
            return Repeated(InstructionId(plain[1]), plain[2])
        case "judged":
            return Judged(InstructionId(plain[1]), None if plain[2] is None else _diagnostics(plain[2]))
        case "end asked":
            return EndAsked(InstructionId(plain[1]), InstructionStatus(plain[2]), plain[3])
        case "acked":
            return Acked(plain[1])
        case "numbered":
            return Numbered(plain[1])
        case "fenced":
            return Fenced(GroupId(plain[1]), Fence(target_epoch=plain[2], deployment_id=DeploymentId(plain[3])))
        case "held":
            deployed, *before = (None if each is None else RevisionId(each) for each in plain[3:])
            return Held(GroupId(plain[1]), Holding(installed=_installed(plain[2]), deployed=deployed, before=next(iter(before), None)))
        case unknown:
            raise ValueError(f"an entry of the kind {unknown!r}")


def _reported(plain: Plain) -> Reported:
    _, seq, instruction_id, at, status, event, diagnostics, group_id, target_epoch = plain
    report = Report(
        instruction_id=InstructionId(instruction_id),
        at=at,
        status=_STATUSES[status],
        event=None if event is None else LifecycleEvent(event),
        diagnostics=None if diagnostics is None else _diagnostics(diagnostics),
    )
    return Reported(seq, report, None if group_id is None else GroupId(group_id), target_epoch)


def _plain_diagnostics(diagnostics: Diagnostics | None) -> Plain | None:
    if diagnostics is None:
        return None
    return [diagnostics.error_code, diagnostics.message, diagnostics.script_name, diagnostics.log_tail]


def _diagnostics(plain: Plain) -> Diagnostics:
    code = None if plain[0] is None else ErrorCode(plain[0])
    return Diagnostics(error_code=code, message=plain[1], script_name=plain[2], log_tail=plain[3])


def _plain_installed(installed: Installed | None) -> Plain | None:
    return None if installed is None else [installed.revision_id, installed.deployment_id]


def _installed(plain: Plain | None) -> Installed | None:
    return None if plain is None else Installed(revision_id=RevisionId(plain[0]), deployment_id=DeploymentId(plain[1]))


def _plain_instruction(instruction: Instruction) -> dict[str, object]:
    location = instruction.location
    return {
        "instruction_id": instruction.instruction_id,
        "digest": instruction.digest,
        "target_epoch": instruction.target_epoch,
        "deployment_id": instruction.deployment_id,
        "group_id": instruction.group_id,
        "group_name": instruction.group_name,
        "application_name": instruction.application_name,
        "revision_id": instruction.revision_id,
        "location": [location.place, location.words, location.bundle_type, location.sha256],
        "events": [[plan.event, plan.timeout_seconds] for plan in instruction.events],
        "file_exists_behavior": instruction.file_exists_behavior,
        "creator": instruction.creator,
        **({"appspec_name": instruction.appspec_name} if instruction.appspec_name else {}),
        **({} if instruction.signature is None else {"signature": _plain_signature(instruction.signature)}),
        **({"ignore_application_stop_failures": True} if instruction.ignore_application_stop_failures else {}),
        **({"restart": True} if instruction.restart else {}),
    }


def _instruction(plain: dict[str, Any]) -> Instruction:
    place, words, bundle_type, sha256 = plain["location"]
    return Instruction(
        instruction_id=InstructionId(plain["instruction_id"]),
        digest=plain["digest"],
        target_epoch=plain["target_epoch"],
        deployment_id=DeploymentId(plain["deployment_id"]),
        group_id=GroupId(plain["group_id"]),
        group_name=plain["group_name"],
        application_name=plain["application_name"],
        revision_id=RevisionId(plain["revision_id"]),
        location=Location(
            place=Place(place),
            words=tuple((name, word) for name, word in words),
            bundle_type=BundleType(bundle_type),
            sha256=sha256,
        ),
        events=tuple(EventPlan(event=LifecycleEvent(event), timeout_seconds=seconds) for event, seconds in plain["events"]),
        file_exists_behavior=FileExistsBehavior(plain["file_exists_behavior"]),
        creator=plain["creator"],
        appspec_name=plain.get("appspec_name", ""),
        signature=_signature(plain["signature"]) if "signature" in plain else None,
        ignore_application_stop_failures=plain.get("ignore_application_stop_failures", False),
        restart=plain.get("restart", False),
    )


def _plain_signature(signature: Signature) -> Plain:
    return [signature.statement.decode("latin-1"), signature.signature.decode("latin-1")]


def _signature(plain: Plain) -> Signature:
    return Signature(plain[0].encode("latin-1"), plain[1].encode("latin-1"))
