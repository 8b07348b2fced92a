"""What an operator may do with deployments: make, approve, stop, look up. Who follows one: `service/watch.py`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from coordinator.core.errors import (
    DeployError,
    DeploymentAlreadyCompleted,
    DeploymentConfigDoesNotExist,
    DeploymentLimitExceeded,
    Invalid,
    InvalidOperation,
)
from coordinator.core.facts import ApprovalGiven, DeploymentRequested, RequestKey, StopRequested
from coordinator.core.lifecycle import IN_PLACE, RESTART, DeploymentStatus, TargetStatus
from coordinator.core.model import (
    AlarmConfiguration,
    AutoRollbackEvent,
    Canaries,
    Creator,
    DeploymentId,
    FileExistsBehavior,
    HostId,
    Plan,
    RevisionId,
    RollbackConfig,
    Snapshot,
)
from coordinator.core.model.roles import source_of
from coordinator.core.orders import Entry
from coordinator.engine.ports import Clock, Ids, Inbox
from coordinator.service.alarms.alarms import about, active, checked_configuration
from coordinator.service.ports import AlarmLooks, Catalog, Cursor, Fleet, Grounds, History, Page, Presence, Requests
from coordinator.service.records import DeploymentConfig, DeploymentRecord, Ground, HistoryRecord, TargetRecord
from coordinator.service.revisions import revision_id_of
from coordinator.service.rollouts.shapes import checked_canaries, impassable, snapshots
from coordinator.service.rules import check_description

HOSTS_AT_ONCE: Final = 1_000
"""Hosts that one deployment may name."""

NAMED: Final = 5
"""So many strangers are named in a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The deployment that a caller wants. An empty config name and None take the group's."""

    application_name: str
    group_name: str
    revision_id: str
    config_name: str = ""
    rollback_config_name: str | None = None
    """The config by which it is rolled back; None: the group's, empty: its own."""
    description: str = ""
    auto_rollback: frozenset[AutoRollbackEvent] | None = None
    file_exists_behavior: FileExistsBehavior = FileExistsBehavior.Unspecified
    ignore_application_stop_failures: bool = False
    outdated_only: bool = False
    restart: bool = False
    """Run the group's last successful revision anew, where it is installed; no revision is named."""
    hosts: Sequence[str] = ()
    """Ids or names of the only hosts to deploy to; none: nobody is named."""
    alarms: AlarmConfiguration | None = None
    canaries: Canaries | None = None
    start_at: int | None = None
    """UTC milliseconds before which it does not begin; None: as soon as it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """Where the service looks things up."""

    grounds: Grounds
    catalog: Catalog
    fleet: Fleet
    presence: Presence
    history: History
    requests: Requests
    looks: AlarmLooks


class DeploymentService:
    """Makes, stops and shows deployments."""

    def __init__(self, rooms: Rooms, *, inbox: Inbox, clock: Clock, ids: Ids) -> None:
        """`rooms` are read; what is to happen goes to `inbox`, where it is decided."""
        self._rooms = rooms
        self._inbox = inbox
        self._clock = clock
        self._ids = ids

    async def create(self, wanted: Wanted, key: RequestKey) -> DeploymentRecord:
        """Deploy a revision to a group. Whether it may, and to which hosts in which order, the core decides."""
        done = await self._rooms.requests.replayed(key)
        if done is not None:
            return await self._rooms.history.deployment(DeploymentId(done))
        fact, objections = await self.asked(wanted, created_by=key.principal)
        if objections:
            raise objections[0]
        try:
            await self._inbox.ask(replace(fact, request=key if key.request_id else None))
        except DeploymentLimitExceeded:
            done = await self._rooms.requests.replayed(key)  # a repeat that overtook its first call is refused because of it
            if done is None:
                raise
            return await self._rooms.history.deployment(DeploymentId(done))
        return await self._rooms.history.deployment(fact.plan.deployment_id)

    async def stop(self, deployment_id: DeploymentId, key: RequestKey, *, reason: str, roll_back: bool | None) -> DeploymentRecord:
        """Stop a deployment and return it as it is then, stopping or stopped. `roll_back` None: as its own events say.

        One that is watched after its success is watched no more, and rolled back only by an explicit wish.
        """
        if await self._rooms.requests.replayed(key) is not None:
            return await self._rooms.history.deployment(deployment_id)
        check_description(reason, field="reason")
        now = await self._rooms.history.deployment(deployment_id)
        if now.status.terminal and not now.watched:
            raise DeploymentAlreadyCompleted(f"cannot stop deployment {deployment_id}: it has ended, {now.status.name}")
        await self._inbox.ask(
            StopRequested(
                at=self._clock.now(),
                elapsed=self._clock.elapsed(),
                deployment_id=deployment_id,
                requested_by=key.principal,
                reason=reason,
                auto_rollback_enabled=roll_back,
                request=key if key.request_id else None,
            )
        )
        return await self._rooms.history.deployment(deployment_id)

    async def approve(self, deployment_id: DeploymentId, key: RequestKey, *, reason: str) -> DeploymentRecord:
        """Approve a deployment that waits for it, and return it as it is then. Whether this caller may, the core decides."""
        if await self._rooms.requests.replayed(key) is not None:
            return await self._rooms.history.deployment(deployment_id)
        check_description(reason, field="reason")
        now = await self._rooms.history.deployment(deployment_id)
        if now.status.terminal:
            raise DeploymentAlreadyCompleted(f"cannot approve deployment {deployment_id}: it has ended, {now.status.name}")
        await self._inbox.ask(
            ApprovalGiven(
                at=self._clock.now(),
                elapsed=self._clock.elapsed(),
                deployment_id=deployment_id,
                approved_by=key.principal,
                reason=reason,
                request=key if key.request_id else None,
            )
        )
        return await self._rooms.history.deployment(deployment_id)

    async def deployment(self, deployment_id: DeploymentId) -> DeploymentRecord:
        """Show a deployment."""
        return await self._rooms.history.deployment(deployment_id)

    async def deployments(
        self, *, application_name: str, group_name: str, statuses: Sequence[DeploymentStatus], size: int, after: Cursor
    ) -> Page[DeploymentRecord]:
        """List deployments, newest first; empty names and statuses mean all."""
        _check_group(application_name, group_name)
        return await self._rooms.history.deployments(
            application_name=application_name, group_name=group_name, statuses=statuses, size=size, after=after
        )

    async def targets(
        self, deployment_id: DeploymentId, *, statuses: Sequence[TargetStatus], size: int, after: Cursor
    ) -> Page[TargetRecord]:
        """List the targets of a deployment by host name; no statuses mean all."""
        return await self._rooms.history.targets(deployment_id, statuses=statuses, size=size, after=after)

    async def target(self, deployment_id: DeploymentId, host: str) -> TargetRecord:
        """Show one target, by the host's id or name."""
        return await self._rooms.history.target(deployment_id, host)

    async def entries(
        self,
        *,
        application_name: str,
        group_name: str,
        deployment_id: str,
        host: str,
        size: int,
        after: Cursor,
        kinds: Sequence[str] = (),
    ) -> Page[HistoryRecord]:
        """List what happened, newest first; what is empty does not restrict."""
        _check_group(application_name, group_name)
        if strange := [kind for kind in kinds if kind not in Entry.__members__]:
            raise Invalid(f"cannot look for entries of the kind {strange[0][:40]!r}: there is none", field="entries")
        return await self._rooms.history.entries(
            application_name=application_name,
            group_name=group_name,
            deployment_id=deployment_id,
            host=host,
            size=size,
            after=after,
            kinds=kinds,
        )

    async def asked(self, wanted: Wanted, *, created_by: str) -> tuple[DeploymentRequested, list[DeployError]]:
        """What would be put to the core: all that is frozen now, and the hosts that match the group now; and what stands against it,
        whatever the core would say. Raises DeployError for what does not exist or makes no sense."""
        check_description(wanted.description)
        override = None if wanted.alarms is None else checked_configuration(wanted.alarms, field="override_alarm_configuration")
        ground = await self._rooms.grounds.ground(
            *(wanted.application_name, wanted.group_name, await self._revision_id(wanted), wanted.config_name),
            alarms=None if override is None else override.watched,
        )
        ground = replace(ground, rollback_config=await self._rollback_config(ground, wanted))
        group, config, watched = ground.group, ground.config, override or ground.group.alarms
        rollback = group.auto_rollback if wanted.auto_rollback is None else wanted.auto_rollback
        shape = config.shape if wanted.canaries is None else replace(config.shape, canaries=checked_canaries(wanted.canaries))
        hosts = snapshots(ground, shape, self._rooms.presence)
        plan = Plan(
            deployment_id=self._ids.deployment_id(),
            rollback_id=self._ids.deployment_id(),
            group_id=group.group_id,
            application_name=group.application_name,
            group_name=group.name,
            revision=ground.revision,
            config_name=config.name,
            minimum_healthy_hosts=config.minimum_healthy_hosts,
            auto_rollback=rollback if group.service_role.automatic_rollback else frozenset(),
            file_exists_behavior=wanted.file_exists_behavior,
            ignore_application_stop_failures=wanted.ignore_application_stop_failures,
            outdated_only=wanted.outdated_only,
            offline=group.offline,
            require_approval=group.require_approval,
            alarms=tuple(about(one, application_name=group.application_name, group_name=group.name) for one in ground.alarms),
            ignore_poll_alarm_failure=watched.enabled and watched.ignore_poll_alarm_failure,
            bake_time=watched.bake_time if watched.enabled else 0,
            watch_after_success=watched.watch_after_success if watched.enabled and not wanted.restart else 0,
            lifecycle_events=RESTART if wanted.restart else IN_PLACE,
            creator=Creator.user,
            created_by=created_by,
            description=wanted.description,
            created_at=self._clock.now(),
            start_at=wanted.start_at,
            chosen=await self._chosen(wanted, hosts),
            shape=shape,
            rollback_config=None
            if ground.rollback_config is None
            else RollbackConfig(name=ground.rollback_config.name, minimum_healthy_hosts=ground.rollback_config.minimum_healthy_hosts),
        )
        fact = DeploymentRequested(at=plan.created_at, elapsed=self._clock.elapsed(), plan=plan, hosts=hosts, queueing=group.queueing)
        objections: list[DeployError] = [*_objections(ground, wanted), *impassable(ground, shape, created_by=created_by)]
        if watched.enabled and watched.refuse_while_active and not objections:
            alarmed = await active(plan.alarms, self._rooms.looks, now=plan.created_at)
            objections += [] if alarmed is None else [alarmed]
        return fact, objections

    async def _revision_id(self, wanted: Wanted) -> RevisionId:
        """The revision that was named; of a restart the group's last successful one. Raises Invalid and InvalidOperation."""
        if not wanted.restart:
            return revision_id_of(wanted.revision_id)
        if wanted.revision_id:
            raise Invalid("cannot restart a revision that is named: a restart takes what succeeded last; leave it out", field="revision_id")
        if wanted.outdated_only:
            raise Invalid("cannot restart outdated hosts: they do not have the revision", field="update_outdated_instances_only")
        if wanted.rollback_config_name:
            why = "cannot say how a restart is rolled back: it changes nothing that could go back; leave it out"
            raise Invalid(why, field="rollback_deployment_config_name")
        group = await self._rooms.catalog.group(wanted.application_name, wanted.group_name)
        if group.last_successful is None:
            raise InvalidOperation(f"cannot restart {wanted.application_name}/{wanted.group_name}: nothing has succeeded there; deploy")
        return group.last_successful.revision_id

    async def _rollback_config(self, ground: Ground, wanted: Wanted) -> DeploymentConfig | None:
        """The config by which a rollback of it goes; None: by its own, or there is nothing to roll back. Raises
        DeploymentConfigDoesNotExist."""
        name = wanted.rollback_config_name
        if wanted.restart:
            return None
        if name is None:
            return ground.rollback_config
        try:
            return await self._rooms.catalog.config(name) if name else None
        except DeploymentConfigDoesNotExist:
            why = f"cannot roll back by deployment config {name}: there is none of that name"
            raise DeploymentConfigDoesNotExist(why, field="rollback_deployment_config_name") from None

    async def _chosen(self, wanted: Wanted, hosts: Sequence[Snapshot]) -> frozenset[HostId] | None:
        """The hosts that were named; None when nobody was. Raises InstanceDoesNotExist, or Invalid for hosts of other groups."""
        if not wanted.hosts:
            return None
        if len(wanted.hosts) > HOSTS_AT_ONCE:
            raise Invalid(f"cannot name {len(wanted.hosts)} hosts: {HOSTS_AT_ONCE} is the most; use the group's tags", field="hosts")
        known = {name: host.host_id for host in hosts for name in (host.name, host.host_id)}
        strangers = [one for one in wanted.hosts if one not in known]
        for one in strangers:
            await self._rooms.fleet.host(one)
        if strangers:
            raise Invalid(
                f"cannot deploy to {', '.join(strangers[:NAMED])} with {wanted.group_name}: not among its hosts by its tag filters; "
                "tag the host, or leave it out",
                field="hosts",
            )
        return frozenset(known[one] for one in wanted.hosts)


def _objections(ground: Ground, wanted: Wanted) -> Iterator[InvalidOperation]:
    """What the coordinator may not do for the group, whoever asks, and what its hosts may not read."""
    group, revision = ground.group, ground.revision
    if group.require_signature and revision.signature is None:
        yield InvalidOperation(
            f"cannot deploy revision {revision.revision_id} to {group.name}: it is not signed, and the group"
            " requires signatures; sign it with hookline sign, and push or register it again with its signature"
        )
    role, back = group.service_role, ground.rollback_config
    hosts = len(set(wanted.hosts)) or len(ground.hosts)
    why = role.refuses(revision, ground.config.name, hosts=hosts, back="" if back is None else back.name)
    if not why and wanted.auto_rollback and not role.automatic_rollback:
        why = "without automatic rollback; an operator may roll back by hand"
    if why:
        name = f"{group.application_name}/{group.name}"
        yield InvalidOperation(f"cannot deploy to {name}: the group's service role lets the coordinator do so {why}")
    if barred := [] if wanted.restart else ground.barred(wanted.hosts):
        whom = ", ".join(barred[:NAMED]) + (f" and {len(barred) - NAMED} more" if len(barred) > NAMED else "")
        yield InvalidOperation(
            f"cannot deploy revision {revision.revision_id} to {whom}: by their instance profiles they may not read it from "
            f"{source_of(revision.place)}; deploy to the others with --host, or have their profiles changed"
        )


def _check_group(application_name: str, group_name: str) -> None:
    if group_name and not application_name:
        raise Invalid(f"cannot look for deployment group {group_name}: name its application too", field="application_name")
