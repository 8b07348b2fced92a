"""Who is told when: in order, at least once, again and again until a day has passed, and nobody waits for anybody else."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from coordinator.core.errors import StorageFailed
from coordinator.core.model import DeploymentId, HostId, TargetKind, Trigger, TriggerEvent, TriggerTarget
from coordinator.core.orders import Entry
from coordinator.service.notifications.courier import APART, GIVE_UP_AFTER, KEEP_EVERY, LOOK_EVERY, Courier
from coordinator.service.notifications.events import wanted
from coordinator.service.notifications.outlets import Refused
from coordinator.service.notifications.ports import EVERYWHERE, Answer, Line, News, Notice, Standing, Unsent, Wanted
from tests.adapters.test_watcher import Hours, settle

HANDFUL = 3
START = 1_000_000


def trigger(name: str, *events: TriggerEvent) -> Trigger:
    target = TriggerTarget(kind=TargetKind.Webhook, url=f"https://{name}.example/")
    return Trigger(name=name, events=events or (TriggerEvent.DeploymentStart,), target=target)


class MemoryOutbox:
    """A history of begun deployments, and cursors that outlive a courier."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, Notice]] = []
        self.triggers: dict[Line, Trigger] = {}
        self.cursors: dict[Line, int] = {}
        self.given_up: list[str] = []
        self.changed = False
        self.broken = False
        self.moves = 0

    def give(self, group_no: int, *triggers: Trigger) -> None:
        """A group has these triggers from now on."""
        for line in [line for line in self.triggers if line.group_no == group_no]:
            del self.triggers[line]
        for one in triggers:
            self.triggers[Line(group_no, one.name)] = one
            self.cursors.setdefault(Line(group_no, one.name), len(self.entries))
        self.happen(group_no, at=0, entry=Entry.DeploymentGroupUpdated)
        self.changed = True

    def happen(self, group_no: int, *, at: int, entry: str = Entry.InProgress) -> int:
        """Something has."""
        number = len(self.entries) + 1
        notice = Notice(number, at, entry, "shop", "web", DeploymentId(f"d-{number}"), HostId(""), "", "", "")
        self.entries.append((group_no, notice))
        return number

    def _check(self) -> None:
        if self.broken:
            raise StorageFailed("cannot read")

    async def head(self) -> int:
        self._check()
        return len(self.entries)

    async def standing(self) -> list[Standing]:
        self._check()
        return [Standing(line, one, self.cursors[line]) for line, one in self.triggers.items()]

    async def begin(self, line: Line) -> int:
        return self.cursors.setdefault(line, len(self.entries))

    async def forget(self, line: Line) -> None:
        self.cursors.pop(line, None)

    async def news(self, after: int, upto: int) -> News:
        changed, self.changed = self.changed, False
        return News(frozenset(group_no for group_no, _ in self.entries[after:upto]), changed)

    async def notices(self, line: Line, wanted: Wanted, after: int, upto: int) -> tuple[list[Notice], int]:
        self._check()
        mine = [
            notice
            for group_no, notice in self.entries[after:upto]
            if line.group_no in (EVERYWHERE, group_no) and notice.entry in wanted.of_deployments
        ]
        found = mine[:HANDFUL]
        return found, found[-1].history_id if len(found) == HANDFUL else upto

    async def move(self, cursors: Mapping[Line, int]) -> None:
        self._check()
        self.moves += 1
        self.cursors |= cursors

    async def give_up(self, line: Line, cursor: int, message: str, *, at: int) -> None:
        self.cursors[line] = cursor
        self.given_up.append(message)


@dataclass
class Target:
    """Somebody who is told; `wrong` is raised instead, `gate` is waited for before an answer."""

    events: tuple[TriggerEvent, ...]
    told: list[int] = field(default_factory=list)
    tries: int = 0
    wrong: Exception | None = None
    gate: asyncio.Event | None = None
    kind: str = "webhook"

    @property
    def wanted(self) -> Wanted:
        return wanted(self.events)

    async def tell(self, notice: Notice) -> bool:
        self.tries += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.wrong is not None:
            raise self.wrong
        self.told.append(notice.history_id)
        return True


class Post:
    """A courier and whom it tells; `run` is one life of a coordinator."""

    def __init__(self) -> None:
        self.clock = Hours()
        self.outbox = MemoryOutbox()
        self.targets: dict[str, Target] = {}
        self.everywhere: dict[str, Target] = {}
        self.counted: list[tuple[str, str]] = []
        self.courier = self.make()

    def make(self) -> Courier:
        made = Courier(self.outbox, self.outlet, self.clock, chance=lambda: 1.0, count=lambda *what: self.counted.append(what))
        for name, target in self.everywhere.items():
            made.tell_all(name, target)
        return made

    def outlet(self, of: Trigger) -> Target:
        target = self.targets.setdefault(of.name, Target(of.events))
        target.events = of.events
        return target

    def happen(self, group_no: int = 1) -> int:
        return self.outbox.happen(group_no, at=self.clock.now())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.courier = self.make()
        run = asyncio.create_task(self.courier.run())
        await self.look()
        try:
            yield
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    async def look(self) -> None:
        """Let the courier look at the history once more."""
        await settle()
        for _ in range(LOOK_EVERY // APART):
            await self.clock.go_on(APART)
            await settle()


@pytest.fixture
def post() -> Post:
    """One with a trigger `pager` of group 1 that has been told nothing yet."""
    made = Post()
    made.outbox.give(1, trigger("pager"))
    made.targets["pager"] = Target((TriggerEvent.DeploymentStart,))
    return made


async def test_everything_is_told_once_and_in_order(post: Post) -> None:
    async with post.running():
        expected = [post.happen() for _ in range(8)]
        await post.look()
        expected += [post.happen()]
        await post.look()
    assert post.targets["pager"].told == expected
    assert post.outbox.cursors[Line(1, "pager")] == expected[-1]
    assert post.counted == [("webhook", "delivered")] * 9


async def test_notifications_are_apart_however_many_wait(post: Post) -> None:
    post.outbox.give(2, trigger("chat"))
    for _ in range(20):
        post.happen(1)
        post.happen(2)
    async with post.running():
        assert len(post.targets["pager"].told) + len(post.targets["chat"].told) <= LOOK_EVERY // APART + 1
        for _ in range(2):
            await post.look()
    assert (len(post.targets["pager"].told), len(post.targets["chat"].told)) == (20, 20)


async def test_what_happened_while_nobody_ran_is_told_and_what_was_told_is_not(post: Post) -> None:
    async with post.running():
        first = post.happen()
        await post.look()
    second = [post.happen(), post.happen()]
    async with post.running():
        pass
    async with post.running():
        await post.look()
    assert post.targets["pager"].told == [first, *second]


async def test_what_was_not_answered_when_the_coordinator_died_is_told_again(post: Post) -> None:
    pager = post.targets["pager"]
    pager.gate = asyncio.Event()
    number = post.happen()
    async with post.running():
        assert pager.tries == 1
    pager.gate = None
    async with post.running():
        assert pager.told == [number]


async def test_a_target_that_is_away_is_tried_more_and_more_seldom_and_then_told_in_order(post: Post) -> None:
    pager = post.targets["pager"]
    pager.wrong = Unsent("nobody listens")
    expected = [post.happen(), post.happen()]
    async with post.running():
        waits = []
        for _ in range(12):
            tries, waited = pager.tries, 0
            while pager.tries == tries:
                await post.clock.go_on(LOOK_EVERY)
                await settle()
                waited += LOOK_EVERY
            waits.append(waited)
        assert waits == [500, *(1_000 << power for power in range(1, 9)), 300_000, 300_000, 300_000]  # 500 had passed already
        assert post.courier.silent == 1
        pager.wrong = None
        await post.clock.go_on(300_000)
        await post.look()
        assert (pager.told, post.courier.silent) == (expected, 0)
    assert post.outbox.given_up == []


async def test_a_target_that_asks_to_be_left_alone_is(post: Post) -> None:
    pager = post.targets["pager"]
    pager.wrong = Refused(Answer(429, "slow down", 30_000))
    post.happen()
    async with post.running():
        await post.clock.go_on(29_000)
        assert pager.tries == 1
        await post.clock.go_on(1_000)
        assert pager.tries == 2


async def test_a_dead_target_holds_nobody_up(post: Post) -> None:
    post.outbox.give(1, trigger("pager"), trigger("chat"))
    post.outbox.give(2, trigger("other"))
    post.targets["pager"].gate = asyncio.Event()
    async with post.running():
        expected = [post.happen() for _ in range(5)]
        another = post.happen(2)
        await post.look()
        await post.look()
        assert (post.targets["chat"].told, post.targets["other"].told) == (expected, [another])
        assert post.targets["pager"].tries == 1


async def test_who_takes_nothing_for_a_day_is_given_up_and_the_history_says_how_much(post: Post) -> None:
    pager = post.targets["pager"]
    pager.wrong = Refused(Answer(503, "down", 0))
    async with post.running():
        for _ in range(5):
            post.happen()
        while not post.outbox.given_up:
            await post.clock.go_on(300_000)
            for _ in range(5):
                await settle()
        assert GIVE_UP_AFTER <= post.clock.now() - START <= GIVE_UP_AFTER + 600_000
        assert post.outbox.given_up == ["pager: 5 notifications were given up after 24 h: it answered 503: down"]
        assert post.counted.count(("webhook", "given_up")) == 5
        fresh = post.happen()
        pager.wrong = None
        await post.look()
        await post.clock.go_on(300_000)
        await settle()
        assert pager.told == [fresh]


async def test_a_night_without_coordinator_gives_nothing_up(post: Post) -> None:
    pager = post.targets["pager"]
    number = post.happen()
    post.clock.at += 3 * GIVE_UP_AFTER
    pager.wrong = Unsent("it starts too")
    async with post.running():
        await post.clock.go_on(60_000)
        pager.wrong = None
        await post.clock.go_on(60_000)
        await settle()
    assert (pager.told, post.outbox.given_up) == ([number], [])


async def test_a_trigger_that_is_made_changed_and_removed_is_served_as_it_is(post: Post) -> None:
    async with post.running():
        post.happen()
        await post.look()
        post.outbox.give(1, trigger("pager"), trigger("chat"))
        await post.look()
        both = post.happen()
        await post.look()
        post.outbox.give(1, trigger("chat", TriggerEvent.DeploymentSuccess))
        await post.look()
        post.happen()
        await post.look()
    assert (post.targets["pager"].told[1:], post.targets["chat"].told) == ([both], [both])


async def test_a_trigger_that_gets_another_address_is_told_there_what_waits(post: Post) -> None:
    post.targets["pager"].wrong = Unsent("no such host")
    async with post.running():
        number = post.happen()
        await post.look()
        post.targets["pager"] = Target((TriggerEvent.DeploymentStart,))
        post.outbox.give(
            1, Trigger(name="pager", events=(TriggerEvent.DeploymentStart,), target=TriggerTarget(kind=TargetKind.Slack, url="x"))
        )
        await post.look()
        assert post.targets["pager"].told == [number]


async def test_who_is_told_of_all_groups_is(post: Post) -> None:
    everything = post.everywhere["grafana"] = Target((TriggerEvent.DeploymentStart,), kind="grafana")
    async with post.running():
        expected = [post.happen(group_no) for group_no in (1, 2, 3)]
        await post.look()
        await post.look()
    assert everything.told == expected
    assert post.counted.count(("grafana", "delivered")) == 3


async def test_a_store_that_cannot_be_read_or_written_holds_up_and_ends_nothing(post: Post) -> None:
    async with post.running():
        post.outbox.broken = True
        number = post.happen()
        await post.look()
        post.outbox.broken = False
        await post.look()
        await post.look()
        assert post.targets["pager"].told == [number]
        post.targets["pager"].gate = gate = asyncio.Event()
        second = post.happen()
        await post.look()
        post.outbox.broken = True
        gate.set()
        await settle()
        post.outbox.broken = False
        assert post.outbox.cursors[Line(1, "pager")] == number
        third = post.happen()
        await post.look()
        await post.look()
    assert (post.targets["pager"].told, post.outbox.cursors[Line(1, "pager")]) == ([number, second, third], third)


async def test_a_bug_is_tried_again_and_ends_nothing(post: Post) -> None:
    post.targets["pager"].wrong = LookupError("a bug")
    async with post.running():
        number = post.happen()
        await post.look()
        post.targets["pager"].wrong = None
        await post.clock.go_on(1_000)
        await settle()
    assert post.targets["pager"].told == [number]


async def test_a_quiet_trigger_is_not_looked_for_in_all_that_others_did(post: Post) -> None:
    async with post.running():
        for _ in range(KEEP_EVERY):
            post.happen(2)
        await post.look()
        await post.look()
        assert (post.outbox.cursors[Line(1, "pager")], post.outbox.moves) == (len(post.outbox.entries), 1)
        await post.look()
        assert post.outbox.moves == 1
