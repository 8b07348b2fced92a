"""How much each operator may ask for, and how many deployments each application may be given: one tenant's script holds up no other's.

An operator's calls are counted by account, whatever tokens and addresses they come with, each kind of call for itself. Whoever is `local`
runs the coordinator and is not counted, and neither are calls that end something: nobody is told to wait with a stop.
"""

from collections.abc import Mapping
from typing import Final

from coordinator.api.access.rates import Rates, TooManyCalls
from coordinator.config.settings import Pace
from coordinator.core.identity.access import Kind, Principal
from coordinator.engine.ports import Clock

DEPLOYMENTS: Final = "deployments"
URGENT: Final = frozenset(
    {
        "/hookline.v1.DeploymentService/StopDeployment",
        "/hookline.v1.DeploymentService/PauseDeployment",
        "/hookline.v1.FleetService/RevokeHost",
        "/hookline.v1.AccessService/SuspendOperator",
        "/hookline.v1.AccessService/RevokeOperatorToken",
        "/hookline.v1.AccessService/RevokeOperatorCertificate",
    }
)


class Tenants:
    """Counts what operators ask for and what applications are given."""

    def __init__(self, clock: Clock, paces: Mapping[str, Pace]) -> None:
        """`paces` by what they are for; what has none is not counted."""
        self._rates = {kind: Rates(clock, per_second=pace.per_second, burst=pace.burst) for kind, pace in paces.items()}

    def check_call(self, method: str, principal: Principal, *, reads: bool, lasts: bool) -> None:
        """Count a call. Raises TooManyCalls."""
        kind = "streams" if lasts else "reads" if reads else "changes"
        if principal.kind is Kind.Operator and method not in URGENT and (owed := self._owed(kind, str(principal))):
            said = {"streams": "open another stream", "reads": "read any more", "changes": "change anything more"}[kind]
            raise TooManyCalls(f"cannot {said} just now: {principal} has done so too often; try again in {owed / 1000:.1f} s", owed)

    def check_deployment(self, principal: Principal, application_name: str) -> None:
        """Count a deployment that is to be created. Raises TooManyCalls."""
        if principal.kind is Kind.Operator and (owed := self._owed(DEPLOYMENTS, application_name)):
            why = "too many deployments of it were asked for"
            raise TooManyCalls(f"cannot deploy {application_name} just now: {why}; try again in {owed / 1000:.1f} s", owed)

    def _owed(self, kind: str, tenant: str) -> int:
        rates = self._rates.get(kind)
        return 0 if rates is None else rates.owed(tenant)
