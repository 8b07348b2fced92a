"""What an operator may do with applications, deployment groups and deployment configs."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

from coordinator.core.errors import (
    ApplicationDoesNotExist,
    DeploymentConfigDoesNotExist,
    DeploymentGroupDoesNotExist,
    Invalid,
    Overtaken,
)
from coordinator.core.facts import RequestKey
from coordinator.core.model import (
    AlarmConfiguration,
    AutoRollbackEvent,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    OfflinePolicy,
    OutdatedInstancesStrategy,
    Queueing,
    ServiceRole,
    Shape,
    Trigger,
)
from coordinator.core.model.roles import reads, source_of
from coordinator.core.tags import TagFilter
from coordinator.engine.ports import Clock, Ids
from coordinator.service.alarms.alarms import checked_configuration
from coordinator.service.keep import BundleKeep
from coordinator.service.notifications.targets import Targets, checked_triggers
from coordinator.service.ports import Catalog, Cursor, Page, Replayed
from coordinator.service.records import Application, DeploymentConfig, DeploymentGroup
from coordinator.service.rollouts.shapes import checked
from coordinator.service.rules import RESERVED_PREFIX, check_name, check_offline, checked_role, normalised, normalised_sets

DEFAULT_CONFIG = "CodeDeployDefault.OneAtATime"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRules:
    """What can be chosen about a group's alarms. None leaves it as it is; lengths are in milliseconds."""

    enabled: bool | None = None
    ignore_poll_alarm_failure: bool | None = None
    alarms: tuple[str, ...] | None = None
    bake_time: int | None = None
    watch_after_success: int | None = None
    refuse_while_active: bool | None = None

    def given(self, now: AlarmConfiguration) -> AlarmConfiguration:
        """What becomes of what there is now."""
        said = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        return replace(now, **said)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRules:
    """What can be chosen about a deployment group. None leaves it as it is; an empty config name means the default one."""

    tag_filters: Sequence[TagFilter] | None
    config_name: str | None
    auto_rollback: frozenset[AutoRollbackEvent] | None
    require_signature: bool | None = None
    require_approval: bool | None = None
    service_role: ServiceRole | None = None
    triggers: Sequence[Trigger] | None = None
    tag_sets: Sequence[Sequence[TagFilter]] | None = None
    offline: OfflinePolicy | None = None
    alarms: AlarmRules | None = None
    outdated_strategy: OutdatedInstancesStrategy | None = None
    queueing: Queueing | None = None
    rollback_config_name: str | None = None
    """Empty: each deployment is rolled back by its own config."""


def _ignore(application_name: str, group_name: str) -> None:
    """Nobody wants to know."""


class CatalogService:
    """Makes, shows, changes and removes what the catalogue holds, but for revisions."""

    def __init__(
        self,
        catalog: Catalog,
        keep: BundleKeep,
        *,
        clock: Clock,
        ids: Ids,
        targets: Targets,
        revised: Callable[[str, str], None] = _ignore,
    ) -> None:
        """`catalog` remembers; `keep` holds the bundles of revisions; `targets` knows where triggers may send to; `revised` is told
        of which application which group's rules have changed."""
        self._revised = revised
        self._catalog = catalog
        self._keep = keep
        self._clock = clock
        self._ids = ids
        self._targets = targets
        self._updating = asyncio.Lock()

    async def create_application(self, name: str, key: RequestKey) -> Application:
        """Make an application."""
        check_name(name, field="application_name")
        try:
            return await self._catalog.create_application(name, at=self._clock.now(), key=key)
        except Replayed as done:
            return await done.made(
                self._catalog.application(name), ApplicationDoesNotExist, f"application {name}", field="application_name"
            )

    async def application(self, name: str) -> Application:
        """Show an application."""
        return await self._catalog.application(name)

    async def applications(self, *, size: int, after: Cursor) -> Page[Application]:
        """List applications by name."""
        return await self._catalog.applications(size=size, after=after)

    async def delete_application(self, name: str, key: RequestKey) -> None:
        """Remove an application with its groups and revisions, and the bundles that no other application's revisions refer to."""
        try:
            await self._catalog.delete_application(name, at=self._clock.now(), key=key)
        except Replayed:
            return
        await self._keep.tidy(self._catalog.pushed)

    async def create_group(self, application_name: str, name: str, rules: GroupRules, key: RequestKey) -> DeploymentGroup:
        """Make a deployment group. Tag filters are required."""
        check_name(application_name, field="deployment_group.application_name")
        check_name(name, field="deployment_group.deployment_group_name")
        now = self._clock.now()
        blank = DeploymentGroup(
            group_id=self._ids.group_id(),
            application_name=application_name,
            name=name,
            tag_filters=(),
            config_name=DEFAULT_CONFIG,
            auto_rollback=frozenset(),
            created_at=now,
        )
        rules = rules if rules.tag_filters or rules.tag_sets else replace(rules, tag_filters=(), tag_sets=None)
        group = _ruled(blank, rules, self._targets)
        try:
            return await self._catalog.create_group(group, at=now, key=key)
        except Replayed as done:
            return await done.made(
                self._catalog.group(application_name, name),
                DeploymentGroupDoesNotExist,
                f"deployment group {name}",
                field="deployment_group.deployment_group_name",
            )

    async def group(self, application_name: str, name: str) -> DeploymentGroup:
        """Show a deployment group."""
        return await self._catalog.group(application_name, name)

    async def notice(self, group: DeploymentGroup) -> str:
        """What a group's service role has against the revision that succeeded last, which rollbacks go back to all the same; or empty."""
        if group.last_successful is None:
            return ""
        found = await self._catalog.revision(group.application_name, group.last_successful.revision_id)
        sources, source = group.service_role.sources, source_of(found.revision.place)
        if reads(sources, source):
            return ""
        return (
            f"revision {found.revision.revision_id}, which succeeded last, comes from {source}, and the service role allows "
            f"{', '.join(sources)}: a rollback goes back to it all the same, and hosts that come later wait for the next deployment"
        )

    async def groups(self, application_name: str, *, size: int, after: Cursor) -> Page[DeploymentGroup]:
        """List the deployment groups of an application by name."""
        return await self._catalog.groups(application_name, size=size, after=after)

    async def update_group(
        self, application_name: str, name: str, rules: GroupRules, key: RequestKey, *, etag: str = ""
    ) -> DeploymentGroup:
        """Change a deployment group, unless it is another than that of an etag; a running deployment keeps what it froze."""
        async with self._updating:  # the group is read and written back: of two callers that change different fields, neither loses
            now = await self._catalog.group(application_name, name)
            overtaken = _overtaken(now) if etag and etag != now.etag else None
            group = _ruled(now, rules, self._targets)
            try:
                changed = await self._catalog.update_group(group, at=self._clock.now(), key=key, refusal=overtaken)
                self._revised(application_name, name)
                return changed
            except Replayed:
                return await self._catalog.group(application_name, name)

    async def delete_group(self, application_name: str, name: str, key: RequestKey) -> None:
        """Remove a deployment group."""
        try:
            await self._catalog.delete_group(application_name, name, at=self._clock.now(), key=key)
        except Replayed:
            return

    async def create_config(self, name: str, minimum: MinimumHealthyHosts, shape: Shape, key: RequestKey) -> DeploymentConfig:
        """Make a deployment config."""
        check_name(name, field="deployment_config_name")
        if name.startswith(RESERVED_PREFIX):
            raise Invalid(f"cannot create config {name}: names that begin with {RESERVED_PREFIX} are taken", field="deployment_config_name")
        _check_minimum(minimum)
        now = self._clock.now()
        config = DeploymentConfig(name=name, minimum_healthy_hosts=minimum, predefined=False, created_at=now, shape=checked(shape))
        try:
            return await self._catalog.create_config(config, at=now, key=key)
        except Replayed as done:
            return await done.made(
                self._catalog.config(name), DeploymentConfigDoesNotExist, f"deployment config {name}", field="deployment_config_name"
            )

    async def config(self, name: str) -> DeploymentConfig:
        """Show a deployment config."""
        return await self._catalog.config(name)

    async def configs(self, *, size: int, after: Cursor) -> Page[DeploymentConfig]:
        """List deployment configs by name, the predefined ones among them."""
        return await self._catalog.configs(size=size, after=after)

    async def delete_config(self, name: str, key: RequestKey) -> None:
        """Remove a deployment config that no group uses."""
        try:
            await self._catalog.delete_config(name, at=self._clock.now(), key=key)
        except Replayed:
            return


def _overtaken(group: DeploymentGroup) -> Overtaken:
    return Overtaken(
        f"cannot update {group.application_name}/{group.name}: somebody has changed it since it was read; read it again, and try again",
        field="deployment_group.etag",
    )


def _ruled(group: DeploymentGroup, rules: GroupRules, targets: Targets) -> DeploymentGroup:
    if rules.tag_filters is not None or rules.tag_sets is not None:
        group = _selecting(group, rules.tag_filters or (), rules.tag_sets or ())
    if rules.config_name is not None:
        group = replace(group, config_name=rules.config_name or DEFAULT_CONFIG)
    if rules.auto_rollback is not None:
        group = replace(group, auto_rollback=rules.auto_rollback)
    if rules.require_signature is not None:
        group = replace(group, require_signature=rules.require_signature)
    if rules.offline is not None:
        check_offline(rules.offline, field="deployment_group.offline_policy")
        group = replace(group, offline=rules.offline)
    if rules.require_approval is not None:
        group = replace(group, require_approval=rules.require_approval)
    if rules.alarms is not None:
        group = replace(group, alarms=checked_configuration(rules.alarms.given(group.alarms), field="deployment_group.alarm_configuration"))
    strategy, queueing = rules.outdated_strategy or group.outdated_strategy, rules.queueing or group.queueing
    group = replace(group, outdated_strategy=strategy, queueing=queueing)
    if rules.rollback_config_name is not None:
        group = replace(group, rollback_config_name=rules.rollback_config_name)
    if rules.service_role is not None:
        group = replace(group, service_role=checked_role(rules.service_role, field="deployment_group.service_role"))
    if rules.triggers is not None:
        group = replace(group, triggers=checked_triggers(rules.triggers, targets, field="deployment_group.triggers"))
    return group


def _selecting(group: DeploymentGroup, filters: Sequence[TagFilter], sets: Sequence[Sequence[TagFilter]]) -> DeploymentGroup:
    """A group that finds its hosts anew, in one of the two ways."""
    if filters and sets:
        raise Invalid("cannot find hosts by tag_filters and by tag_sets: give one of them", field="deployment_group.tag_sets")
    if sets:
        return replace(group, tag_filters=(), tag_sets=normalised_sets(sets, field="deployment_group.tag_sets"))
    return replace(group, tag_filters=normalised(filters, field="deployment_group.tag_filters", least=1), tag_sets=())


def _check_minimum(minimum: MinimumHealthyHosts) -> None:
    field = "minimum_healthy_hosts"
    match minimum.type:
        case MinimumHealthyHostsType.HOST_COUNT:
            if minimum.value < 0:
                raise Invalid(f"cannot keep {minimum.value} hosts healthy: the count must be 0 or more", field=f"{field}.value")
        case MinimumHealthyHostsType.FLEET_PERCENT:
            if not 0 <= minimum.value <= 99:
                raise Invalid(f"cannot keep {minimum.value} percent healthy: it must be 0 to 99", field=f"{field}.value")
        case MinimumHealthyHostsType.MOST_CONCURRENCY:
            raise Invalid(
                f"cannot create a config with MOST_CONCURRENCY: use HOST_COUNT or FLEET_PERCENT, or {DEFAULT_CONFIG}", field=f"{field}.type"
            )
