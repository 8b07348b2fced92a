"""Who may call what. A method that is not listed here may be called by nobody, and keeps the server from starting.

A rule says who may call at all, which permission it takes of an operator, where (how the request names the application and the group),
and whether the call only reads. What is not said to read is written down in the audit.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from google.protobuf.message import Message

from coordinator.core.errors import Denied, NotFound, Unauthenticated
from coordinator.core.identity.access import Kind, Permission, Principal, permits


@dataclass(frozen=True, slots=True)
class Where:
    """Where a call takes its permission: paths of the request's fields. None: what all applications, or all groups of one, share."""

    application: str | None = ""
    group: str | None = ""
    deployment: str = ""
    """Where the request names one, its application and group count."""


EVERYWHERE: Final = Where()
SHARED: Final = Where(application=None, group=None)
APPLICATION: Final = Where("application_name")
IN_APPLICATION: Final = Where("application_name", group=None)
HEADER: Final = Where("header.application_name")
GROUP: Final = Where("application_name", "deployment_group_name")
DEPLOYMENT: Final = Where(deployment="deployment_id")
PLANNED: Final = Where("deployment.application_name", "deployment.deployment_group_name")
GROUP_OR_DEPLOYMENT: Final = Where("application_name", "deployment_group_name", "deployment_id")


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call a method. Without a permission: whoever is of the right kind."""

    kinds: frozenset[Kind]
    permission: Permission | None = None
    where: Where = EVERYWHERE
    reads: bool = False
    more: Mapping[str, Permission] = field(default_factory=dict)
    """What requests take beside that, there, which set one of these fields."""


_OPERATORS: Final = frozenset({Kind.Local, Kind.Operator})
_ANYBODY: Final = Rule(_OPERATORS | {Kind.Invited, Kind.Nobody}, reads=True)
_MYSELF: Final = Rule(_OPERATORS, reads=True)
# Who was invited takes their certificate, and nothing else; who has one may have the next, which the service looks at.
_INVITED: Final = Rule(frozenset({Kind.Invited}))
_RENEWS: Final = Rule(frozenset({Kind.Operator}))
# What machines do by themselves stands in the history where it changes something, and would fill the audit.
_MACHINES: Final = Rule(frozenset({Kind.Machine}), reads=True)
_AGENTS: Final = Rule(frozenset({Kind.Local, Kind.Agent}), reads=True)
_HOSTS: Final = Rule(_OPERATORS, Permission.Approve)
_ACCESS: Final = Rule(_OPERATORS, Permission.Access)
# A group's tag filters choose from all hosts, so whoever makes or changes one has to be an admin of everything; so with tags.
_CONFIGURE: Final = Rule(_OPERATORS, Permission.Configure)


def _view(where: Where) -> Rule:
    return Rule(_OPERATORS, Permission.View, where, reads=True)


def _deploy(where: Where) -> Rule:
    return Rule(_OPERATORS, Permission.Deploy, where)


_RULES: Final[Mapping[str, Mapping[str, Rule]]] = {
    "hookline.v1.CatalogService": {
        "CreateApplication": _CONFIGURE,
        "GetApplication": _view(IN_APPLICATION),
        "ListApplications": _view(SHARED),
        "DeleteApplication": replace(_CONFIGURE, where=APPLICATION),
        "CreateDeploymentGroup": _CONFIGURE,
        "GetDeploymentGroup": _view(GROUP),
        "ListDeploymentGroups": _view(IN_APPLICATION),
        "UpdateDeploymentGroup": _CONFIGURE,
        "DeleteDeploymentGroup": replace(_CONFIGURE, where=GROUP),
        "CreateDeploymentConfig": _CONFIGURE,
        "GetDeploymentConfig": _view(SHARED),
        "ListDeploymentConfigs": _view(SHARED),
        "DeleteDeploymentConfig": _CONFIGURE,
        "PushRevision": _deploy(HEADER),
        "RegisterRevision": _deploy(APPLICATION),
        "GetRevision": _view(IN_APPLICATION),
        "ListRevisions": _view(IN_APPLICATION),
    },
    "hookline.v1.DeploymentService": {
        # Who may not configure a group may not deploy to it without its alarms either.
        "CreateDeployment": replace(_deploy(GROUP), more={"override_alarm_configuration": Permission.Configure}),
        "GetDeployment": _view(DEPLOYMENT),
        "ListDeployments": _view(GROUP),
        "ApproveDeployment": Rule(_OPERATORS, Permission.Release, DEPLOYMENT),
        "PauseDeployment": _deploy(DEPLOYMENT),
        "ResumeDeployment": _deploy(DEPLOYMENT),
        # Who may choose a config without bakes may cut one short; a gate is passed by those who may approve.
        "PromoteDeployment": replace(_deploy(DEPLOYMENT), more={"past_gate": Permission.Release}),
        "RetryTargets": _deploy(DEPLOYMENT),
        "SkipTargets": _deploy(DEPLOYMENT),
        "StopDeployment": _deploy(DEPLOYMENT),
        "WatchDeployment": _view(DEPLOYMENT),
        "ListTargets": _view(DEPLOYMENT),
        "GetTarget": _view(DEPLOYMENT),
        "ListHistory": _view(GROUP_OR_DEPLOYMENT),
        "ReadLogs": _view(DEPLOYMENT),
    },
    # What would happen is told to whoever may see what happens.
    "hookline.v1.ForesightService": {
        "PlanDeployment": _view(PLANNED),
        "SimulateDeployment": _view(PLANNED),
        "ExplainDeployment": _view(DEPLOYMENT),
        "ExplainHost": _view(SHARED),
    },
    # Alarms are everybody's, as deployment configs are. A look at one costs a query.
    "hookline.v1.AlarmService": {
        "CreateAlarm": _CONFIGURE,
        "GetAlarm": _view(SHARED),
        "ListAlarms": _view(SHARED),
        "UpdateAlarm": _CONFIGURE,
        "DeleteAlarm": _CONFIGURE,
        "TestAlarm": replace(_deploy(SHARED), reads=True),
    },
    # A test goes where only who configures the group could have sent it, and shows what answers there.
    "hookline.v1.TriggerService": {"TestTrigger": replace(_CONFIGURE, where=GROUP)},
    "hookline.v1.FleetService": {
        "ListHosts": _view(SHARED),
        "GetHost": _view(SHARED),
        "AddTags": _CONFIGURE,
        "RemoveTags": _CONFIGURE,
        "SetInstanceProfile": _CONFIGURE,
        "RemoveHost": _CONFIGURE,
        "CreateJoinToken": _HOSTS,
        "ListJoinTokens": replace(_HOSTS, reads=True),
        "RevokeJoinToken": _HOSTS,
        "ListEnrolments": _view(SHARED),
        "ApproveHost": _HOSTS,
        "RevokeHost": _HOSTS,
        "AdoptHost": _HOSTS,
        "RenameHost": _CONFIGURE,
    },
    "hookline.v1.AccessService": {
        "WhoAmI": _MYSELF,
        "CreateOperator": _ACCESS,
        "ListOperators": replace(_ACCESS, reads=True),
        "SuspendOperator": _ACCESS,
        "ResumeOperator": _ACCESS,
        "GrantRole": _ACCESS,
        "RevokeGrant": _ACCESS,
        "CreateOperatorToken": _ACCESS,
        "ListOperatorTokens": replace(_ACCESS, reads=True),
        "RevokeOperatorToken": _ACCESS,
        "IssueOperatorCertificate": _INVITED,
        "RenewOperatorCertificate": _RENEWS,
        "ListOperatorCertificates": replace(_ACCESS, reads=True),
        "RevokeOperatorCertificate": _ACCESS,
    },
    "hookline.v1.AuditService": {"ListAudit": replace(_ACCESS, reads=True), "VerifyAudit": replace(_ACCESS, reads=True)},
    "hookline.v1.EnrolmentService": {"Enrol": _MACHINES, "Readmit": _MACHINES},
    "hookline.v1.AgentService": dict.fromkeys(("Connect", "PublishLogs", "FetchBundle", "RenewCertificate", "LendSource"), _AGENTS),
    "grpc.health.v1.Health": dict.fromkeys(("Check", "List", "Watch"), _ANYBODY),
    "grpc.reflection.v1.ServerReflection": {"ServerReflectionInfo": _MYSELF},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": _MYSELF},
}

POLICY: Final[Mapping[str, Rule]] = {f"/{service}/{name}": rule for service, rules in _RULES.items() for name, rule in rules.items()}
"""The rule of each method, by its full name."""

GroupOf = Callable[[str], Awaitable[tuple[str, str]]]
"""The names of the application and the group of a deployment. Raises DeploymentDoesNotExist."""


def check_coverage(methods: Iterable[str], policy: Mapping[str, Rule] = POLICY) -> None:
    """Raise RuntimeError if a method has no entry: better no server than one that guards by luck."""
    if missing := sorted(set(methods) - policy.keys()):
        raise RuntimeError(f"cannot serve {', '.join(missing)}: api/policy.py does not say who may call it")


def check_kind(rule: Rule | None, principal: Principal, method: str) -> None:
    """Raise unless a principal may call a method at all, whatever it asks."""
    if principal.barred:
        raise Unauthenticated(principal.barred)
    if rule is None:
        raise Denied(f"cannot call {method}: nobody may; ask who runs the coordinator")
    if principal.kind not in rule.kinds:
        if principal.kind is Kind.Nobody:
            raise Unauthenticated(f"cannot call {method}: nobody is logged in; say `hookline login`, or send a token")
        if principal.kind is Kind.Invited:
            raise Denied(f"cannot call {method}: this token is for a certificate, which `hookline login` takes with it")
        raise Denied(f"cannot call {method}: {principal} may not, whatever was granted")
    if rule.permission is not None and not permits(principal.grants, rule.permission, None, None):
        raise _denied(rule.permission, principal, "anything")


async def check_place(rule: Rule, principal: Principal, request: Message, group_of: GroupOf) -> None:
    """Raise Denied unless a principal may do there what the request asks. It does not tell whether there is such a deployment."""
    if rule.permission is not None:
        more = (permission for name, permission in rule.more.items() if request.HasField(name))
        for permission in (rule.permission, *more):
            await _check(permission, rule.where, principal, request, group_of)


async def application_of(rule: Rule, request: Message, group_of: GroupOf) -> str:
    """The application that a request is about; empty: none, or nobody knows its deployment."""
    if rule.where.deployment and (deployment_id := _said(request, rule.where.deployment)):
        try:
            return (await group_of(deployment_id))[0]
        except NotFound:
            return ""
    return _said(request, rule.where.application) or ""


async def _check(permission: Permission, where: Where, principal: Principal, request: Message, group_of: GroupOf) -> None:
    if permits(principal.grants, permission, "", ""):
        return
    application, group = _said(request, where.application), _said(request, where.group)
    about = "/".join(filter(None, (application, group))) or ("anything" if application is None else "all applications")
    if where.deployment and (deployment_id := _said(request, where.deployment)):
        about = f"deployment {deployment_id[:40]}"
        try:
            application, group = await group_of(deployment_id)
        except NotFound:
            raise _denied(permission, principal, about) from None
    if not permits(principal.grants, permission, application, group):
        raise _denied(permission, principal, about)


def _denied(permission: Permission, principal: Principal, about: str) -> Denied:
    grants = ", ".join(map(str, principal.grants)) or "nothing"
    where = "" if about == "anything" else f" for {about}"
    return Denied(f"cannot {permission}{where}: {principal} may not (granted: {grants}); an admin may `hookline operator grant`")


def _said(request: Message, path: str | None) -> str | None:
    """The text of a field; empty for no path, None for what is shared."""
    if not path:
        return path
    value: object = request
    for name in path.split("."):
        value = getattr(value, name)
    return str(value)
