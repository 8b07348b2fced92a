"""Why an instruction is refused before anything of it begins, in a sentence. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.model import REPEATABLE_EVENTS

if TYPE_CHECKING:
    from agent.model import Fence, Holding, Instruction


def of(instruction: Instruction, fence: Fence | None) -> str | None:
    """Why an instruction is refused that was never seen before, under the fence of its group; None: it is accepted."""
    if fence is not None and instruction.target_epoch < fence.target_epoch:
        return f"stale: epoch {instruction.target_epoch} is lower than epoch {fence.target_epoch} of deployment {fence.deployment_id}"
    if fence is not None and instruction.target_epoch == fence.target_epoch and instruction.deployment_id != fence.deployment_id:
        return f"conflict: epoch {fence.target_epoch} belongs to deployment {fence.deployment_id}"
    if not instruction.events:
        return "conflict: it lists no lifecycle event"
    if instruction.restart and any(plan.event in REPEATABLE_EVENTS for plan in instruction.events):
        return "conflict: a restart downloads and installs nothing"
    return None


def of_restart(instruction: Instruction, holding: Holding | None) -> str | None:
    """Why an instruction that restarts what is installed cannot begin; None: it can, or it deploys."""
    if not instruction.restart:
        return None
    cannot = f"cannot restart revision {instruction.revision_id}"
    installed = None if holding is None else holding.installed
    if installed is None:
        return f"{cannot}: nothing of deployment group {instruction.group_name} is installed; deploy it"
    if installed.revision_id != instruction.revision_id:
        return f"{cannot}: revision {installed.revision_id} is installed; deploy the one that is wanted"
    return None
