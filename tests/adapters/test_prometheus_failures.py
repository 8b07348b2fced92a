"""Everything that can be wrong with a Prometheus, over a real socket, up to what a deployment does about it: unknown is not OK."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from coordinator.adapters.alarms.prometheus import OCTETS_AT_MOST, PATIENCE, SERIES_AT_MOST, Prometheus, Unanswered
from coordinator.adapters.alarms.sight import Sight
from coordinator.core.facts import DeploymentRequested
from coordinator.core.lifecycle import DeploymentErrorCode, DeploymentStatus
from coordinator.core.model import Alarm, AlarmStatus, Comparison, DeploymentId, Expression, HostId, PrometheusAlert, Seen, Snapshot
from coordinator.core.orders import Entry, Instruction
from coordinator.engine.loop import Engine
from coordinator.metrics import Metrics
from coordinator.wire import agents as wire
from hookline.v1 import agent_pb2 as pb
from tests.adapters.odd_prometheus import (
    NOW,
    OddPrometheus,
    Way,
    answered,
    answering,
    by_drops,
    gibberish,
    hung_up,
    never,
    nobody,
    said,
    values,
    without_end,
)
from tests.adapters.test_watcher import Hours, settle
from tests.engine.test_loop import HOST, SilentAgents
from tests.service.test_alerts import Rows
from tests.store.memory import MemoryStore
from tests.store.things import FixedClock, plan

SOURCE = Expression(expression="errors", comparison=Comparison.GREATER, threshold=0.05)
ERRORS = Alarm(name="HighErrors", source=SOURCE, interval=5_000)
DOWN = Alarm(name="ShopDown", source=PrometheusAlert(alert_name="ShopDown"), interval=5_000)

NO_ANSWER: dict[str, tuple[Way, str]] = {
    "it takes the call and says nothing": (never, "no answer within 1 s"),
    "it hangs up": (hung_up, "cannot ask Prometheus: "),
    "its answer trickles in": (by_drops, "no answer within 1 s"),
    "its answer is cut off": (answered(b'{"status": "suc', length=5_000), "cannot ask Prometheus: "),
    "what answers speaks no HTTP": (gibberish, "cannot ask Prometheus: "),
    "what answers is no JSON": (answered(b"<html>sign in</html>"), "what answers is no Prometheus: status 200 without JSON"),
    "its JSON is another": (said({"healthy": True}), "Prometheus answers 200: no reason"),
    "what answers is packed and not JSON": (
        answered(gzip.compress(b"\0" * 2 * OCTETS_AT_MOST), headers=b"Content-Encoding: gzip\r\n"),
        "more than 8 MiB",
    ),
    "it refuses the question": (said({"status": "error", "error": "parse error"}, status="400 Bad Request"), "answers 400: parse error"),
    "it wants a password": (answered(b"Unauthorized", status="401 Unauthorized"), "status 401 without JSON"),
    "a server before it fails": (answered(b"Bad Gateway", status="502 Bad Gateway"), "status 502 without JSON"),
    "it is overloaded": (said({"status": "error", "error": "query timed out"}, status="503 Service Unavailable"), "503: query timed out"),
    "its answer has no end": (without_end, "more than 8 MiB: aggregate the expression"),
    "it sends the coordinator elsewhere": (
        answered(b"", status="302 Found", headers=b"Location: http://127.0.0.1:1/\r\n"),
        "status 302 without JSON",
    ),
    "a part of it does not answer": (said({"status": "success", "data": {}, "warnings": ["a store is away"]}), "answers in part"),
    "it has too many series": (values(*["0"] * (SERIES_AT_MOST + 1)), "1001 series, more than 1000"),
    "its clock is an hour behind": (values("0", clock=NOW - 3_600_000), "s behind the coordinator's; set them alike"),
    "its clock is an hour ahead": (values("0", clock=NOW + 3_600_000), "s ahead of the coordinator's; set them alike"),
}
"""Ways in which there is no answer, and the sentence about it."""

NO_NUMBER: dict[str, tuple[Way, str]] = {
    "it has nothing": (values(), "the expression has no sample at this time"),
    "it has only NaN": (values("NaN", "NaN"), "the expression has only NaN at this time"),
    "its newest sample is old": (values("0", at=NOW - 300_000), "the expression has no sample at this time"),
}
"""Ways in which there is an answer without a number."""

BLIND = NO_ANSWER | NO_NUMBER


def patience(way: Way) -> float:
    """Seconds to wait for an answer: not many where none comes, and as many as usual where one does."""
    return 1 if way in (never, by_drops) else PATIENCE


async def look(odd: OddPrometheus, alarm: Alarm, source: Expression | PrometheusAlert) -> Seen:
    prometheus = Prometheus.at(odd.url, patience=patience(odd.way))
    try:
        return await prometheus.look(alarm, source, since=NOW, now=NOW)
    finally:
        await prometheus.close()


@pytest.mark.parametrize("way, why", NO_ANSWER.values(), ids=NO_ANSWER)
async def test_what_is_no_answer_is_none_and_says_why(way: Way, why: str) -> None:
    async with answering(way) as odd:
        with pytest.raises(Unanswered, match=why):
            await look(odd, ERRORS, SOURCE)
        assert odd.asked == [b"POST /api/v1/query_range HTTP/1.1"], "it is asked once, and nobody else is"


@pytest.mark.parametrize("name", [name for name in NO_ANSWER if "series" not in name])
async def test_of_its_own_alerts_as_well(name: str) -> None:
    async with answering(NO_ANSWER[name][0]) as odd:
        with pytest.raises(Unanswered):
            await look(odd, DOWN, PrometheusAlert(alert_name="ShopDown"))


async def test_nobody_listens_there() -> None:
    async with nobody() as url:
        with pytest.raises(Unanswered, match="cannot ask Prometheus: "):
            await Prometheus.at(url).look(ERRORS, SOURCE, since=NOW, now=NOW)


@pytest.mark.parametrize("no_data", AlarmStatus)
@pytest.mark.parametrize("way, why", NO_NUMBER.values(), ids=NO_NUMBER)
async def test_an_answer_without_a_number_means_what_the_alarm_says(way: Way, why: str, no_data: AlarmStatus) -> None:
    async with answering(way) as odd:
        assert await look(odd, replace(ERRORS, no_data=no_data), SOURCE) == Seen(no_data, why)


async def test_of_several_series_the_worst_counts_and_those_without_a_number_do_not() -> None:
    async with answering(values("0", "NaN", "0.31")) as odd:
        assert await look(odd, ERRORS, SOURCE) == Seen(AlarmStatus.ALARM, '0.31 is > 0.05 {host="web-3"}')


async def test_clocks_that_differ_by_seconds_are_alike() -> None:
    for clock in (NOW - 9_000, NOW + 9_000):
        async with answering(values("0", clock=clock)) as odd:
            assert (await look(odd, ERRORS, SOURCE)).status is AlarmStatus.OK


# ------------------------------------------------------------------------------------------------- what a deployment does about it


class Rollout:
    """A deployment to one host whose alarm is seen by a Prometheus, through the watcher, the inbox and the core."""

    def __init__(self, odd: OddPrometheus, *, ignore: bool) -> None:
        """Nothing runs yet."""
        self.clock, self.store, self.agents = Hours(), MemoryStore(), Agents()
        self.clock.at = NOW
        self.sight = Sight(
            Prometheus.at(odd.url, patience=patience(odd.way)),
            Rows(),
            self.clock,
            put=lambda fact: self.engine.inbox.put(fact),
            metrics=Metrics(),
        )
        clock = SameTime(self.clock)
        self.engine = Engine(store=self.store, agents=self.agents, clock=clock, metrics=Metrics(), alarms=self.sight)
        self._plan = plan("d-1", alarms=(ERRORS,), outdated_only=False, require_approval=False, ignore_poll_alarm_failure=ignore)

    async def begin(self) -> None:
        """Its host is there, and it is created."""
        message = pb.Hello(host_id=HOST, name="h1", journal_id="j")
        self.engine.inbox.put(wire.hello(message, stream=1, at=NOW, elapsed=NOW))
        hosts = (Snapshot(host_id=HOST, name="h1"),)
        await self.engine.ask(DeploymentRequested(at=NOW, elapsed=NOW, plan=self._plan, hosts=hosts))

    async def told(self, entry: Entry, times: int = 1) -> str:
        """What the history says last with an entry, once it has so many of them."""
        async with asyncio.timeout(30):
            while len(found := [one.message for one in self.store.history if one.entry is entry and one.host_id is None]) < times:
                await self.engine.beyond(self.engine.committed)
        return found[-1]

    async def look_again(self, odd: OddPrometheus, *numbers: str, after: int = 5_000) -> None:
        """Time goes on until the next look, to which Prometheus says these; none: what it has said before."""
        await settle()
        if numbers:
            odd.way = values(*numbers, at=self.clock.at + after, clock=self.clock.at + after)
        await self.clock.go_on(after)

    @property
    def status(self) -> DeploymentStatus:
        """Of the deployment."""
        return self.store.deployments[DeploymentId("d-1")].status


class SameTime(FixedClock):
    """Has the time of another clock, and waits for nothing."""

    def __init__(self, other: Hours) -> None:
        super().__init__()
        self._other = other

    def now(self) -> int:
        return self._other.at

    def elapsed(self) -> int:
        return self._other.at

    async def sleep(self, milliseconds: int) -> None:
        await asyncio.sleep(0)


class Agents(SilentAgents):
    """Remembers who was told to begin."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[HostId] = []

    def instruct(self, instruction: Instruction) -> None:
        self.begun.append(instruction.host_id)


@asynccontextmanager
async def rollout(odd: OddPrometheus, *, ignore: bool = False) -> AsyncIterator[Rollout]:
    made = Rollout(odd, ignore=ignore)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(made.engine.run()), tasks.create_task(made.sight.run())]
        await made.engine.started.wait()
        await made.begin()
        yield made
        for one in running:
            one.cancel()


@pytest.mark.parametrize("way, why", BLIND.values(), ids=BLIND)
async def test_nobody_begins_while_nobody_can_see_and_everybody_when_somebody_can(way: Way, why: str) -> None:
    async with answering(way) as odd, rollout(odd) as it:
        assert why in await it.told(Entry.AlarmStatus)
        assert (it.agents.begun, it.status) == ([], DeploymentStatus.Queued)
        await it.look_again(odd, "0")
        assert await it.told(Entry.AlarmStatus, 2) == 'UNKNOWN -> OK: 0 is not > 0.05 {host="web-1"}'
        assert (it.agents.begun, it.status) == ([HOST], DeploymentStatus.InProgress)


@pytest.mark.parametrize("name", ["its clock is an hour behind", "it has nothing"])
async def test_after_a_minute_without_sight_it_stops_or_goes_on_blind_as_it_was_told(name: str) -> None:
    async with answering(BLIND[name][0]) as odd:
        async with rollout(odd) as it:
            await it.told(Entry.AlarmStatus)
            await it.look_again(odd, after=60_000)
            await it.told(Entry.Stopped)
            error = it.store.deployments[DeploymentId("d-1")].error
            assert error is not None
            assert error.code is DeploymentErrorCode.ALARM_POLL_FAILED
            assert it.agents.begun == []
        async with rollout(odd, ignore=True) as it:
            await it.told(Entry.AlarmStatus)
            await it.look_again(odd, after=60_000)
            assert "goes on blind: for 60 s nobody could say" in await it.told(Entry.Blind)
            assert (it.agents.begun, it.status) == ([HOST], DeploymentStatus.InProgress)


async def test_an_alarm_that_is_active_when_sight_returns_stops_what_went_on_blind() -> None:
    async with answering(hung_up) as odd, rollout(odd, ignore=True) as it:
        await it.told(Entry.AlarmStatus)
        await it.look_again(odd, after=60_000)
        await it.told(Entry.Blind)
        await it.look_again(odd, "0.31")
        assert 'alarm HighErrors is active: 0.31 is > 0.05 {host="web-1"}' in await it.told(Entry.Stopping)
