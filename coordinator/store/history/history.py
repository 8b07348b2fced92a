"""The services' History, and foresight's Experience, on SQLite."""

from collections.abc import Sequence

from coordinator.core.foresight.durations import Durations
from coordinator.core.lifecycle import DeploymentStatus, TargetStatus
from coordinator.core.model import DeploymentId, GroupId
from coordinator.service.ports import Cursor, Page
from coordinator.service.records import DeploymentRecord, HistoryRecord, TargetRecord
from coordinator.store.connections.reader import Reader
from coordinator.store.history import deployments, durations, entries, targets
from coordinator.store.history.entries import Wanted


class SqliteHistory:
    """Reads only; what is read is what was committed last."""

    def __init__(self, reader: Reader) -> None:
        """Never waits for a writer."""
        self._reader = reader

    async def deployment(self, deployment_id: DeploymentId) -> DeploymentRecord:
        """Raises DeploymentDoesNotExist."""
        return await self._reader.run(lambda db: deployments.one(db, deployment_id))

    async def deployments(
        self, *, application_name: str, group_name: str, statuses: Sequence[DeploymentStatus], size: int, after: Cursor
    ) -> Page[DeploymentRecord]:
        """Newest first; empty names and statuses mean all."""
        wanted = (application_name, group_name)
        return await self._reader.run(lambda db: deployments.page(db, wanted, statuses=statuses, size=size, after=after))

    async def targets(
        self, deployment_id: DeploymentId, *, statuses: Sequence[TargetStatus], size: int, after: Cursor
    ) -> Page[TargetRecord]:
        """By host name. Raises DeploymentDoesNotExist."""
        return await self._reader.run(lambda db: targets.page(db, deployment_id, statuses=statuses, size=size, after=after))

    async def target(self, deployment_id: DeploymentId, host: str) -> TargetRecord:
        """Raises DeploymentDoesNotExist, DeploymentTargetDoesNotExist."""
        return await self._reader.run(lambda db: targets.one(db, deployment_id, host))

    async def changed(self, deployment_id: DeploymentId, *, since: int, size: int) -> tuple[list[TargetRecord], int]:
        """Targets that changed after commit `since`, and the commit up to which that is everything."""
        return await self._reader.run(lambda db: targets.changed(db, deployment_id, since=since, size=size))

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
        wanted = Wanted(application_name, group_name, deployment_id, host, tuple(kinds))
        return await self._reader.run(lambda db: entries.page(db, wanted, size=size, after=after))

    async def durations(self, group_id: GroupId) -> Durations:
        """How long the lifecycle events of a group's last deployments took."""
        return await self._reader.run(lambda db: durations.read(db, group_id))
