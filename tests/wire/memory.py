"""Fakes of the services' and the engine's ports, in memory. What is decided about deployments, the real core decides."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TypeVar

from coordinator.core.deployment import batches
from coordinator.core.errors import (
    AlarmAlreadyExists,
    AlarmDoesNotExist,
    AlarmInUse,
    ApplicationAlreadyExists,
    ApplicationDoesNotExist,
    DeployError,
    DeploymentConfigAlreadyExists,
    DeploymentConfigDoesNotExist,
    DeploymentConfigInUse,
    DeploymentDoesNotExist,
    DeploymentGroupAlreadyExists,
    DeploymentGroupDoesNotExist,
    DeploymentTargetDoesNotExist,
    InstanceDoesNotExist,
    InstanceInUse,
    InvalidAlarmConfig,
    InvalidOperation,
    InvalidRevision,
    RequestIdReused,
    RevisionDoesNotExist,
    StorageFull,
)
from coordinator.core.facts import DeploymentRequested, GroupFact, HostRemovalRequested, Request, RequestKey
from coordinator.core.foresight.durations import Durations
from coordinator.core.lifecycle import DeploymentStatus, EventStatus, TargetStatus, event_status
from coordinator.core.machine import step
from coordinator.core.model import (
    Alarm,
    AlarmStatus,
    CoordinatorLocation,
    Deployment,
    DeploymentId,
    Group,
    GroupId,
    HostId,
    HostStatus,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    RevisionId,
    Seen,
    Target,
)
from coordinator.core.orders import Answer, Changes, EventChange, Instruct, Instruction
from coordinator.core.tags import TagFilter, sets_match, tags_match
from coordinator.service.ports import Page, Replayed
from coordinator.service.records import (
    Application,
    CatalogAlarm,
    CatalogRevision,
    DeploymentConfig,
    DeploymentGroup,
    DeploymentRecord,
    EventRecord,
    Ground,
    HistoryRecord,
    Host,
    TargetRecord,
)

T = TypeVar("T")
CONFIGS = {
    "CodeDeployDefault.OneAtATime": (MinimumHealthyHostsType.MOST_CONCURRENCY, 1),
    "CodeDeployDefault.HalfAtATime": (MinimumHealthyHostsType.FLEET_PERCENT, 50),
    "CodeDeployDefault.AllAtOnce": (MinimumHealthyHostsType.FLEET_PERCENT, 0),
}


def page(items: Sequence[T], size: int, after: str) -> Page[T]:
    """A part of a list; a cursor is an offset."""
    begin = int(after or 0)
    return Page(items=items[begin : begin + size], next=str(begin + size) if begin + size < len(items) else "")


class VirtualClock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 1_700_000_000_123

    def now(self) -> int:
        return self.at

    def elapsed(self) -> int:
        return self.at - 1_600_000_000_000

    async def sleep(self, milliseconds: int) -> None:
        self.at += milliseconds
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)


class CountedIds:
    """Ids in order."""

    def __init__(self) -> None:
        self.made = 0

    def deployment_id(self) -> DeploymentId:
        self.made += 1
        return DeploymentId(f"d-{self.made:09d}")

    def group_id(self) -> GroupId:
        self.made += 1
        return GroupId(f"group-{self.made}")


class MemoryRequests:
    """Calls that were done."""

    def __init__(self) -> None:
        self.done: dict[tuple[str, str, str], tuple[bytes, str, int]] = {}
        self.keys: list[RequestKey] = []

    async def replayed(self, key: RequestKey) -> str | None:
        done = self.find(key)
        return None if done is None else done[0]

    def find(self, key: RequestKey) -> tuple[str, int] | None:
        known = self.done.get((key.principal, key.method, key.request_id))
        if known is None:
            return None
        digest, subject, at = known
        if digest != key.digest:
            raise RequestIdReused("cannot do this: the request id was used for another call", field="request_id")
        return subject, at

    def once(self, key: RequestKey) -> None:
        if (done := self.find(key)) is not None:
            raise Replayed(*done)

    def note(self, key: RequestKey, subject: str, *, at: int = 0) -> None:
        self.keys.append(key)
        if key.request_id:
            self.done[key.principal, key.method, key.request_id] = (key.digest, subject, at)


class MemoryCatalog:
    """Applications, groups, configs, revisions."""

    def __init__(self, requests: MemoryRequests) -> None:
        self.requests = requests
        self.made: dict[str, Application] = {}
        self.grouped: dict[tuple[str, str], DeploymentGroup] = {}
        self.known = {
            name: DeploymentConfig(
                name=name, minimum_healthy_hosts=MinimumHealthyHosts(type=kind, value=value), predefined=True, created_at=0
            )
            for name, (kind, value) in CONFIGS.items()
        }
        self.registered: dict[tuple[str, str], CatalogRevision] = {}
        self.alarms: dict[str, CatalogAlarm] = {}

    async def create_application(self, name: str, *, at: int, key: RequestKey) -> Application:
        self.requests.once(key)
        if name in self.made:
            raise ApplicationAlreadyExists(f"cannot create application {name}: the name is taken", field="application_name")
        self.made[name] = Application(name=name, created_at=at)
        self.requests.note(key, name, at=at)
        return self.made[name]

    async def application(self, name: str) -> Application:
        if name not in self.made:
            raise ApplicationDoesNotExist(f"cannot find application {name}")
        return self.made[name]

    async def applications(self, *, size: int, after: str) -> Page[Application]:
        return page([self.made[name] for name in sorted(self.made)], size, after)

    async def delete_application(self, name: str, *, at: int, key: RequestKey) -> None:
        self.requests.once(key)
        await self.application(name)
        del self.made[name]
        self.requests.note(key, name)

    async def create_group(self, group: DeploymentGroup, *, at: int, key: RequestKey) -> DeploymentGroup:
        self.requests.once(key)
        await self.application(group.application_name)
        await self.config(group.config_name)
        self.watched(group.alarms.alarms)
        if (group.application_name, group.name) in self.grouped:
            raise DeploymentGroupAlreadyExists(f"cannot create deployment group {group.name}: the name is taken")
        self.grouped[group.application_name, group.name] = group
        self.requests.note(key, group.name, at=at)
        return group

    async def group(self, application_name: str, name: str) -> DeploymentGroup:
        await self.application(application_name)
        if (application_name, name) not in self.grouped:
            raise DeploymentGroupDoesNotExist(f"cannot find deployment group {name} of application {application_name}")
        return self.grouped[application_name, name]

    async def groups(self, application_name: str, *, size: int, after: str) -> Page[DeploymentGroup]:
        await self.application(application_name)
        return page([group for (owner, _), group in sorted(self.grouped.items()) if owner == application_name], size, after)

    async def update_group(
        self, group: DeploymentGroup, *, at: int, key: RequestKey, refusal: DeployError | None = None
    ) -> DeploymentGroup:
        self.requests.once(key)
        if refusal is not None:
            raise refusal
        await self.config(group.config_name)
        self.watched(group.alarms.alarms)
        self.grouped[group.application_name, group.name] = group
        self.requests.note(key, group.name)
        return group

    def watched(self, names: Sequence[str]) -> tuple[Alarm, ...]:
        """The alarms of these names."""
        if unknown := [name for name in names if name not in self.alarms]:
            raise InvalidAlarmConfig(f"cannot watch what does not exist: there is no alarm {', '.join(unknown)}", field="alarms")
        return tuple(self.alarms[name].alarm for name in names)

    async def delete_group(self, application_name: str, name: str, *, at: int, key: RequestKey) -> None:
        self.requests.once(key)
        await self.group(application_name, name)
        del self.grouped[application_name, name]
        self.requests.note(key, name)

    async def create_config(self, config: DeploymentConfig, *, at: int, key: RequestKey) -> DeploymentConfig:
        self.requests.once(key)
        if config.name in self.known:
            raise DeploymentConfigAlreadyExists(f"cannot create deployment config {config.name}: the name is taken")
        self.known[config.name] = config
        self.requests.note(key, config.name, at=at)
        return config

    async def config(self, name: str) -> DeploymentConfig:
        if name not in self.known:
            raise DeploymentConfigDoesNotExist(f"cannot find deployment config {name}")
        return self.known[name]

    async def configs(self, *, size: int, after: str) -> Page[DeploymentConfig]:
        return page([self.known[name] for name in sorted(self.known)], size, after)

    async def delete_config(self, name: str, *, at: int, key: RequestKey) -> None:
        self.requests.once(key)
        if (await self.config(name)).predefined:
            raise InvalidOperation(f"cannot delete deployment config {name}: it is predefined")
        if any(group.config_name == name for group in self.grouped.values()):
            raise DeploymentConfigInUse(f"cannot delete deployment config {name}: a group uses it")
        del self.known[name]
        self.requests.note(key, name)

    async def pushed(self) -> set[bytes]:
        kept = (one.revision for (owner, _), one in self.registered.items() if owner in self.made)
        return {one.sha256 for one in kept if isinstance(one.place, CoordinatorLocation)}

    async def register_revision(self, revision: CatalogRevision, *, at: int, key: RequestKey) -> CatalogRevision:
        self.requests.once(key)
        await self.application(revision.application_name)
        self.requests.note(key, revision.revision.revision_id)
        return self.registered.setdefault((revision.application_name, revision.revision.revision_id), revision)

    async def revision(self, application_name: str, revision_id: RevisionId) -> CatalogRevision:
        await self.application(application_name)
        if (application_name, revision_id) not in self.registered:
            raise RevisionDoesNotExist(f"cannot find revision {revision_id} of application {application_name}")
        return self.registered[application_name, revision_id]

    async def revisions(self, application_name: str, *, size: int, after: str) -> Page[CatalogRevision]:
        await self.application(application_name)
        return page([one for (owner, _), one in reversed(self.registered.items()) if owner == application_name], size, after)


class MemoryAlarms:
    """Alarms, and what is seen of them."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        self.catalog = catalog
        self.requests = catalog.requests
        self.seen = Seen(AlarmStatus.OK, "0.01 is not > 0.05")

    async def create(self, alarm: Alarm, *, at: int, key: RequestKey) -> CatalogAlarm:
        self.requests.once(key)
        if alarm.name in self.catalog.alarms:
            raise AlarmAlreadyExists(f"cannot create alarm {alarm.name}: it exists", field="alarm.alarm_name")
        made = self.catalog.alarms[alarm.name] = CatalogAlarm(alarm=alarm, created_at=at, updated_at=at)
        self.requests.note(key, alarm.name, at=at)
        return made

    async def alarm(self, name: str) -> CatalogAlarm:
        if name not in self.catalog.alarms:
            raise AlarmDoesNotExist(f"cannot find alarm {name}")
        return self.catalog.alarms[name]

    async def alarms(self, *, size: int, after: str) -> Page[CatalogAlarm]:
        return page([self.catalog.alarms[name] for name in sorted(self.catalog.alarms)], size, after)

    async def update(self, alarm: Alarm, *, at: int, key: RequestKey) -> CatalogAlarm:
        self.requests.once(key)
        before = await self.alarm(alarm.name)
        self.catalog.alarms[alarm.name] = replace(before, alarm=alarm, updated_at=at)
        self.requests.note(key, alarm.name)
        return self.catalog.alarms[alarm.name]

    async def delete(self, name: str, *, at: int, key: RequestKey) -> None:
        self.requests.once(key)
        await self.alarm(name)
        if users := [f"{app}/{one}" for (app, one), group in self.catalog.grouped.items() if name in group.alarms.alarms]:
            raise AlarmInUse(f"cannot delete alarm {name}: deployment groups name it: {', '.join(users)}")
        del self.catalog.alarms[name]
        self.requests.note(key, name)

    async def look(self, alarm: Alarm, now: int, /) -> Seen:
        return self.seen

    async def misread(self, expression: str, /) -> str:
        return "Prometheus answers 400: parse error" if expression.endswith("(") else ""


class MemoryFleet:
    """Hosts and their tags."""

    def __init__(self, requests: MemoryRequests) -> None:
        self.requests = requests
        self.known: dict[str, Host] = {}

    def join(self, name: str, **tags: str) -> None:
        """A host is there."""
        self.known[name] = Host(
            host_id=HostId(f"id-{name}"),
            name=name,
            status=HostStatus.Connected,
            tags=tags,
            operator_tags={},
            sources=(),
            facts={"os": "linux"},
            agent_version="1",
            connected_at=5,
            registered_at=4,
            holdings=(),
        )

    def lost(self, host_id: HostId) -> bool:
        return any(host.host_id == host_id and host.status is HostStatus.Lost for host in self.known.values())

    async def hosts(self, *, filters: Sequence[TagFilter], size: int, after: str) -> Page[Host]:
        return page([host for _, host in sorted(self.known.items()) if not filters or tags_match(host.tags, filters)], size, after)

    async def host(self, host: str) -> Host:
        for one in self.known.values():
            if host in (one.name, one.host_id):
                return one
        raise InstanceDoesNotExist(f"cannot find host {host}")

    async def add_tags(self, hosts: Sequence[str], tags: Mapping[str, str], *, at: int, key: RequestKey) -> list[Host]:
        self.requests.once(key)
        found = [await self.host(host) for host in hosts]
        for one in found:
            self.known[one.name] = replace(one, tags={**one.tags, **tags}, operator_tags={**one.operator_tags, **tags})
        self.requests.note(key, ",".join(hosts))
        return [self.known[one.name] for one in found]

    async def remove_tags(self, hosts: Sequence[str], keys: Sequence[str], *, at: int, key: RequestKey) -> list[Host]:
        self.requests.once(key)
        found = [await self.host(host) for host in hosts]
        for one in found:
            kept = {name: value for name, value in one.operator_tags.items() if name not in keys}
            self.known[one.name] = replace(one, tags={k: v for k, v in one.tags.items() if k not in keys}, operator_tags=kept)
        self.requests.note(key, ",".join(hosts))
        return [self.known[one.name] for one in found]

    async def profiles(self) -> dict[HostId, tuple[str, ...]]:
        return {host.host_id: host.sources for host in self.known.values() if host.sources}

    async def set_sources(self, host: str, sources: Sequence[str], *, at: int, key: RequestKey) -> Host:
        self.requests.once(key)
        found = await self.host(host)
        self.known[found.name] = replace(found, sources=tuple(sources))
        self.requests.note(key, host)
        return self.known[found.name]


@dataclass
class Past:
    """A deployment and what was committed of it."""

    deployment: Deployment
    commit: int = 0
    targets: dict[HostId, int] = field(default_factory=dict)
    events: dict[tuple[HostId, int], EventChange] = field(default_factory=dict)


class MemoryGrounds:
    """What a deployment stands on."""

    def __init__(self, catalog: MemoryCatalog, fleet: MemoryFleet) -> None:
        self.catalog = catalog
        self.fleet = fleet
        self.approvers: tuple[str, ...] = ()

    async def ground(
        self, application_name: str, group_name: str, revision_id: RevisionId, config_name: str, alarms: Sequence[str] | None = None
    ) -> Ground:
        group = await self.catalog.group(application_name, group_name)
        return Ground(
            group=group,
            revision=(await self.catalog.revision(application_name, revision_id)).revision,
            config=await self.catalog.config(config_name or group.config_name),
            rollback_config=await self.catalog.config(group.rollback_config_name) if group.rollback_config_name else None,
            hosts=tuple((host.host_id, name) for name, host in sorted(self.fleet.known.items()) if sets_match(host.tags, group.selection)),
            alarms=self.catalog.watched(group.alarms.watched if alarms is None else alarms),
            profiles={host.host_id: host.sources for host in self.fleet.known.values() if host.sources},
            tags={host.host_id: host.tags for host in self.fleet.known.values()},
            approvers=self.approvers,
        )


def _by_stage(deployment: Deployment) -> dict[int, Counter[TargetStatus]]:
    counts: dict[int, Counter[TargetStatus]] = {}
    for target in deployment.targets.values():
        counts.setdefault(target.stage, Counter())[target.status] += 1
    return counts


class MemoryEngine:
    """Decides with the real core, commits to memory: the engine's Inbox and Commits, and the History of what it committed."""

    def __init__(self, fleet: MemoryFleet, requests: MemoryRequests) -> None:
        self.fleet = fleet
        self.requests = requests
        self.committed = 0
        self.groups: dict[GroupId, Group] = {}
        self.past: dict[DeploymentId, Past] = {}
        self.told: list[HistoryRecord] = []
        self.instructed: list[Instruction] = []
        self.reads = 0
        self.known = Durations()
        """How long events took before."""
        self._made = asyncio.Event()

    async def ask(self, fact: Request) -> None:
        if isinstance(fact, HostRemovalRequested):
            self._remove(fact)
            return
        group_id = fact.plan.group_id if isinstance(fact, DeploymentRequested) else self.past[fact.deployment_id].deployment.plan.group_id
        self.happen(group_id, fact)

    def _remove(self, fact: HostRemovalRequested) -> None:
        host = next(one for one in self.fleet.known.values() if one.host_id == fact.host_id)
        if host.status is HostStatus.Connected:
            raise InstanceInUse(f"cannot remove host {host.name}: it is connected; stop its agent first")
        del self.fleet.known[host.name]
        if fact.request is not None:
            self.requests.note(fact.request, host.host_id)

    def happen(self, group_id: GroupId, fact: GroupFact) -> None:
        """Decide about a fact and commit."""
        changes = Changes()
        orders = step(self.groups.setdefault(group_id, Group(group_id=group_id)), [fact], changes)
        self.instructed += [order.instruction for order in orders if isinstance(order, Instruct)]
        for order in orders:
            if isinstance(order, Answer) and order.error is not None:
                raise order.error
        self._commit(changes)

    def _commit(self, changes: Changes) -> None:
        self.committed += 1
        for deployment_id, deployment in changes.deployments.items():
            past = self.past.setdefault(deployment_id, Past(deployment))
            past.commit = self.committed
            if deployment_id in changes.created:
                past.targets = dict.fromkeys(deployment.targets, self.committed)
        for target in changes.targets:
            self.past[target.deployment_id].targets[target.host_id] = self.committed
            self.past[target.deployment_id].commit = self.committed
        for (target, event, _), change in changes.events.items():
            self.past[target.deployment_id].events[target.host_id, event] = change
            self.past[target.deployment_id].targets[target.host_id] = self.committed
            self.past[target.deployment_id].commit = self.committed
        for key, subject in changes.requests:
            self.requests.note(key, subject)
        for entry in changes.history:
            host_name = next((one.name for one in self.fleet.known.values() if one.host_id == entry.host_id), "")
            plan = self.past[entry.deployment_id].deployment.plan if entry.deployment_id else None
            record = HistoryRecord(
                history_id=len(self.told) + 1,
                at=entry.at,
                application_name=plan.application_name if plan else "",
                group_name=plan.group_name if plan else "",
                deployment_id=entry.deployment_id or "",
                host_name=host_name,
                entry=entry.entry,
                because=entry.because,
                message=entry.message,
                principal=entry.principal,
            )
            self.told.append(record)
        made, self._made = self._made, asyncio.Event()
        made.set()

    async def group(self, group_id: GroupId) -> Group:
        """A copy."""
        return deepcopy(self.groups.get(group_id, Group(group_id=group_id)))

    @asynccontextmanager
    async def standing(self) -> AsyncIterator[dict[GroupId, Group]]:
        """Everything is committed at once here."""
        yield self.groups

    async def durations(self, group_id: GroupId) -> Durations:
        """What a test says."""
        return self.known

    async def beyond(self, commit: int) -> int:
        while self.committed <= commit:
            await self._made.wait()
        return self.committed

    def _find(self, deployment_id: DeploymentId) -> Past:
        self.reads += 1
        if deployment_id not in self.past:
            raise DeploymentDoesNotExist(f"cannot find deployment {deployment_id}")
        return self.past[deployment_id]

    async def deployment(self, deployment_id: DeploymentId) -> DeploymentRecord:
        past = self._find(deployment_id)
        one = past.deployment
        return DeploymentRecord(
            plan=one.plan,
            status=one.status,
            counts=dict(one.counts),
            error=one.error,
            stopping=one.stopping,
            approved_by=one.approved_by,
            watched=one.watched_from is not None and one.stopping is None,
            rollback_deployment_id=one.rollback_deployment_id,
            rollback_message=one.rollback_message,
            started_at=one.started_at,
            completed_at=one.completed_at,
            commit=past.commit,
            progress=one.progress,
            clock=one.clock,
            stages=_by_stage(one),
        )

    async def deployments(
        self, *, application_name: str, group_name: str, statuses: Sequence[DeploymentStatus], size: int, after: str
    ) -> Page[DeploymentRecord]:
        found = [
            await self.deployment(deployment_id)
            for deployment_id, past in reversed(self.past.items())
            if application_name in ("", past.deployment.plan.application_name)
            and group_name in ("", past.deployment.plan.group_name)
            and (not statuses or past.deployment.status in statuses)
        ]
        return page(found, size, after)

    async def targets(self, deployment_id: DeploymentId, *, statuses: Sequence[TargetStatus], size: int, after: str) -> Page[TargetRecord]:
        past = self._find(deployment_id)
        found = sorted(past.deployment.targets.values(), key=lambda one: one.host_name)
        return page([self._target(past, one) for one in found if not statuses or one.status in statuses], size, after)

    async def target(self, deployment_id: DeploymentId, host: str) -> TargetRecord:
        past = self._find(deployment_id)
        for one in past.deployment.targets.values():
            if host in (one.host_id, one.host_name):
                return self._target(past, one)
        raise DeploymentTargetDoesNotExist(f"cannot find host {host} in deployment {deployment_id}")

    async def changed(self, deployment_id: DeploymentId, *, since: int, size: int) -> tuple[list[TargetRecord], int]:
        past = self._find(deployment_id)
        found = sorted((commit, host_id) for host_id, commit in past.targets.items() if commit > since)
        if len(found) > size:
            found = [one for one in found if one[0] <= found[size - 1][0]]
        targets = past.deployment.targets
        return [self._target(past, targets[host_id]) for _, host_id in found], found[-1][0] if found else self.committed

    def _target(self, past: Past, one: Target) -> TargetRecord:
        return _target(past, self.groups[past.deployment.plan.group_id], one)

    async def entries(
        self,
        *,
        application_name: str,
        group_name: str,
        deployment_id: str,
        host: str,
        size: int,
        after: str,
        kinds: Sequence[str] = (),
    ) -> Page[HistoryRecord]:
        found = [
            one
            for one in reversed(self.told)
            if application_name in ("", one.application_name)
            and group_name in ("", one.group_name)
            and deployment_id in ("", one.deployment_id)
            and host in ("", one.host_name)
            and (not kinds or one.entry in kinds)
        ]
        return page(found, size, after)


def _target(past: Past, group: Group, one: Target) -> TargetRecord:
    def event(number: int) -> EventChange | None:
        return past.events.get((one.host_id, number))

    events = []
    for kind in past.deployment.plan.lifecycle_events:
        change = event(kind)
        events.append(
            EventRecord(
                event=kind,
                status=event_status(one.status, change.status if change else None),
                started_at=change.started_at if change else None,
                ended_at=change.ended_at if change else None,
                diagnostics=change.diagnostics if change and change.status is EventStatus.Failed else None,
            )
        )
    return TargetRecord(
        deployment_id=one.deployment_id,
        host_id=one.host_id,
        host_name=one.host_name,
        status=one.status,
        message=one.message,
        events=tuple(events),
        started_at=one.started_at,
        ended_at=one.ended_at,
        health=group.members[one.host_id].health,
        revision_health=batches.health(group, group.members[one.host_id]),
        stage=one.stage,
        attempt=one.attempt,
    )


class MemoryKeep:
    """Bundles in memory. A bundle has an AppSpec when its bytes say so; there is room for `room` bytes."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.held: list[bytes] = []
        self.open = 0
        self.room = 1 << 20

    async def begin(self, size: int, sha256: bytes) -> "MemoryUpload":
        self.open += 1
        return MemoryUpload(self, sha256)

    async def has(self, sha256: bytes) -> bool:
        return sha256 in self.kept

    @contextmanager
    def hold(self, sha256: bytes) -> Iterator[None]:
        self.held.append(sha256)
        try:
            yield
        finally:
            self.held.remove(sha256)

    async def tidy(self, wanted: Callable[[], Awaitable[Collection[bytes]]]) -> None:
        kept = {*await wanted(), *self.held}
        self.kept = {sha256: bundle for sha256, bundle in self.kept.items() if sha256 in kept}


class MemoryUpload:
    """A bundle on its way in."""

    def __init__(self, keep: MemoryKeep, sha256: bytes) -> None:
        self._keep = keep
        self._sha256 = sha256
        self._written = b""
        self._discarded = False

    async def write(self, chunk: bytes) -> None:
        self._written += chunk
        if len(self._written) > self._keep.room:
            raise StorageFull("cannot keep the bundle: the disk is full; free some space on the coordinator")

    async def finish(self) -> None:
        if b"appspec.yml" not in self._written:
            raise InvalidRevision("cannot take the bundle: there is no appspec.yml in it", field="chunk")
        self._keep.kept[self._sha256] = self._written

    async def discard(self) -> None:
        if not self._discarded:
            self._keep.open -= 1
        self._discarded = True
