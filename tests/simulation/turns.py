"""The catalogue, as far as whoever looks up a group's hosts needs it: the service is the real one."""

import asyncio
from collections.abc import Callable, Sequence

from coordinator.core.errors import DeploymentGroupDoesNotExist
from coordinator.core.model import (
    BundleType,
    GroupId,
    HostId,
    HttpLocation,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    Revision,
    RevisionId,
)
from coordinator.service.records import DeploymentConfig, DeploymentGroup, Ground
from tests.simulation.store import SimulatedStore

CONFIG = DeploymentConfig(
    name="some",
    minimum_healthy_hosts=MinimumHealthyHosts(type=MinimumHealthyHostsType.HOST_COUNT, value=0),
    predefined=False,
    created_at=0,
)

ZONES = ("", "a", "b", "b", "a")
"""Where hosts stand, by their numbers; nobody has said it of some."""


class Catalogue:
    """Implements the service's port `Grounds`. Groups are called what their ids are."""

    def __init__(self, store: SimulatedStore, hosts_of: Callable[[GroupId], Sequence[HostId] | None]) -> None:
        """Read from a store that may be in trouble."""
        self._store = store
        self._hosts_of = hosts_of

    async def ground(
        self, application_name: str, group_name: str, revision_id: RevisionId, config_name: str, alarms: Sequence[str] | None = None
    ) -> Ground:
        """A group and its hosts, after a moment."""
        await asyncio.sleep(self._store.slow)
        if self._store.trouble is not None:
            raise self._store.trouble
        hosts = self._hosts_of(GroupId(group_name))
        if hosts is None:
            raise DeploymentGroupDoesNotExist(f"cannot find {group_name}")
        known = self._store.hosts
        return Ground(
            group=DeploymentGroup(
                group_id=GroupId(group_name),
                application_name=application_name,
                name=group_name,
                tag_filters=(),
                config_name=CONFIG.name,
                auto_rollback=frozenset(),
                created_at=0,
            ),
            revision=Revision(
                revision_id=revision_id, place=HttpLocation(url=f"http://{revision_id}"), bundle_type=BundleType.tar, sha256=b""
            ),
            config=CONFIG,
            hosts=tuple((host_id, known[host_id].name) for host_id in hosts if host_id in known),
            tags={host_id: {"fact:zone": zone} for host_id in hosts if (zone := ZONES[int(host_id, 16) % len(ZONES)])},
        )
