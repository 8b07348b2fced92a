"""What an operator may do with hosts and their tags."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from coordinator.core.errors import Invalid
from coordinator.core.facts import HostRemovalRequested, RequestKey
from coordinator.core.model import HostId
from coordinator.core.tags import TagFilter
from coordinator.engine.ports import Clock, Inbox
from coordinator.service.ports import Cursor, Fleet, Page, Replayed, Requests
from coordinator.service.records import Host
from coordinator.service.rules import check_tag_key, check_tags, checked_sources, normalised

HOSTS_AT_ONCE: Final = 1_000
"""Hosts that one call may tag."""


def _ignore(_: HostId) -> None:
    """Nobody wants to know."""


class FleetService:
    """Shows hosts, tags them, forgets them."""

    def __init__(
        self,
        fleet: Fleet,
        requests: Requests,
        *,
        inbox: Inbox,
        clock: Clock,
        come: set[HostId],
        bounded: Callable[[HostId], None] = _ignore,
    ) -> None:
        """`fleet` and `requests` remember, `inbox` decides whether a host may be forgotten. Hosts that get tags, or
        another instance profile, are put into `come`; `bounded` is told whose instance profile has changed."""
        self._bounded = bounded
        self._fleet = fleet
        self._requests = requests
        self._inbox = inbox
        self._clock = clock
        self._come = come

    async def hosts(self, filters: Sequence[TagFilter], *, size: int, after: Cursor) -> Page[Host]:
        """List hosts by name: those that match any of the filters, or all."""
        return await self._fleet.hosts(filters=normalised(filters, field="tag_filters", least=0), size=size, after=after)

    async def host(self, host: str) -> Host:
        """Show a host, by id or name."""
        return await self._fleet.host(host)

    async def add_tags(self, hosts: Sequence[str], tags: Mapping[str, str], key: RequestKey) -> list[Host]:
        """Set tags on hosts, all or none."""
        check_tags(tags, field="tags")
        wanted = _named(hosts)
        try:
            tagged = await self._fleet.add_tags(wanted, tags, at=self._clock.now(), key=key)
            self._come.update(host.host_id for host in tagged)
            return tagged
        except Replayed:
            return [await self._fleet.host(host) for host in wanted]

    async def remove_tags(self, hosts: Sequence[str], keys: Sequence[str], key: RequestKey) -> list[Host]:
        """Remove tags that operators set, from all hosts or none."""
        if not keys:
            raise Invalid("cannot remove no tags: name at least one key", field="keys")
        for one in keys:
            check_tag_key(one, field="keys")
        wanted = _named(hosts)
        try:
            return await self._fleet.remove_tags(wanted, list(dict.fromkeys(keys)), at=self._clock.now(), key=key)
        except Replayed:
            return [await self._fleet.host(host) for host in wanted]

    async def set_sources(self, host: str, sources: Sequence[str], key: RequestKey) -> Host:
        """Say where the bundles may come from that a host reads; none: anywhere."""
        kept = checked_sources(sources, field="sources")
        try:
            changed = await self._fleet.set_sources(host, kept, at=self._clock.now(), key=key)
            self._bounded(changed.host_id)
            self._come.add(changed.host_id)
            return changed
        except Replayed:
            return await self._fleet.host(host)

    async def remove(self, host: str, key: RequestKey) -> None:
        """Forget a host that is gone."""
        if await self._requests.replayed(key) is not None:
            return
        host_id = (await self._fleet.host(host)).host_id
        await self._inbox.ask(
            HostRemovalRequested(
                at=self._clock.now(),
                elapsed=self._clock.elapsed(),
                host_id=host_id,
                requested_by=key.principal,
                request=key if key.request_id else None,
            )
        )


def _named(hosts: Sequence[str]) -> list[str]:
    if not hosts:
        raise Invalid("cannot tag no hosts: name at least one", field="hosts")
    if len(hosts) > HOSTS_AT_ONCE:
        raise Invalid(f"cannot tag {len(hosts)} hosts at once: {HOSTS_AT_ONCE} is the most", field="hosts")
    return list(dict.fromkeys(hosts))
