"""Guards of the coordinator's engine."""

from collections.abc import Sequence
from dataclasses import replace

from coordinator.core.facts import Hello
from coordinator.core.model import Session
from coordinator.core.orders import Instruct
from coordinator.engine.acting import Acting
from coordinator.engine.inbox import Item
from coordinator.engine.ports import Agents, Alarms, Clock, Store, Turns
from coordinator.engine.turn import Turn
from coordinator.metrics import Metrics
from tests.simulation.coordinator import CheckedEngine, Parts
from tests.simulation.mutants.mutant import Mutant
from tests.simulation.world import Mutation


class _AcknowledgesFirst(CheckedEngine):
    """Reports are acknowledged before they are stored."""

    def _decide(self, items: list[Item]) -> Turn | None:
        turn = super()._decide(items)
        for host_id, acked_seq in turn.acknowledged.items() if turn is not None else ():
            self._acting.agents.acknowledge(host_id, acked_seq)
        return turn


class _InstructsFirst(CheckedEngine):
    """Instructions leave before they are stored."""

    def _decide(self, items: list[Item]) -> Turn | None:
        turn = super()._decide(items)
        for order in turn.orders if turn is not None else ():
            if isinstance(order, Instruct):
                self._acting.agents.instruct(order.instruction)
        return turn


class _NoEpochAdoption(CheckedEngine):
    """What an agent knows of higher epochs is not listened to."""

    def _greet(self, turn: Turn, hello: Hello) -> None:
        super()._greet(turn, replace(hello, fences={}))


class _KeepsWhatWasNotStored(CheckedEngine):
    """After a commit that failed, the groups in memory are not read again."""

    def _forget(self, turn: Turn | None) -> None:
        self._roster.undo()


class _KeepsCursors(CheckedEngine):
    """After a commit that failed, the sessions in memory stay as they are."""

    def _forget(self, turn: Turn | None) -> None:
        self._roster.keep()
        super()._forget(turn)


class _BareWelcome(Acting):
    def _welcome(self, session: Session) -> None:
        if session.stream is not None:
            self.agents.welcome(session, busy=session.host_id in self._busy)


class _RepeatsNothing(CheckedEngine):
    """A Welcome does not bring what is outstanding."""

    def __init__(
        self, *, store: Store, agents: Agents, clock: Clock, metrics: Metrics, alarms: Alarms | None = None, turns: Turns | None = None
    ) -> None:
        super().__init__(store=store, agents=agents, clock=clock, metrics=metrics, alarms=alarms, turns=turns)
        self._acting = _BareWelcome(agents, alarms, turns, self._groups)


def _engine(engine: type[CheckedEngine]) -> Mutation:
    return Mutation(parts=Parts(engine=engine))


MUTANTS: Sequence[Mutant] = (
    Mutant("acknowledgements after the commit", _engine(_AcknowledgesFirst)),
    Mutant("instructions after the commit", _engine(_InstructsFirst)),
    Mutant("higher epochs are adopted", _engine(_NoEpochAdoption)),
    Mutant("groups are read again after a failed commit", _engine(_KeepsWhatWasNotStored)),
    Mutant("cursors go back after a failed commit", _engine(_KeepsCursors)),
    Mutant("a Welcome repeats what is outstanding", _engine(_RepeatsNothing)),
)
