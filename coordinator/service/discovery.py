"""Where Prometheus finds the hosts, and what it may know of each: its group, its revision and its cohort."""

import re
from ipaddress import IPv6Address
from typing import Final, NamedTuple, Protocol

from coordinator.core.errors import Invalid
from coordinator.core.evidence.cohorts import Cohort
from coordinator.core.model import HostId
from coordinator.service.rules import check_name

PORTS: Final = range(1, 65_536)
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?")
"""A name of the domain name system, or an address of IPv4."""


class Wanted(NamedTuple):
    """Which hosts; an empty name does not restrict."""

    application_name: str = ""
    group_name: str = ""


class Found(NamedTuple):
    """A host's part in one group; the names are empty for a host of none."""

    host_id: HostId
    host_name: str
    address: str
    """As it was declared; empty where nobody has."""
    application_name: str
    group_name: str
    revision_id: str
    """The one whose files lie there; empty where none do."""
    deployment_id: str
    """The deployment by which the cohorts are told; empty where there is none."""
    cohort: Cohort


class Standings(Protocol):
    """Who holds what."""

    async def standings(self, wanted: Wanted) -> list[Found]:
        """All of it, as it was at one moment."""
        ...


class DiscoveryService:
    """Says where hosts are to be found."""

    def __init__(self, standings: Standings) -> None:
        """`standings` is read."""
        self._standings = standings

    async def found(self, wanted: Wanted) -> list[Found]:
        """The hosts that are asked for. Raises Invalid."""
        if wanted.group_name and not wanted.application_name:
            raise Invalid(f"cannot look for the hosts of group {wanted.group_name}: name its application too", field="application")
        for name, field in ((wanted.application_name, "application"), (wanted.group_name, "group")):
            if name:
                check_name(name, field=field)
        return await self._standings.standings(wanted)


def read_port(text: str) -> int:
    """A port as it is typed. Raises Invalid."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) in PORTS):
        raise Invalid(f"cannot find hosts at port {text[:20]!r}: it has to be 1 to 65535", field="port")
    return int(text)


def target(found: Found, port: int) -> str:
    """ADDRESS:PORT of a host: what was declared, or its name. Of what is no address the host's name is taken."""
    if _NAME.fullmatch(found.address):
        return f"{found.address}:{port}"
    try:
        return f"[{IPv6Address(found.address)}]:{port}"
    except ValueError:
        return f"{found.host_name}:{port}"
