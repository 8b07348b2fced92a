"""Alarms on SQLite: what exists, what is refused, which groups name them."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coordinator.core.errors import AlarmAlreadyExists, AlarmDoesNotExist, AlarmInUse, InvalidAlarmConfig
from coordinator.core.model import AlarmConfiguration
from coordinator.service.ports import Replayed
from coordinator.service.records import CatalogAlarm
from coordinator.store.sqlite import SqliteStore
from tests.store.seeds import opened
from tests.store.things import ALARMS, NOW, R1, FixedClock, key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WATCHING = AlarmConfiguration(
    enabled=True,
    ignore_poll_alarm_failure=True,
    alarms=("Down", "HighErrors"),
    bake_time=600_000,
    watch_after_success=3_600_000,
    refuse_while_active=True,
)


@pytest.fixture
async def store(tmp_path: Path) -> "AsyncIterator[SqliteStore]":
    """One that knows the application shop with its groups, and all alarms."""
    made = await opened(tmp_path / "hookline.db", FixedClock())
    for alarm in ALARMS:
        await made.alarms.create(alarm, at=NOW, key=key(""))
    yield made
    made.close()


async def watch(store: SqliteStore, watching: AlarmConfiguration, name: str = "web") -> None:
    """Let a group watch alarms."""
    group = await store.catalog.group("shop", name)
    assert (await store.catalog.update_group(replace(group, alarms=watching), at=NOW, key=key(""))).alarms == watching


async def test_an_alarm_comes_back_as_it_went_in_until_it_is_deleted(store: SqliteStore) -> None:
    for alarm in ALARMS:
        assert await store.alarms.alarm(alarm.name) == CatalogAlarm(alarm=alarm, created_at=NOW, updated_at=NOW)
    with pytest.raises(AlarmAlreadyExists, match="cannot create alarm Down: it exists"):
        await store.alarms.create(ALARMS[1], at=NOW, key=key(""))
    await store.alarms.delete("Down", at=NOW + 1, key=key(""))
    for call in (
        store.alarms.alarm("Down"),
        store.alarms.delete("Down", at=NOW, key=key("")),
        store.alarms.update(ALARMS[1], at=NOW, key=key("")),
    ):
        with pytest.raises(AlarmDoesNotExist):
            await call
    assert (await store.alarms.create(ALARMS[1], at=NOW + 2, key=key(""))).created_at == NOW + 2


async def test_alarms_are_listed_by_name_in_pages(store: SqliteStore) -> None:
    first = await store.alarms.alarms(size=2, after="")
    second = await store.alarms.alarms(size=2, after=first.next)
    assert [one.alarm.name for one in (*first.items, *second.items)] == ["Down", "HighErrors", "Paged"]
    assert second.next == ""


async def test_what_is_done_to_alarms_stands_in_the_history_and_is_done_once(store: SqliteStore) -> None:
    changed = replace(ALARMS[1], interval=60_000)
    assert (await store.alarms.update(changed, at=NOW + 1, key=key("1", method="UpdateAlarm"))).updated_at == NOW + 1
    with pytest.raises(Replayed, match="Down"):
        await store.alarms.update(changed, at=NOW + 2, key=key("1", method="UpdateAlarm"))
    assert (await store.alarms.alarm("Down")).alarm == changed
    await store.alarms.delete("Down", at=NOW + 2, key=key("2", method="DeleteAlarm"))
    with pytest.raises(Replayed):
        await store.alarms.delete("Down", at=NOW + 3, key=key("2", method="DeleteAlarm"))
    told = await store.history.entries(application_name="", group_name="", deployment_id="", host="", size=2, after="")
    assert [(one.entry, one.message, one.because) for one in told.items] == [
        ("AlarmDeleted", "Down", "DeleteAlarm"),
        ("AlarmUpdated", "Down", "UpdateAlarm"),
    ]
    kinds = ["AlarmCreated"]
    told = await store.history.entries(application_name="", group_name="", deployment_id="", host="", size=9, after="", kinds=kinds)
    assert [one.message for one in told.items] == ["Paged", "Down", "HighErrors"]


async def test_an_alarm_that_a_group_names_stays_even_while_it_is_not_watched(store: SqliteStore) -> None:
    await watch(store, WATCHING)
    await watch(store, replace(WATCHING, enabled=False), "api")
    with pytest.raises(AlarmInUse, match="deployment groups name it: shop/api, shop/web; give them other alarms first"):
        await store.alarms.delete("HighErrors", at=NOW, key=key(""))
    await watch(store, AlarmConfiguration())
    await store.catalog.delete_group("shop", "api", at=NOW, key=key(""))
    await store.alarms.delete("HighErrors", at=NOW, key=key(""))


async def test_a_group_cannot_name_an_alarm_that_does_not_exist(store: SqliteStore) -> None:
    with pytest.raises(InvalidAlarmConfig, match="there is no alarm Nothing, Nobody; make it with") as refused:
        await watch(store, replace(WATCHING, alarms=("Nothing", "Down", "Nobody")))
    assert refused.value.field == "deployment_group.alarm_configuration.alarms"
    assert (await store.catalog.group("shop", "web")).alarms == AlarmConfiguration()


async def test_a_deployment_stands_on_the_alarms_of_its_group_or_on_those_that_are_named(store: SqliteStore) -> None:
    await watch(store, WATCHING)
    ground = ("shop", "web", R1.revision_id, "CodeDeployDefault.AllAtOnce")
    assert (await store.ground(*ground)).alarms == (ALARMS[1], ALARMS[0])
    assert (await store.ground(*ground, ["Paged"])).alarms == (ALARMS[2],)
    assert (await store.ground(*ground, [])).alarms == ()
    with pytest.raises(InvalidAlarmConfig) as refused:
        await store.ground(*ground, ["Nothing"])
    assert refused.value.field == "override_alarm_configuration.alarms"
    await watch(store, replace(WATCHING, enabled=False))
    assert (await store.ground(*ground)).alarms == ()
