"""The store that survives crashes: it is slow, it fails, it is restored from older copies, and it watches every commit.

What is not committed is lost, because engines are given copies. The rules that a commit may not break are checked against the rows
themselves, without asking the code that made them.
"""

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from coordinator.core.deployment.newcomers import is_newcomer
from coordinator.core.hosts import FORGOTTEN
from coordinator.core.lifecycle import DeploymentStatus, EventStatus, TargetStatus
from coordinator.core.model import (
    Deployment,
    DeploymentId,
    Group,
    GroupId,
    HostId,
    HostStatus,
    InstanceHealth,
    Member,
    Session,
    Success,
    Target,
)
from coordinator.core.orders import Changes, Entry, EventChange, HistoryEntry, HoldingChange
from tests.simulation.waits import Waits
from tests.simulation.witness import Witness
from tests.store.memory import EventKey, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.core.errors import DeployError


@dataclass(frozen=True)
class Copy:
    """What the store held at some moment; nothing in it is shared with anybody."""

    deployments: dict[DeploymentId, Deployment]
    events: dict[EventKey, EventChange]
    members: dict[tuple[GroupId, HostId], Member]
    holdings: dict[tuple[GroupId, HostId], HoldingChange]
    hosts: dict[HostId, Session]
    requests: dict[tuple[str, str, str], tuple[bytes, str]]
    history: list[HistoryEntry]
    last_successful: dict[GroupId, Success | None]
    watched: dict[GroupId, DeploymentId | None]


class SimulatedStore(MemoryStore):
    """A MemoryStore with a disk's manners."""

    def __init__(self, chance: random.Random, witness: Witness) -> None:
        """Empty and well."""
        super().__init__()
        self.interrupt = self._interrupt
        self.trouble: DeployError | None = None
        """What every use of it raises just now."""
        self.slow = 0.002
        """Seconds that a commit takes, about."""
        self.doom: Callable[[], None] | None = None
        """Kills the coordinator in the midst of the next commit."""
        self.doomed_before = False
        """Whether that happens before the commit has reached the disk."""
        self.well: Callable[[HostId], bool] = lambda _host_id: False
        """Whether a host could hear and answer for the last minutes."""
        self.restored = False
        self.waits = Waits(self, witness)
        self._chance = chance
        self._witness = witness
        self._changes = Changes()
        self.given_up: set[HostId] = set()
        """Hosts whose agents have said nothing for too long, once at least since they got stuck."""
        self._targets: dict[tuple[DeploymentId, HostId], tuple[TargetStatus, int]] = {}
        self._statuses: dict[DeploymentId, DeploymentStatus] = {}
        self._epochs: dict[tuple[GroupId, HostId], int] = {}
        self._cursors: dict[HostId, tuple[str, int, int]] = {}
        self._events: list[tuple[EventKey, EventStatus]] = []

    def copy(self) -> Copy:
        """A copy to be restored later."""
        return Copy(
            deployments=_own(self.deployments),
            events=dict(self.events),
            members=dict(self.members),
            holdings=dict(self.holdings),
            hosts={host_id: replace(session) for host_id, session in self.hosts.items()},
            requests=dict(self.requests),
            history=list(self.history),
            last_successful=dict(self._last_successful),
            watched=dict(self._watched),
        )

    def restore(self, copy: Copy) -> None:
        """Go back; the copy can be restored again."""
        self.restored = True
        self.deployments = _own(copy.deployments)
        self.events, self.members, self.holdings = dict(copy.events), dict(copy.members), dict(copy.holdings)
        self.hosts = {host_id: replace(session) for host_id, session in copy.hosts.items()}
        self.requests, self.history = dict(copy.requests), list(copy.history)
        self._last_successful, self._watched = dict(copy.last_successful), dict(copy.watched)

    def succeeded_last(self, group_id: GroupId) -> Success | None:
        """A group's newest success."""
        return self._last_successful.get(group_id)

    def side_by_side(self, group_id: GroupId) -> bool:
        """Whether newcomers are brought up to date beside a deployment that somebody has asked for."""
        live = [one for one in self.deployments.values() if one.plan.group_id == group_id and not one.status.terminal]
        return len([one for one in live if not one.waits_for_turn]) > 1

    def late(self, group_id: GroupId) -> DeploymentId | None:
        """What is watched after its success."""
        return self._watched.get(group_id)

    def newcomers(self, group_id: GroupId, hosts: Iterable[HostId]) -> list[HostId]:
        """Those of a group's hosts that should have its last successful revision and have not."""
        last = self.succeeded_last(group_id)
        if last is None:
            return []
        known = {host_id: self._member(group_id, member) for (owner, host_id), member in self.members.items() if owner == group_id}
        return [one for one in hosts if is_newcomer(known.get(one), last.revision.revision_id)]

    def awaits(self, host_id: HostId) -> bool:
        """Whether a deployment waits for a word of a host."""
        parts = (deployment.targets.get(host_id) for deployment in self.deployments.values())
        return any(part is not None and part.status is TargetStatus.InProgress for part in parts)

    async def commit(self, changes: Changes) -> int:
        """Keep everything, or nothing."""
        self._changes = changes
        return await super().commit(changes)

    async def group(self, group_id: GroupId) -> Group:
        """A group, after a moment."""
        await asyncio.sleep(self.slow * self._chance.random())
        if self.trouble is not None:
            raise self.trouble
        return await super().group(group_id)

    async def _interrupt(self, where: str) -> None:
        await asyncio.sleep(self.slow * self._chance.random())
        if self.doom is not None and self.doomed_before is (where == "before"):
            doom, self.doom = self.doom, None
            self._witness.tell("store", f"the coordinator is killed {where} commit {self.commits}")
            doom()
            await asyncio.Event().wait()  # the one who waits for this commit is dead
        if where == "before":
            if self.trouble is not None:
                raise self.trouble
            self._look_before()
        else:
            self._look_after()

    def _look_before(self) -> None:
        changes = self._changes
        self.waits.look_before(changes)
        self._targets = {
            (stored.deployment_id, stored.host_id): (stored.status, stored.target_epoch)
            for stored in (self.deployments[one.deployment_id].targets[one.host_id] for one in changes.targets)
        }
        self._statuses = {one: self.deployments[one].status for one in changes.deployments if one in self.deployments}
        self._epochs = {key: self.members[key].target_epoch for key in changes.members if key in self.members}
        self._events = [
            (key, self.events[key].status)
            for target, event, attempt in changes.events
            if (key := (target.deployment_id, target.host_id, event, attempt)) in self.events
        ]
        self._cursors = {
            host_id: (self.hosts[host_id].journal_id, self.hosts[host_id].acked_seq, self.hosts[host_id].session_epoch)
            for host_id in (*changes.hosts, *changes.cursors)
            if host_id in self.hosts
        }

    def _look_after(self) -> None:
        self._statuses_go_forward()
        self._cursors_go_forward()
        for key, status in self._events:
            if self.events[key].status < status:
                self._witness.accuse(
                    "P6", f"{key[2].name} of {key[0]} on {key[1]} went from {status.name} to {self.events[key].status.name}"
                )
        for deployment_id in self._changes.deployments:
            self._window_is_kept(self.deployments[deployment_id])
            self._approval_is_awaited(self.deployments[deployment_id])
        self._floor_is_kept()
        self.waits.look_after(self._changes)

    def _giving_up_is_right(self, target: Target) -> None:
        """A host whose target has just ended was away, or stuck, if that is said of it."""
        host_id, of = target.host_id, f"{target.host_name} of {target.deployment_id}"
        if target.message.startswith("AGENT_ISSUE"):
            self.given_up.add(host_id)
            if not self.restored and self.well(host_id):
                self._witness.accuse("P8", f"{of} is said not to have answered, and was well all the time")
        elif target.status is TargetStatus.Unknown and self.hosts[host_id].status is not HostStatus.Lost:
            self._witness.accuse("P3", f"{of} is given up and is not lost")

    def _statuses_go_forward(self) -> None:
        accuse, changes = self._witness.accuse, self._changes
        told = {(entry.deployment_id, entry.host_id, entry.entry) for entry in changes.history}
        for (deployment_id, host_id), (status, epoch) in self._targets.items():
            now = self.deployments[deployment_id].targets[host_id]
            retried = (deployment_id, host_id, Entry.Retried) in told
            if not retried and (now.status < status or (status.terminal and now.status is not status)):
                accuse("P6", f"target {now.host_name} of {deployment_id} went from {status.name} to {now.status.name}")
            if not retried and now.target_epoch < epoch:
                accuse("P6", f"epoch of {now.host_name} in {deployment_id} went from {epoch} to {now.target_epoch}")
            pending = now.status is TargetStatus.Pending
            if now.status is not status and (deployment_id, host_id, Entry.Retried if pending else Entry(now.status.name)) not in told:
                accuse("P6", f"the history does not say that {now.host_name} of {deployment_id} is {now.status.name}")
            if now.status is not status:
                self._giving_up_is_right(now)
        for deployment_id in changes.deployments:
            before, now_is = self._statuses.get(deployment_id, DeploymentStatus.Created), self.deployments[deployment_id].status
            if now_is < before or (before.terminal and now_is is not before):
                accuse("P6", f"{deployment_id} went from {before.name} to {now_is.name}")
            if now_is is not before and (deployment_id, None, Entry(now_is.name)) not in told:
                accuse("P6", f"the history does not say that {deployment_id} is {now_is.name}")
        for key, epoch in self._epochs.items():
            if self.members[key].target_epoch < epoch:
                accuse("P6", f"epoch of {key} went from {epoch} to {self.members[key].target_epoch}")

    def _cursors_go_forward(self) -> None:
        for host_id, (journal_id, acked_seq, session_epoch) in self._cursors.items():
            now = self.hosts.get(host_id)
            if now is None:
                continue
            resumed = now.session_epoch == session_epoch
            if resumed and (now.journal_id != journal_id or now.acked_seq < acked_seq):
                self._witness.accuse("P6", f"cursor of {now.name} went from {acked_seq} to {now.acked_seq} within a session")
            if now.session_epoch < session_epoch:
                self._witness.accuse("P6", f"session epoch of {now.name} went from {session_epoch} to {now.session_epoch}")

    def _approval_is_awaited(self, deployment: Deployment) -> None:
        begun = any(one.started_at is not None for one in deployment.targets.values())
        if deployment.plan.require_approval and not deployment.approved_by and begun and not self.restored:
            self._witness.accuse("P8", f"{deployment.deployment_id} began, and nobody has approved it")

    def _window_is_kept(self, deployment: Deployment) -> None:
        members = len(deployment.members)
        window = max(1, members - deployment.plan.minimum_healthy_hosts.of(members))
        busy = sum(target.status is TargetStatus.InProgress for target in deployment.targets.values())
        if busy > window and not (self.restored and busy <= window + self._found_begun(deployment)):
            self._witness.accuse("P5", f"{busy} hosts of {deployment.deployment_id} are in progress, at most {window} may be")

    def _found_begun(self, deployment: Deployment) -> int:
        """Hosts that were begun with in a history that is forgotten: nobody can help that they are in progress."""
        found = {entry.host_id for entry in self.history if entry.because == FORGOTTEN}
        return len(found & deployment.targets.keys())

    def _floor_is_kept(self) -> None:
        """A healthy host that was begun with now must have left enough healthy hosts behind."""
        begun = {
            deployment_id: [one for one in self.deployments[deployment_id].targets.values() if one.status is TargetStatus.InProgress]
            for deployment_id in (*self._changes.created, *self._changes.begun)
        }
        for deployment_id, host_id in self._targets:
            target = self.deployments[deployment_id].targets[host_id]
            if self._targets[deployment_id, host_id][0] is TargetStatus.Pending and target.status is TargetStatus.InProgress:
                begun.setdefault(deployment_id, []).append(target)
        for deployment_id, targets in begun.items():
            deployment = self.deployments[deployment_id]
            group_id = deployment.plan.group_id
            if self.restored and self._found_begun(deployment):
                continue
            if len(deployment.members) == 1 or not any(self._serves(group_id, target.host_id) for target in targets):
                continue
            live = [one for one in self.deployments.values() if one.plan.group_id == group_id]
            left = sum(self._serves(group_id, host_id) and not any(one.is_at(host_id) for one in live) for host_id in deployment.members)
            if left < deployment.floor:
                names = ", ".join(target.host_name for target in targets)
                self._witness.accuse("P5", f"{deployment_id} began {names} and left {left} hosts healthy, {deployment.floor} must stay so")
            for index in {deployment.zone_of[one.host_id] for one in targets if deployment.zone_of and self._serves(group_id, one.host_id)}:
                self._floor_of_zone_is_kept(deployment, index)

    def _floor_of_zone_is_kept(self, deployment: Deployment, index: int) -> None:
        """The same for the hosts of one zone."""
        zone, members = deployment.zones[index], [host_id for host_id, one in deployment.zone_of.items() if one == index]
        busy = {one.host_id for one in deployment.targets.values() if one.status is TargetStatus.InProgress}
        left = sum(self._serves(deployment.plan.group_id, host_id) for host_id in members if host_id not in busy)
        if zone.hosts > 1 and left < zone.floor:
            said = f"{deployment.deployment_id} left {left} hosts of {zone.name} healthy, {zone.floor} must stay so"
            self._witness.accuse("P5", said)

    def _serves(self, group_id: GroupId, host_id: HostId) -> bool:
        session = self.hosts.get(host_id)
        lost = session is not None and session.status is HostStatus.Lost
        return not lost and self.members[group_id, host_id].health is InstanceHealth.Healthy


def _own(deployments: dict[DeploymentId, Deployment]) -> dict[DeploymentId, Deployment]:
    return {
        deployment_id: replace(deployment, targets={host_id: replace(target) for host_id, target in deployment.targets.items()})
        for deployment_id, deployment in deployments.items()
    }
