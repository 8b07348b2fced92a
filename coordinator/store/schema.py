"""The tables, in words that SQLite 3.35 and PostgreSQL 13 both understand, and the numbered migrations that make them.

`BIGINT`, `SMALLINT` and `BYTEA` are PostgreSQL's words; `for_sqlite` says them in SQLite's and adds its table options. A released
migration never changes: what comes later is a new number. The views (`views.py`) are made anew whenever a migration ran.
"""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from sqlite_utils import Database, Migrations

from coordinator.core.model import MinimumHealthyHosts, MinimumHealthyHostsType
from coordinator.core.orders import Entry
from coordinator.store.access import tables as access
from coordinator.store.rows.columns import MINIMUM_NUMBERS
from coordinator.store.views import create_views


class Table(NamedTuple):
    """A table: its columns and constraints, and whether its rows lie in the order of its primary key."""

    name: str
    columns: str
    clustered: bool = False


# lifecycle_event and history have no foreign keys: nine of ten rows are theirs, every check costs a third of an insert, and their
# numbers come from rows that are never deleted, looked up in the same transaction.
FIRST_TABLES = (
    Table("name", "name_no BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE"),
    Table(
        "application",
        """application_no BIGINT PRIMARY KEY,
           name TEXT NOT NULL,
           created_at BIGINT NOT NULL,
           deleted_at BIGINT""",
    ),
    Table(
        "deployment_config",
        """config_no BIGINT PRIMARY KEY,
           name TEXT NOT NULL,
           minimum_type SMALLINT NOT NULL,
           minimum_value BIGINT NOT NULL,
           predefined SMALLINT NOT NULL,
           created_at BIGINT NOT NULL,
           deleted_at BIGINT""",
    ),
    Table(
        "deployment_group",
        """group_no BIGINT PRIMARY KEY,
           group_id TEXT NOT NULL UNIQUE,
           application_no BIGINT NOT NULL REFERENCES application (application_no),
           name TEXT NOT NULL,
           tag_filters TEXT NOT NULL,
           config_no BIGINT NOT NULL REFERENCES deployment_config (config_no),
           auto_rollback SMALLINT NOT NULL,
           last_successful_no BIGINT,
           created_at BIGINT NOT NULL,
           deleted_at BIGINT""",
    ),
    Table(
        "revision",
        """revision_no BIGINT PRIMARY KEY,
           application_no BIGINT NOT NULL REFERENCES application (application_no),
           revision_id TEXT NOT NULL,
           place_type SMALLINT NOT NULL,
           place TEXT NOT NULL,
           bundle_type SMALLINT NOT NULL,
           sha256 BYTEA NOT NULL,
           description TEXT NOT NULL,
           registered_at BIGINT NOT NULL,
           UNIQUE (application_no, revision_id)""",
    ),
    Table(
        "host",
        """host_no BIGINT PRIMARY KEY,
           host_id TEXT NOT NULL UNIQUE,
           name_no BIGINT NOT NULL REFERENCES name (name_no),
           session_epoch BIGINT NOT NULL,
           journal_id TEXT NOT NULL,
           boot_id TEXT NOT NULL,
           status SMALLINT NOT NULL,
           agent_version TEXT NOT NULL,
           capabilities TEXT NOT NULL,
           tags TEXT NOT NULL,
           facts TEXT NOT NULL,
           operator_tags TEXT NOT NULL DEFAULT '{}',
           registered_at BIGINT NOT NULL,
           connected_at BIGINT NOT NULL,
           removed_at BIGINT""",
    ),
    Table(
        "report_cursor",
        """host_no BIGINT PRIMARY KEY REFERENCES host (host_no),
           acked_seq BIGINT NOT NULL""",
    ),
    Table(
        "member",
        """group_no BIGINT NOT NULL REFERENCES deployment_group (group_no),
           host_no BIGINT NOT NULL REFERENCES host (host_no),
           target_epoch BIGINT NOT NULL,
           health SMALLINT NOT NULL,
           PRIMARY KEY (group_no, host_no)""",
        clustered=True,
    ),
    Table(
        "holding",
        """host_no BIGINT NOT NULL REFERENCES host (host_no),
           group_no BIGINT NOT NULL REFERENCES deployment_group (group_no),
           installed_no BIGINT REFERENCES name (name_no),
           deployed_no BIGINT REFERENCES name (name_no),
           PRIMARY KEY (host_no, group_no)""",
        clustered=True,
    ),
    Table(
        "deployment",
        """deployment_no BIGINT PRIMARY KEY,
           deployment_id TEXT NOT NULL UNIQUE,
           group_no BIGINT NOT NULL REFERENCES deployment_group (group_no),
           revision_no BIGINT NOT NULL REFERENCES revision (revision_no),
           config_name_no BIGINT NOT NULL REFERENCES name (name_no),
           minimum_type SMALLINT NOT NULL,
           minimum_value BIGINT NOT NULL,
           auto_rollback SMALLINT NOT NULL,
           file_exists_behavior SMALLINT NOT NULL,
           creator SMALLINT NOT NULL,
           created_by_no BIGINT NOT NULL REFERENCES name (name_no),
           description TEXT NOT NULL,
           created_at BIGINT NOT NULL,
           rollback_id TEXT NOT NULL,
           last_successful_no BIGINT REFERENCES deployment (deployment_no),
           rolls_back_no BIGINT REFERENCES deployment (deployment_no),
           lifecycle_events BIGINT NOT NULL,
           event_timeout BIGINT NOT NULL,
           status SMALLINT NOT NULL,
           healthy_floor BIGINT NOT NULL,
           stopping_code SMALLINT,
           stopping_message TEXT,
           error_code SMALLINT,
           error_message TEXT,
           rollback_no BIGINT REFERENCES deployment (deployment_no) DEFERRABLE INITIALLY DEFERRED,
           rollback_message TEXT NOT NULL,
           started_at BIGINT,
           completed_at BIGINT,
           clock BIGINT NOT NULL,
           commit_no BIGINT NOT NULL,
           first_history BIGINT NOT NULL,
           last_history BIGINT NOT NULL""",
    ),
    Table(
        "target",
        """deployment_no BIGINT NOT NULL REFERENCES deployment (deployment_no),
           host_no BIGINT NOT NULL REFERENCES host (host_no),
           place_in_line BIGINT NOT NULL,
           host_name_no BIGINT NOT NULL REFERENCES name (name_no),
           status SMALLINT NOT NULL,
           target_epoch BIGINT NOT NULL,
           attempt BIGINT NOT NULL,
           event SMALLINT,
           event_status SMALLINT NOT NULL,
           accepted SMALLINT NOT NULL,
           cancelled TEXT,
           sent_at BIGINT NOT NULL,
           lost_at BIGINT,
           started_at BIGINT,
           ended_at BIGINT,
           message TEXT,
           commit_no BIGINT NOT NULL,
           PRIMARY KEY (deployment_no, host_no)""",
        clustered=True,
    ),
    Table(
        "lifecycle_event",
        """deployment_no BIGINT NOT NULL,
           host_no BIGINT NOT NULL,
           event SMALLINT NOT NULL,
           attempt BIGINT NOT NULL,
           status SMALLINT NOT NULL,
           started_at BIGINT,
           ended_at BIGINT,
           seq BIGINT NOT NULL,
           PRIMARY KEY (deployment_no, host_no, event, attempt)""",
        clustered=True,
    ),
    Table(
        "diagnostics",
        """deployment_no BIGINT NOT NULL,
           host_no BIGINT NOT NULL,
           event SMALLINT NOT NULL,
           attempt BIGINT NOT NULL,
           error_code SMALLINT NOT NULL,
           script_name TEXT NOT NULL,
           message TEXT NOT NULL,
           log_tail TEXT NOT NULL,
           PRIMARY KEY (deployment_no, host_no, event, attempt),
           FOREIGN KEY (deployment_no, host_no, event, attempt)
               REFERENCES lifecycle_event (deployment_no, host_no, event, attempt)""",
        clustered=True,
    ),
    Table(
        "history",
        """history_id BIGINT PRIMARY KEY,
           at BIGINT NOT NULL,
           entry_no BIGINT NOT NULL,
           because TEXT NOT NULL,
           application_no BIGINT,
           group_no BIGINT,
           deployment_no BIGINT,
           host_no BIGINT,
           message TEXT,
           principal_no BIGINT NOT NULL""",
    ),
    Table(
        "request",
        """principal_no BIGINT NOT NULL REFERENCES name (name_no),
           method TEXT NOT NULL,
           request_id TEXT NOT NULL,
           digest BYTEA NOT NULL,
           subject TEXT NOT NULL,
           done_at BIGINT NOT NULL,
           PRIMARY KEY (principal_no, method, request_id)""",
        clustered=True,
    ),
    Table("last_commit", "one SMALLINT PRIMARY KEY CHECK (one = 1), commit_no BIGINT NOT NULL"),
)

FIRST_INDEXES = (
    "CREATE UNIQUE INDEX application_by_name ON application (name) WHERE deleted_at IS NULL",
    "CREATE UNIQUE INDEX deployment_config_by_name ON deployment_config (name) WHERE deleted_at IS NULL",
    "CREATE UNIQUE INDEX deployment_group_by_name ON deployment_group (application_no, name) WHERE deleted_at IS NULL",
    "CREATE INDEX host_by_name ON host (name_no)",
    "CREATE INDEX deployment_by_group ON deployment (group_no, deployment_no)",
    "CREATE INDEX deployment_by_revision ON deployment (revision_no, deployment_no)",
)
"""None is on a table that is written per host of a deployment."""

ENROLMENT_TABLES = (
    Table(
        "join_token",
        """token_no BIGINT PRIMARY KEY,
           token_id TEXT NOT NULL UNIQUE,
           sha256 BYTEA NOT NULL UNIQUE,
           expires_at BIGINT NOT NULL,
           uses_left BIGINT NOT NULL,
           tags TEXT NOT NULL,
           auto_approve SMALLINT NOT NULL,
           trust_tags SMALLINT NOT NULL,
           name_pattern TEXT NOT NULL,
           created_at BIGINT NOT NULL,
           created_by_no BIGINT NOT NULL REFERENCES name (name_no),
           revoked_at BIGINT""",
    ),
    Table(
        "enrolment",
        """enrolment_no BIGINT PRIMARY KEY,
           host_id TEXT NOT NULL UNIQUE,
           name TEXT NOT NULL,
           status SMALLINT NOT NULL,
           key TEXT NOT NULL,
           generation BIGINT NOT NULL,
           expires_at BIGINT,
           requested_at BIGINT NOT NULL,
           address TEXT NOT NULL,
           token_no BIGINT NOT NULL REFERENCES join_token (token_no),
           tags TEXT NOT NULL,
           trust_tags SMALLINT NOT NULL""",
    ),
)

ENROLMENT_INDEXES = (
    "CREATE UNIQUE INDEX enrolment_by_key ON enrolment (key)",
    "CREATE UNIQUE INDEX enrolment_by_name ON enrolment (name) WHERE status <> 3",
)
"""A revoked host's name is free again."""

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
