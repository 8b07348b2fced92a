"""The services' Catalog on SQLite: applications and deployment configs here, groups and revisions in the files beside it.

What is deleted keeps its row, so that the history keeps its names; the name is free again.
"""

import sqlite3
from dataclasses import replace

from coordinator.core.errors import (
    ApplicationAlreadyExists,
    ApplicationDoesNotExist,
    DeployError,
    DeploymentConfigAlreadyExists,
    DeploymentConfigDoesNotExist,
    DeploymentConfigInUse,
    InvalidOperation,
)
from coordinator.core.facts import RequestKey
from coordinator.core.model import RevisionId
from coordinator.core.orders import Entry
from coordinator.service.ports import Cursor, Page
from coordinator.service.records import Application, CatalogRevision, DeploymentConfig, DeploymentGroup
from coordinator.store.calls import Told, finish, refuse_replay, tell
from coordinator.store.catalog import groups, revisions
from coordinator.store.catalog.groups import application_no, config_no, live_deployment
from coordinator.store.connections.numbers import Numbers
from coordinator.store.connections.reader import Reader
from coordinator.store.connections.writer import Writer
from coordinator.store.paging import Paging
from coordinator.store.rows.columns import MINIMUM_NUMBERS, minimum
from coordinator.store.rows.stages import shape, shape_text


class SqliteCatalog:
    """The services' Catalog."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Writes go through the one writer."""
        self._writer = writer
        self._reader = reader

    # ------------------------------------------------------------------------------------------------------ applications

    async def create_application(self, name: str, *, at: int, key: RequestKey) -> Application:
        """Raises ApplicationAlreadyExists."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> Application:
            refuse_replay(db, key)
            if application_no(db, name) is not None:
                raise ApplicationAlreadyExists(f"cannot create application {name}: it exists", field="application_name")
            made = db.execute("INSERT INTO application (name, created_at) VALUES (?, ?) RETURNING application_no", (name, at)).fetchone()
            tell(db, numbers, Told(Entry.ApplicationCreated, name, application_no=made[0]), at=at, key=key)
            finish(db, numbers, name, at=at, key=key)
            return Application(name=name, created_at=at)

        return await self._writer.run(change)

    async def application(self, name: str) -> Application:
        """Raises ApplicationDoesNotExist."""

        def query(db: sqlite3.Connection) -> Application:
            row = db.execute("SELECT created_at FROM application WHERE name = ? AND deleted_at IS NULL", (name,)).fetchone()
            if row is None:
                raise _no_application(name)
            return Application(name=name, created_at=row[0])

        return await self._reader.run(query)

    async def applications(self, *, size: int, after: Cursor) -> Page[Application]:
        """By name."""
        paging = Paging("applications")

        def query(db: sqlite3.Connection) -> Page[Application]:
            rows = db.execute(
                "SELECT name, created_at FROM application WHERE deleted_at IS NULL AND name > ? ORDER BY name LIMIT ?",
                (*paging.after(after, [""]), size + 1),
            ).fetchall()
            return paging.page(rows, size, lambda row: [row[0]], lambda row: Application(name=row[0], created_at=row[1]))

        return await self._reader.run(query)

    async def delete_application(self, name: str, *, at: int, key: RequestKey) -> None:
        """With its groups and revisions. Raises ApplicationDoesNotExist, or InvalidOperation while a deployment of it is live."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> None:
            refuse_replay(db, key)
            number = application_no(db, name)
            if number is None:
                raise _no_application(name)
            groups = db.execute(
                "SELECT group_no, name FROM deployment_group WHERE application_no = ? AND deleted_at IS NULL", (number,)
            ).fetchall()
            for group_no, group_name in groups:
                live = live_deployment(db, group_no)
                if live is not None:
                    raise InvalidOperation(
                        f"cannot delete application {name}: deployment {live} of its group {group_name} runs; stop it or wait"
                    )
                tell(db, numbers, Told(Entry.DeploymentGroupDeleted, group_name, group_no=group_no), at=at, key=key)
            db.execute("UPDATE deployment_group SET deleted_at = ? WHERE application_no = ? AND deleted_at IS NULL", (at, number))
            db.execute("UPDATE application SET deleted_at = ? WHERE application_no = ?", (at, number))
            tell(db, numbers, Told(Entry.ApplicationDeleted, name, application_no=number), at=at, key=key)
            finish(db, numbers, name, at=at, key=key)

        await self._writer.run(change)

    # ------------------------------------------------------------------------------------------------------------ groups

    async def create_group(self, group: DeploymentGroup, *, at: int, key: RequestKey) -> DeploymentGroup:
        """Raises ApplicationDoesNotExist, DeploymentGroupAlreadyExists, DeploymentConfigDoesNotExist, InvalidAlarmConfig."""
        return await self._writer.run(lambda db, numbers: groups.create(db, numbers, group, at=at, key=key))

    async def group(self, application_name: str, name: str) -> DeploymentGroup:
        """Raises ApplicationDoesNotExist, DeploymentGroupDoesNotExist."""
        return await self._reader.run(lambda db: groups.get(db, application_name, name))

    async def groups(self, application_name: str, *, size: int, after: Cursor) -> Page[DeploymentGroup]:
        """By name. Raises ApplicationDoesNotExist."""
        return await self._reader.run(lambda db: groups.page(db, application_name, size=size, after=after))

    async def update_group(
        self, group: DeploymentGroup, *, at: int, key: RequestKey, refusal: DeployError | None = None
    ) -> DeploymentGroup:
        """Give the group with these names the rules of this one. Raises a `refusal`, unless it is a repeat."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> DeploymentGroup:
            refuse_replay(db, key)
            if refusal is not None:
                raise refusal
            return groups.update(db, numbers, group, at=at, key=key)

        return await self._writer.run(change)

    async def delete_group(self, application_name: str, name: str, *, at: int, key: RequestKey) -> None:
        """Raises as `group` does, or InvalidOperation while a deployment of it is live."""
        await self._writer.run(lambda db, numbers: groups.delete(db, numbers, (application_name, name), at=at, key=key))

    # ----------------------------------------------------------------------------------------------------------- configs

    async def create_config(self, config: DeploymentConfig, *, at: int, key: RequestKey) -> DeploymentConfig:
        """Raises DeploymentConfigAlreadyExists."""
        rule = config.minimum_healthy_hosts

        def change(db: sqlite3.Connection, numbers: Numbers) -> DeploymentConfig:
            refuse_replay(db, key)
            if config_no(db, config.name) is not None:
                raise DeploymentConfigAlreadyExists(
                    f"cannot create deployment config {config.name}: it exists", field="deployment_config_name"
                )
            db.execute(
                "INSERT INTO deployment_config (name, minimum_type, minimum_value, predefined, created_at, shape)"
                " VALUES (?, ?, ?, 0, ?, ?)",
                (config.name, MINIMUM_NUMBERS[rule.type], rule.value, at, shape_text(config.shape)),
            )
            tell(db, numbers, Told(Entry.DeploymentConfigCreated, config.name), at=at, key=key)
            finish(db, numbers, config.name, at=at, key=key)
            return replace(config, predefined=False, created_at=at)

        return await self._writer.run(change)

    async def config(self, name: str) -> DeploymentConfig:
        """Raises DeploymentConfigDoesNotExist."""
        return await self._reader.run(lambda db: existing_config(db, name))

    async def configs(self, *, size: int, after: Cursor) -> Page[DeploymentConfig]:
        """By name, the predefined ones among them."""
        paging = Paging("configs")

        def query(db: sqlite3.Connection) -> Page[DeploymentConfig]:
            rows = db.execute(f"{_CONFIGS} AND name > ? ORDER BY name LIMIT ?", (*paging.after(after, [""]), size + 1)).fetchall()
            return paging.page(rows, size, lambda row: [row[0]], lambda row: _config(tuple(row)))

        return await self._reader.run(query)

    async def delete_config(self, name: str, *, at: int, key: RequestKey) -> None:
        """Raises DeploymentConfigDoesNotExist, InvalidOperation if predefined, DeploymentConfigInUse."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> None:
            refuse_replay(db, key)
            row = db.execute(
                "SELECT config_no, predefined FROM deployment_config WHERE name = ? AND deleted_at IS NULL", (name,)
            ).fetchone()
            if row is None:
                raise DeploymentConfigDoesNotExist(f"cannot find deployment config {name}", field="deployment_config_name")
            if row[1]:
                raise InvalidOperation(f"cannot delete deployment config {name}: it is predefined", field="deployment_config_name")
            used = db.execute(
                """SELECT a.name, g.name FROM deployment_group g JOIN application a USING (application_no)
                   WHERE ? IN (g.config_no, g.rollback_config_no) AND g.deleted_at IS NULL ORDER BY 1, 2 LIMIT 1""",
                (row[0],),
            ).fetchone()
            if used is not None:
                raise DeploymentConfigInUse(
                    f"cannot delete deployment config {name}: deployment group {used[1]} of application {used[0]} uses it; "
                    "give the group another config first"
                )
            db.execute("UPDATE deployment_config SET deleted_at = ? WHERE config_no = ?", (at, row[0]))
            tell(db, numbers, Told(Entry.DeploymentConfigDeleted, name), at=at, key=key)
            finish(db, numbers, name, at=at, key=key)

        await self._writer.run(change)

    # --------------------------------------------------------------------------------------------------------- revisions

    async def pushed(self) -> set[bytes]:
        """The digests of the bundles that the coordinator keeps for some revision of some application."""
        return await self._reader.run(revisions.pushed)

    async def register_revision(self, revision: CatalogRevision, *, at: int, key: RequestKey) -> CatalogRevision:
        """Store it, or return the one that is there already. Raises ApplicationDoesNotExist."""
        return await self._writer.run(lambda db, numbers: revisions.register(db, numbers, revision, at=at, key=key))

    async def revision(self, application_name: str, revision_id: RevisionId) -> CatalogRevision:
        """Raises ApplicationDoesNotExist, RevisionDoesNotExist."""
        return await self._reader.run(lambda db: revisions.get(db, application_name, revision_id))

    async def revisions(self, application_name: str, *, size: int, after: Cursor) -> Page[CatalogRevision]:
        """Newest first. Raises ApplicationDoesNotExist."""
        return await self._reader.run(lambda db: revisions.page(db, application_name, size=size, after=after))


def existing_config(db: sqlite3.Connection, name: str) -> DeploymentConfig:
    """Raises DeploymentConfigDoesNotExist."""
    row = db.execute(f"{_CONFIGS} AND name = ?", (name,)).fetchone()
    if row is None:
        raise DeploymentConfigDoesNotExist(f"cannot find deployment config {name}", field="deployment_config_name")
    return _config(tuple(row))


_CONFIGS = "SELECT name, minimum_type, minimum_value, predefined, created_at, shape FROM deployment_config WHERE deleted_at IS NULL"


def _config(row: tuple[str, int, int, int, int, str]) -> DeploymentConfig:
    name, type, value, predefined, created_at, text = row
    return DeploymentConfig(
        name=name, minimum_healthy_hosts=minimum(type, value), predefined=bool(predefined), created_at=created_at, shape=shape(text)
    )


def _no_application(name: str) -> ApplicationDoesNotExist:
    return ApplicationDoesNotExist(f"cannot find application {name}", field="application_name")
