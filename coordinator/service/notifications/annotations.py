"""Deployments as regions on the dashboards of Grafana: each from its beginning to its end, and so its stages.

What Grafana has already is looked at before anything is written, so an entry that is told again changes nothing.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from coordinator.core.model import DeploymentId
from coordinator.core.orders import Entry
from coordinator.service.notifications.ports import Notice, Wanted
from coordinator.service.records import DeploymentRecord

GRAFANA: Final = "grafana"
OURS: Final = "hookline"
WHOLE: Final = "part:deployment"
OPEN: Final = "outcome:in_progress"

STAGES: Final[Mapping[str, str]] = {Entry.StageBegan: "stage", Entry.Baking: "bake", Entry.Watching: "watch"}
"""Entries with which a stage begins, which goes on until the next begins or the deployment ends."""
ENDS: Final[Mapping[str, str]] = {
    Entry.Succeeded: "succeeded",
    Entry.Failed: "failed",
    Entry.Stopped: "stopped",
    Entry.Watched: "succeeded",
    Entry.Regressed: "regressed",
}
"""Entries with which everything ends that goes on, and its outcome."""


class Region(NamedTuple):
    """A stretch of time with tags and a text."""

    number: int
    """Grafana's; 0: it is not there yet."""
    begin: int
    """UTC milliseconds."""
    end: int
    tags: tuple[str, ...]
    text: str

    def closed(self, at: int, outcome: str) -> "Region":
        """The same, ended."""
        tags = tuple(f"outcome:{outcome}" if tag == OPEN else tag for tag in self.tags)
        return self._replace(end=max(at, self.begin), tags=tags)


class Annotations(Protocol):
    """Where regions are kept. Both raise Unsent."""

    async def find(self, tags: Sequence[str]) -> list[Region]:
        """Those that have all these tags."""
        ...

    async def write(self, region: Region) -> None:
        """Make one, or change the one with its number."""
        ...


class GrafanaOutlet:
    """See `outlets.Outlet`."""

    kind = GRAFANA
    wanted = Wanted([Entry.InProgress, *STAGES, *ENDS], [])

    def __init__(self, deployment: Callable[[DeploymentId], Awaitable[DeploymentRecord]], annotations: Annotations) -> None:
        """`deployment` looks one up; `annotations` is Grafana."""
        self._deployment = deployment
        self._annotations = annotations

    async def tell(self, notice: Notice) -> bool:
        """See `Outlet.tell`."""
        deployment = await self._deployment(notice.deployment_id)
        known = await self._annotations.find((OURS, f"deployment:{notice.deployment_id}"))
        changed = regions(notice, deployment, known)
        for region in changed:
            await self._annotations.write(region)
        return bool(changed)


def regions(notice: Notice, deployment: DeploymentRecord, known: Sequence[Region]) -> list[Region]:
    """What has to be written of a deployment's regions when an entry is told; nothing where it was told before."""
    is_open = [one for one in known if OPEN in one.tags]
    begins = any(f"entry:{notice.history_id}" in one.tags for one in known)
    if notice.entry in ENDS:
        outcome = ENDS[notice.entry]
        closed = [one.closed(notice.at, outcome) for one in is_open]
        if any(WHOLE in one.tags for one in known):
            return closed
        began = deployment.started_at or deployment.plan.created_at
        return [*closed, _region(notice, deployment, WHOLE, began).closed(notice.at, outcome)]
    if begins:
        return []
    if notice.entry in STAGES:
        ended = [one.closed(notice.at, "succeeded") for one in is_open if WHOLE not in one.tags]
        return [*ended, _region(notice, deployment, f"part:{STAGES[notice.entry]}", notice.at)]
    return [] if any(WHOLE in one.tags for one in known) else [_region(notice, deployment, WHOLE, notice.at)]


def _region(notice: Notice, deployment: DeploymentRecord, part: str, begin: int) -> Region:
    plan = deployment.plan
    tags = [OURS, f"app:{notice.application_name}", f"group:{notice.group_name}", OPEN, f"deployment:{notice.deployment_id}", part]
    tags += [f"entry:{notice.history_id}", *(["rollback"] if notice.rolls_back else [])]
    does = f"rolls {notice.rolls_back} back to" if notice.rolls_back else "deploys"
    text = f"{notice.deployment_id} {does} revision {plan.revision.revision_id} ({notice.application_name}/{notice.group_name})"
    told = f"{text}: {notice.message}" if part != WHOLE and notice.message else text
    return Region(number=0, begin=begin, end=begin, tags=tuple(tags), text=told)
