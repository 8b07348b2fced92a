"""The only writer: drain the inbox, step, commit once for everything drained, carry out the orders.

An acknowledgement, a Welcome and an answer to an operator are given after the commit, so each of them means "stored". When a
commit fails, everything that was decided is forgotten, the groups are read again, and the same facts are stepped again.
"""

import asyncio
import logging
from typing import Final

from coordinator.core import session as sessions
from coordinator.core.deployment.watching import watch
from coordinator.core.errors import DeployError, DeploymentAlreadyCompleted, StorageFailed, StorageFull, Unavailable
from coordinator.core.evidence import late
from coordinator.core.facts import (
    AlarmSeen,
    DeploymentRequested,
    Hello,
    HostLost,
    HostRemovalRequested,
    HostRemoved,
    HostReturned,
    JournalLost,
    LiveRequest,
    Report,
    Reported,
    ReportsReceived,
    Request,
    StreamEnded,
    TurnCame,
    Woken,
)
from coordinator.core.machine import step
from coordinator.core.model import DeploymentId, HostId, HostStatus
from coordinator.core.orders import Answer, Changes
from coordinator.core.requests.live import verb
from coordinator.engine.acting import Acting
from coordinator.engine.blame import to_blame
from coordinator.engine.greeting import told
from coordinator.engine.groups import Groups, Overview
from coordinator.engine.inbox import Asked, Inbox, Item, is_refused, settle
from coordinator.engine.ports import Agents, Alarms, Clock, DeploymentsRefused, Store, StoreBroken, Turns
from coordinator.engine.telling import tell
from coordinator.engine.turn import Turn
from coordinator.metrics import Metrics

log = logging.getLogger(__name__)

PATIENCE: Final = 5_000
"""Milliseconds that an operator's call waits for a store that cannot write."""

SWEEP_EVERY: Final = 1_000
"""Milliseconds between looks for hosts that have been silent for too long."""

GATHER: Final = 5
"""Milliseconds between two commits of a burst of reports, in which others come: a turn and its commit cost as much as ten reports."""

ENOUGH: Final = 64
"""Reports that wait for no others."""

BACKOFF: Final = (50, 100, 200, 500, 1_000)
"""Milliseconds before the commit is tried again."""


class Engine:
    """Runs every deployment group. Others put facts into `inbox`, or `ask` and wait for the answer."""

    def __init__(
        self, *, store: Store, agents: Agents, clock: Clock, metrics: Metrics, alarms: Alarms | None = None, turns: Turns | None = None
    ) -> None:
        """Wire it up; `run` does everything. Without `alarms` every alarm stays unknown, without `turns` who waits goes on waiting."""
        self.inbox = Inbox()
        self.committed = 0
        self.trouble = ""
        """Why the store cannot be used just now; empty when it can."""
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._roster = sessions.Roster()
        self._groups = Groups(store, clock, lambda: self._roster.lost())
        self.standing = self._groups.standing
        self._acting = Acting(agents, alarms, turns, self._groups)
        self.come, self.overview = self._acting.come, Overview(self._groups, lambda: self._roster, self.inbox)
        self._sweep_at = 0
        self._turned_at = 0
        self._burst = False
        self._commit_made = asyncio.Event()
        self.started = asyncio.Event()

    def lost(self, host_id: HostId) -> bool:
        """Whether a host counts as unhealthy because it has been away for too long; see `service.ports.Presence`."""
        session = self._roster.sessions.get(host_id)
        return session is not None and session.status is HostStatus.Lost

    def live(self, deployment_id: DeploymentId) -> bool:
        """Whether a deployment has not ended, as committed last."""
        return deployment_id in self._groups.live

    @property
    def reconnect_spread(self) -> int:
        """Milliseconds over which agents come back after the coordinator was away."""
        return self._roster.spread

    async def ask(self, fact: Request) -> None:
        """Put an operator's fact to the engine; see `ports.Inbox`."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.inbox.put(Asked(fact=fact, answer=answer, give_up_at=self._clock.elapsed() + PATIENCE))
        await answer

    async def beyond(self, commit: int) -> int:
        """Wait until something was committed after `commit`, and return the number of the last commit."""
        while self.committed <= commit:
            await self._commit_made.wait()
        return self.committed

    async def run(self) -> None:
        """Take up what the store holds, then turn until cancelled."""
        await self._start()
        self.started.set()
        while True:
            await self._wait()
            await self._gather()
            items = self.inbox.take()
            async with self._groups.between:
                await self._commit_and_act(items)
            self._turned_at, self._burst = self._clock.elapsed(), len(items) > 1

    async def _start(self) -> None:
        self._roster = sessions.start(await self._store.sessions(), elapsed=self._clock.elapsed())
        self.committed = await self._store.last_commit()
        for group_id in await self._store.live_groups():
            group = await self._groups.load(group_id)
            self._acting.wakes[group_id] = self._clock.elapsed()
            if group.watched is not None:
                self._acting.watch(late.watch(group.watched))
            for deployment in group.live:
                if (order := watch(deployment)).alarms:
                    self._acting.watch(order)
                self._metrics.committed.resumed(deployment, self._clock.now())
                log.info("deployment goes on deployment=%s group=%s", deployment.deployment_id, group_id)
        self._acting.count_busy()

    async def _wait(self) -> None:
        due = min(self._acting.wakes.values(), default=None)
        if self._roster.silent:
            due = self._sweep_at if due is None else min(due, self._sweep_at)
        seconds = None if due is None else max(0, due - self._clock.elapsed()) / 1000
        try:
            async with asyncio.timeout(seconds):
                await self.inbox.wait()
        except TimeoutError:
            pass

    async def _gather(self) -> None:
        """Let a burst of reports gather, once a turn had more than one. A lone host waits for nothing, nor does an operator."""
        rest = self._turned_at + GATHER - self._clock.elapsed()
        if self._burst and rest > 0 and len(self.inbox) < ENOUGH and self.inbox.only_reports:
            await self._clock.sleep(rest)

    async def _commit_and_act(self, items: list[Item]) -> None:
        tries = 0
        while True:
            turn = None
            try:
                await self._groups.load_for(items)
                turn = self._decide(items)
                if turn is None:
                    continue
                if turn.changes:
                    await self._commit(turn.changes)
            except (StorageFull, StorageFailed) as error:
                log.error("cannot use the store, trying again error=%r", str(error))
                self.trouble = str(error)
                self._forget(turn)
                await self._clock.sleep(BACKOFF[min(tries, len(BACKOFF) - 1)])
                tries += 1
                items = self._still_wanted(items, error) + self.inbox.take()
                self.inbox.hold(len(items))
                continue
            except DeploymentsRefused as refused:
                self._forget(turn)
                items = [item for item in items if not is_refused(item, refused)]
                continue
            except StoreBroken as broken:
                await self._isolate(turn, broken)
                continue
            self.trouble = ""
            self.inbox.hold(0)
            self._roster.keep()
            self._acting.act(turn)
            if turn.swept:
                self._sweep_at = turn.elapsed + SWEEP_EVERY
            if turn.changes:
                tell(turn, self._metrics, self._clock.elapsed())
                made, self._commit_made = self._commit_made, asyncio.Event()
                made.set()
            return

    async def _commit(self, changes: Changes) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.committed = await self._store.commit(changes)
        self._metrics.storage.committed(loop.time() - began, changes.rows)

    async def _isolate(self, turn: Turn | None, broken: StoreBroken) -> None:
        """Park the groups whose facts can never be stored. When none of them is to blame, there is nothing to go on with."""
        self._forget(turn)
        blamed = [] if turn is None else await to_blame(self._store, self._groups, turn.facts)
        if not blamed:
            raise broken
        for group_id in blamed:
            log.critical("group parked: what it decides cannot be stored; restart the coordinator to try again group=%s", group_id)
            self._groups.parked.add(group_id)
            self._acting.wakes.pop(group_id, None)
        log.critical("this is a bug", exc_info=broken)

    def _forget(self, turn: Turn | None) -> None:
        """Nothing was committed: what was decided in memory is dropped and read again."""
        self._roster.undo()
        for group_id in turn.facts if turn is not None else ():
            self._groups.pop(group_id, None)

    def _still_wanted(self, items: list[Item], error: DeployError) -> list[Item]:
        elapsed = self._clock.elapsed()
        wanted: list[Item] = []
        for item in items:
            if isinstance(item, Asked) and item.give_up_at <= elapsed:
                settle(item.answer, error)
            else:
                wanted.append(item)
        return wanted

    def _decide(self, items: list[Item]) -> Turn | None:
        """Step everything; None when a group had to be parked and the turn must be decided anew without it."""
        turn = Turn(at=self._clock.now(), elapsed=self._clock.elapsed())
        for item in items:
            if type(item) is ReportsReceived:
                self._take_reports(turn, item)
            elif isinstance(item, Hello):
                self._greet(turn, item)
            elif isinstance(item, StreamEnded):
                sessions.leave(self._roster, item, turn.changes)
            elif isinstance(item, AlarmSeen):
                if item.group_id in self._groups and item.group_id not in self._groups.parked:
                    turn.facts.setdefault(item.group_id, []).append(item)
            elif isinstance(item, Asked):
                self._take_request(turn, item)
        self._pass_time(turn)
        for group_id, facts in turn.facts.items():
            changes = Changes()
            try:
                turn.orders += step(self._groups[group_id], facts, changes)
            except Exception:
                log.exception("group parked: its facts cannot be decided; restart the coordinator to try again group=%s", group_id)
                self._groups.parked.add(group_id)
                self._acting.wakes.pop(group_id, None)
                self._forget(turn)
                return None
            turn.changes.merge(changes)
        return turn

    def _take_reports(self, turn: Turn, received: ReportsReceived) -> None:
        groups = self._groups
        if groups.parked and any(groups.of(report.instruction_id) in groups.parked for report in received.reports):
            sessions.hold_back(self._roster, received)
            return
        taken = sessions.take(self._roster, received)
        if taken is None:
            return
        session, reports = taken
        turn.acknowledged[session.host_id] = session.acked_seq
        if not reports:
            return
        turn.changes.cursors[session.host_id] = session.acked_seq
        instruction_id = reports[0].instruction_id
        if any(report.instruction_id is not instruction_id for report in reports):
            for report in reports:
                self._take_run(turn, received, (report,))
        else:
            self._take_run(turn, received, reports)

    def _take_run(self, turn: Turn, received: ReportsReceived, reports: tuple[Report, ...]) -> None:
        """Reports of one instruction."""
        group_id = self._groups.of(reports[0].instruction_id)
        if group_id is None:
            turn.changes.late.extend((received.host_id, report) for report in reports)
            return
        fact = Reported(at=received.at, elapsed=received.elapsed, host_id=received.host_id, reports=reports)
        turn.facts.setdefault(group_id, []).append(fact)

    def _greet(self, turn: Turn, hello: Hello) -> None:
        admitted = sessions.greet(self._roster, hello, turn.changes)
        if isinstance(admitted, DeployError):
            turn.refusals.append((hello.stream, admitted))
            return
        turn.welcomes[hello.host_id] = admitted.session
        if admitted.returned:
            self._tell_groups(turn, HostReturned(at=hello.at, elapsed=hello.elapsed, host_id=hello.host_id))
        if admitted.journal_lost:
            self._tell_groups(turn, JournalLost(at=hello.at, elapsed=hello.elapsed, host_id=hello.host_id))
        for group_id, fact in told(self._groups, hello):
            turn.facts.setdefault(group_id, []).append(fact)

    def _tell_groups(self, turn: Turn, fact: HostReturned | HostRemoved | JournalLost | HostLost) -> None:
        for group_id in self._groups.of_host(fact.host_id):
            turn.facts.setdefault(group_id, []).append(fact)

    def _take_request(self, turn: Turn, asked: Asked) -> None:
        fact = asked.fact
        match fact:
            case HostRemovalRequested():
                awaited = self._groups.await_host(fact.host_id)
                error = sessions.forget(self._roster, fact, awaited=awaited, changes=turn.changes)
                turn.orders.append(Answer(fact, error))
                if error is None:
                    self._tell_groups(turn, HostRemoved(at=fact.at, elapsed=fact.elapsed, host_id=fact.host_id))
            case _:
                group_id = fact.plan.group_id if isinstance(fact, DeploymentRequested) else self._groups.owner(fact.deployment_id)
                if group_id is None and not isinstance(fact, DeploymentRequested):
                    turn.orders.append(Answer(fact, _completed(fact)))
                elif group_id is None or group_id in self._groups.parked:
                    turn.orders.append(Answer(fact, Unavailable("cannot decide about this group: it is parked after an internal error")))
                else:
                    turn.facts.setdefault(group_id, []).append(fact)
        turn.asked[id(fact)] = asked

    def _pass_time(self, turn: Turn) -> None:
        """Wake the groups whose time has come, and find hosts that have been silent for too long."""
        for group_id, due in self._acting.wakes.items():
            if due <= turn.elapsed:
                turn.facts.setdefault(group_id, []).append(Woken(at=turn.at, elapsed=turn.elapsed))
        if self._roster.silent and self._sweep_at <= turn.elapsed:
            turn.swept = True
            for host_id in sessions.lose(self._roster, at=turn.at, elapsed=turn.elapsed, changes=turn.changes):
                self._tell_groups(turn, HostLost(at=turn.at, elapsed=turn.elapsed, host_id=host_id))


def _completed(fact: TurnCame | LiveRequest) -> DeployError:
    wish = "begin" if isinstance(fact, TurnCame) else verb(fact)
    return DeploymentAlreadyCompleted(f"cannot {wish} deployment {fact.deployment_id}: it has ended")
