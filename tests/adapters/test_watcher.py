"""Who looks at alarms, and when: once an interval for all groups together, at once when there is reason to, and never without telling."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from coordinator.adapters.alarms.prometheus import Prometheus
from coordinator.adapters.alarms.sight import Sight
from coordinator.adapters.alarms.watcher import Watcher
from coordinator.core.facts import AlarmSeen
from coordinator.core.model import Alarm, AlarmStatus, AlertmanagerAlert, Comparison, Expression, GroupId, Measurement, Seen
from coordinator.core.orders import WatchAlarms
from coordinator.metrics import Metrics
from coordinator.service.alarms.alerts import Alert
from tests.service.test_alerts import Rows

WEB, API = GroupId("web"), GroupId("api")
ERRORS = Alarm(name="HighErrors", source=Expression(expression="errors", comparison=Comparison.GREATER, threshold=1), interval=5_000)
PAGED = Alarm(name="Paged", source=AlertmanagerAlert(labels={"severity": "page"}), interval=5_000)
FINE = Seen(AlarmStatus.OK, "0 is not > 1")


class Hours:
    """A clock that goes on when a test says so."""

    def __init__(self) -> None:
        self.at = 1_000_000
        self._sleepers: list[tuple[int, asyncio.Event]] = []

    def now(self) -> int:
        return self.at

    def elapsed(self) -> int:
        return self.at

    async def sleep(self, milliseconds: int) -> None:
        woken = asyncio.Event()
        self._sleepers.append((self.at + milliseconds, woken))
        await woken.wait()

    async def go_on(self, milliseconds: int) -> None:
        self.at += milliseconds
        for due, woken in self._sleepers:
            if due <= self.at:
                woken.set()
        self._sleepers = [(due, woken) for due, woken in self._sleepers if due > self.at]
        await settle()


async def settle() -> None:
    """Let everybody do what they can without time going on."""
    for _ in range(20):
        await asyncio.sleep(0)


class Lookout:
    """A watcher whose looks a test answers."""

    def __init__(self) -> None:
        self.clock = Hours()
        self.answer: Callable[[Alarm | Measurement], Seen] = lambda _: FINE
        self.looks: list[tuple[str, int]] = []
        self.told: list[AlarmSeen] = []
        self.counted: list[tuple[str, str]] = []
        self.watcher = Watcher(self._look, self.told.append, self.clock, lambda *what: self.counted.append(what))

    async def _look(self, alarm: Alarm | Measurement, since: int) -> Seen:
        self.looks.append((alarm.name, since))
        return self.answer(alarm)

    def watch(self, group: GroupId, *alarms: Alarm) -> None:
        self.watcher.watch(WatchAlarms(group, alarms, self.clock.now()))

    def seen(self) -> list[tuple[str, str, str]]:
        """What was told since the last time."""
        told = [(str(one.group_id), one.alarm_name, one.status.name) for one in self.told]
        self.told.clear()
        return told


@pytest.fixture
async def lookout() -> AsyncIterator[Lookout]:
    async with looking_out() as made:
        yield made


@asynccontextmanager
async def looking_out() -> AsyncIterator[Lookout]:
    made = Lookout()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.watcher.run())
        await settle()
        yield made
        running.cancel()


async def test_an_alarm_is_looked_at_at_once_and_then_every_interval_and_every_look_is_told(lookout: Lookout) -> None:
    lookout.watch(WEB, ERRORS)
    await settle()
    assert lookout.seen() == [("web", "HighErrors", "OK")]
    await lookout.clock.go_on(4_999)
    assert lookout.seen() == []
    await lookout.clock.go_on(1)
    assert lookout.seen() == [("web", "HighErrors", "OK")]
    assert lookout.counted == [("expression", "OK")] * 2


async def test_groups_share_the_looks_at_an_alarm_that_is_the_same(lookout: Lookout) -> None:
    lookout.watch(WEB, ERRORS)
    await settle()
    lookout.watch(API, ERRORS, PAGED)
    await settle()
    lookout.seen()
    lookout.looks.clear()
    await lookout.clock.go_on(5_000)
    assert sorted(lookout.seen()) == [("api", "HighErrors", "OK"), ("api", "Paged", "OK"), ("web", "HighErrors", "OK")]
    assert sorted(name for name, _ in lookout.looks) == ["HighErrors", "Paged"]


async def test_an_alarm_that_was_edited_is_another_one(lookout: Lookout) -> None:
    edited = replace(ERRORS, interval=7_000)
    lookout.answer = lambda alarm: Seen(AlarmStatus.ALARM, "5 is > 1") if alarm == edited else FINE
    lookout.watch(WEB, ERRORS)
    lookout.watch(API, edited)
    await settle()
    assert sorted(lookout.seen()) == [("api", "HighErrors", "ALARM"), ("web", "HighErrors", "OK")]


async def test_who_looks_away_is_told_nothing_more_and_nobody_looks_for_nobody(lookout: Lookout) -> None:
    lookout.watch(WEB, ERRORS, PAGED)
    lookout.watch(API, ERRORS)
    await settle()
    lookout.seen()
    lookout.watch(WEB)
    await lookout.clock.go_on(5_000)
    assert lookout.seen() == [("api", "HighErrors", "OK")]
    lookout.watch(API)
    lookout.looks.clear()
    await lookout.clock.go_on(60_000)
    assert (lookout.seen(), lookout.looks) == ([], [])


async def test_a_look_covers_the_time_since_the_last_one_that_saw_something(lookout: Lookout) -> None:
    began = lookout.clock.now()
    lookout.watch(WEB, ERRORS)
    await settle()
    lookout.answer = lambda _: Seen(AlarmStatus.UNKNOWN, "cannot ask Prometheus")
    await lookout.clock.go_on(5_000)
    await lookout.clock.go_on(5_000)
    lookout.answer = lambda _: FINE
    await lookout.clock.go_on(5_000)
    await lookout.clock.go_on(5_000)
    assert lookout.looks == [("HighErrors", since) for since in (began, began, began, began, began + 15_000)]


async def test_a_repeated_order_changes_nothing_but_has_it_looked_at_again(lookout: Lookout) -> None:
    lookout.watch(WEB, ERRORS)
    await settle()
    lookout.watch(WEB, ERRORS)
    await settle()
    assert lookout.seen() == [("web", "HighErrors", "OK")] * 2
    await lookout.clock.go_on(5_000)
    assert lookout.seen() == [("web", "HighErrors", "OK")]


async def test_a_look_that_fails_is_a_bug_and_nothing_was_seen(lookout: Lookout, caplog: pytest.LogCaptureFixture) -> None:
    def fail(alarm: Alarm | Measurement) -> Seen:
        raise ValueError("a bug")

    lookout.answer = fail
    lookout.watch(WEB, ERRORS)
    await settle()
    assert lookout.seen() == [("web", "HighErrors", "UNKNOWN")]
    assert "cannot look at alarm=HighErrors" in caplog.text
    lookout.answer = lambda _: FINE
    await lookout.clock.go_on(5_000)
    assert lookout.seen() == [("web", "HighErrors", "OK")]


async def test_what_is_watched_before_it_runs_is_looked_at_then() -> None:
    made = Lookout()
    made.watch(WEB, ERRORS)
    assert made.looks == []
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.watcher.run())
        await settle()
        assert made.seen() == [("web", "HighErrors", "OK")]
        running.cancel()


# ------------------------------------------------------------------------------------------------------------ all together


@asynccontextmanager
async def sight(prometheus: Prometheus | None) -> AsyncIterator[tuple[Sight, list[AlarmSeen]]]:
    told: list[AlarmSeen] = []
    made = Sight(prometheus, Rows(), Hours(), put=told.append, metrics=Metrics())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.run())
        await settle()
        yield made, told
        running.cancel()


async def test_alertmanagers_word_reaches_the_engine_at_once() -> None:
    async with sight(None) as (made, told):
        made.watch(WatchAlarms(WEB, (PAGED,), 0))
        await settle()
        assert [one.status for one in told] == [AlarmStatus.OK]
        await made.alerts.receive([Alert(fingerprint="f1", labels={"severity": "page"}, starts_at="2027-01-15T08:00:00Z")])
        await settle()
        assert [one.status for one in told] == [AlarmStatus.OK, AlarmStatus.ALARM]


async def test_without_a_prometheus_what_it_would_say_is_unknown() -> None:
    async with sight(None) as (made, told):
        made.watch(WatchAlarms(WEB, (replace(ERRORS, no_data=AlarmStatus.OK, on_error=AlarmStatus.OK),), 0))
        await settle()
        assert [(one.status, one.sample) for one in told] == [
            (AlarmStatus.UNKNOWN, "no Prometheus is configured: start the coordinator with --prometheus URL")
        ]


@pytest.mark.parametrize("on_error", AlarmStatus)
async def test_a_prometheus_that_does_not_answer_means_what_the_alarm_says(on_error: AlarmStatus) -> None:
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(502)), base_url="http://prometheus")
    async with sight(Prometheus(client)) as (made, told):
        made.watch(WatchAlarms(WEB, (replace(ERRORS, on_error=on_error),), 0))
        while not told:
            await settle()
        assert told[0].status is on_error
    assert client.is_closed
