"""Guards of a rollout: who may begin, when it goes on, and when it ends."""

from collections.abc import Sequence

from coordinator.core.deployment import batches, course, deadlines, newcomers
from coordinator.core.deployment import target as targets
from coordinator.core.deployment.decision import Decision
from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import Deployment, ErrorInformation, Group, Member, Plan, RevisionId, Snapshot, Target
from coordinator.core.stages import pauses, zones
from tests.simulation.mutants.mutant import Mutant, swapped

_stop, _goes_on = course.stop, course._goes_on


def _give_up(now: Decision, deployment: Deployment, why: ErrorInformation) -> None:
    _stop(now, deployment, why)
    for target in list(deployment.targets.values()):
        if target.status is TargetStatus.InProgress:
            course.end(now, deployment, target, targets.given_up(target, "nobody waits"))


def _may_always_go_down(_group: Group, _deployment: Deployment, _target: Target) -> bool:
    return True


def _never_claimed(member: Member | None, revision_id: RevisionId) -> bool:
    return member is None or (member.target_epoch == 0 and member.missed == 0 and not member.has(revision_id))


def _takes_all(_group: Group, _plan: Plan, hosts: Sequence[Snapshot]) -> Sequence[Snapshot]:
    return hosts


def _everybody(deployment: Deployment) -> int:
    return len(deployment.members)


def _needs_nobody(_deployment: Deployment) -> bool:
    return False


def _for_ever(_plan: Plan, _target: Target) -> int:
    return 1 << 40


def _in_any_zone(_deployment: Deployment, _target: Target) -> bool:
    return True


def _go_on_although_paused(now: Decision, deployment: Deployment) -> bool:
    if deployment.progress.paused is not None and deployment.blind_since is None:
        course._begin_whoever_may(now, deployment)
    return _goes_on(now, deployment)


def _stages_at_once(_deployment: Deployment) -> bool:
    return True


_NO_GATE = tuple(one for one in pauses.WAITS if one is not pauses._gate)
_NO_BAKE = tuple(one for one in pauses.WAITS if one is not pauses._bake)

MUTANTS: Sequence[Mutant] = (
    Mutant("the window", swap=swapped(batches, "window", _everybody)),
    Mutant("the floor", swap=swapped(batches, "_may_go_down", _may_always_go_down)),
    Mutant("the word of a second person", swap=swapped(Deployment, "waits_for_approval", property(_needs_nobody))),
    Mutant("a stop waits for those in progress", swap=swapped(course, "stop", _give_up)),
    Mutant("hosts that were away are newcomers", swap=swapped(newcomers, "is_newcomer", _never_claimed)),
    Mutant("a host belongs to one deployment", swap=swapped(newcomers, "apart", _takes_all)),
    Mutant("the window of a zone", swap=swapped(zones, "has_place", _in_any_zone)),
    Mutant("the floor of a zone", swap=swapped(zones, "may_go_down", _in_any_zone)),
    Mutant("a stage waits for those before it", swap=swapped(pauses, "is_over", _stages_at_once)),
    Mutant("a bake is waited for", swap=swapped(pauses, "WAITS", _NO_BAKE)),
    Mutant("a gate is waited for", swap=swapped(pauses, "WAITS", _NO_GATE)),
    Mutant("nothing begins while it is paused", swap=swapped(course, "_goes_on", _go_on_although_paused)),
    Mutant("a host that is silent is given up", swap=swapped(deadlines, "allowance", _for_ever)),
)
