"""What the agent's machine makes of an instruction that restarts what is installed."""

from dataclasses import replace

from agent.facts import Connected, InstructionReceived
from agent.model import Instruction, LifecycleEvent
from tests.agent.instructions import Told, begun, instruction, must_begin, sent, words

EVENTS = (LifecycleEvent.APPLICATION_STOP, LifecycleEvent.APPLICATION_START, LifecycleEvent.VALIDATE_SERVICE)


def restart(revision: str = "r1", *, events: tuple[LifecycleEvent, ...] = EVENTS) -> Instruction:
    return replace(instruction("d-2", epoch=2, events=events, revision=revision), restart=True)


def deployed() -> Told:
    told = Told()
    told.tell(Connected(0))
    told.walk(must_begin(told.tell(InstructionReceived(instruction()))))
    return told


def test_every_event_of_a_restart_runs_the_scripts_of_the_installed_revision() -> None:
    told = deployed()
    order = must_begin(told.tell(InstructionReceived(restart())))
    for event in EVENTS:
        assert order.event is event
        assert order.serving is not None
        assert order.serving.deployment_id == "d-1"
        following = begun(told.end(order))
        order = following or order
    assert words(told.orders)[-1] == "d-2 ValidateService Succeeded"


def test_a_restart_changes_nothing_about_what_is_installed() -> None:
    told = deployed()
    before = told.machine.standing.holdings
    told.walk(must_begin(told.tell(InstructionReceived(restart()))))
    assert told.machine.standing.holdings == told.restarted().machine.standing.holdings == before


def test_a_restart_of_another_revision_than_the_installed_one_is_refused() -> None:
    orders = deployed().tell(InstructionReceived(restart("r2")))
    assert words(orders) == ["d-2 Refused"]
    diagnostics = sent(orders)[0][1].diagnostics
    assert diagnostics is not None
    assert diagnostics.message == "cannot restart revision r2: revision r1 is installed; deploy the one that is wanted"


def test_a_restart_where_nothing_is_installed_is_refused() -> None:
    told = Told()
    told.tell(Connected(0))
    assert words(told.tell(InstructionReceived(restart()))) == ["d-2 Refused"]


def test_a_restart_that_would_install_something_is_refused() -> None:
    orders = deployed().tell(InstructionReceived(restart(events=(LifecycleEvent.INSTALL,))))
    assert words(orders) == ["d-2 Refused"]
