"""How what the core decided becomes rows: the hot path. Plain tuples, one `executemany` a table, all in one transaction.

A rollout of 10,000 hosts brings 120,000 rows; what is done for each of them is a few dictionary look-ups.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

from coordinator.core.errors import DeployError, DeploymentGroupDoesNotExist, RevisionDoesNotExist
from coordinator.core.facts import Report
from coordinator.core.lifecycle import EventStatus
from coordinator.core.model import Deployment, HostId, Plan, Session, Success
from coordinator.core.orders import Changes, Entry, HistoryEntry
from coordinator.engine.ports import DeploymentsRefused
from coordinator.store.calls import remember
from coordinator.store.connections.numbers import Numbers
from coordinator.store.rows.columns import Column
from coordinator.store.rows.hosts import HOST_COLUMNS, host_columns
from coordinator.store.rows.running import (
    DEPLOYMENT_COLUMNS,
    PLAN_COLUMNS,
    TARGET_COLUMNS,
    deployment_columns,
    plan_columns,
    target_columns,
)
from coordinator.store.rows.stages import stages_text, zones_text


def _insert(table: str, columns: Iterable[str]) -> str:
    names = tuple(columns)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


def _set(columns: Iterable[str]) -> str:
    return ", ".join(f"{column} = ?" for column in columns)


INSERT_HOST: Final = _insert("host", ("host_id", "name_no", *HOST_COLUMNS)) + " RETURNING host_no"
UPDATE_HOST: Final = f"UPDATE host SET name_no = ?, {_set(HOST_COLUMNS)}, removed_at = NULL WHERE host_no = ?"
INSERT_CURSOR: Final = "INSERT INTO report_cursor (acked_seq, host_no) VALUES (?, ?)"
UPDATE_CURSOR: Final = "UPDATE report_cursor SET acked_seq = ? WHERE host_no = ?"
REMOVE_HOST: Final = "UPDATE host SET removed_at = ?, operator_tags = '{}' WHERE host_no = ?"
REMOVE_HOLDINGS: Final = "DELETE FROM holding WHERE host_no = ?"
LINKS: Final = ("group_no", "revision_no", "config_name_no", "created_by_no", "last_successful_no", "rolls_back_no")
BOUNDS: Final = ("commit_no", "first_history", "last_history")
INSERT_DEPLOYMENT: Final = _insert(
    "deployment", ("deployment_no", "deployment_id", *LINKS, *PLAN_COLUMNS, *DEPLOYMENT_COLUMNS, "rollback_no", *BOUNDS, "zones")
)
UPDATE_DEPLOYMENT: Final = f"UPDATE deployment SET {_set((*DEPLOYMENT_COLUMNS, 'rollback_no'))} WHERE deployment_no = ?"
BEGIN_DEPLOYMENT: Final = "UPDATE deployment SET last_successful_no = ?, stages = ?, zones = ? WHERE deployment_no = ?"
REVISION_OF: Final = """
    SELECT deleted_at, revision_no FROM deployment_group g LEFT JOIN revision r ON r.application_no = g.application_no AND revision_id = ?
    WHERE group_no = ?"""
INSERT_TARGET: Final = _insert(
    "target", ("deployment_no", "host_no", "place_in_line", "host_name_no", "stage", "zone", *TARGET_COLUMNS, "commit_no")
)
INSERT_BYSTANDER: Final = _insert("bystander", ("deployment_no", "host_no", "zone"))
UPDATE_TARGET: Final = f"UPDATE target SET {_set(TARGET_COLUMNS)}, commit_no = ? WHERE deployment_no = ? AND host_no = ?"
NEWS: Final = (
    *(Entry.AlarmStatus, Entry.Blind, Entry.Baking, Entry.Watching, Entry.Watched, Entry.Regressed),
    *(Entry.Analysing, Entry.Measured, Entry.Analysed),
)
"""Entries that whoever follows a deployment wants to read, though nothing else of it has changed."""
TOUCH_DEPLOYMENT: Final = "UPDATE deployment SET commit_no = ? WHERE deployment_no = ?"
TOUCH_TARGET: Final = "UPDATE target SET commit_no = ? WHERE deployment_no = ? AND host_no = ?"
UPSERT_EVENT: Final = """
    INSERT INTO lifecycle_event (deployment_no, host_no, event, attempt, status, started_at, ended_at, seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (deployment_no, host_no, event, attempt) DO UPDATE SET status = excluded.status,
        started_at = coalesce(excluded.started_at, lifecycle_event.started_at),
        ended_at = coalesce(excluded.ended_at, lifecycle_event.ended_at), seq = excluded.seq"""
FORGOTTEN: Final = 100
"""Attempts more than are known that a host may tell of: those that a database has forgotten which went back in time."""
KNOWN_ATTEMPT: Final = f"SELECT 1 FROM target WHERE deployment_no = ? AND host_no = ? AND attempt + {FORGOTTEN} >= ?"
LATE_EVENT: Final = f"{UPSERT_EVENT} WHERE excluded.status > lifecycle_event.status"
UPSERT_DIAGNOSTICS: Final = """
    INSERT INTO diagnostics (deployment_no, host_no, event, attempt, error_code, script_name, message, log_tail)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (deployment_no, host_no, event, attempt) DO UPDATE SET error_code = excluded.error_code,
        script_name = excluded.script_name, message = excluded.message, log_tail = excluded.log_tail"""
UPSERT_MEMBER: Final = """
    INSERT INTO member (group_no, host_no, target_epoch, health, missed) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (group_no, host_no) DO UPDATE
        SET target_epoch = excluded.target_epoch, health = excluded.health, missed = excluded.missed"""
UPSERT_HOLDING: Final = """
    INSERT INTO holding (host_no, group_no, installed_no, deployed_no) VALUES (?, ?, ?, ?)
    ON CONFLICT (host_no, group_no) DO UPDATE SET installed_no = coalesce(excluded.installed_no, holding.installed_no),
        deployed_no = coalesce(excluded.deployed_no, holding.deployed_no)"""
UPDATE_GROUP: Final = "UPDATE deployment_group SET last_successful_no = ?, watched_no = ? WHERE group_no = ?"
INSERT_HISTORY: Final = _insert(
    "history", ("history_id", "at", "entry_no", "because", "group_no", "deployment_no", "host_no", "message", "principal_no")
)
NEXT_COMMIT: Final = "UPDATE last_commit SET commit_no = commit_no + 1 RETURNING commit_no"


class Storing:
    """One commit on its way into the tables."""

    def __init__(self, db: sqlite3.Connection, numbers: Numbers, changes: Changes, at: int) -> None:
        """`at`: UTC milliseconds, for what carries no time of its own."""
        self._db = db
        self._numbers = numbers
        self._changes = changes
        self._at = at
        self._history = numbers.history(len(changes.history))
        self._commit: int = db.execute(NEXT_COMMIT).fetchone()[0]

    def store(self) -> int:
        """Write every row and return the commit's number. Raises DeploymentsRefused."""
        self._refuse_what_lost_its_ground()
        self._hosts()
        self._deployments()
        self._targets()
        self._events()
        self._groups()
        remember(self._db, self._numbers, self._changes.requests, at=self._at)
        self._tell()
        return self._commit

    def _refuse_what_lost_its_ground(self) -> None:
        """The catalogue may have changed since it was read for a new deployment. (A rollback follows a live one, which protects it.)"""
        wanted = [one.plan for one in self._changes.created.values() if one.plan.rolls_back is None]
        why = {plan.deployment_id: error for plan in wanted if (error := self._refusal(plan)) is not None}
        if why:
            raise DeploymentsRefused(why)

    def _refusal(self, plan: Plan) -> DeployError | None:
        group_no = self._numbers.groups.known(plan.group_id)
        deleted_at, revision_no = self._db.execute(REVISION_OF, (plan.revision.revision_id, group_no)).fetchone() or (self._at, None)
        why = f"cannot deploy revision {plan.revision.revision_id} to {plan.group_name} of application {plan.application_name}"
        if deleted_at is not None:
            return DeploymentGroupDoesNotExist(f"{why}: the group was deleted a moment ago", field="deployment_group_name")
        if revision_no is None:
            return RevisionDoesNotExist(f"{why}: the revision belongs to another application of that name", field="revision_id")
        return None

    def _hosts(self) -> None:
        db, numbers, changes = self._db, self._numbers, self._changes
        for host_no in [numbers.hosts[host_id] for host_id in changes.removed]:
            db.execute(REMOVE_HOST, (self._at, host_no))
            db.execute(REMOVE_HOLDINGS, (host_no,))
        known: list[Session] = []
        for session in changes.hosts.values():
            if numbers.hosts.known(session.host_id) is not None:
                known.append(session)
                continue
            made = db.execute(INSERT_HOST, (session.host_id, numbers.names[session.name], *host_columns(session)))
            numbers.hosts[session.host_id] = made.fetchone()[0]
            db.execute(INSERT_CURSOR, (session.acked_seq, numbers.hosts[session.host_id]))
        hosts, names = numbers.hosts, numbers.names
        db.executemany(UPDATE_HOST, ((names[one.name], *host_columns(one), hosts[one.host_id]) for one in known))
        db.executemany(UPDATE_CURSOR, ((one.acked_seq, hosts[one.host_id]) for one in known))
        db.executemany(UPDATE_CURSOR, ((seq, hosts[host_id]) for host_id, seq in changes.cursors.items()))

    def _deployments(self) -> None:
        db, deployments, changes = self._db, self._numbers.deployments, self._changes
        last = int(db.execute("SELECT coalesce(max(deployment_no), 0) FROM deployment").fetchone()[0]) if changes.created else 0
        for number, deployment_id in enumerate(changes.created, start=last + 1):
            deployments[deployment_id] = number
        for one in changes.created.values():
            db.execute(INSERT_DEPLOYMENT, self._deployment_row(one))
            db.executemany(INSERT_TARGET, self._target_rows(one))
            db.executemany(INSERT_BYSTANDER, self._bystander_rows(one))
        for one in changes.begun.values():
            shape = stages_text(one.plan.stages), zones_text(one.zones)
            db.execute(BEGIN_DEPLOYMENT, (self._successful_no(one.plan.last_successful), *shape, deployments[one.deployment_id]))
            db.executemany(INSERT_TARGET, self._target_rows(one))
            db.executemany(INSERT_BYSTANDER, self._bystander_rows(one))
        db.executemany(
            UPDATE_DEPLOYMENT,
            [
                (*deployment_columns(one), self._deployment_no(one.rollback_deployment_id), deployments[one.deployment_id])
                for one in changes.deployments.values()
                if one.deployment_id not in changes.created
            ],
        )

    def _deployment_no(self, deployment_id: str | None) -> int | None:
        return None if deployment_id is None else self._numbers.deployments[deployment_id]

    def _successful_no(self, success: Success | None) -> int | None:
        return None if success is None else self._numbers.deployments[success.deployment_id]

    def _deployment_row(self, deployment: Deployment) -> tuple[Column, ...]:
        plan, numbers = deployment.plan, self._numbers
        group_no = numbers.groups[plan.group_id]
        _, revision_no = self._db.execute(REVISION_OF, (plan.revision.revision_id, group_no)).fetchone()
        return (
            numbers.deployments[plan.deployment_id],
            plan.deployment_id,
            group_no,
            revision_no,
            numbers.names[plan.config_name],
            numbers.names[plan.created_by],
            self._successful_no(plan.last_successful),
            self._deployment_no(plan.rolls_back),
            *plan_columns(plan),
            *deployment_columns(deployment),
            self._deployment_no(deployment.rollback_deployment_id),
            self._commit,
            self._history.start,
            self._history.start,
            zones_text(deployment.zones),
        )

    def _target_rows(self, deployment: Deployment) -> list[tuple[Column, ...]]:
        """Rows of all targets, in the order in which the table lies: that is cheaper than to sort them in."""
        hosts, names, commit = self._numbers.hosts, self._numbers.names, self._commit
        number = self._numbers.deployments[deployment.deployment_id]
        line = sorted(enumerate(deployment.targets.values()), key=lambda one: hosts[one[1].host_id])
        zone = deployment.zone_of.get
        return [
            (number, hosts[one.host_id], place, names[one.host_name], one.stage, zone(one.host_id), *target_columns(one), commit)
            for place, one in line
        ]

    def _bystander_rows(self, deployment: Deployment) -> list[tuple[Column, ...]]:
        """A rollback's members are read with what it rolls back."""
        if deployment.plan.rolls_back is not None or len(deployment.members) == len(deployment.targets):
            return []
        number, hosts = self._numbers.deployments[deployment.deployment_id], self._numbers.hosts
        others = ((hosts[one], deployment.zone_of.get(one)) for one in deployment.members - deployment.targets.keys())
        return [(number, host_no, zone) for host_no, zone in sorted(others, key=lambda one: one[0])]

    def _targets(self) -> None:
        changes, commit = self._changes, self._commit
        deployments, hosts = self._numbers.deployments, self._numbers.hosts
        stored = self._db.executemany(
            UPDATE_TARGET, ((*target_columns(one), commit, deployments[one.deployment_id], hosts[one.host_id]) for one in changes.targets)
        ).rowcount
        assert stored in (len(changes.targets), -1), f"{len(changes.targets)} targets changed, {stored} are in the database"
        others = {one for one, _, _ in changes.events} - changes.targets.keys()
        self._db.executemany(TOUCH_TARGET, [(commit, deployments[one.deployment_id], hosts[one.host_id]) for one in others])
        touched = {one.deployment_id for one in changes.targets} | {one.deployment_id for one in others} | changes.deployments.keys()
        self._db.executemany(TOUCH_DEPLOYMENT, [(commit, deployments[one]) for one in touched])

    def _events(self) -> None:
        deployments, hosts, events = self._numbers.deployments, self._numbers.hosts, self._changes.events
        self._db.executemany(
            UPSERT_EVENT,
            (
                (deployments[one.deployment_id], hosts[one.host_id], event + 0, attempt, status + 0, started_at, ended_at, seq)
                for (one, event, attempt), (status, started_at, ended_at, seq, _) in events.items()
            ),
        )
        self._db.executemany(
            UPSERT_DIAGNOSTICS,
            [
                (
                    *(deployments[one.deployment_id], hosts[one.host_id], int(event), attempt),
                    *(int(told.error_code), told.script_name, told.message, told.log_tail),
                )
                for (one, event, attempt), (_, _, _, _, told) in events.items()
                if told is not None
            ],
        )
        touched = {key for host_id, report in self._changes.late if (key := self._late(host_id, report)) is not None}
        self._db.executemany(TOUCH_TARGET, [(self._commit, *key) for key in touched])
        self._db.executemany(TOUCH_DEPLOYMENT, [(self._commit, number) for number in {number for number, _ in touched}])

    def _late(self, host_id: HostId, report: Report) -> tuple[int, int] | None:
        """A lifecycle event of a deployment that has ended. What names no known target and attempt is dropped: agents may say
        anything. Returns the numbers of the deployment and the host if it was news."""
        deployment_id, _, rest = report.instruction_id.partition("/")
        attempt = rest.rpartition("/")[2]
        deployment_no, host_no = self._numbers.deployments.known(deployment_id), self._numbers.hosts.known(host_id)
        if report.event is None or not (attempt.isascii() and attempt.isdigit() and len(attempt) < 10):
            return None
        if deployment_no is None or host_no is None:
            return None
        key = (deployment_no, host_no)
        if self._db.execute(KNOWN_ATTEMPT, (*key, int(attempt))).fetchone() is None:
            return None
        begun = report.status is EventStatus.InProgress
        times = (report.time, None) if begun else (None, report.time)
        row = (*key, int(report.event), int(attempt))
        stored = self._db.execute(LATE_EVENT, (*row, int(report.status), *times, report.seq)).rowcount
        told = report.diagnostics
        if stored and told is not None:
            self._db.execute(UPSERT_DIAGNOSTICS, (*row, int(told.error_code), told.script_name, told.message, told.log_tail))
        return key if stored else None

    def _groups(self) -> None:
        """What groups know of themselves and of their hosts. A host may name a group that nobody knows: that is dropped."""
        db, numbers, changes = self._db, self._numbers, self._changes
        groups, hosts, names = numbers.groups, numbers.hosts, numbers.names
        db.executemany(
            UPDATE_GROUP,
            [
                (
                    self._successful_no(one.last_successful),
                    self._deployment_no(None if one.watched is None else one.watched.deployment_id),
                    groups[group_id],
                )
                for group_id, one in changes.groups.items()
            ],
        )
        unknown = {group_id for group_id, _ in (*changes.members, *changes.holdings)}
        unknown = {group_id for group_id in unknown if groups.known(group_id) is None}
        db.executemany(
            UPSERT_MEMBER,
            (
                (groups[group_id], hosts[host_id], one.target_epoch, one.health + 0, one.missed)
                for (group_id, host_id), one in changes.members.items()
                if group_id not in unknown
            ),
        )
        db.executemany(
            UPSERT_HOLDING,
            (
                (
                    *(hosts[host_id], groups[group_id]),
                    None if installed is None else names[installed],
                    None if deployed is None else names[deployed],
                )
                for (group_id, host_id), (installed, deployed) in changes.holdings.items()
                if group_id not in unknown
            ),
        )

    def _tell(self) -> None:
        """Append to the history, and keep for each deployment between which rows all of its own lie: that saves an index."""
        changes, numbers = self._changes, self._numbers
        if not changes.history:
            return
        self._db.executemany(INSERT_HISTORY, map(self._history_row, self._history, changes.history))
        news = {one.deployment_id for one in changes.history if one.entry in NEWS and one.deployment_id is not None}
        self._db.executemany(TOUCH_DEPLOYMENT, [(self._commit, numbers.deployments[deployment_id]) for deployment_id in news])
        told = {one.deployment_id for one in changes.history}
        numbered = [numbers.deployments.known(deployment_id) for deployment_id in told if deployment_id is not None]
        self._db.executemany(
            "UPDATE deployment SET last_history = ? WHERE deployment_no = ?", [(self._history[-1], number) for number in numbered]
        )

    def _history_row(self, history_id: int, entry: HistoryEntry) -> tuple[Column, ...]:
        at, what, because, group_id, deployment_id, host_id, message, principal = entry
        numbers = self._numbers
        return (
            history_id,
            at,
            numbers.names[what],
            because,
            None if group_id is None else numbers.groups.known(group_id),
            None if deployment_id is None else numbers.deployments.known(deployment_id),
            None if host_id is None else numbers.hosts.known(host_id),
            message or None,
            numbers.names[principal],
        )
