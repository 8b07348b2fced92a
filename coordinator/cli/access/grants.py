"""How operators and their grants are typed and shown: `deployer`, `deployer:shop`, `deployer:shop/production`."""

import re
from typing import TYPE_CHECKING

import click

from coordinator.cli import protos
from coordinator.cli.arguments import Parsed
from coordinator.cli.wording.spelling import number, spell
from coordinator.cli.wording.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookline.v1.access_pb2 import Grant

GRANT_METAVAR = "ROLE[:APP[/GROUP]]"
ROLES = ("viewer", "deployer", "approver", "admin")
_UNITS = {"m": 60, "h": 3600, "d": 86_400}


def grant(typed: str) -> "Grant":
    """ROLE, ROLE:APP or ROLE:APP/GROUP."""
    role, colon, where = typed.partition(":")
    application, slash, group = where.partition("/")
    if role.lower() not in ROLES or bool(colon) != bool(application) or bool(slash) != bool(group):
        raise ValueError(f"cannot read {typed!r}: write ROLE, ROLE:APP or ROLE:APP/GROUP; roles are {', '.join(ROLES)}")
    found = protos.access.Role.ValueType(number(protos.access.Role, role))
    return protos.access.Grant(role=found, application_name=application, deployment_group_name=group)


def written(grants: "Iterable[Grant]") -> list[str]:
    """Grants as they are typed."""
    return [clean(_written(one)) for one in grants]


def _written(one: "Grant") -> str:
    role = spell(protos.access.Role, one.role).lower()
    where = "/".join(filter(None, (one.application_name, one.deployment_group_name)))
    return f"{role}:{where}" if where else role


def lifetime(typed: str) -> int:
    """Seconds in 30d, 12h or 90m."""
    found = re.fullmatch(r"(\d{1,5})([mhd])", typed)
    if found is None or not int(found[1]):
        raise ValueError(f"cannot read {typed!r}: write a length of time such as 30d, 12h or 90m")
    return int(found[1]) * _UNITS[found[2]]


NAME = click.argument("name", metavar="NAME")
GRANT = Parsed("grant", grant)
GRANTS = click.option(
    "--grant",
    "grants",
    type=GRANT,
    multiple=True,
    metavar=GRANT_METAVAR,
    help="It allows no more than this. [all that its operator may do]",
)
