"""What a host's reports say of its target, and what its host must be told.

Statuses only move forward: of two reports about one lifecycle event the later status is right, and an earlier event than the last
one reported is old news. So duplicates and late arrivals need no thought.

Knows one target, its plan, and what its group knows of its host: no other host.
"""

from typing import NamedTuple

from coordinator.core.deployment.deadlines import allowance
from coordinator.core.facts import Report
from coordinator.core.lifecycle import (
    OLD_REVISION_EVENTS,
    EventStatus,
    InstructionStatus,
    LifecycleErrorCode,
    LifecycleEvent,
    TargetStatus,
)
from coordinator.core.model import Diagnostics, InstructionId, Member, Plan, Target
from coordinator.core.orders import Cancel, Changes, EventChange, HoldingChange, Instruction

IN_PROGRESS = EventStatus.InProgress
SUCCEEDED = EventStatus.Succeeded
FAILED = EventStatus.Failed
INSTALL = LifecycleEvent.Install

_change = tuple.__new__
"""Makes an EventChange at half the price."""


class Ending(NamedTuple):
    """How a target ends, and what said so."""

    status: TargetStatus
    because: str
    message: str = ""
    """For the target's row: why, where no lifecycle event says it."""
    told: str = ""
    """For the history, where the row needs no message."""
    revoked: bool = False
    """The agent may still find the instruction and should be told not to begin it."""


def instruction_id(target: Target) -> InstructionId:
    """Derived, so that a coordinator that forgot makes the same one: deployment, host, segment, attempt."""
    return InstructionId(f"{target.deployment_id}/{target.host_id}/0/{target.attempt}")


def instruction(plan: Plan, target: Target) -> Instruction:
    """What the host is to do."""
    return Instruction(instruction_id(target), target.host_id, target.target_epoch, plan)


def cancel(plan: Plan, target: Target) -> Cancel:
    """The stored Cancel of a target."""
    return Cancel(instruction_id(target), target.host_id, target.target_epoch, plan.group_id, target.cancelled)


def record(plan: Plan, target: Target, member: Member, reports: tuple[Report, ...], changes: Changes) -> Ending | None:
    """Write down what the host reports; return how the target ends by it, if it does.

    Of a target that has ended already, and of other attempts, only the lifecycle events are written down. Events that the deployment does
    not have are passed over: one that comes after its last would hide that one. A rollout brings 14 reports a host: everything that is not
    needed for each of them stands outside the loop.
    """
    mine, planned = instruction_id(target), plan.lifecycle_events
    last = planned[-1]
    ending: Ending | None = None
    known = False
    events, attempt = changes.events, target.attempt
    reached, progress = target.event or 0, target.event_status
    for seq, about, event, status, time, whole, diagnostics in reports:
        if about != mine:  # of an earlier attempt, or of a later one that the history has forgotten
            changes.late.append((target.host_id, Report(seq, about, event, status, time, whole, diagnostics)))
            continue
        known = True
        if event is None:
            ending = ending or _ending_of_whole(target, seq, whole, diagnostics, begun=reached > 0)
            continue
        if event <= reached and (event < reached or status <= progress) or event not in planned:
            continue
        target.event = reached = event
        progress = status
        key = (target, event, attempt)
        if target.message and target.status is TargetStatus.InProgress:
            target.message = ""  # it waited, and goes on
        if status is IN_PROGRESS:
            events[key] = _change(EventChange, (status, time, None, seq, None))
            continue
        before = events.get(key)
        events[key] = _change(EventChange, (status, before and before.started_at, time, seq, diagnostics))
        if status is FAILED and not ignored(plan, event):
            ending = ending or Ending(TargetStatus.Failed, f"report {seq}", told=_why(event, diagnostics))
        elif status is SUCCEEDED and (event is last or event is INSTALL):
            if event is last:
                ending = ending or Ending(TargetStatus.Succeeded, f"report {seq}")
            if target.status is TargetStatus.InProgress and not plan.restarts:
                _hold(plan, member, changes, deployed=event is last)
    target.event_status = progress
    return _noted(target, ending, known=known)


def ignored(plan: Plan, event: LifecycleEvent) -> bool:
    """Whether a host goes on after the failure of an event, by what its instruction said."""
    return plan.ignore_application_stop_failures and event in OLD_REVISION_EVENTS and event is not plan.lifecycle_events[-1]


def interrupted(target: Target, at: int, changes: Changes) -> Ending:
    """The host's journal is lost: what it was doing can no longer be known."""
    message = f"INTERRUPTED (journal lost): the agent on {target.host_name} came back with another journal"
    if target.event is not None and target.event_status is IN_PROGRESS:
        key = (target, target.event, target.attempt)
        before = changes.events.get(key)
        diagnostics = Diagnostics(error_code=LifecycleErrorCode.Interrupted, message=message)
        changes.events[key] = EventChange(FAILED, None if before is None else before.started_at, at, 0, diagnostics)
        target.event_status = FAILED
    return Ending(TargetStatus.Failed, "journal lost", message)


def silent(plan: Plan, target: Target) -> Ending:
    """The agent has not said in time what it had to say next. Unless it never answered, nobody knows how far its host came."""
    agent, within = f"AGENT_ISSUE: the agent on {target.host_name}", f"within {allowance(plan, target) // 60_000} minutes"
    if not target.accepted:
        return Ending(TargetStatus.Failed, "start deadline", f"{agent} did not accept its instruction {within}", revoked=True)
    if target.event_status is IN_PROGRESS and target.event is not None:
        because, what = "event deadline", f"did not say {within} how {target.event.name} ended"
    elif target.cancelled:
        because, what = "cancel deadline", f"did not answer its Cancel {within}"
    else:
        because, what = "event deadline", f"did not begin its next lifecycle event {within}"
    message = f"{agent} {what}, so nobody knows how far it came; it is alive but stuck: restart it"
    return Ending(TargetStatus.Unknown, because, message, revoked=True)


def given_up(target: Target, because: str) -> Ending:
    """The host is lost: it may have finished, failed, or never begun."""
    return Ending(TargetStatus.Unknown, because, f"{target.host_name} was lost: nobody knows how far it came")


def _noted(target: Target, ending: Ending | None, *, known: bool) -> Ending | None:
    """What the reports say of the target itself, now that all are read."""
    if not known or target.status is not TargetStatus.InProgress:
        return None
    target.accepted = True
    return ending


def _ending_of_whole(target: Target, seq: int, whole: InstructionStatus, diagnostics: Diagnostics | None, *, begun: bool) -> Ending | None:
    """A report about the whole instruction: the host waits, refuses, or has stopped."""
    said = "" if diagnostics is None else diagnostics.message
    match whole:
        case InstructionStatus.Event:
            return None
        case InstructionStatus.Waiting:
            if target.status is TargetStatus.InProgress:
                target.message = said or f"{target.host_name} waits for its turn"
            return None
        case InstructionStatus.Refused | InstructionStatus.Cancelled:
            status, message = _cut_short(target, said, refused=whole is InstructionStatus.Refused, begun=begun)
            return Ending(status, f"report {seq}", message)


def _cut_short(target: Target, said: str, *, refused: bool, begun: bool) -> tuple[TargetStatus, str]:
    """The host does not go on: Skipped if it was told so before anything began, else Failed."""
    why = target.cancelled or said or "the agent did not say why"
    if target.cancelled and not begun:
        return TargetStatus.Skipped, f"{target.host_name} was stopped before its first event: {why}"
    if refused:
        return TargetStatus.Failed, f"{target.host_name} refused the instruction: {said or why}"
    return TargetStatus.Failed, f"{target.host_name} was stopped before its last event: {why}"


def _hold(plan: Plan, member: Member, changes: Changes, *, deployed: bool) -> None:
    member.installed = plan.revision.revision_id
    if deployed:
        member.deployed = plan.revision.revision_id
    changes.holdings[plan.group_id, member.host_id] = HoldingChange(member.installed, member.deployed or None)


def _why(event: LifecycleEvent, diagnostics: Diagnostics | None) -> str:
    said = "" if diagnostics is None else diagnostics.message
    return f"{event.name} failed: {said}" if said else f"{event.name} failed"
