"""The engine's Store in memory: what is committed stays when engines on top of it crash."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from coordinator.core.deployment.rollback import touched
from coordinator.core.errors import RequestIdReused
from coordinator.core.facts import Report, RequestKey
from coordinator.core.lifecycle import EventStatus, LifecycleEvent
from coordinator.core.model import Creator, Deployment, DeploymentId, Group, GroupId, HostId, Member, RevisionId, Session, Success, Target
from coordinator.core.orders import Changes, EventChange, HistoryEntry, HoldingChange
from coordinator.store.changes import FORGOTTEN

Interrupt = Callable[[str], Awaitable[None]]
EventKey = tuple[DeploymentId, HostId, LifecycleEvent, int]
"""Deployment, host, lifecycle event, attempt."""


async def _never(_where: str) -> None:
    """Nothing goes wrong."""


class MemoryStore:
    """Holds copies of what was committed and gives out copies, so that whoever crashes loses exactly what was not committed.

    `interrupt` is awaited with "before" and "after" around each commit, and may wait or raise: "before", nothing is stored;
    "after", everything is stored but the caller does not learn it.
    """

    def __init__(self) -> None:
        """Nothing is known."""
        self.interrupt: Interrupt = _never
        self.commits = 0
        self.deployments: dict[DeploymentId, Deployment] = {}
        self.events: dict[EventKey, EventChange] = {}
        self.members: dict[tuple[GroupId, HostId], Member] = {}
        self.holdings: dict[tuple[GroupId, HostId], HoldingChange] = {}
        self.hosts: dict[HostId, Session] = {}
        self.requests: dict[tuple[str, str, str], tuple[bytes, str]] = {}
        self.history: list[HistoryEntry] = []
        self._last_successful: dict[GroupId, Success | None] = {}
        self._removed: set[HostId] = set()
        self._watched: dict[GroupId, DeploymentId | None] = {}

    async def commit(self, changes: Changes) -> int:
        """Keep everything."""
        await self.interrupt("before")
        self._keep_hosts(changes)
        self._keep_deployments(changes)
        for (target, event, attempt), change in changes.events.items():
            self._keep_event((target.deployment_id, target.host_id, event, attempt), change)
        for host_id, report in changes.late:
            self._keep_late(host_id, report)
        for group_id, group in changes.groups.items():
            self._last_successful[group_id] = group.last_successful
            self._watched[group_id] = None if group.watched is None else group.watched.deployment_id
        for key, member in changes.members.items():
            self.members[key] = replace(member, lost=False)
        for key, (installed, deployed) in changes.holdings.items():
            before = self.holdings.get(key, HoldingChange(RevisionId(""), RevisionId("")))
            kept = (before.installed if installed is None else installed, before.deployed if deployed is None else deployed)
            self.holdings[key] = HoldingChange(*kept)
        for request, subject in changes.requests:
            if request.request_id:
                self.requests.setdefault((request.principal, request.method, request.request_id), (request.digest, subject))
        self.history += changes.history
        self.commits += 1
        number = self.commits
        await self.interrupt("after")
        return number

    async def rehearse(self, changes: Changes) -> None:
        """It can be stored: there are no rules here."""

    async def last_commit(self) -> int:
        """The number of the last commit."""
        return self.commits

    async def sessions(self) -> list[Session]:
        """Every known host."""
        return [replace(session) for session in self.hosts.values()]

    async def live_groups(self) -> list[GroupId]:
        """Groups with a deployment that has not ended, or of which one is watched."""
        found = [one.plan.group_id for one in self.deployments.values() if not one.status.terminal]
        return list(dict.fromkeys([*found, *(one for one, watched in self._watched.items() if watched is not None)]))

    async def group(self, group_id: GroupId) -> Group:
        """A group as committed last."""
        under_way = [one for one in self.deployments.values() if one.plan.group_id == group_id and not one.status.terminal]
        live = {one.plan.creator is Creator.CodeDeployAutoUpdate: _copied(one) for one in under_way if not one.waits_for_turn}
        return Group(
            group_id=group_id,
            deployment=live.get(False),
            newcomers=live.get(True),
            watched=self._late(group_id),
            waiting=sorted((_copied(one) for one in under_way if one.waits_for_turn), key=lambda one: one.due_at or 0),
            last_successful=self._last_successful.get(group_id),
            members={host_id: self._member(group_id, member) for (owner, host_id), member in self.members.items() if owner == group_id},
        )

    def _late(self, group_id: GroupId) -> Deployment | None:
        """What is watched after its success, without hosts that were removed, and with those that have come since."""
        deployment_id = self._watched.get(group_id)
        if deployment_id is None:
            return None
        watched = _copied(self.deployments[deployment_id])
        gone = self._removed
        watched.targets = {host_id: target for host_id, target in watched.targets.items() if host_id not in gone}
        watched.members -= gone
        order = list(self.deployments)
        for newer in order[order.index(deployment_id) + 1 :]:
            one = self.deployments[newer]
            same = one.plan.revision.revision_id == watched.plan.revision.revision_id
            if one.plan.group_id == group_id and same and one.completed_at is not None:
                watched.joined |= {target.host_id: target.host_name for target in touched(one) if target.host_id not in gone}
        return watched

    def _member(self, group_id: GroupId, member: Member) -> Member:
        installed, deployed = self.holdings.get((group_id, member.host_id), HoldingChange(None, None))
        return replace(member, installed=installed or RevisionId(""), deployed=deployed or RevisionId(""))

    async def behind(self, epochs: Mapping[tuple[GroupId, HostId], int]) -> list[GroupId]:
        """Groups of which a host knows a higher epoch. There is no catalogue here: every group is known."""
        known = {key: member.target_epoch for key, member in self.members.items() if key in epochs}
        return list(dict.fromkeys(key[0] for key, epoch in epochs.items() if epoch > known.get(key, 0)))

    async def replayed(self, key: RequestKey) -> str | None:
        """The subject of the call that was done under `key`."""
        digest, subject = self.requests.get((key.principal, key.method, key.request_id), (key.digest, None))
        if digest != key.digest:
            raise RequestIdReused(f"cannot do this: request_id {key.request_id} was used for another {key.method}")
        return subject

    def _keep_hosts(self, changes: Changes) -> None:
        for host_id in changes.removed:
            self.hosts.pop(host_id, None)
            self._removed.add(host_id)
            self.holdings = {key: holding for key, holding in self.holdings.items() if key[1] != host_id}
        self._removed -= changes.hosts.keys()
        for host_id, session in changes.hosts.items():
            self.hosts[host_id] = replace(session, stream=None, resumed=False, silent_since=0)
        for host_id, acked_seq in changes.cursors.items():
            if host_id in self.hosts:
                self.hosts[host_id].acked_seq = acked_seq

    def _keep_deployments(self, changes: Changes) -> None:
        for deployment_id, deployment in changes.deployments.items():
            if deployment_id in changes.created or deployment_id in changes.begun:
                self.deployments[deployment_id] = _copied(deployment)
            else:
                before = self.deployments[deployment_id]
                self.deployments[deployment_id] = _copied(deployment, before.targets)
        for target in changes.targets:
            targets = self.deployments[target.deployment_id].targets
            assert target.host_id in targets, f"{target.host_id} is no target of {target.deployment_id}"
            targets[target.host_id] = replace(target)

    def _keep_event(self, key: EventKey, change: EventChange) -> None:
        before = self.events.get(key)
        if before is not None:
            change = change._replace(
                started_at=before.started_at if change.started_at is None else change.started_at,
                ended_at=before.ended_at if change.ended_at is None else change.ended_at,
                diagnostics=before.diagnostics if change.diagnostics is None else change.diagnostics,
            )
        self.events[key] = change

    def _keep_late(self, host_id: HostId, report: Report) -> None:
        deployment_id = DeploymentId(report.instruction_id.partition("/")[0])
        attempt = report.instruction_id.rpartition("/")[2]
        deployment = self.deployments.get(deployment_id)
        if deployment is None or host_id not in deployment.targets or report.event is None or not attempt.isdigit():
            return
        if int(attempt) > deployment.targets[host_id].attempt + FORGOTTEN:
            return
        key = (deployment_id, host_id, report.event, int(attempt))
        before = self.events.get(key)
        if before is None or report.status > before.status:
            begun = report.time if report.status is EventStatus.InProgress else None
            ended = report.time if begun is None else None
            self._keep_event(key, EventChange(report.status, begun, ended, report.seq, report.diagnostics))


def _copied(deployment: Deployment, targets: dict[HostId, Target] | None = None) -> Deployment:
    """What is stored of a deployment; with `targets` as they are, or copies of its own."""
    return Deployment(
        plan=deployment.plan,
        status=deployment.status,
        targets={host_id: replace(target) for host_id, target in deployment.targets.items()} if targets is None else targets,
        members=deployment.members,
        floor=deployment.floor,
        stopping=deployment.stopping,
        roll_back=deployment.roll_back,
        approved_by=deployment.approved_by,
        error=deployment.error,
        rollback_deployment_id=deployment.rollback_deployment_id,
        rollback_message=deployment.rollback_message,
        started_at=deployment.started_at,
        completed_at=deployment.completed_at,
        clock=deployment.clock,
        progress=deployment.progress,
        zones=deployment.zones,
        zone_of=deployment.zone_of,
        watched_from=deployment.watched_from,
        due_at=deployment.due_at,
        turn_at=deployment.turn_at,
    )
