"""Looks up which hosts a group has when the turn of a deployment has come that had to wait for it, and whether it may still begin.

Its service role, its demand for signatures and its hosts' instance profiles are asked again then: what was narrowed meanwhile is
respected. What follows is decided in `core/queue/turn`. Nothing is kept here that the core would not ask for again.
"""

import asyncio
import logging
from typing import Final

from coordinator.core.errors import DeployError, Invalid, Limit, NotFound, Unavailable
from coordinator.core.facts import TurnCame
from coordinator.core.lifecycle import DeploymentErrorCode
from coordinator.core.model import ErrorInformation, GroupId, Plan
from coordinator.core.model.roles import source_of
from coordinator.core.orders import CallUp
from coordinator.engine.ports import Clock, Inbox
from coordinator.service.ports import Grounds, Presence
from coordinator.service.records import Ground
from coordinator.service.rollouts.shapes import snapshots

AGAIN_AFTER: Final = 1_000
"""Milliseconds after which it is tried again when the store could not be used."""

SETTLE: Final = 5_000
"""Milliseconds after a start in which no turn comes: should the database have gone back in time, hosts say so first."""

NAMED: Final = 5
"""So many hosts are named in a sentence."""

log = logging.getLogger(__name__)


class TurnService:
    """Carries out the core's `CallUp`, one after the other."""

    def __init__(self, grounds: Grounds, clock: Clock) -> None:
        """`grounds` are read."""
        self._grounds = grounds
        self._clock = clock
        self._called: dict[GroupId, Plan] = {}
        self._come = asyncio.Event()

    def call(self, order: CallUp) -> None:
        """See `engine.ports.Turns`."""
        self._called[order.plan.group_id] = order.plan
        self._come.set()

    async def run(self, inbox: Inbox, presence: Presence, *, spread: int) -> None:
        """Tell `inbox` of every turn that comes, until cancelled. `spread`: milliseconds over which hosts come back after a start."""
        await self._clock.sleep(spread + SETTLE)
        while True:
            await self._come.wait()
            self._come.clear()
            while self._called:
                group_id, plan = next(iter(self._called.items()))
                del self._called[group_id]
                if not await self._tell(inbox, presence, plan):
                    self._called.setdefault(group_id, plan)
                    await self._clock.sleep(AGAIN_AFTER)

    async def _tell(self, inbox: Inbox, presence: Presence, plan: Plan) -> bool:
        """Whether that is done."""
        try:
            ground = await self._grounds.ground(plan.application_name, plan.group_name, plan.revision.revision_id, "", alarms=())
            hosts, refused = snapshots(ground, plan.shape, presence), _refused(ground, plan)
        except (NotFound, Invalid) as gone:
            hosts, refused = (), _error(str(gone))
        except (Limit, Unavailable):
            return False
        fact = TurnCame(at=self._clock.now(), elapsed=self._clock.elapsed(), deployment_id=plan.deployment_id, hosts=hosts, refused=refused)
        try:
            await inbox.ask(fact)
        except (Limit, Unavailable):
            return False
        except DeployError as error:  # it has been stopped meanwhile
            log.info("turn came too late deployment=%s why=%r", plan.deployment_id, str(error))
        return True


def _refused(ground: Ground, plan: Plan) -> ErrorInformation | None:
    """Why a deployment may not begin that could when it was asked for; None when it may."""
    group, revision_id = ground.group, plan.revision.revision_id
    place = f"{plan.application_name}/{plan.group_name}"
    if group.require_signature and plan.revision.signature is None:
        return _error(f"cannot deploy revision {revision_id} to {place}: the group requires signatures by now, and it has none")
    chosen = [host_id for host_id, _ in ground.hosts if plan.chosen is None or host_id in plan.chosen]
    back = "" if plan.rollback_config is None else plan.rollback_config.name
    if why := group.service_role.refuses(plan.revision, plan.config_name, hosts=len(chosen), back=back):
        return _error(f"cannot deploy to {place}: by now the group's service role lets the coordinator do so {why}")
    if chosen and not plan.restarts and (barred := ground.barred(chosen)):
        whom = ", ".join(barred[:NAMED]) + (f" and {len(barred) - NAMED} more" if len(barred) > NAMED else "")
        where = source_of(plan.revision.place)
        return _error(f"cannot deploy revision {revision_id} to {whom}: by now their instance profiles do not let them read from {where}")
    return None


def _error(message: str) -> ErrorInformation:
    return ErrorInformation(code=DeploymentErrorCode.IAM_ROLE_PERMISSIONS, message=message)
