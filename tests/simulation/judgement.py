"""The judgement at the end of a world, when everybody is well and nothing moves any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.model import EventStatus as Told
from agent.model import InstructionId
from agent.model import LifecycleEvent as AgentEvent
from coordinator.core.deployment import target as targets
from coordinator.core.lifecycle import DeploymentStatus, EventStatus, LifecycleErrorCode, LifecycleEvent, TargetStatus
from coordinator.core.model import DeploymentId, GroupId, HostId, HostStatus
from coordinator.core.orders import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.host import Host
    from tests.simulation.world import World

STATUSES = {Told.IN_PROGRESS: EventStatus.InProgress, Told.SUCCEEDED: EventStatus.Succeeded, Told.FAILED: EventStatus.Failed}
REFUSED = "ended before under another digest"
"""What a host says of an instruction that it has carried out in a history that is forgotten."""

ENDINGS = {Entry.Succeeded, Entry.Failed, Entry.Stopped}


def restless(world: World) -> str:
    """Why the world has not come to rest; empty when it has."""
    for deployment in world.store.deployments.values():
        if not deployment.status.terminal:
            busy = [f"{one.host_name} {one.status.name}" for one in deployment.targets.values() if not one.status.terminal]
            return f"{deployment.deployment_id} is {deployment.status.name}: {', '.join(busy)}"
    for host in world.hosts:
        session = world.store.hosts.get(HostId(host.host_id))
        if session is None or session.status is not HostStatus.Connected:
            return f"{host.name} is not connected"
        if host.agent is None or host.stuck or host.agent.machine.busy or host.agent.agent.outbox is None or host.supervisors.running:
            return f"{host.name} is busy"
    return ""


def judge(world: World) -> None:
    """Hold the world to its promises."""
    accuse = world.witness.accuse
    for what in _lost_calls(world):
        accuse("P2", what)
    for host in world.hosts:
        for what in _lost_results(world, host):
            accuse("P2", what)
        for what in _different_knowledge(world, host):
            accuse("P8", what)
    for what in _lies(world):
        accuse("P3", what)
    for what in _gaps(world):
        accuse("P6", what)
    for what in _left_in_place(world):
        accuse("P8", what)


def _lost_calls(world: World) -> Iterator[str]:
    operators, deployments = world.operators, world.store.deployments
    for deployment_id in operators.created:
        if deployment_id not in deployments:
            yield f"the creation of {deployment_id} was acknowledged and is not in the store"
    for deployment_id in operators.stopped:
        known = deployments.get(deployment_id)
        taken_off = known is not None and known.turn_at is None and known.due_at is not None and known.error is not None
        if known is not None and known.stopping is None and known.watched_from is None and not taken_off:
            yield f"the stop of {deployment_id} was acknowledged and is not in the store"
    for deployment_id in operators.refused:
        if deployment_id in deployments:
            yield f"{deployment_id} was refused and is in the store"


def _lost_results(world: World, host: Host) -> Iterator[str]:
    """Results on the host's disk that the store does not have."""
    host_id = HostId(host.host_id)
    for (instruction_id, event), status in host.told.items():
        if instruction_id in host.doubtful:
            continue
        deployment_id = DeploymentId(instruction_id.partition("/")[0])
        deployment = world.store.deployments.get(deployment_id)
        if deployment is None or host_id not in deployment.targets:
            if not world.coordinator.restores:
                yield f"{host.name} carries out {instruction_id}, of which the store knows nothing"
            continue
        if world.coordinator.restores and REFUSED in deployment.targets[host_id].message:
            continue  # it belongs to a rollback that was forgotten and made anew, under the same id and a higher fence
        stored = world.store.events.get((deployment_id, host_id, LifecycleEvent[event.value], int(instruction_id.rpartition("/")[2])))
        if stored is None or stored.status is not STATUSES[status]:
            is_stored = "not" if stored is None else f"as {stored.status.name}"
            yield f"{event} of {instruction_id} is {status} on {host.name}'s disk and {is_stored} in the store"


def _different_knowledge(world: World, host: Host) -> Iterator[str]:
    """What the host holds, and what the coordinator believes it holds."""
    assert host.agent is not None
    if host.forgot:
        return  # the coordinator still shows what the host held as far as anybody has ever known
    for group_id, holding in host.agent.machine.standing.holdings:
        stored = world.store.holdings.get((GroupId(group_id), HostId(host.host_id)))
        held = ("" if holding.installed is None else holding.installed.revision_id, holding.deployed or "")
        known = ("", "") if stored is None else (stored.installed or "", stored.deployed or "")
        if held != known:
            yield f"{host.name} holds {held} of {group_id}, the store says {known}"


def _lies(world: World) -> Iterator[str]:
    """Outcomes in the store that are not what has happened."""
    witness = world.witness
    doubtful = {instruction_id for host in world.hosts for instruction_id in host.doubtful}
    for (deployment_id, host_id, event, attempt), stored in world.store.events.items():
        step = InstructionId(f"{deployment_id}/{host_id}/0/{attempt}"), AgentEvent(event.name)
        if step[0] in doubtful:
            continue
        truth = _truth(world, step)
        code = None if stored.diagnostics is None else stored.diagnostics.error_code
        if stored.status is EventStatus.Succeeded and (truth is False or step in witness.interrupted):
            yield f"{event.name} of {step[0]} is told to be well and was not"
        if stored.status is EventStatus.Succeeded and truth is None and step in witness.started:
            yield f"{event.name} of {step[0]} is told to be well and has not ended"
        if stored.status is EventStatus.Failed and code is not LifecycleErrorCode.Interrupted and truth is not False:
            yield f"{event.name} of {step[0]} is told to have failed and has not"
        if (
            stored.status is EventStatus.Failed
            and code is LifecycleErrorCode.Interrupted
            and not _could_be_interrupted(world, host_id, step)
        ):
            yield f"{event.name} of {step[0]} is told to be interrupted, and nothing has interrupted it"
    for deployment in world.store.deployments.values():
        for target in deployment.targets.values():
            doubted = f"{deployment.deployment_id}/{target.host_id}/0/{target.attempt}" in doubtful
            if target.status is TargetStatus.Succeeded and not doubted:
                for event in deployment.plan.lifecycle_events:
                    done = world.store.events.get((deployment.deployment_id, target.host_id, event, target.attempt))
                    ignored = targets.ignored(deployment.plan, event) and done is not None and done.status is EventStatus.Failed
                    if not ignored and (done is None or done.status is not EventStatus.Succeeded):
                        yield f"{target.host_name} of {deployment.deployment_id} has Succeeded without {event.name}"


def _could_be_interrupted(world: World, host_id: HostId, step: tuple[InstructionId, AgentEvent]) -> bool:
    host = next(one for one in world.hosts if one.host_id == host_id)
    return step in world.witness.interrupted or step in world.witness.left_open or host.forgot


def _truth(world: World, step: tuple[InstructionId, AgentEvent]) -> bool | None:
    """How an event really ended, with what closes it; None: it has not."""
    ended = world.witness.ended.get(step)
    return ended and world.witness.closed.get(step, True)


def _gaps(world: World) -> Iterator[str]:
    """Deployments of which the history does not tell the whole way."""
    told: dict[DeploymentId | None, list[Entry]] = {}
    for entry in world.store.history:
        if entry.host_id is None:
            told.setdefault(entry.deployment_id, []).append(entry.entry)
    for deployment in world.store.deployments.values():
        way = told.get(deployment.deployment_id, [])
        ends = [entry for entry in way if entry in ENDINGS]
        then = Entry.ApprovalAwaited if deployment.plan.require_approval else Entry.Queued
        if way[:2] != [Entry.Created, then] or ends != [Entry(deployment.status.name)]:
            yield f"the history of {deployment.deployment_id} says {', '.join(way)}; it is {deployment.status.name}"
        if deployment.rollback_deployment_id is not None and deployment.rollback_deployment_id not in world.store.deployments:
            yield f"{deployment.rollback_deployment_id} rolls back {deployment.deployment_id} and is not in the store"


def _left_in_place(world: World) -> Iterator[str]:
    """What has regressed after its success, and was neither rolled back nor told why not."""
    for deployment in world.store.deployments.values():
        regressed = deployment.status is DeploymentStatus.Succeeded and deployment.stopping is not None
        if regressed and not deployment.rollback_message:
            yield f"{deployment.deployment_id} has regressed and was not taken back"
