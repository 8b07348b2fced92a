"""The fleet on SQLite: hosts, what they hold, which tags count."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coordinator.core.errors import InstanceDoesNotExist
from coordinator.core.model import HostId, HostStatus, InstanceHealth, Member, RevisionHealth, RevisionId
from coordinator.core.orders import Changes, HoldingChange
from coordinator.core.tags import TagFilter, TagFilterType
from coordinator.service.ports import Replayed
from coordinator.service.records import HostHolding
from coordinator.store import fleet
from coordinator.store.sqlite import SqliteStore
from tests.store.seeds import opened
from tests.store.things import API, NOW, WEB, host, key, known

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROD = TagFilter(key="env", value="prod", type=TagFilterType.KEY_AND_VALUE)
CANARY = TagFilter(key="canary", value="", type=TagFilterType.KEY_ONLY)


@pytest.fixture
async def store(tmp_path: Path) -> "AsyncIterator[SqliteStore]":
    """One that knows three hosts."""
    made = await opened(tmp_path / "hookline.db")
    await made.commit(known("h2", "h1", "h3"))
    yield made
    made.close()


async def matching(store: SqliteStore, filters: list[TagFilter]) -> list[tuple[HostId, str]]:
    """What a deployment to a group with these filters would freeze."""
    return await store.reader.run(lambda db: fleet.matching(db, (tuple(filters),)))


async def test_a_host_is_found_by_id_and_by_name(store: SqliteStore) -> None:
    found = await store.fleet.host("h1")
    assert found == await store.fleet.host("id-h1")
    assert (found.name, found.tags, found.operator_tags) == ("h1", {"env": "prod", "name": "h1"}, {})
    assert (found.facts, found.agent_version, found.holdings) == ({"kernel": "6.1 ü"}, "0.1.0", ())
    with pytest.raises(InstanceDoesNotExist):
        await store.fleet.host("h9")


async def test_nobody_is_connected_to_a_coordinator_that_has_just_started(tmp_path: Path) -> None:
    before = await opened(tmp_path / "hookline.db")
    changes = known("h1", "h2", "h3")
    changes.hosts[HostId("id-h2")].status = HostStatus.Suspect
    changes.hosts[HostId("id-h3")].status = HostStatus.Lost
    await before.commit(changes)
    before.close()
    after = await opened(tmp_path / "hookline.db")
    try:
        found = (await after.fleet.hosts(filters=(), size=9, after="")).items
        assert [(one.name, one.status) for one in found] == [
            ("h1", HostStatus.Unknown),
            ("h2", HostStatus.Unknown),
            ("h3", HostStatus.Lost),
        ]
    finally:
        after.close()


async def test_hosts_are_listed_by_name_in_pages(store: SqliteStore) -> None:
    first = await store.fleet.hosts(filters=(), size=2, after="")
    rest = await store.fleet.hosts(filters=(), size=2, after=first.next)
    assert [[one.name for one in page.items] for page in (first, rest)] == [["h1", "h2"], ["h3"]]
    assert rest.next == ""


async def test_hosts_match_by_the_tags_that_count(store: SqliteStore) -> None:
    await store.fleet.add_tags(["h2"], {"canary": "yes"}, at=NOW, key=key(""))
    await store.fleet.add_tags(["id-h3"], {"env": "test"}, at=NOW, key=key(""))
    assert await matching(store, [PROD]) == [("id-h1", "h1"), ("id-h2", "h2")]
    assert await matching(store, [CANARY]) == [("id-h2", "h2")]
    assert await matching(store, []) == []
    assert await store.reader.run(lambda db: fleet.matching(db, ((PROD,), (CANARY,)))) == [("id-h2", "h2")]
    assert [one.name for one in (await store.fleet.hosts(filters=[CANARY], size=5, after="")).items] == ["h2"]


async def test_an_operators_tag_wins_and_goes_again(store: SqliteStore) -> None:
    (changed,) = await store.fleet.add_tags(["h3"], {"env": "test", "b": "c"}, at=NOW, key=key(""))
    assert (changed.tags["env"], changed.operator_tags) == ("test", {"env": "test", "b": "c"})
    await store.commit(known("h3"))
    assert (await store.fleet.host("h3")).tags["env"] == "test"
    (changed,) = await store.fleet.remove_tags(["h3"], ["env", "name"], at=NOW, key=key(""))
    assert changed.tags == {"env": "prod", "name": "h3", "b": "c"}


async def test_tags_are_set_on_all_hosts_or_none(store: SqliteStore) -> None:
    with pytest.raises(InstanceDoesNotExist):
        await store.fleet.add_tags(["h1", "h9"], {"a": "b"}, at=NOW, key=key("1"))
    assert (await store.fleet.host("h1")).operator_tags == {}
    both = await store.fleet.add_tags(["h1", "h2"], {"a": "b"}, at=NOW, key=key("1"))
    assert [one.operator_tags for one in both] == [{"a": "b"}, {"a": "b"}]
    with pytest.raises(Replayed):
        await store.fleet.add_tags(["h1", "h2"], {"a": "b"}, at=NOW, key=key("1"))
    entries = await store.history.entries(application_name="", group_name="", deployment_id="", host="h1", size=9, after="")
    assert [(one.entry, one.message, one.principal) for one in entries.items] == [
        ("TagsAdded", "a=b", "ada"),
        ("HostRegistered", "h1", "coordinator"),
    ]


async def test_what_a_host_holds_is_told_by_group(store: SqliteStore) -> None:
    host_id, none = HostId("id-h1"), RevisionId("")
    changes = Changes()
    changes.members[WEB, host_id] = Member(host_id=host_id, target_epoch=1, health=InstanceHealth.Healthy)
    changes.holdings[WEB, host_id] = HoldingChange(RevisionId("r2"), RevisionId("r1"))
    changes.holdings[API, host_id] = HoldingChange(RevisionId("r1"), None)
    await store.commit(changes)
    later = Changes()
    later.holdings[WEB, host_id] = HoldingChange(None, RevisionId("r2"))
    later.holdings[API, host_id] = HoldingChange(none, none)
    await store.commit(later)
    assert (await store.fleet.host("h1")).holdings == (
        HostHolding(
            application_name="shop",
            group_name="api",
            installed=none,
            deployed=none,
            health=InstanceHealth.Unhealthy,
            revision_health=RevisionHealth.Unknown,
        ),
        HostHolding(
            application_name="shop",
            group_name="web",
            installed=RevisionId("r2"),
            deployed=RevisionId("r2"),
            health=InstanceHealth.Healthy,
            revision_health=RevisionHealth.Old,
        ),
    )


async def test_a_removed_host_loses_its_tags_and_holdings(store: SqliteStore) -> None:
    host_id = HostId("id-h1")
    await store.fleet.add_tags(["h1"], {"a": "b"}, at=NOW, key=key(""))
    changes = Changes()
    changes.holdings[WEB, host_id] = HoldingChange(RevisionId("r2"), None)
    await store.commit(changes)
    removal = Changes()
    removal.removed.append(host_id)
    await store.commit(removal)
    with pytest.raises(InstanceDoesNotExist):
        await store.fleet.host("h1")
    assert [name for _, name in await matching(store, [PROD])] == ["h2", "h3"]
    await store.commit(known("h1"))
    found = await store.fleet.host("h1")
    assert (found.operator_tags, found.holdings) == ({}, ())


async def test_of_two_hosts_with_one_name_the_one_that_spoke_last_is_meant(store: SqliteStore) -> None:
    twin = host("h1", host_id=HostId("id-twin"), connected_at=NOW + 5)
    changes = Changes()
    changes.hosts[twin.host_id] = twin
    await store.commit(changes)
    assert (await store.fleet.host("h1")).host_id == "id-twin"
    assert len((await store.fleet.hosts(filters=(), size=9, after="")).items) == 4


async def test_a_host_keeps_its_instance_profile_even_when_it_is_forgotten_and_comes_back(store: SqliteStore) -> None:
    once = key("1", method="SetInstanceProfile")
    assert (await store.fleet.set_sources("h1", ("coordinator",), at=NOW, key=once)).sources == ("coordinator",)
    with pytest.raises(Replayed):
        await store.fleet.set_sources("h1", ("coordinator",), at=NOW, key=once)
    with pytest.raises(InstanceDoesNotExist):
        await store.fleet.set_sources("h9", (), at=NOW, key=key(""))
    assert await store.reader.run(fleet.profiles) == {"id-h1": ("coordinator",)}
    await store.commit(Changes(removed=[HostId("id-h1")]))
    assert await store.reader.run(fleet.profiles) == {}
    await store.commit(known("h1"))
    assert (await store.fleet.host("h1")).sources == ("coordinator",)
    assert (await store.fleet.set_sources("id-h1", (), at=NOW, key=key(""))).sources == ()
