"""Groups, deployments and hosts to store, with every field set to something that can be told from its default."""

from dataclasses import dataclass, replace

from coordinator.core.facts import RequestKey
from coordinator.core.identity.access import Grant, Leaf, Operator, OperatorCertificate, OperatorStatus, OperatorToken, Role
from coordinator.core.identity.enrolment import Enrolment, EnrolmentStatus, JoinToken
from coordinator.core.lifecycle import DeploymentErrorCode, DeploymentStatus, EventStatus, LifecycleEvent, TargetStatus
from coordinator.core.model import (
    Alarm,
    AlarmStatus,
    AlertmanagerAlert,
    Analysis,
    AutoRollbackEvent,
    BundleType,
    Canaries,
    Comparison,
    Condition,
    CoordinatorLocation,
    Creator,
    Deployment,
    DeploymentId,
    ErrorInformation,
    Expression,
    FileExistsBehavior,
    Gate,
    GroupId,
    HostId,
    HostStatus,
    HttpLocation,
    JournalId,
    Measurement,
    Metric,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    OfflineAction,
    OfflinePolicy,
    Passed,
    Pause,
    Paused,
    Place,
    Plan,
    Progress,
    PrometheusAlert,
    Revision,
    RevisionId,
    RollbackConfig,
    Session,
    SeveralSeries,
    Shape,
    Stage,
    Step,
    Success,
    Taken,
    Target,
    Verdict,
    ZonalConfig,
    Zone,
)
from coordinator.core.model.stages import NONE_HEALTHY
from coordinator.core.orders import Changes, Entry, HistoryEntry
from coordinator.core.tags import TagFilter, TagFilterType
from coordinator.service.access.audit import AuditCall

NOW = 1_800_000_000_123
WEB = GroupId("6f0d2b9e-0000-4000-8000-000000000001")
API = GroupId("6f0d2b9e-0000-4000-8000-000000000002")
NAMES = {WEB: "web", API: "api"}
R1 = Revision(revision_id=RevisionId("r1"), place=CoordinatorLocation(size=12), bundle_type=BundleType.tgz, sha256=b"\x01" * 32)
R2 = Revision(revision_id=RevisionId("r2"), place=HttpLocation(url="https://x/2.zip"), bundle_type=BundleType.zip, sha256=b"")

ERRORS = Expression(expression="rate(errors[1m])", comparison=Comparison.GREATER, threshold=0.05, hold=30_000, several=SeveralSeries.ALL)
ALARMS = (
    Alarm(name="HighErrors", source=ERRORS, interval=7_000, no_data=AlarmStatus.OK, on_error=AlarmStatus.ALARM),
    Alarm(name="Down", source=PrometheusAlert(alert_name="ShopDown", labels={"job": "shop"})),
    Alarm(name="Paged", source=AlertmanagerAlert(labels={"severity": "page"})),
)


@dataclass
class FixedClock:
    """Stands still unless it is moved."""

    at: int = NOW

    def now(self) -> int:
        """UTC milliseconds."""
        return self.at

    def elapsed(self) -> int:
        """The same."""
        return self.at

    async def sleep(self, milliseconds: int) -> None:
        """Move on."""
        self.at += milliseconds


def revision_at(place: Place) -> Revision:
    """R1 at another place."""
    return replace(R1, place=place)


def host(name: str, **changed: object) -> Session:
    """A host whose id is "id-" and its name."""
    session = Session(
        host_id=HostId(f"id-{name}"),
        name=name,
        session_epoch=3,
        journal_id=JournalId("journal"),
        acked_seq=17,
        boot_id="boot",
        status=HostStatus.Connected,
        agent_version="0.1.0",
        capabilities=("one", "two"),
        tags={"env": "prod", "name": name},
        facts={"kernel": "6.1 ü"},
        registered_at=NOW - 5,
        connected_at=NOW - 1,
    )
    for field, value in changed.items():
        setattr(session, field, value)
    return session


GATE = Gate(approvers=("anna", "role:approver"), timeout=7_200_000)
LITTLE, MUCH = Condition(Comparison.LESS, 0.1), Condition(Comparison.GREATER, 0.5)
ANALYSIS = Analysis(
    metrics=(
        Metric(
            measurement=Measurement(name="errors", expression="e{{{cohort}}}", success=LITTLE, failure=MUCH),
            count=6,
            failure_limit=1,
            inconclusive_limit=2,
            consecutive_success_limit=3,
        ),
        Metric(
            measurement=Measurement(name="p99", expression="p", failure=Condition(Comparison.GREATER, 1.5), interval=5_000), shadow=True
        ),
    ),
    initial_delay=5_000,
)
STAGES = (
    Stage(name="canaries", hosts=1, pause=Pause(bake=60_000, analysis=ANALYSIS, gate=GATE)),
    Stage(name="25 %", hosts=1, pause=Pause(bake=30_000)),
    Stage(name="the rest", hosts=1),
)
ZONES = (Zone(name="zone a", hosts=2, minimum=1, floor=1), Zone(name="no zone", hosts=1, minimum=0, floor=0))
PROGRESS = Progress(
    stage=1,
    baked_from=1_000,
    promoted=True,
    gate_from=1_100,
    passed=(Passed(0, "operator:anna", NOW),),
    paused=Paused("operator:bob", 1_200, "lunch"),
    taken=(Taken("errors", 4, 1, 2, 3, 900), Taken("p99")),
    verdict=Verdict.Inconclusive,
    waits_until=NOW + 5_000,
)
SHAPE = Shape(
    canaries=Canaries(tag_filters=(TagFilter(key="canary", value="", type=TagFilterType.KEY_ONLY),), pause=Pause(bake=1_000, gate=GATE)),
    steps=(Step(value=1, pause=Pause(bake=1_000, analysis=ANALYSIS)), Step(value=25, percent=True, pause=Pause(gate=GATE))),
    zonal=ZonalConfig(first_monitor=1_000, monitor=2_000, minimum=NONE_HEALTHY, tag="rack"),
)


def plan(deployment_id: str, group: GroupId = WEB, revision: Revision = R1, **changed: object) -> Plan:
    """A plan in which no field has its default, but for its alarms."""
    made = Plan(
        deployment_id=DeploymentId(deployment_id),
        group_id=group,
        application_name="shop",
        group_name=NAMES[group],
        revision=revision,
        config_name="Gentle",
        minimum_healthy_hosts=MinimumHealthyHosts(type=MinimumHealthyHostsType.FLEET_PERCENT, value=75),
        auto_rollback=frozenset({AutoRollbackEvent.DEPLOYMENT_FAILURE}),
        file_exists_behavior=FileExistsBehavior.RETAIN,
        creator=Creator.user,
        created_by="ada",
        description="the big one",
        created_at=NOW,
        rollback_id=DeploymentId(f"{deployment_id}-rollback"),
        lifecycle_events=(LifecycleEvent.ApplicationStop, LifecycleEvent.Install, LifecycleEvent.AfterAllowTraffic),
        event_timeout=7_000,
        ignore_application_stop_failures=True,
        outdated_only=True,
        offline=OfflinePolicy(action=OfflineAction.SKIP, wait=7_000, budget=3),
        require_approval=True,
        stages=STAGES,
        rollback_config=RollbackConfig(
            name="Quick", minimum_healthy_hosts=MinimumHealthyHosts(type=MinimumHealthyHostsType.HOST_COUNT, value=1)
        ),
    )
    return replace(made, **changed)  # type: ignore[arg-type]  # fields by name, for brevity


def watched(deployment_id: str) -> Plan:
    """A plan whose alarms are watched: no host begins before they have been seen."""
    return plan(deployment_id, alarms=ALARMS, ignore_poll_alarm_failure=True, bake_time=600_000, watch_after_success=14_400_000)


def success(deployment_id: str, revision: Revision = R1) -> Success:
    """A deployment that went well, by the plans that are made here."""
    return Success(deployment_id=DeploymentId(deployment_id), revision=revision, file_exists_behavior=FileExistsBehavior.RETAIN)


def target(deployment_id: str, name: str, **changed: object) -> Target:
    """A target that has come some way."""
    made = Target(
        deployment_id=DeploymentId(deployment_id),
        host_id=HostId(f"id-{name}"),
        host_name=name,
        status=TargetStatus.InProgress,
        target_epoch=5,
        attempt=2,
        event=LifecycleEvent.Install,
        event_status=EventStatus.InProgress,
        accepted=True,
        cancelled="stop",
        awaited_since=40,
        lost_at=50,
        started_at=NOW + 1,
        ended_at=NOW + 2,
        message="waits",
    )
    for field, value in changed.items():
        setattr(made, field, value)
    return made


def deployment(plan: Plan, *names: str, **changed: object) -> Deployment:
    """A deployment to hosts, in this order, as it is when it has just begun."""
    targets = [
        Target(deployment_id=plan.deployment_id, host_id=HostId(f"id-{name}"), host_name=name, status=TargetStatus.Pending)
        for name in names
    ]
    made = Deployment(
        plan=plan,
        status=DeploymentStatus.InProgress,
        targets={one.host_id: one for one in targets},
        members=frozenset(one.host_id for one in targets),
        floor=2,
        stopping=ErrorInformation(code=DeploymentErrorCode.MANUAL_STOP, message="stopped by ada"),
        roll_back=True,
        approved_by="eve",
        started_at=NOW + 3,
        clock=1_234,
    )
    for field, value in changed.items():
        setattr(made, field, value)
    return made


def known(*names: str) -> Changes:
    """Hosts to register."""
    changes = Changes()
    for name in names:
        session = host(name)
        changes.hosts[session.host_id] = session
        changes.history.append(HistoryEntry(NOW, Entry.HostRegistered, "hello", host_id=session.host_id, message=name))
    return changes


def created(made: Deployment) -> Changes:
    """A new deployment to store."""
    changes = Changes()
    changes.created[made.deployment_id] = made
    changes.deployments[made.deployment_id] = made
    changes.history.append(
        HistoryEntry(NOW, Entry.Created, "CreateDeployment", made.plan.group_id, made.deployment_id, principal=made.plan.created_by)
    )
    return changes


def key(request_id: str, *, digest: bytes = b"d", method: str = "CreateDeployment", principal: str = "ada") -> RequestKey:
    """An operator's call."""
    return RequestKey(principal=principal, method=method, request_id=request_id, digest=digest)


def join_token(**other: object) -> JoinToken:
    """A token for one host, which lets it in at once."""
    token = JoinToken(
        token_id="jt-1",
        expires_at=NOW + 900_000,
        uses_left=1,
        tags={"role": "web"},
        auto_approve=True,
        trust_tags=False,
        name_pattern="",
        created_at=NOW,
        created_by="ada",
    )
    return replace(token, **other)  # type: ignore[arg-type]


def applicant(name: str, *, key: str = "") -> Enrolment:
    """A machine that asks, with a key of its own."""
    return Enrolment(
        host_id=HostId(f"id-{name}"),
        name=name,
        status=EnrolmentStatus.Pending,
        key=key or f"key of {name}",
        requested_at=NOW,
        address="192.0.2.7",
        token_id="",
        tags={},
        trust_tags=False,
    )


def operator(name: str, *grants: Grant, **other: object) -> Operator:
    """An operator, who may do everything unless grants are given."""
    made = Operator(name=name, status=OperatorStatus.Active, grants=grants or (Grant(Role.Admin),), created_at=NOW, created_by="local")
    return replace(made, **other)  # type: ignore[arg-type]  # the tests say what


def operator_token(name: str, **other: object) -> OperatorToken:
    """A token that is good for a second."""
    made = OperatorToken(
        token_id="ot-1", operator=name, expires_at=NOW + 1_000, grants=(), description="a test", created_at=NOW, created_by="local"
    )
    return replace(made, **other)  # type: ignore[arg-type]  # the tests say what


def operator_certificate(name: str, **other: object) -> OperatorCertificate:
    """A certificate that is good for a second, and was never renewed."""
    made = OperatorCertificate(
        certificate_id="oc-1",
        operator=name,
        newest=Leaf(b"1" * 32, NOW + 1_000),
        previous=None,
        key="k1",
        lifetime=1_000,
        grants=(),
        description="a test",
        created_at=NOW,
        created_by="local",
    )
    return replace(made, **other)  # type: ignore[arg-type]  # the tests say what


def audit_call(**other: object) -> AuditCall:
    """Somebody stops a deployment."""
    made = AuditCall(
        at=NOW,
        principal="operator:anna",
        address="192.0.2.7",
        method="/hookline.v1.DeploymentService/StopDeployment",
        request='{"deployment_id":"d-1"}',
        reason="it burns \u2026",
        code="OK",
        subject="d-1",
    )
    return replace(made, **other)  # type: ignore[arg-type]  # the tests say what
