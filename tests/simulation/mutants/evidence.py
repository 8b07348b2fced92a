"""Guards of what is learned of a revision: by an analysis, and by alarms that are watched after its success."""

from collections.abc import Sequence

from coordinator.core.deployment import bounds
from coordinator.core.deployment.decision import Decision
from coordinator.core.evidence import analysis, late
from coordinator.core.model import Deployment, ErrorInformation, Verdict
from tests.simulation.mutants.mutant import Mutant, swapped

_take_back, _end, _conclude = bounds.take_back, late.end, analysis._conclude


def _shrug(_now: Decision, _watched: Deployment, _why: ErrorInformation) -> None:
    pass


def _only_look_away(now: Decision, _watched: Deployment) -> None:
    late.end(now, "it has regressed")


def _take_back_and_watch_on(now: Decision, watched: Deployment) -> None:
    _take_back(now, watched)
    now.group.watched = watched


def _end_in_memory(now: Decision, why: str) -> None:
    stored = now.changes.groups.get(now.group.group_id)
    _end(now, why)
    if stored is None:
        now.changes.groups.pop(now.group.group_id, None)


def _pass_whatever_failed(now: Decision, deployment: Deployment, verdict: Verdict, why: str) -> None:
    _conclude(now, deployment, verdict, why)


MUTANTS: Sequence[Mutant] = (
    Mutant("a failed analysis stops", swap=swapped(analysis, "_conclude", _pass_whatever_failed)),
    Mutant("a late regression counts", swap=swapped(late, "regress", _shrug)),
    Mutant("what has regressed is rolled back", swap=swapped(bounds, "take_back", _only_look_away)),
    Mutant("what was taken back is watched no more", swap=swapped(bounds, "take_back", _take_back_and_watch_on)),
    Mutant("the end of a watch is stored", swap=swapped(late, "end", _end_in_memory)),
)
