"""Manual gates: who may pass one, and what is said of it.

A name gives no permission: who may approve deployments of the group at all, the API has made sure of before. Pure.
"""

from coordinator.core.errors import Denied, DeployError, InvalidOperation
from coordinator.core.model import ANY_APPROVER, Deployment, Gate, Plan


def called(plan: Plan, stage: int) -> str:
    """A stage in a sentence."""
    return f'stage "{plan.stages[stage].name}"'


def lets(gate: Gate, by: str, *, created_by: str, two_people: bool) -> bool:
    """Whether a principal may pass a gate: an operator is named without the kind before the colon."""
    if two_people and by == created_by:
        return False
    return ANY_APPROVER in gate.approvers or by.removeprefix("operator:") in gate.approvers


def somebody(plan: Plan, stage: int) -> str:
    """An operator who is named at a gate and may pass it; empty where nobody is named, or only who may not."""
    gate = _gate(plan, stage)
    able = (f"operator:{name}" for name in gate.approvers if name != ANY_APPROVER)
    return next((by for by in able if lets(gate, by, created_by=plan.created_by, two_people=plan.require_approval)), "")


def approvers(gate: Gate) -> str:
    """Who may pass it, for people."""
    named = ["any approver" if one == ANY_APPROVER else one for one in gate.approvers]
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} or {named[-1]}"


def awaited(plan: Plan, stage: int) -> str:
    """A gate is waited for."""
    gate = _gate(plan, stage)
    alone = f", who is not {plan.created_by}," if plan.require_approval else ""
    return f"{approvers(gate)}{alone} has to approve {called(plan, stage)} within {_long(gate.timeout)}"


def unpassed(plan: Plan, stage: int) -> str:
    """It was waited for in vain."""
    gate = _gate(plan, stage)
    return f"nobody approved {called(plan, stage)} within {_long(gate.timeout)}: {approvers(gate)} could have"


def refusal(deployment: Deployment, by: str) -> DeployError | None:
    """Why somebody does not pass the gate after the present stage; None: they do."""
    plan, stage = deployment.plan, deployment.progress.stage
    cannot, gate = f"cannot approve deployment {plan.deployment_id}", _gate(plan, stage)
    if deployment.stopping is not None:
        return InvalidOperation(f"{cannot}: {deployment.stopping.message}")
    if not lets(gate, by, created_by=plan.created_by, two_people=False):
        return Denied(f"{cannot}: {by} may not pass the gate of {called(plan, stage)}, {approvers(gate)} may")
    if not lets(gate, by, created_by=plan.created_by, two_people=plan.require_approval):
        return Denied(f"{cannot}: {by} created it, and {plan.group_name} takes the word of a second")
    return None


def _gate(plan: Plan, stage: int) -> Gate:
    gate = plan.pause_after(stage).gate
    assert gate is not None
    return gate


def _long(milliseconds: int) -> str:
    return f"{milliseconds // 3_600_000} h" if milliseconds >= 3_600_000 else f"{milliseconds // 60_000} minutes"
