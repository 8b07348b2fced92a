"""The history on SQLite: deployments, targets with their events, what changed since, and the entries."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coordinator.core.errors import (
    ApplicationDoesNotExist,
    DeploymentDoesNotExist,
    DeploymentGroupDoesNotExist,
    DeploymentTargetDoesNotExist,
    InstanceDoesNotExist,
    Invalid,
)
from coordinator.core.facts import Report
from coordinator.core.lifecycle import (
    DeploymentErrorCode,
    DeploymentStatus,
    EventStatus,
    LifecycleErrorCode,
    LifecycleEvent,
    TargetStatus,
)
from coordinator.core.model import DeploymentId, Diagnostics, ErrorInformation, GroupId, HostId, InstructionId
from coordinator.core.orders import Changes, Entry, EventChange, HistoryEntry
from coordinator.service.ports import Page
from coordinator.service.records import EventRecord, HistoryRecord, TargetRecord
from coordinator.store.sqlite import SqliteStore
from tests.store.seeds import opened
from tests.store.things import API, NOW, R1, R2, WEB, created, deployment, host, key, known, plan, target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STOP, INSTALL, AFTER = LifecycleEvent.ApplicationStop, LifecycleEvent.Install, LifecycleEvent.AfterAllowTraffic
D1 = DeploymentId("d-1")
TOLD = Diagnostics(error_code=LifecycleErrorCode.ScriptFailed, script_name="a.sh", message="exit 1", log_tail="oops\n")


@pytest.fixture
async def store(tmp_path: Path) -> "AsyncIterator[SqliteStore]":
    """One that knows five hosts."""
    made = await opened(tmp_path / "hookline.db")
    await made.commit(known("h5", "h4", "h3", "h2", "h1"))
    yield made
    made.close()


def progress(name: str, *events: tuple[LifecycleEvent, EventChange], **changed: object) -> Changes:
    """What one host has reported."""
    one = target("d-1", name, **changed)
    changes = Changes()
    changes.targets[one] = None
    changes.events.update({(one, event, one.attempt): change for event, change in events})
    return changes


async def test_a_deployment_is_told_with_its_plan_and_counts(store: SqliteStore) -> None:
    first = plan("d-1")
    await store.commit(created(deployment(first, "h1", "h2", "h3")))
    await store.commit(progress("h2"))
    number = await store.commit(progress("h3", status=TargetStatus.Failed))
    found = await store.history.deployment(D1)
    assert found.plan == first
    assert found.counts == {TargetStatus.Pending: 1, TargetStatus.InProgress: 1, TargetStatus.Failed: 1}
    assert (found.status, found.commit) == (DeploymentStatus.InProgress, number)
    assert found.stopping == ErrorInformation(code=DeploymentErrorCode.MANUAL_STOP, message="stopped by ada")
    assert (found.error, found.rollback_deployment_id, found.started_at, found.completed_at) == (None, None, NOW + 3, None)
    with pytest.raises(DeploymentDoesNotExist):
        await store.history.deployment(DeploymentId("d-9"))


async def test_deployments_are_listed_newest_first_by_group_and_status(store: SqliteStore) -> None:
    await store.commit(created(deployment(plan("d-1"), "h1", status=DeploymentStatus.Failed)))
    await store.commit(created(deployment(plan("d-2", API, R2), "h1")))
    await store.commit(created(deployment(plan("d-3"), "h1", status=DeploymentStatus.Succeeded)))
    await store.commit(created(deployment(plan("d-4"), "h1")))

    async def ids(application: str = "", group: str = "", *statuses: DeploymentStatus) -> list[str]:
        found, after = list[str](), ""
        while True:
            page = await store.history.deployments(application_name=application, group_name=group, statuses=statuses, size=2, after=after)
            found += [one.plan.deployment_id for one in page.items]
            after = page.next
            if not after:
                return found

    assert await ids() == ["d-4", "d-3", "d-2", "d-1"]
    assert await ids("shop") == ["d-4", "d-3", "d-2", "d-1"]
    assert await ids("shop", "web") == ["d-4", "d-3", "d-1"]
    assert await ids("shop", "web", DeploymentStatus.Failed, DeploymentStatus.Succeeded) == ["d-3", "d-1"]
    assert await ids("", "", DeploymentStatus.Stopped) == []
    with pytest.raises(ApplicationDoesNotExist):
        await ids("none")
    with pytest.raises(DeploymentGroupDoesNotExist):
        await ids("shop", "none")


async def test_a_cursor_belongs_to_its_filters(store: SqliteStore) -> None:
    await store.commit(created(deployment(plan("d-1"), "h1", "h2", "h3")))
    page = await store.history.targets(D1, statuses=[TargetStatus.Pending], size=1, after="")
    assert [one.host_name for one in (await store.history.targets(D1, statuses=[TargetStatus.Pending], size=9, after=page.next)).items] == [
        "h2",
        "h3",
    ]
    with pytest.raises(Invalid):
        await store.history.targets(D1, statuses=[], size=1, after=page.next)


async def test_every_event_of_the_plan_is_shown(store: SqliteStore) -> None:
    await store.commit(created(deployment(plan("d-1"), "h1", "h2")))
    begun = EventChange(EventStatus.InProgress, NOW + 5, None, 1, None)
    await store.commit(progress("h1", (STOP, begun)))
    ended = EventChange(EventStatus.Failed, None, NOW + 8, 2, TOLD)
    await store.commit(progress("h1", (STOP, ended)))
    running = await store.history.target(D1, "h1")
    assert running.events == (
        EventRecord(event=STOP, status=EventStatus.Failed, started_at=NOW + 5, ended_at=NOW + 8, diagnostics=TOLD),
        EventRecord(event=INSTALL, status=EventStatus.Pending, started_at=None, ended_at=None, diagnostics=None),
        EventRecord(event=AFTER, status=EventStatus.Pending, started_at=None, ended_at=None, diagnostics=None),
    )
    await store.commit(progress("h1", status=TargetStatus.Failed, message="why"))
    over = await store.history.target(D1, "id-h1")
    assert [event.status for event in over.events] == [EventStatus.Failed, EventStatus.Skipped, EventStatus.Skipped]
    assert (over.status, over.message, over.started_at, over.ended_at) == (TargetStatus.Failed, "why", NOW + 1, NOW + 2)
    with pytest.raises(DeploymentTargetDoesNotExist):
        await store.history.target(D1, "h5")


async def test_what_ran_on_a_host_that_was_lost_is_unknown_until_it_tells(store: SqliteStore) -> None:
    await store.commit(created(deployment(plan("d-1"), "h1")))
    begun = EventChange(EventStatus.InProgress, NOW + 5, None, 1, None)
    await store.commit(progress("h1", (STOP, begun), status=TargetStatus.Unknown))
    assert (await store.history.target(D1, "h1")).events[0].status is EventStatus.Unknown
    changes = Changes()
    for event, status in ((STOP, EventStatus.Succeeded), (INSTALL, EventStatus.InProgress), (STOP, EventStatus.InProgress)):
        changes.late.append((HostId("id-h1"), Report(9, InstructionId("d-1/id-h1/0/2"), event, status, NOW + 99)))
    changes.late.append((HostId("id-h1"), Report(9, InstructionId("d-1/id-h1/0/2"), AFTER, EventStatus.Failed, NOW, diagnostics=TOLD)))
    await store.commit(changes)
    found = await store.history.target(D1, "h1")
    assert found.status is TargetStatus.Unknown
    assert [(one.status, one.started_at, one.ended_at) for one in found.events] == [
        (EventStatus.Succeeded, NOW + 5, NOW + 99),
        (EventStatus.Unknown, NOW + 99, None),
        (EventStatus.Failed, None, NOW),
    ]
    assert found.events[2].diagnostics == TOLD


async def test_who_goes_on_watching_is_told_what_came_late_and_nothing_that_is_no_news(store: SqliteStore) -> None:
    await store.commit(created(deployment(plan("d-1"), "h1", "h2")))
    before = await store.commit(progress("h1", status=TargetStatus.Unknown))
    changes = Changes()
    changes.late.append((HostId("id-h1"), Report(9, InstructionId("d-1/id-h1/0/2"), STOP, EventStatus.Succeeded, NOW + 99)))
    for told in (True, False):
        last = await store.commit(changes)
        found, _ = await store.history.changed(D1, since=before, size=9)
        assert [one.host_name for one in found] == (["h1"] if told else [])
        assert (await store.history.deployment(D1)).commit == (last if told else before)
        before = last if told else before


async def test_of_two_attempts_the_later_is_shown(store: SqliteStore) -> None:
    await store.commit(created(deployment(plan("d-1"), "h1")))
    await store.commit(progress("h1", (STOP, EventChange(EventStatus.Failed, 1, 2, 1, TOLD)), attempt=1))
    await store.commit(progress("h1", (STOP, EventChange(EventStatus.Succeeded, 3, 4, 2, None)), attempt=2))
    event = (await store.history.target(D1, "h1")).events[0]
    assert (event.status, event.started_at, event.diagnostics) == (EventStatus.Succeeded, 3, None)


async def test_what_one_attempt_did_is_not_told_of_the_next_that_begins_in_the_same_commit(store: SqliteStore) -> None:
    await store.commit(created(deployment(plan("d-1"), "h1")))
    changes = progress("h1", attempt=2)
    changes.events[target("d-1", "h1", attempt=2), STOP, 1] = EventChange(EventStatus.Failed, 1, 2, 1, TOLD)
    await store.commit(changes)
    event = (await store.history.target(D1, "h1")).events[0]
    assert (event.status, event.started_at, event.diagnostics) == (EventStatus.Pending, None, None)


async def test_targets_are_listed_by_host_name(store: SqliteStore) -> None:
    await store.commit(created(deployment(plan("d-1"), "h5", "h1", "h3")))
    await store.commit(progress("h3"))
    assert [one.host_name for one in (await store.history.targets(D1, statuses=[], size=9, after="")).items] == ["h1", "h3", "h5"]
    busy = await store.history.targets(D1, statuses=[TargetStatus.InProgress], size=9, after="")
    assert [one.host_name for one in busy.items] == ["h3"]
    with pytest.raises(DeploymentDoesNotExist):
        await store.history.targets(DeploymentId("d-9"), statuses=[], size=9, after="")


async def test_what_changed_is_told_oldest_first_and_never_splits_a_commit(store: SqliteStore) -> None:
    first = await store.commit(created(deployment(plan("d-1"), "h1", "h2", "h3")))

    async def changed(since: int, size: int) -> tuple[list[str], int]:
        found, upto = await store.history.changed(D1, since=since, size=size)
        return sorted(one.host_name for one in found), upto

    assert await changed(0, 1) == (["h1", "h2", "h3"], first)
    second = await store.commit(progress("h3"))
    third = await store.commit(progress("h1"))
    assert await changed(first, 1) == (["h3"], second)
    assert await changed(second, 1) == (["h1"], third)
    assert await changed(first, 2) == (["h1", "h3"], third)
    assert await changed(third, 2) == ([], third)
    both = progress("h1")
    both.targets.update(progress("h2").targets)
    fourth = await store.commit(both)
    assert await changed(second, 1) == (["h1", "h2"], fourth)
    fifth = await store.commit(progress("h3"))
    assert await changed(first, 2) == (["h1", "h2"], fourth)
    assert await changed(fourth, 2) == (["h3"], fifth)


async def test_what_changed_can_be_asked_for_after_a_restart(tmp_path: Path) -> None:
    store = await opened(tmp_path / "again.db")
    await store.commit(known("h1"))
    first = await store.commit(created(deployment(plan("d-1"), "h1")))
    store.close()
    store = await opened(tmp_path / "again.db")
    try:
        second = await store.commit(progress("h1"))
        assert second > first
        found, upto = await store.history.changed(D1, since=first, size=5)
        assert ([one.host_name for one in found], upto) == (["h1"], second)
    finally:
        store.close()


async def test_an_event_without_its_targets_row_counts_as_a_change(store: SqliteStore) -> None:
    made = deployment(plan("d-1"), "h1", "h2")
    first = await store.commit(created(made))
    changes = Changes()
    changes.events[made.targets[HostId("id-h2")], STOP, 1] = EventChange(EventStatus.InProgress, NOW, None, 1, None)
    second = await store.commit(changes)
    found, upto = await store.history.changed(D1, since=first, size=5)
    assert ([one.host_name for one in found], upto) == (["h2"], second)
    assert (await store.history.deployment(D1)).commit == second


async def test_many_changes_at_once_are_read_whole(tmp_path: Path) -> None:
    store = await opened(tmp_path / "many.db")
    try:
        names = [f"n{number:04d}" for number in range(1_200)]
        await store.commit(known(*names))
        made = deployment(plan("d-1"), *names)
        await store.commit(created(made))
        changes = Changes()
        for one in made.targets.values():
            changes.events[one, STOP, 1] = EventChange(EventStatus.Succeeded, NOW, NOW + 1, 1, None)
        await store.commit(changes)
        found, _ = await store.history.changed(D1, since=0, size=10)
        assert len(found) == 1_200
        assert all(one.events[0].status is EventStatus.Succeeded for one in found)
        listed: list[TargetRecord] = []
        page: Page[TargetRecord] = Page(items=(), next="")
        while not listed or page.next:
            page = await store.history.targets(D1, statuses=[], size=1_000, after=page.next)
            listed += page.items
        assert [one.host_name for one in listed] == names
    finally:
        store.close()


async def entries(store: SqliteStore, size: int = 50, **filters: str) -> list[HistoryRecord]:
    """All pages."""
    wanted = {"application_name": "", "group_name": "", "deployment_id": "", "host": "", **filters}
    found, after = list[HistoryRecord](), ""
    while True:
        page = await store.history.entries(
            application_name=wanted["application_name"],
            group_name=wanted["group_name"],
            deployment_id=wanted["deployment_id"],
            host=wanted["host"],
            size=size,
            after=after,
        )
        found += page.items
        after = page.next
        if not after:
            return found


async def test_entries_come_newest_first_with_all_their_names(store: SqliteStore) -> None:
    changes = created(deployment(plan("d-1"), "h1"))
    changes.history.append(HistoryEntry(NOW + 7, Entry.Failed, "report 17", WEB, D1, HostId("id-h1"), "exit 1"))
    await store.commit(changes)
    newest, older, *_ = await entries(store)
    assert newest == HistoryRecord(
        history_id=newest.history_id,
        at=NOW + 7,
        application_name="shop",
        group_name="web",
        deployment_id="d-1",
        host_name="h1",
        entry="Failed",
        because="report 17",
        message="exit 1",
        principal="coordinator",
    )
    assert (older.entry, older.because, older.principal, older.message) == ("Created", "CreateDeployment", "ada", "")
    assert newest.history_id > older.history_id


async def test_entries_are_found_by_everything_they_are_about(store: SqliteStore) -> None:
    await store.commit(created(deployment(plan("d-1"), "h1", status=DeploymentStatus.Failed)))
    await store.commit(created(deployment(plan("d-2", API), "h2")))
    changes = Changes()
    changes.history.append(HistoryEntry(NOW, Entry.Succeeded, "report 1", WEB, D1, HostId("id-h1")))
    changes.history.append(HistoryEntry(NOW, Entry.Succeeded, "report 2", API, DeploymentId("d-2"), HostId("id-h2")))
    await store.commit(changes)
    await store.catalog.register_revision(await store.catalog.revision("shop", R1.revision_id), at=NOW, key=key(""))
    await store.catalog.create_application("other", at=NOW, key=key(""))

    async def told(**filters: str) -> list[str]:
        return [f"{one.entry} {one.deployment_id or one.host_name or one.message}" for one in await entries(store, 1, **filters)]

    assert await told(deployment_id="d-1") == ["Succeeded d-1", "Created d-1"]
    assert await told(application_name="shop", group_name="api") == ["Succeeded d-2", "Created d-2"]
    assert await told(application_name="shop") == ["Succeeded d-2", "Succeeded d-1", "Created d-2", "Created d-1"]
    assert await told(application_name="other") == ["ApplicationCreated other"]
    assert await told(host="h2") == ["Succeeded d-2", "HostRegistered h2"]
    assert await told(host="id-h2", deployment_id="d-1") == []
    with pytest.raises(DeploymentDoesNotExist):
        await told(deployment_id="d-9")
    with pytest.raises(InstanceDoesNotExist):
        await told(host="h9")
    with pytest.raises(ApplicationDoesNotExist):
        await told(application_name="none")


async def test_entries_outlive_what_they_are_about(store: SqliteStore) -> None:
    await store.commit(created(deployment(plan("d-1"), "h1", status=DeploymentStatus.Failed)))
    await store.catalog.delete_application("shop", at=NOW, key=key("", method="DeleteApplication"))
    removal = Changes()
    removal.removed.append(HostId("id-h1"))
    await store.commit(removal)
    assert [one.entry for one in await entries(store, application_name="shop")] == [
        "ApplicationDeleted",
        "DeploymentGroupDeleted",
        "DeploymentGroupDeleted",
        "Created",
    ]
    assert [one.entry for one in await entries(store, host="h1")] == ["HostRegistered"]
    assert (await store.history.target(D1, "h1")).host_name == "h1"


async def test_an_entry_about_an_unknown_group_is_kept_without_it(store: SqliteStore) -> None:
    changes = Changes()
    changes.history.append(HistoryEntry(NOW, Entry.HistoryWentBack, "hello", GroupId("nowhere"), host_id=HostId("id-h1")))
    await store.commit(changes)
    assert [(one.entry, one.group_name, one.host_name) for one in await entries(store, 1)][0] == ("HistoryWentBack", "", "h1")


async def test_a_renamed_host_has_one_history(store: SqliteStore) -> None:
    changes = Changes()
    changes.hosts[HostId("id-h1")] = host("h9", host_id=HostId("id-h1"))
    await store.commit(changes)
    assert [one.entry for one in await entries(store, host="h9")] == ["HostRegistered"]
