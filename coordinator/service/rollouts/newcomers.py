"""Brings hosts that were not there when their group was deployed to up to date, without anybody asking.

Who has come is kept in memory alone: after a crash every host comes again. Whether a host is a newcomer, and what it gets, is decided in
`core/deployment/newcomers`.
"""

import logging
from dataclasses import replace
from typing import Final

from coordinator.core.errors import (
    DeployError,
    DeploymentLimitExceeded,
    HealthConstraintsInvalid,
    Limit,
    NoInstances,
    NotFound,
    Unavailable,
)
from coordinator.core.facts import DeploymentRequested
from coordinator.core.model import Creator, FileExistsBehavior, HostId, Plan
from coordinator.engine.ports import Clock, Ids, Inbox
from coordinator.service.ports import Grounds, Newcomers, Presence
from coordinator.service.records import Awaiting, Ground

LOOK_EVERY: Final = 2_000
"""Milliseconds between two looks: hosts that come together are brought up to date together."""

LATER: Final = (DeploymentLimitExceeded, Limit, Unavailable)
"""What passes by itself."""

log = logging.getLogger(__name__)


class NewcomerService:
    """Looks at who has come."""

    def __init__(self, newcomers: Newcomers, grounds: Grounds, presence: Presence, *, inbox: Inbox, clock: Clock, ids: Ids) -> None:
        """`newcomers` and `grounds` are read; what is to happen goes to `inbox`, where it is decided."""
        self._newcomers = newcomers
        self._grounds = grounds
        self._presence = presence
        self._inbox = inbox
        self._clock = clock
        self._ids = ids
        self._kept: dict[tuple[str, str], set[HostId]] = {}
        self._again: set[HostId] = set()
        self._told: dict[str, str] = {}

    def look_again(self, application_name: str, group_name: str) -> None:
        """The group's rules have changed: those of its newcomers who were kept waiting by them have come anew."""
        self._again |= self._kept.pop((application_name, group_name), set())

    async def run(self, come: set[HostId]) -> None:
        """Take hosts out of `come`, where others put those that have connected or were given tags, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY)
            await self.look(come)

    async def look(self, come: set[HostId]) -> None:
        """Look at everybody once. Who is to be looked at again when a deployment of a group has ended is left in `come`."""
        come |= self._again
        self._again.clear()
        if not come:
            return
        hosts = frozenset(come)
        come.clear()
        try:
            found = await self._newcomers.newcomers(hosts)
        except LATER:
            come |= hosts
            return
        for awaiting in found:
            come.update(awaiting.later)
            if not awaiting.hosts:
                continue
            kept = self._kept.setdefault((awaiting.application_name, awaiting.group_name), set())
            kept.update(awaiting.hosts)  # before the rules are read, which may change meanwhile
            if await self._bring(awaiting) or awaiting.live:
                kept.difference_update(awaiting.hosts)
                come.update(awaiting.hosts)

    async def _bring(self, awaiting: Awaiting) -> bool:
        """Deploy the group's last successful revision to its newcomers; whether to look at them again."""
        where = f"{awaiting.application_name}/{awaiting.group_name}"
        try:
            ground = await self._grounds.ground(awaiting.application_name, awaiting.group_name, awaiting.revision_id, "")
            if ground.group.require_signature and ground.revision.signature is None:
                self._warn(where, "the group requires signatures, and what succeeded last has none")
                return False
            if barred := ground.barred(awaiting.hosts):
                self._warn(where, f"their instance profiles do not let them read the revision hosts={barred}")
            chosen = frozenset(host_id for host_id, name in ground.hosts if host_id in awaiting.hosts and name not in barred)
            if not chosen:
                return False
            if why := ground.group.service_role.refuses(ground.revision, ground.config.name, hosts=len(chosen)):
                self._warn(where, f"the group's service role lets the coordinator deploy {why}")
                return False
            # Named, since others may wait that may not read it, or that would be more than the role allows.
            plan, hosts = replace(self._plan(ground), chosen=chosen), ground.snapshots(self._presence.lost)
            await self._inbox.ask(DeploymentRequested(at=plan.created_at, elapsed=self._clock.elapsed(), plan=plan, hosts=hosts))
        except LATER:
            return True
        except (NoInstances, NotFound):
            return False
        except HealthConstraintsInvalid as error:
            self._warn(where, str(error))
            return True  # hosts of the group may be well again without having come
        except DeployError as error:
            self._warn(where, str(error))
            return False
        self._told.pop(where, None)
        return True  # some of them may not have had their turn when it ends

    def _warn(self, where: str, why: str) -> None:
        """Tell people why nobody is brought up to date, once."""
        if self._told.get(where) != why:
            log.warning("newcomers wait: %s group=%s", why, where)
        self._told[where] = why

    def _plan(self, ground: Ground) -> Plan:
        group = ground.group
        return Plan(
            deployment_id=self._ids.deployment_id(),
            rollback_id=self._ids.deployment_id(),
            group_id=group.group_id,
            application_name=group.application_name,
            group_name=group.name,
            revision=ground.revision,
            config_name=ground.config.name,
            minimum_healthy_hosts=ground.config.minimum_healthy_hosts,
            auto_rollback=frozenset(),
            file_exists_behavior=FileExistsBehavior.Unspecified,
            offline=group.offline,
            creator=Creator.CodeDeployAutoUpdate,
            created_by="coordinator",
            description="brings newcomers up to date",
            created_at=self._clock.now(),
        )
