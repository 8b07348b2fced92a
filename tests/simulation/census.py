"""What has occurred in a world: a promise about something that no world has is worth nothing."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from coordinator.core.lifecycle import DeploymentStatus
from coordinator.core.model import Creator, Deployment
from coordinator.core.orders import Entry, HistoryEntry
from coordinator.core.queue.line import SUPERSEDED
from coordinator.core.stages.shaping import CANARIES

WORLDS_WITH: Final = "worlds with "
"""How a number begins that counts worlds."""

ANALYSES: Final = {
    " is successful: ": "an analysis that succeeds",
    " has failed: ": "an analysis that fails",
    " is inconclusive: ": "an inconclusive analysis",
}

ENTRIES: Final[Mapping[Entry, str]] = {
    Entry.Approved: "an approval",
    Entry.Baking: "a bake",
    Entry.GateAwaited: "a gate",
    Entry.GatePassed: "a gate that is passed",
    Entry.Paused: "a pause",
    Entry.Resumed: "a pause that ends",
    Entry.Promoted: "a promotion",
    Entry.Retried: "a retry",
    Entry.Waiting: "a queue",
    Entry.TurnCame: "a turn that came",
    Entry.Watching: "a late watch",
    Entry.Regressed: "a late regression",
    Entry.Blind: "going on blind",
    Entry.RollbackSkipped: "a rollback that cannot be",
}

MESSAGES: Final = {
    "left out by ": "a skip",
    "was offline when its turn came: it is left out": "a host left out while offline",
    "was offline when its turn came": "a host passed over while offline",
    "was offline and did not come back in time": "a host waited for in vain",
}

DEPLOYMENTS: Final[Mapping[str, Callable[[Deployment], bool]]] = {
    "zones": lambda one: bool(one.zones) and one.progress.stage > 0,
    "canaries": lambda one: bool(one.plan.stages) and one.plan.stages[0].name == CANARIES,
    "growing steps": lambda one: one.plan.shape.zonal is None and one.progress.stage > 0,
    "a start time that came": lambda one: one.plan.start_at is not None and one.turn_at is not None,
    "one superseded": lambda one: one.error is not None and one.error.message.startswith(SUPERSEDED),
    "a rollback": lambda one: one.plan.rolls_back is not None,
    "a late rollback": lambda one: one.status is DeploymentStatus.Succeeded and one.rollback_deployment_id is not None,
    "newcomers": lambda one: one.plan.creator is Creator.CodeDeployAutoUpdate,
    "a restart that succeeds": lambda one: one.plan.restarts and one.status is DeploymentStatus.Succeeded,
}

COUNTED: Final[Mapping[str, str]] = {
    "closing hooks": "closing hooks",
    "probes": "probes",
    "restores": "a restore",
    "newcomers beside": "newcomers beside a deployment",
    "beside newcomers": "a deployment beside newcomers",
    "stuck agents": "a stuck agent",
}
"""What the witness counts."""

FEATURES: Final = frozenset((*ANALYSES.values(), *ENTRIES.values(), *MESSAGES.values(), *DEPLOYMENTS, *COUNTED.values()))


def occurred(deployments: Iterable[Deployment], history: Iterable[HistoryEntry], counts: Mapping[str, int]) -> frozenset[str]:
    """Which of all features have occurred."""
    found = {COUNTED[name] for name in COUNTED.keys() & counts.keys()}
    for entry in history:
        if entry.entry in ENTRIES:
            found.add(ENTRIES[entry.entry])
        elif entry.entry is Entry.Analysed:
            found |= {name for part, name in ANALYSES.items() if part in entry.message}
    for one in deployments:
        found |= {name for name, holds in DEPLOYMENTS.items() if holds(one)}
        for message in {target.message for target in one.targets.values()}:
            found |= {name for part, name in MESSAGES.items() if part in message}
    return frozenset(found)
