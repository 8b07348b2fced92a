"""What the services need to remember and to look up: the catalogue, the fleet, the history.

Writes run on the store's one write connection, each as one transaction with its history entry and its request key; they raise
the errors of `core/errors.py`. A write whose request key was seen before does nothing and raises `Replayed` with
what it made then (or `RequestIdReused` when the digest differs). Reads use read-only connections and never wait for writes.
"""

from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from coordinator.core.errors import DeployError, NotFound
from coordinator.core.facts import RequestKey
from coordinator.core.lifecycle import DeploymentStatus, TargetStatus
from coordinator.core.model import (
    Alarm,
    DeploymentId,
    HostId,
    RevisionId,
    Seen,
)
from coordinator.core.tags import TagFilter
from coordinator.service.records import (
    Application,
    Awaiting,
    CatalogAlarm,
    CatalogRevision,
    DeploymentConfig,
    DeploymentGroup,
    DeploymentRecord,
    Ground,
    HistoryRecord,
    Host,
    TargetRecord,
)

T = TypeVar("T")


class Made(Protocol):
    """Something that was made once."""

    @property
    def created_at(self) -> int:
        """When, UTC milliseconds."""
        ...


M = TypeVar("M", bound=Made)

Cursor = str
"""Where a page ended, as the store names it; opaque. Empty: at the beginning, or there is no further page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A part of a list."""

    items: Sequence[T]
    next: Cursor


class Replayed(Exception):
    """A write with this request key was done before."""

    def __init__(self, subject: str, at: int) -> None:
        """`subject` is the id or name of what was made or changed then, `at` that time."""
        super().__init__(subject)
        self.subject = subject
        self.at = at

    async def made(self, now: Awaitable[M], refusal: type[NotFound], what: str, *, field: str) -> M:
        """What the call made, as it is `now`. Raises `refusal` when that was deleted since, even if there is another of its name."""
        gone = refusal(
            f"cannot answer this call again: {what}, which it made, was deleted since; use another request_id to make it anew", field=field
        )
        try:
            found = await now
        except NotFound:
            raise gone from None
        if found.created_at != self.at:
            raise gone
        return found


class Requests(Protocol):
    """Calls that were done, remembered for 24 hours or longer."""

    async def replayed(self, key: RequestKey) -> str | None:
        """The subject of the call that was done under `key`; None if there was none. Raises RequestIdReused."""
        ...


class Catalog(Protocol):
    """Applications, deployment groups, configs, revisions. `at` is UTC milliseconds."""

    async def create_application(self, name: str, *, at: int, key: RequestKey) -> Application:
        """Raises ApplicationAlreadyExists."""
        ...

    async def application(self, name: str) -> Application:
        """Raises ApplicationDoesNotExist."""
        ...

    async def applications(self, *, size: int, after: Cursor) -> Page[Application]:
        """By name."""
        ...

    async def delete_application(self, name: str, *, at: int, key: RequestKey) -> None:
        """With its groups and revisions. Raises ApplicationDoesNotExist, or InvalidOperation while a deployment of it is live."""
        ...

    async def create_group(self, group: DeploymentGroup, *, at: int, key: RequestKey) -> DeploymentGroup:
        """Raises ApplicationDoesNotExist, DeploymentGroupAlreadyExists, DeploymentConfigDoesNotExist, InvalidAlarmConfig."""
        ...

    async def group(self, application_name: str, name: str) -> DeploymentGroup:
        """Raises ApplicationDoesNotExist, DeploymentGroupDoesNotExist."""
        ...

    async def groups(self, application_name: str, *, size: int, after: Cursor) -> Page[DeploymentGroup]:
        """By name. Raises ApplicationDoesNotExist."""
        ...

    async def update_group(
        self, group: DeploymentGroup, *, at: int, key: RequestKey, refusal: DeployError | None = None
    ) -> DeploymentGroup:
        """Give the group with these names the rules of this one. Raises as `group` and `create_group` do; a `refusal`, unless it is a
        repeat."""
        ...

    async def delete_group(self, application_name: str, name: str, *, at: int, key: RequestKey) -> None:
        """Raises as `group` does, or InvalidOperation while a deployment of it is live."""
        ...

    async def create_config(self, config: DeploymentConfig, *, at: int, key: RequestKey) -> DeploymentConfig:
        """Raises DeploymentConfigAlreadyExists."""
        ...

    async def config(self, name: str) -> DeploymentConfig:
        """Raises DeploymentConfigDoesNotExist."""
        ...

    async def configs(self, *, size: int, after: Cursor) -> Page[DeploymentConfig]:
        """By name, the predefined ones among them."""
        ...

    async def delete_config(self, name: str, *, at: int, key: RequestKey) -> None:
        """Raises DeploymentConfigDoesNotExist, InvalidOperation if predefined, DeploymentConfigInUse."""
        ...

    async def pushed(self) -> set[bytes]:
        """The digests of the bundles that the coordinator keeps for some revision of some application."""
        ...

    async def register_revision(self, revision: CatalogRevision, *, at: int, key: RequestKey) -> CatalogRevision:
        """Store it, or return the one that is there already. Raises ApplicationDoesNotExist."""
        ...

    async def revision(self, application_name: str, revision_id: RevisionId) -> CatalogRevision:
        """Raises ApplicationDoesNotExist, RevisionDoesNotExist."""
        ...

    async def revisions(self, application_name: str, *, size: int, after: Cursor) -> Page[CatalogRevision]:
        """Newest first. Raises ApplicationDoesNotExist."""
        ...


class AlarmCatalog(Protocol):
    """Alarms. `at` is UTC milliseconds."""

    async def create(self, alarm: Alarm, *, at: int, key: RequestKey) -> CatalogAlarm:
        """Raises AlarmAlreadyExists."""
        ...

    async def alarm(self, name: str) -> CatalogAlarm:
        """Raises AlarmDoesNotExist."""
        ...

    async def alarms(self, *, size: int, after: Cursor) -> Page[CatalogAlarm]:
        """By name."""
        ...

    async def update(self, alarm: Alarm, *, at: int, key: RequestKey) -> CatalogAlarm:
        """Put an alarm in the place of the one with its name. Raises AlarmDoesNotExist."""
        ...

    async def delete(self, name: str, *, at: int, key: RequestKey) -> None:
        """Raises AlarmDoesNotExist, AlarmInUse."""
        ...


class AlarmLooks(Protocol):
    """Whoever can look at an alarm."""

    async def look(self, alarm: Alarm, since: int, /) -> Seen:
        """What is known of it, and of it since a time in UTC milliseconds. What cannot be seen is what the alarm says of that; it raises
        nothing."""
        ...

    async def misread(self, expression: str, /) -> str:
        """Why Prometheus cannot read an expression; nothing when it can, and when nobody can tell just now. Raises nothing."""
        ...


class Fleet(Protocol):
    """Hosts and the tags that operators set on them."""

    async def hosts(self, *, filters: Sequence[TagFilter], size: int, after: Cursor) -> Page[Host]:
        """Hosts that match any of the filters (all, without filters), by name."""
        ...

    async def host(self, host: str) -> Host:
        """By id or name. Raises InstanceDoesNotExist."""
        ...

    async def add_tags(self, hosts: Sequence[str], tags: Mapping[str, str], *, at: int, key: RequestKey) -> list[Host]:
        """On all hosts (ids or names) or none. Raises InstanceDoesNotExist."""
        ...

    async def remove_tags(self, hosts: Sequence[str], keys: Sequence[str], *, at: int, key: RequestKey) -> list[Host]:
        """From all hosts (ids or names) or none. Raises InstanceDoesNotExist."""
        ...

    async def profiles(self) -> Mapping[HostId, tuple[str, ...]]:
        """The instance profiles of all hosts that have one."""
        ...

    async def set_sources(self, host: str, sources: Sequence[str], *, at: int, key: RequestKey) -> Host:
        """A host's instance profile, by id or name. Raises InstanceDoesNotExist."""
        ...


class Newcomers(Protocol):
    """Which hosts were not there when their groups were deployed to."""

    async def newcomers(self, hosts: Collection[HostId]) -> list[Awaiting]:
        """Groups that update outdated instances, with those of these hosts that are newcomers to them by `core/deployment/newcomers`, and
        those that may be once a live deployment has ended."""
        ...


class Grounds(Protocol):
    """Where a deployment finds what it stands on."""

    async def ground(
        self, application_name: str, group_name: str, revision_id: RevisionId, config_name: str, alarms: Sequence[str] | None = None
    ) -> Ground:
        """Everything as it is at one moment; an empty config name takes the group's, and None the alarms that the group watches. Raises
        ApplicationDoesNotExist, DeploymentGroupDoesNotExist, RevisionDoesNotExist, DeploymentConfigDoesNotExist, InvalidAlarmConfig."""
        ...


class History(Protocol):
    """Deployments, live and past, and what happened."""

    async def deployment(self, deployment_id: DeploymentId) -> DeploymentRecord:
        """Raises DeploymentDoesNotExist."""
        ...

    async def deployments(
        self, *, application_name: str, group_name: str, statuses: Sequence[DeploymentStatus], size: int, after: Cursor
    ) -> Page[DeploymentRecord]:
        """Newest first; empty names and statuses mean all. Raises as Catalog does for names that are unknown."""
        ...

    async def targets(
        self, deployment_id: DeploymentId, *, statuses: Sequence[TargetStatus], size: int, after: Cursor
    ) -> Page[TargetRecord]:
        """By host name. Raises DeploymentDoesNotExist."""
        ...

    async def target(self, deployment_id: DeploymentId, host: str) -> TargetRecord:
        """By the host's id or name. Raises DeploymentDoesNotExist, DeploymentTargetDoesNotExist."""
        ...

    async def changed(self, deployment_id: DeploymentId, *, since: int, size: int) -> tuple[list[TargetRecord], int]:
        """Up to `size` targets that changed after commit `since`, oldest change first, and the commit up to which
        that is everything: pass it as the next `since`. No targets: nothing changed. Targets of one commit are never split."""
        ...

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
        """Newest first; empty means all."""
        ...


class Presence(Protocol):
    """Who is there just now, from memory: `engine/loop.Engine` is one."""

    def lost(self, host_id: HostId) -> bool:
        """Whether a host has been away for so long that it counts as unhealthy. A host that nobody knows is not lost."""
        ...
