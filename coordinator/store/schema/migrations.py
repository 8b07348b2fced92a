"""The numbered migrations that make the tables, which are told in words that SQLite 3.35 and PostgreSQL 13 both understand.

`BIGINT`, `SMALLINT` and `BYTEA` are PostgreSQL's words; `for_sqlite` says them in SQLite's and adds its table options. A released
migration never changes: what comes later is a new number. The views (`views.py`) are made anew whenever a migration ran.
"""

import sqlite3
from collections.abc import Iterable

from sqlite_utils import Database, Migrations

from coordinator.core.model import MinimumHealthyHosts, MinimumHealthyHostsType
from coordinator.core.orders import Entry
from coordinator.store.access import tables as access
from coordinator.store.alerts import ALERT
from coordinator.store.outbox import CURSOR
from coordinator.store.rows.columns import MINIMUM_NUMBERS
from coordinator.store.schema.tables import (
    ALARM,
    ALARM_BY_NAME,
    BYSTANDER,
    ENROLMENT_INDEXES,
    ENROLMENT_TABLES,
    FIRST_INDEXES,
    FIRST_TABLES,
    Table,
)
from coordinator.store.schema.views import create_views

PREDEFINED_CONFIGS = {
    "CodeDeployDefault.AllAtOnce": MinimumHealthyHosts(type=MinimumHealthyHostsType.FLEET_PERCENT, value=0),
    "CodeDeployDefault.HalfAtATime": MinimumHealthyHosts(type=MinimumHealthyHostsType.FLEET_PERCENT, value=50),
    "CodeDeployDefault.OneAtATime": MinimumHealthyHosts(type=MinimumHealthyHostsType.MOST_CONCURRENCY, value=1),
}


class VersionedMigrations(Migrations):
    """sqlite-utils' migrations, recorded in `schema_version`; the name of each is its number."""

    migrations_table = "schema_version"

    @property
    def newest(self) -> int:
        """The version of the schema that this program writes."""
        return max(int(migration.name) for migration in self._migrations)

    def version(self, db: Database) -> int:
        """The version that a database has; 0 when it is empty."""
        return max((int(migration.name) for migration in self.applied(db)), default=0)


MIGRATIONS = VersionedMigrations("hookline")


def for_sqlite(table: Table) -> str:
    """A table's DDL as SQLite wants it. STRICT came with 3.37; before it types are not checked."""
    columns = table.columns.replace("BIGINT", "INTEGER").replace("SMALLINT", "INTEGER").replace("BYTEA", "BLOB")
    options = ["STRICT"] if sqlite3.sqlite_version_info >= (3, 37) else []
    options += ["WITHOUT ROWID"] if table.clustered else []
    return f"CREATE TABLE {table.name} ({columns}) {', '.join(options)}"


def create(db: Database, tables: Iterable[Table], indexes: Iterable[str]) -> None:
    """Make tables and indexes in the open transaction."""
    for table in tables:
        db.execute(for_sqlite(table))
    for index in indexes:
        db.execute(index)


@MIGRATIONS(name="1")
def first_schema(db: Database) -> None:
    """Everything that the first release remembers, with the predefined configs."""
    create(db, FIRST_TABLES, FIRST_INDEXES)
    db.execute("INSERT INTO last_commit (one, commit_no) VALUES (1, 0)")
    names = ["coordinator", *(entry.value for entry in Entry)]  # the most frequent names get the shortest numbers
    db.conn.executemany("INSERT INTO name (name_no, name) VALUES (?, ?)", enumerate(names, start=1))
    db.conn.executemany(
        """INSERT INTO deployment_config (config_no, name, minimum_type, minimum_value, predefined, created_at)
           VALUES (?, ?, ?, ?, 1, 0)""",
        ((number, name, MINIMUM_NUMBERS[rule.type], rule.value) for number, (name, rule) in enumerate(PREDEFINED_CONFIGS.items(), start=1)),
    )


@MIGRATIONS(name="2")
def enrolment(db: Database) -> None:
    """Who may become a host, and who has asked."""
    create(db, ENROLMENT_TABLES, ENROLMENT_INDEXES)


@MIGRATIONS(name="3")
def signatures(db: Database) -> None:
    """Who answers for a revision, and which groups insist on it."""
    for table, column in (
        ("revision", "statement TEXT"),
        ("revision", "signature TEXT"),
        ("deployment_group", "require_signature SMALLINT NOT NULL DEFAULT 0"),
    ):
        db.execute(f"ALTER TABLE {table} ADD COLUMN {column.replace('SMALLINT', 'INTEGER')}")


@MIGRATIONS(name="4")
def operators(db: Database) -> None:
    """Who may call, and what was done."""
    create(db, [Table(*table) for table in access.TABLES], access.INDEXES)


@MIGRATIONS(name="5")
def word_on_rollback(db: Database) -> None:
    """What whoever stopped a deployment said about rolling it back."""
    db.execute("ALTER TABLE deployment ADD COLUMN roll_back INTEGER")


@MIGRATIONS(name="6")
def ignored_failures(db: Database) -> None:
    """Whether hosts go on when the scripts of the revision that they leave fail."""
    db.execute("ALTER TABLE deployment ADD COLUMN ignore_application_stop_failures INTEGER NOT NULL DEFAULT 0")


@MIGRATIONS(name="7")
def tag_sets(db: Database) -> None:
    """Groups that find their hosts by several lists of tag filters at once."""
    db.execute("ALTER TABLE deployment_group ADD COLUMN tag_sets TEXT NOT NULL DEFAULT '[]'")


@MIGRATIONS(name="8")
def parts_of_groups(db: Database) -> None:
    """Deployments to a part of their group."""
    create(db, [BYSTANDER], [])
    db.execute("ALTER TABLE deployment ADD COLUMN outdated_only INTEGER NOT NULL DEFAULT 0")


@MIGRATIONS(name="9")
def names_in_waiting(db: Database) -> None:
    """A machine may wait for a name that another host has: it may be that host, installed anew."""
    db.execute("DROP INDEX enrolment_by_name")
    db.execute("CREATE UNIQUE INDEX enrolment_by_name ON enrolment (name, (status = 1)) WHERE status <> 3")


@MIGRATIONS(name="10")
def frozen_alarms(db: Database) -> None:
    """What deployments watch."""
    for column in (
        "alarms TEXT NOT NULL DEFAULT '[]'",
        "ignore_poll_alarm_failure INTEGER NOT NULL DEFAULT 0",
        "bake_time INTEGER NOT NULL DEFAULT 0",
        "baked_from INTEGER",
    ):
        db.execute(f"ALTER TABLE deployment ADD COLUMN {column}")


@MIGRATIONS(name="11")
def offline_policies(db: Database) -> None:
    """What groups do about hosts that are offline; deployments until now have waited five minutes."""
    for table in ("deployment_group", "deployment"):
        db.execute(f"ALTER TABLE {table} ADD COLUMN offline_action INTEGER NOT NULL DEFAULT 1")
        db.execute(f"ALTER TABLE {table} ADD COLUMN offline_wait INTEGER NOT NULL DEFAULT 300000")
        db.execute(f"ALTER TABLE {table} ADD COLUMN offline_budget INTEGER DEFAULT 0")


@MIGRATIONS(name="12")
def approvals(db: Database) -> None:
    """Groups whose deployments take the word of a second person."""
    for table, column in (
        ("deployment_group", "require_approval INTEGER NOT NULL DEFAULT 0"),
        ("deployment", "require_approval INTEGER NOT NULL DEFAULT 0"),
        ("deployment", "approved_by TEXT NOT NULL DEFAULT ''"),
    ):
        db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


@MIGRATIONS(name="13")
def alerts(db: Database) -> None:
    """What Alertmanager has told."""
    create(db, [ALERT], [])


@MIGRATIONS(name="14")
def alarms(db: Database) -> None:
    """Alarms, and which of them groups watch."""
    create(db, [ALARM], [ALARM_BY_NAME])
    for column in (
        "alarms_enabled INTEGER NOT NULL DEFAULT 0",
        "ignore_poll_alarm_failure INTEGER NOT NULL DEFAULT 0",
        "alarms TEXT NOT NULL DEFAULT '[]'",
        "bake_time INTEGER NOT NULL DEFAULT 0",
    ):
        db.execute(f"ALTER TABLE deployment_group ADD COLUMN {column}")


@MIGRATIONS(name="15")
def newcomers(db: Database) -> None:
    """Which hosts were away when their group was deployed to, and whether they get what they missed."""
    db.execute("ALTER TABLE member ADD COLUMN missed INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE deployment_group ADD COLUMN outdated_strategy INTEGER NOT NULL DEFAULT 1")


@MIGRATIONS(name="16")
def service_roles(db: Database) -> None:
    """What the coordinator may do for a group."""
    db.execute("ALTER TABLE deployment_group ADD COLUMN service_role TEXT NOT NULL DEFAULT '{}'")


@MIGRATIONS(name="17")
def instance_profiles(db: Database) -> None:
    """Where the bundles may come from that a host reads."""
    db.execute("ALTER TABLE host ADD COLUMN sources TEXT NOT NULL DEFAULT '[]'")


@MIGRATIONS(name="18")
def triggers(db: Database) -> None:
    """Who is told of a group's deployments, and how far they have been."""
    db.execute("ALTER TABLE deployment_group ADD COLUMN triggers TEXT NOT NULL DEFAULT '[]'")
    create(db, [CURSOR], [])


@MIGRATIONS(name="19")
def late_watch(db: Database) -> None:
    """Deployments whose alarms are watched after their success."""
    for table, column in (
        ("deployment_group", "watch_after_success INTEGER NOT NULL DEFAULT 0"),
        ("deployment_group", "watched_no INTEGER"),
        ("deployment", "watch_after_success INTEGER NOT NULL DEFAULT 0"),
        ("deployment", "watched_from INTEGER"),
    ):
        db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


@MIGRATIONS(name="20")
def stages(db: Database) -> None:
    """Rollouts that go stage by stage: the shapes of configs, what is frozen of them, and how far it has come."""
    for table, column in (
        ("deployment_config", "shape TEXT NOT NULL DEFAULT '{}'"),
        ("deployment", "stages TEXT NOT NULL DEFAULT '[]'"),
        ("deployment", "zones TEXT NOT NULL DEFAULT '[]'"),
        ("deployment", "stage INTEGER NOT NULL DEFAULT 0"),
        ("deployment", "promoted INTEGER NOT NULL DEFAULT 0"),
        ("deployment", "gate_from INTEGER"),
        ("deployment", "passed TEXT NOT NULL DEFAULT '[]'"),
        ("deployment", "paused TEXT"),
        ("deployment", "waits_until INTEGER"),
        ("target", "stage INTEGER NOT NULL DEFAULT 0"),
        ("target", "zone INTEGER"),
        ("bystander", "zone INTEGER"),
    ):
        db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


@MIGRATIONS(name="21")
def queues(db: Database) -> None:
    """Deployments that wait for their turn. Few have not ended at any time, so it costs little to find them by their group."""
    db.execute("ALTER TABLE deployment_group ADD COLUMN queueing INTEGER NOT NULL DEFAULT 1")
    for column in ("start_at INTEGER", "chosen TEXT", "due_at INTEGER", "turn_at INTEGER", "shape TEXT NOT NULL DEFAULT '{}'"):
        db.execute(f"ALTER TABLE deployment ADD COLUMN {column}")
    db.execute("CREATE INDEX deployment_under_way ON deployment (group_no) WHERE status <= 3")


@MIGRATIONS(name="22")
def analyses(db: Database) -> None:
    """What is measured between the stages of a rollout."""
    for column in ("taken TEXT NOT NULL DEFAULT '[]'", "verdict INTEGER"):
        db.execute(f"ALTER TABLE deployment ADD COLUMN {column}")


@MIGRATIONS(name="23")
def rollback_configs(db: Database) -> None:
    """Configs by which groups are rolled back."""
    db.execute("ALTER TABLE deployment_group ADD COLUMN rollback_config_no INTEGER")
    for column in ("rollback_config_name TEXT", "rollback_minimum_type INTEGER", "rollback_minimum_value INTEGER"):
        db.execute(f"ALTER TABLE deployment ADD COLUMN {column}")


@MIGRATIONS(name="24")
def operators_certificates(db: Database) -> None:
    """Certificates of operators, and tokens that are each good for one."""
    for column in ("certificate_lifetime INTEGER", "used_at INTEGER"):
        db.execute(f"ALTER TABLE operator_token ADD COLUMN {column}")
    create(db, [Table(*access.CERTIFICATES)], [])


@MIGRATIONS(name="25")
def refusals(db: Database) -> None:
    """Groups to which nobody deploys while an alarm is active."""
    db.execute("ALTER TABLE deployment_group ADD COLUMN refuse_while_active INTEGER NOT NULL DEFAULT 0")


def migrate(db: Database, migrations: VersionedMigrations = MIGRATIONS) -> None:
    """Bring a database to the newest version and make its views anew, in one transaction."""
    db.execute("BEGIN IMMEDIATE")
    try:
        migrations.apply(db)
        create_views(db)
        db.commit()
    except BaseException:
        db.rollback()
        raise
