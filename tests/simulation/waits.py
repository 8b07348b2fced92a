"""What deployments wait for, held against the rows of each commit: pauses, stages, bakes, zones, verdicts, and the order of the queue."""

from typing import TYPE_CHECKING

from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import AutoRollbackEvent, Creator, Deployment, DeploymentId, GroupId, HostId, Progress, Target
from coordinator.core.orders import Changes, Entry, HistoryEntry
from coordinator.core.queue.line import SUPERSEDED
from tests.simulation.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.store import SimulatedStore


class Waits:
    """Looks at the rows before and after each commit."""

    def __init__(self, store: "SimulatedStore", witness: Witness) -> None:
        """Nothing is stored."""
        self.supersedes: Callable[[GroupId], bool] = lambda _group_id: False
        """Whether only the newest is wanted in a group."""
        self._store = store
        self._witness = witness
        self._progress: dict[DeploymentId, Progress] = {}
        self._pending: list[tuple[DeploymentId, HostId]] = []

    def look_before(self, changes: Changes) -> None:
        """Remember what may change."""
        deployments = self._store.deployments
        self._progress = {one: deployments[one].progress for one in changes.deployments if one in deployments}
        self._pending = [
            (one.deployment_id, one.host_id)
            for one in changes.targets
            if deployments[one.deployment_id].targets[one.host_id].status is TargetStatus.Pending
        ]

    def look_after(self, changes: Changes) -> None:
        """Accuse whoever did not wait."""
        told = {(entry.deployment_id, entry.entry) for entry in changes.history}
        for key in self._pending:
            self._pause_is_kept(self._store.deployments[key[0]].targets[key[1]], told)
        for deployment_id, before in self._progress.items():
            now = self._store.deployments[deployment_id]
            if now.progress.stage > before.stage:
                self._stages_are_waited_for(now, before, changes.history)
        self._verdicts_are_heeded(changes)
        for deployment_id in changes.deployments:
            self._the_newest_supersedes(self._store.deployments[deployment_id])
        for deployment_id in changes.created:
            self._no_older_one_waits(self._store.deployments[deployment_id])

    def _pause_is_kept(self, target: Target, told: set[tuple[DeploymentId | None, Entry]]) -> None:
        """Nobody begins in a deployment that was paused before this commit and is not resumed in it."""
        of = target.deployment_id
        before = self._progress.get(of, self._store.deployments[of].progress)
        begun = target.status is TargetStatus.InProgress
        if begun and before.paused is not None and (of, Entry.Resumed) not in told and not self._store.restored:
            self._witness.accuse("P8", f"{target.host_name} begins, and {of} is paused")

    def _stages_are_waited_for(self, now: Deployment, before: Progress, history: list[HistoryEntry]) -> None:
        """The hosts of a stage have ended, and its bake is over, when the next one begins."""
        told = {entry.entry: entry.at for entry in reversed(history) if entry.deployment_id == now.deployment_id}  # the first of each
        begins, early = f"stage {now.progress.stage} of {now.deployment_id} begins", before.stage
        ended = [one for one in now.targets.values() if one.stage <= early]
        if busy := [one.host_name for one in ended if not one.status.terminal]:
            self._witness.accuse("P8", f"{begins} before {', '.join(busy)} of an earlier one has ended")
        well = any(one.stage == early and one.status is TargetStatus.Succeeded for one in ended)
        since = now.clock if before.baked_from is None else before.baked_from
        baked = now.clock - since
        if before.baked_from is None and Entry.Baking in told and Entry.StageBegan in told:  # both waited for one commit that succeeded
            baked = abs(told[Entry.StageBegan] - told[Entry.Baking])
        cut_short = before.promoted or bool({Entry.Promoted, Entry.Resumed} & told.keys())
        if well and not cut_short and baked < now.plan.pause_after(early).bake:
            self._witness.accuse("P8", f"{begins} {baked} ms after the one before, which was to bake")

    def _verdicts_are_heeded(self, changes: Changes) -> None:
        """An analysis that has failed stops its deployment; an alarm of one that is watched has it rolled back, if it is to be."""
        for entry in changes.history:
            known = None if entry.deployment_id is None else self._store.deployments.get(entry.deployment_id)
            if known is None or known.stopping is not None:
                continue
            if entry.entry is Entry.Analysed and " has failed: " in entry.message:
                self._witness.accuse("P8", f"{known.deployment_id} goes on: {entry.message}")
            regressed = known.watched_from is not None and entry.entry is Entry.AlarmStatus and " -> ALARM: " in entry.message
            if regressed and AutoRollbackEvent.DEPLOYMENT_STOP_ON_ALARM in known.plan.auto_rollback:
                self._witness.accuse("P8", f"{known.deployment_id} has regressed, and is not rolled back")

    def _the_newest_supersedes(self, gone: Deployment) -> None:
        """Who leaves the queue for another one was asked for before that one."""
        if gone.error is None or not gone.error.message.startswith(SUPERSEDED):
            return
        newer = DeploymentId(gone.error.message.removeprefix(f"{SUPERSEDED} ").partition(",")[0])
        order = [entry.deployment_id for entry in self._store.history if entry.entry is Entry.Created]
        if order.index(newer) < order.index(gone.deployment_id):
            self._witness.accuse("P8", f"{gone.deployment_id} is superseded by {newer}, which is older")

    def _no_older_one_waits(self, newest: Deployment) -> None:
        """Where only the newest is wanted, nobody waits who was asked for earlier and would begin later. A restart replaces nothing."""
        plan = newest.plan
        if not self.supersedes(plan.group_id) or plan.creator is not Creator.user or plan.restarts:
            return
        for one in self._store.deployments.values():
            later = plan.start_at is None or (one.plan.start_at or 0) >= plan.start_at
            if one is newest:
                return
            if one.plan.group_id == plan.group_id and one.waits_for_turn and later:
                self._witness.accuse("P8", f"{one.deployment_id} still waits, and {newest.deployment_id} is newer")
