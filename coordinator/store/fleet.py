"""The services' Fleet on SQLite: hosts, what they hold, and the tags that operators set on them."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from coordinator.core.errors import InstanceDoesNotExist
from coordinator.core.facts import RequestKey
from coordinator.core.model import HostId, HostStatus, InstanceHealth, RevisionId, revision_health
from coordinator.core.orders import Entry
from coordinator.core.tags import TagFilter, TagSets, sets_match
from coordinator.service.ports import Cursor, Page
from coordinator.service.records import Host, HostHolding
from coordinator.store.calls import Told, finish, refuse_replay, tell
from coordinator.store.connections.numbers import Numbers
from coordinator.store.connections.reader import Reader
from coordinator.store.connections.writer import Writer
from coordinator.store.paging import Paging
from coordinator.store.rows.columns import filters_text, map_of, text_of

HOSTS: Final = """
    SELECT h.host_no, h.host_id, n.name, h.status, h.tags, h.operator_tags, h.facts, h.agent_version, h.connected_at, h.registered_at,
        h.sources
    FROM name n JOIN host h ON h.name_no = n.name_no
    WHERE h.removed_at IS NULL"""
MATCHING: Final = """
    SELECT h.host_id, n.name, h.tags, h.operator_tags FROM name n JOIN host h ON h.name_no = n.name_no
    WHERE h.removed_at IS NULL ORDER BY n.name, h.host_no"""
HOLDINGS: Final = """
    SELECT o.host_no, a.name, g.name, i.name, d.name, m.health, r.revision_id
    FROM holding o
    JOIN deployment_group g ON g.group_no = o.group_no JOIN application a ON a.application_no = g.application_no
    LEFT JOIN member m ON m.group_no = o.group_no AND m.host_no = o.host_no
    LEFT JOIN name i ON i.name_no = o.installed_no LEFT JOIN name d ON d.name_no = o.deployed_no
    LEFT JOIN deployment l ON l.deployment_no = g.last_successful_no LEFT JOIN revision r ON r.revision_no = l.revision_no
    WHERE g.deleted_at IS NULL AND o.host_no IN ({}) ORDER BY a.name, g.name"""
HostRow = tuple[int, str, str, int, str, str, str, str, int, int, str]
CHUNK: Final = 500
"""Hosts read at once while those that match are looked for."""


class SqliteFleet:
    """Hosts and their tags."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Writes go through the one writer."""
        self._writer = writer
        self._reader = reader

    async def hosts(self, *, filters: Sequence[TagFilter], size: int, after: Cursor) -> Page[Host]:
        """Hosts that match any of the filters (all, without filters), by name."""
        paging = Paging("hosts", filters_text(filters))
        key = paging.after(after, ["", 0])

        def query(db: sqlite3.Connection) -> Page[Host]:
            found = _matching_rows(db, filters, key, size + 1)
            made = iter(_hosts(db, found[:size]))
            return paging.page(found, size, lambda row: [row[2], row[0]], lambda _: next(made))

        return await self._reader.run(query)

    async def host(self, host: str) -> Host:
        """By id or name. Raises InstanceDoesNotExist."""
        return await self._reader.run(lambda db: _hosts(db, [_row(db, host)])[0])

    async def add_tags(self, hosts: Sequence[str], tags: Mapping[str, str], *, at: int, key: RequestKey) -> list[Host]:
        """On all hosts (ids or names) or none. Raises InstanceDoesNotExist."""
        said = ", ".join(f"{name}={value}" for name, value in tags.items())
        return await self._retag(hosts, lambda before: {**before, **tags}, (Entry.TagsAdded, said), at=at, key=key)

    async def remove_tags(self, hosts: Sequence[str], keys: Sequence[str], *, at: int, key: RequestKey) -> list[Host]:
        """From all hosts (ids or names) or none. Raises InstanceDoesNotExist."""
        gone = set(keys)

        def change(before: dict[str, str]) -> dict[str, str]:
            return {name: value for name, value in before.items() if name not in gone}

        return await self._retag(hosts, change, (Entry.TagsRemoved, ", ".join(keys)), at=at, key=key)

    async def profiles(self) -> dict[HostId, tuple[str, ...]]:
        """The instance profiles of all hosts that have one."""
        return await self._reader.run(profiles)

    async def set_sources(self, host: str, sources: Sequence[str], *, at: int, key: RequestKey) -> Host:
        """A host's instance profile, by id or name. Raises InstanceDoesNotExist."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> Host:
            refuse_replay(db, key)
            number, host_id, *_ = _row(db, host)
            db.execute("UPDATE host SET sources = ? WHERE host_no = ?", (json.dumps(sources), number))
            tell(db, numbers, Told(Entry.InstanceProfileChanged, ", ".join(sources) or "anything", host_no=number), at=at, key=key)
            finish(db, numbers, host, at=at, key=key)
            return _hosts(db, [_row(db, host_id)])[0]

        return await self._writer.run(change)

    async def _retag(
        self, hosts: Sequence[str], retag: Callable[[dict[str, str]], dict[str, str]], said: tuple[Entry, str], *, at: int, key: RequestKey
    ) -> list[Host]:
        entry, message = said

        def change(db: sqlite3.Connection, numbers: Numbers) -> list[Host]:
            refuse_replay(db, key)
            wanted = [_row(db, host) for host in hosts]
            for number, tags in {row[0]: row[5] for row in wanted}.items():
                db.execute("UPDATE host SET operator_tags = ? WHERE host_no = ?", (text_of(retag(map_of(tags))), number))
                tell(db, numbers, Told(entry, message, host_no=number), at=at, key=key)
            finish(db, numbers, ", ".join(hosts), at=at, key=key)
            return _hosts(db, [_row(db, row[1]) for row in wanted])

        return await self._writer.run(change)


def profiles(db: sqlite3.Connection) -> dict[HostId, tuple[str, ...]]:
    """The instance profiles of all hosts that have one."""
    rows = db.execute("SELECT host_id, sources FROM host WHERE sources <> '[]' AND removed_at IS NULL")
    return {HostId(host_id): tuple(json.loads(sources)) for host_id, sources in rows}


def matching(db: sqlite3.Connection, sets: TagSets) -> list[tuple[HostId, str]]:
    """Ids and names of all hosts that match any filter of every list, by name."""
    matches = matcher(sets)
    return [(HostId(host_id), name) for host_id, name, own, operators in db.execute(MATCHING) if matches(own, operators)]


def tags(db: sqlite3.Connection) -> dict[HostId, dict[str, str]]:
    """The tags that count of all hosts. Many have the same: those are read once."""
    known: dict[tuple[str, str], dict[str, str]] = {}
    found: dict[HostId, dict[str, str]] = {}
    for host_id, _, own, operators in db.execute(MATCHING):
        if (own, operators) not in known:
            known[own, operators] = _effective(own, operators)
        found[HostId(host_id)] = known[own, operators]
    return found


def _row(db: sqlite3.Connection, host: str) -> HostRow:
    """A host by id, else by name; of several with one name the one that spoke last."""
    row = db.execute(f"{HOSTS} AND h.host_id = ?", (host,)).fetchone()
    row = row or db.execute(f"{HOSTS} AND n.name = ? ORDER BY h.connected_at DESC LIMIT 1", (host,)).fetchone()
    if row is None:
        raise InstanceDoesNotExist(f"cannot find host {host}; `hookline hosts` lists those that are known", field="host")
    found: HostRow = tuple(row)
    return found


def matcher(sets: TagSets) -> Callable[[str, str], bool]:
    """Whether a host with these texts of its own and its operators' tags matches. Many hosts have the same: each is looked at once."""
    known: dict[tuple[str, str], bool] = {}

    def matches(own: str, operators: str) -> bool:
        key = (own, operators)
        found = known.get(key)
        if found is None:
            found = known[key] = sets_match(_effective(own, operators), sets)
        return found

    return matches


def _effective(own: str, operators: str) -> dict[str, str]:
    """The tags that count: the operators' win."""
    return {**map_of(own), **map_of(operators)}


def _matching_rows(db: sqlite3.Connection, filters: Sequence[TagFilter], key: list[str | int], wanted: int) -> list[HostRow]:
    matches = matcher((tuple(filters),))
    found: list[HostRow] = []
    while len(found) < wanted:
        chunk = db.execute(f"{HOSTS} AND (n.name, h.host_no) > (?, ?) ORDER BY n.name, h.host_no LIMIT {CHUNK}", key).fetchall()
        found += [tuple(row) for row in chunk if not filters or matches(row[4], row[5])]
        if len(chunk) < CHUNK:
            break
        key = [chunk[-1][2], chunk[-1][0]]
    return found[:wanted]


def _hosts(db: sqlite3.Connection, rows: Sequence[HostRow]) -> list[Host]:
    holdings = _holdings(db, [row[0] for row in rows])
    return [_host(row, holdings.get(row[0], [])) for row in rows]


def _holdings(db: sqlite3.Connection, hosts: Sequence[int]) -> dict[int, list[HostHolding]]:
    found: dict[int, list[HostHolding]] = {}
    for row in db.execute(HOLDINGS.format(", ".join("?" * len(hosts))), hosts):
        number, application_name, group_name, installed, deployed, health, current = row
        holding = HostHolding(
            application_name=application_name,
            group_name=group_name,
            installed=RevisionId(installed or ""),
            deployed=RevisionId(deployed or ""),
            health=InstanceHealth(health or InstanceHealth.Unhealthy),
            revision_health=revision_health(RevisionId(installed or ""), RevisionId(deployed or ""), RevisionId(current or "")),
        )
        found.setdefault(number, []).append(holding)
    return found


def _host(row: HostRow, holdings: Iterable[HostHolding]) -> Host:
    _, host_id, name, status, own, operators, facts, version, connected_at, registered_at, sources = row
    return Host(
        host_id=HostId(host_id),
        name=name,
        status=HostStatus(status),
        tags=_effective(own, operators),
        operator_tags=map_of(operators),
        sources=tuple(json.loads(sources)),
        facts=map_of(facts),
        agent_version=version,
        connected_at=connected_at,
        registered_at=registered_at,
        holdings=tuple(holdings),
    )
