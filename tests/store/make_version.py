"""Makes the database of the present schema version that later versions must be able to migrate: one of every kind of row.

    python -m tests.store.make_version

Run it once for each release that brings a migration, and commit the file; never run it for a version that was released.
"""

import asyncio
from dataclasses import replace
from pathlib import Path

from coordinator.core.lifecycle import DeploymentStatus, EventStatus, LifecycleErrorCode, LifecycleEvent, TargetStatus
from coordinator.core.model import (
    AlarmConfiguration,
    Diagnostics,
    Group,
    HostId,
    InstanceHealth,
    Member,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    TargetKind,
    Trigger,
    TriggerEvent,
    TriggerTarget,
)
from coordinator.core.orders import Changes, Entry, EventChange, HistoryEntry, HoldingChange
from coordinator.service.alarms.alerts import Alert
from coordinator.service.records import DeploymentConfig
from coordinator.store.schema.migrations import MIGRATIONS
from coordinator.store.sqlite import SqliteStore
from tests.store.seeds import opened
from tests.store.things import (
    ALARMS,
    NOW,
    R1,
    R2,
    WEB,
    applicant,
    audit_call,
    created,
    deployment,
    join_token,
    key,
    known,
    operator,
    operator_certificate,
    operator_token,
    plan,
    success,
    watched,
)

VERSIONS = Path(__file__).parent / "versions"
PAGER = Trigger(
    name="pager",
    events=(TriggerEvent.DeploymentFailure,),
    target=TriggerTarget(kind=TargetKind.Webhook, url="https://example.org/x", signing_secret="shop"),
)


async def fill(store: SqliteStore) -> None:
    """A group with a success on two hosts and a failure on one of them."""
    rule = MinimumHealthyHosts(type=MinimumHealthyHostsType.HOST_COUNT, value=1)
    config = DeploymentConfig(name="Gentle", minimum_healthy_hosts=rule, predefined=False, created_at=NOW)
    await store.catalog.create_config(config, at=NOW, key=key("1", method="CreateDeploymentConfig"))
    for number, alarm in enumerate(ALARMS):
        await store.alarms.create(alarm, at=NOW, key=key(f"alarm {number}", method="CreateAlarm"))
    watching = AlarmConfiguration(
        enabled=True,
        alarms=("HighErrors", "Down"),
        ignore_poll_alarm_failure=True,
        bake_time=600_000,
        watch_after_success=14_400_000,
        refuse_while_active=True,
    )
    group = await store.catalog.group("shop", "web")
    group = replace(group, alarms=watching, triggers=(PAGER,))
    await store.catalog.update_group(group, at=NOW, key=key("7", method="UpdateDeploymentGroup"))
    await store.commit(known("h1", "h2", "gone"))
    await store.fleet.add_tags(["h2"], {"canary": "yes"}, at=NOW, key=key("2", method="AddTags"))
    done = deployment(plan("d-1", revision=R1), "h1", "h2", status=DeploymentStatus.Succeeded, stopping=None, completed_at=NOW + 9_000)
    done.watched_from = 1_000
    await store.commit(_ended(created(done), TargetStatus.Succeeded, EventStatus.Succeeded))
    failing = replace(watched("d-2"), revision=R2, last_successful=success("d-1"), created_at=NOW + 60_000)
    failed = deployment(failing, "h1", "h2", status=DeploymentStatus.Failed, completed_at=NOW + 70_000)
    failed.error, failed.stopping = failed.stopping, None
    changes = _ended(created(failed), TargetStatus.Failed, EventStatus.Failed)
    seen = HistoryEntry(NOW + 65_000, Entry.AlarmStatus, "alarm HighErrors", WEB, failed.deployment_id, message="OK -> ALARM: 0.31 > 0.05")
    changes.history.append(seen)
    changes.removed.append(HostId("id-gone"))
    changes.cursors[HostId("id-h1")] = 99
    changes.requests.append((key("3"), "d-2"))
    await store.commit(changes)
    await store.commit(created(deployment(plan("d-3", created_at=NOW + 80_000), "h2", "h1")))
    late = Changes()
    late.groups[WEB] = Group(group_id=WEB, last_successful=success("d-1"), watched=done)
    await store.commit(late)
    await store.enrolments.add_token(join_token(), b"t" * 32, at=NOW, key=key("4", method="CreateJoinToken"))
    await store.enrolments.enrol(applicant("web-9"), b"t" * 32, at=NOW)
    await store.operators.create(operator("anna"), at=NOW, key=key("5", method="CreateOperator"))
    await store.operators.add_token(operator_token("anna"), b"o" * 32, at=NOW, key=key("6", method="CreateOperatorToken"))
    invitation = operator_token("anna", token_id="ot-2", certificate_lifetime=1_000)
    await store.operators.add_token(invitation, b"i" * 32, at=NOW, key=key("8", method="CreateOperatorToken"))
    await store.certificates.issue(operator_certificate("anna"), "ot-2", at=NOW, key=key("", method="IssueOperatorCertificate"))
    await store.alerts.keep([Alert(fingerprint="f1", labels={"severity": "page"}, starts_at="2027-01-15T08:00:00Z")], forget_before=0)
    for number in range(3):
        await store.audit.append(audit_call(subject=f"d-{number}"))


def _ended(changes: Changes, status: TargetStatus, event: EventStatus) -> Changes:
    """The first host of a new deployment has ended; where it went well, the others too."""
    (made,) = changes.created.values()
    for place, one in enumerate(made.targets.values()):
        if place and status is TargetStatus.Failed:
            one.status = TargetStatus.Skipped
            continue
        one.status, one.event, one.event_status = status, LifecycleEvent.Install, event
        one.started_at, one.ended_at = made.plan.created_at + 1_000, made.plan.created_at + 5_500
        told = Diagnostics(error_code=LifecycleErrorCode.ScriptFailed, script_name="a.sh", message="exit 1", log_tail="oops")
        times = (made.plan.created_at + 1_500, made.plan.created_at + 4_750)
        changes.events[one, LifecycleEvent.ApplicationStop, 1] = EventChange(EventStatus.Succeeded, *times, 1, None)
        changes.events[one, LifecycleEvent.Install, 1] = EventChange(event, *times, 2, told if event is EventStatus.Failed else None)
        changes.members[WEB, one.host_id] = Member(host_id=one.host_id, target_epoch=1, health=InstanceHealth.Healthy)
        changes.holdings[WEB, one.host_id] = HoldingChange(made.plan.revision.revision_id, None)
        changes.history.append(
            HistoryEntry(made.plan.created_at + 5_500, Entry(status.name), "report 2", WEB, made.deployment_id, one.host_id)
        )
    if status is TargetStatus.Succeeded:
        changes.groups[WEB] = Group(group_id=WEB, last_successful=success(made.deployment_id, made.plan.revision))
    return changes


async def make(path: Path) -> None:
    """Write the database."""
    path.unlink(missing_ok=True)
    store = await opened(path)
    try:
        await fill(store)
    finally:
        store.close()
    path.with_suffix(".lock").unlink()


if __name__ == "__main__":
    VERSIONS.mkdir(exist_ok=True)
    asyncio.run(make(VERSIONS / f"{MIGRATIONS.newest}.db"))
