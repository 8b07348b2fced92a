"""Who may call what. A method that is not listed here may be called by nobody, and keeps the server from starting."""

from collections.abc import Iterable, Mapping
from typing import Final

from coordinator.api.principal import AGENT, LOCAL, MACHINE, Principal

_LOCAL: Final = frozenset({LOCAL})
_OTHERS: Final = {"hookline.v1.AgentService": frozenset({LOCAL, AGENT}), "hookline.v1.EnrolmentService": frozenset({MACHINE})}

_METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "hookline.v1.CatalogService": (
        "CreateApplication",
        "GetApplication",
        "ListApplications",
        "DeleteApplication",
        "CreateDeploymentGroup",
        "GetDeploymentGroup",
        "ListDeploymentGroups",
        "UpdateDeploymentGroup",
        "DeleteDeploymentGroup",
        "CreateDeploymentConfig",
        "GetDeploymentConfig",
        "ListDeploymentConfigs",
        "DeleteDeploymentConfig",
        "PushRevision",
        "RegisterRevision",
        "GetRevision",
        "ListRevisions",
    ),
    "hookline.v1.DeploymentService": (
        "CreateDeployment",
        "GetDeployment",
        "ListDeployments",
        "StopDeployment",
        "WatchDeployment",
        "ListTargets",
        "GetTarget",
        "ListHistory",
        "ReadLogs",
    ),
    "hookline.v1.FleetService": (
        "ListHosts",
        "GetHost",
        "AddTags",
        "RemoveTags",
        "RemoveHost",
        "CreateJoinToken",
        "ListJoinTokens",
        "RevokeJoinToken",
        "ListEnrolments",
        "ApproveHost",
        "RevokeHost",
        "RenameHost",
    ),
    "hookline.v1.EnrolmentService": ("Enrol",),
    "hookline.v1.AgentService": ("Connect", "PublishLogs", "FetchBundle", "RenewCertificate"),
    "grpc.health.v1.Health": ("Check", "List", "Watch"),
    "grpc.reflection.v1.ServerReflection": ("ServerReflectionInfo",),
    "grpc.reflection.v1alpha.ServerReflection": ("ServerReflectionInfo",),
}

POLICY: Final[Mapping[str, frozenset[Principal]]] = {
    f"/{service}/{method}": _OTHERS.get(service, _LOCAL) for service, methods in _METHODS.items() for method in methods
}
"""The principals that may call a method, by its full name. (Over plaintext on loopback everybody is `local`, agents too.)"""


def check_coverage(methods: Iterable[str], policy: Mapping[str, frozenset[Principal]] = POLICY) -> None:
    """Raise RuntimeError if a method has no entry: better no server than one that guards by luck."""
    if missing := sorted(set(methods) - policy.keys()):
        raise RuntimeError(f"cannot serve {', '.join(missing)}: api/policy.py does not say who may call it")
