"""Carries out what a turn has decided, once it is stored: tells agents and operators, and keeps in mind when to wake which group."""

from coordinator.core.machine import outstanding
from coordinator.core.model import GroupId, HostId, Session
from coordinator.core.orders import Answer, CallUp, Instruct, Order, SendCancel, Settled, WakeAt, WatchAlarms
from coordinator.engine.groups import Groups
from coordinator.engine.inbox import settle
from coordinator.engine.ports import Agents, Alarms, Turns
from coordinator.engine.turn import Turn


class Acting:
    """The engine's hands: every call is carried out in order, and none waits for anybody."""

    def __init__(self, agents: Agents, alarms: Alarms | None, turns: Turns | None, groups: Groups) -> None:
        """`groups` are those that the engine steps."""
        self.agents = agents
        self.alarms = alarms
        self.turns = turns
        self.wakes: dict[GroupId, int] = {}
        """By the monotonic clock."""
        self.come: set[HostId] = set()
        """Hosts that have connected, for whoever looks whether they lack something, and takes them out."""
        self._groups = groups
        self._busy: dict[HostId, int] = {}

    def act(self, turn: Turn) -> None:
        """Carry out what was decided, now that it is stored."""
        for group_id in turn.facts:
            self.wakes.pop(group_id, None)
        for order in turn.orders:
            self._carry_out(turn, order)
        self._groups.settle(turn.facts, turn.changes)
        for stream, error in turn.refusals:
            self.agents.refuse(stream, error)
        for session in turn.welcomes.values():
            self._welcome(session)
        self.come.update(turn.welcomes)
        for host_id, acked_seq in turn.acknowledged.items():
            if host_id not in turn.welcomes:
                self.agents.acknowledge(host_id, acked_seq)

    def _carry_out(self, turn: Turn, order: Order) -> None:
        match order:
            case Instruct(instruction):
                self._busy[instruction.host_id] = self._busy.get(instruction.host_id, 0) + 1
                self.agents.instruct(instruction)
            case SendCancel(cancel):
                self.agents.cancel(cancel)
            case Settled(host_id, _):
                left = self._busy.pop(host_id, 0) - 1
                if left > 0:
                    self._busy[host_id] = left
                else:
                    self.agents.settle(host_id)
            case WakeAt(group_id, elapsed):
                self.wakes[group_id] = elapsed
            case WatchAlarms():
                self.watch(order)
            case CallUp():
                if self.turns is not None:
                    self.turns.call(order)
            case Answer(fact, error):
                settle(turn.asked[id(fact)].answer, error)

    def watch(self, order: WatchAlarms) -> None:
        """Have a group's alarms looked at."""
        if self.alarms is not None:
            self.alarms.watch(order)

    def _welcome(self, session: Session) -> None:
        """Accept a stream and repeat what is outstanding for its host."""
        self.agents.welcome(session, busy=session.host_id in self._busy)
        if session.stream is None:
            return
        for group_id in dict.fromkeys(self._groups.live.values()):
            if group_id in self._groups.parked:
                continue
            instruction, cancel = outstanding(self._groups[group_id], session.host_id)
            if instruction is not None:
                self.agents.instruct(instruction)
            if cancel is not None:
                self.agents.cancel(cancel)

    def count_busy(self) -> None:
        """After a start: which hosts have something outstanding."""
        for group in self._groups.values():
            for deployment in group.live:
                for host_id in filter(deployment.is_at, deployment.targets):
                    self._busy[host_id] = self._busy.get(host_id, 0) + 1
