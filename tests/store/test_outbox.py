"""The history as a queue: who is told begins at now, goes on where it was, and is told in order."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.core.model import HostId, TargetKind, Trigger, TriggerEvent, TriggerTarget
from coordinator.core.orders import Changes, Entry, HistoryEntry
from coordinator.service.notifications.ports import EVERYWHERE, Line, Notice, Standing, Wanted
from coordinator.store.outbox import SqliteOutbox
from coordinator.store.sqlite import SqliteStore
from tests.store.seeds import opened
from tests.store.things import NOW, WEB, FixedClock, created, deployment, key, known, plan

PAGER = Trigger(
    name="pager",
    events=(TriggerEvent.DeploymentFailure,),
    target=TriggerTarget(kind=TargetKind.Webhook, url="https://example.org/x", signing_secret="shop"),
)
CHAT = Trigger(
    name="chat",
    events=(TriggerEvent.DeploymentStart, TriggerEvent.InstanceStart),
    target=TriggerTarget(kind=TargetKind.Slack, url_secret="slack"),
)
ALL = Wanted([Entry.Created, Entry.InProgress, Entry.Succeeded], [Entry.InProgress, Entry.Succeeded])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """One that knows the application shop with its groups, and two hosts."""
    made = await opened(tmp_path / "hookline.db", FixedClock())
    await made.commit(known("h1", "h2"))
    yield made
    made.close()


async def give(store: SqliteStore, *triggers: Trigger) -> None:
    """Let the group have triggers."""
    group = await store.catalog.group("shop", "web")
    assert (await store.catalog.update_group(replace(group, triggers=triggers), at=NOW, key=key(""))).triggers == triggers


async def begin(store: SqliteStore, deployment_id: str = "d-1") -> None:
    """A deployment begins on two hosts."""
    made = deployment(plan(deployment_id), "h1", "h2")
    changes = created(made)
    changes.history = [
        HistoryEntry(NOW, entry, "CreateDeployment", WEB, made.deployment_id, None if host is None else HostId(f"id-{host}"))
        for entry, host in ((Entry.Created, None), (Entry.InProgress, None), (Entry.InProgress, "h1"), (Entry.Skipped, "h2"))
    ]
    await store.commit(changes)


async def line(store: SqliteStore, name: str) -> tuple[Line, int]:
    (found,) = [one for one in await store.outbox.standing() if one.line.name == name]
    return found.line, found.cursor


async def told(store: SqliteStore, to: Line, after: int, wanted: Wanted = ALL) -> list[Notice]:
    found, _ = await store.outbox.notices(to, wanted, after, await store.outbox.head())
    return found


async def test_a_new_trigger_is_told_nothing_of_the_past(store: SqliteStore) -> None:
    await begin(store)
    await give(store, PAGER)
    assert await told(store, *await line(store, "pager")) == []
    await begin(store, "d-2")
    assert {one.deployment_id for one in await told(store, *await line(store, "pager"))} == {"d-2"}


async def test_a_trigger_that_keeps_its_name_keeps_its_place(store: SqliteStore) -> None:
    await give(store, PAGER)
    _, before = await line(store, "pager")
    await begin(store)
    changed = replace(PAGER, events=(TriggerEvent.DeploymentStop,))
    await give(store, changed, CHAT)
    standing = {one.line.name: one for one in await store.outbox.standing()}
    number = standing["pager"].line.group_no
    assert standing["pager"] == Standing(Line(number, "pager"), changed, before)
    assert standing["chat"].cursor == await store.outbox.head()
    await give(store, CHAT)
    assert [one.line.name for one in await store.outbox.standing()] == ["chat"]
    await give(store, CHAT, PAGER)
    assert await line(store, "pager") == (Line(number, "pager"), await store.outbox.head())


async def test_entries_come_in_order_with_what_is_said_of_them(store: SqliteStore) -> None:
    await give(store, CHAT)
    at, cursor = await line(store, "chat")
    await begin(store)
    found = await told(store, at, cursor)
    assert [(one.entry, one.host_id, one.host_name) for one in found] == [
        ("Created", "", ""),
        ("InProgress", "", ""),
        ("InProgress", "id-h1", "h1"),
    ]
    assert (found[0].application_name, found[0].group_name, found[0].deployment_id, found[0].at) == ("shop", "web", "d-1", NOW)
    assert [one.host_id for one in await told(store, at, cursor, Wanted([], [Entry.InProgress]))] == ["id-h1"]
    assert await told(store, at, cursor, Wanted([], [])) == []
    await store.outbox.move({at: found[1].history_id})
    assert await told(store, *await line(store, "chat")) == found[2:]


async def test_a_question_ends_where_its_answer_does(store: SqliteStore) -> None:
    outbox = SqliteOutbox(store.writer, store.reader, handful=2)
    await give(store, CHAT)
    at, cursor = await line(store, "chat")
    await begin(store)
    head = await store.outbox.head()
    first, upto = await outbox.notices(at, ALL, cursor, head)
    assert (len(first), upto) == (2, first[-1].history_id)
    second, upto = await outbox.notices(at, ALL, upto, head)
    assert ([one.host_id for one in second], upto) == (["id-h1"], head)


async def test_cursors_never_go_back_and_those_that_are_gone_stay_so(store: SqliteStore) -> None:
    await give(store, PAGER)
    at, cursor = await line(store, "pager")
    await store.outbox.move({at: cursor + 5, Line(at.group_no, "nobody"): 7})
    await store.outbox.move({at: cursor + 1})
    assert [(one.line, one.cursor) for one in await store.outbox.standing()] == [(at, cursor + 5)]


async def test_what_is_given_up_stands_in_the_history_of_its_group(store: SqliteStore) -> None:
    await give(store, PAGER)
    at, _ = await line(store, "pager")
    head = await store.outbox.head()
    await store.outbox.give_up(at, head, "trigger pager: 3 notifications", at=NOW + 9)
    assert await line(store, "pager") == (at, head)
    entries = await store.history.entries(application_name="shop", group_name="web", deployment_id="", host="", size=1, after="")
    assert [(one.entry, one.message, one.at) for one in entries.items] == [
        ("NotificationsGivenUp", "trigger pager: 3 notifications", NOW + 9)
    ]


async def test_news_says_which_groups_have_any_and_whether_groups_have_changed(store: SqliteStore) -> None:
    head = await store.outbox.head()
    await begin(store)
    middle = await store.outbox.head()
    await give(store, PAGER)
    at, _ = await line(store, "pager")
    first, second = await store.outbox.news(head, middle), await store.outbox.news(middle, await store.outbox.head())
    assert (first.groups, first.changed) == (frozenset({at.group_no}), False)
    assert (second.groups, second.changed) == (frozenset({at.group_no}), True)
    nothing = await store.outbox.news(middle, middle)
    assert (nothing.groups, nothing.changed) == (frozenset(), False)


async def test_who_is_told_of_all_groups_begins_once(store: SqliteStore) -> None:
    everybody = Line(EVERYWHERE, "grafana")
    head = await store.outbox.begin(everybody)
    await begin(store)
    assert await store.outbox.begin(everybody) == head
    assert len(await told(store, everybody, head)) == 3
    await store.outbox.forget(everybody)
    assert await store.outbox.begin(everybody) == await store.outbox.head()


async def test_a_deleted_group_tells_nobody(store: SqliteStore) -> None:
    await give(store, PAGER)
    await store.catalog.delete_group("shop", "web", at=NOW, key=key(""))
    assert await store.outbox.standing() == []


async def test_an_entry_without_a_deployment_is_no_notice(store: SqliteStore) -> None:
    changes = Changes()
    changes.history.append(HistoryEntry(NOW, Entry.InProgress, "odd", WEB))
    head = await store.outbox.head()
    await store.commit(changes)
    assert await told(store, Line(EVERYWHERE, "grafana"), head) == []
