"""A deployment has succeeded, and its alarms are watched for some hours more: a regression that comes late is rolled back as well.

The group is free meanwhile. A newer deployment ends the watch, because what is watched is not what the hosts have any more; one that only
brings newcomers up to date does not, since it spreads the same revision. Once it has regressed nothing takes its place: the rollback goes
first. Nobody waits for anything here, so not to see an alarm is told and has no consequence.

Pure. That it is rolled back, and when, says `bounds`.
"""

from collections import Counter
from typing import Final

from coordinator.core.deployment import rollback, watching
from coordinator.core.deployment.decision import Decision
from coordinator.core.facts import AlarmSeen
from coordinator.core.lifecycle import DeploymentErrorCode
from coordinator.core.model import AlarmStatus, AutoRollbackEvent, Creator, Deployment, ErrorInformation, Group, HostId, Plan
from coordinator.core.orders import Entry, WatchAlarms

CHECKPOINT_EVERY: Final = 60_000
"""Milliseconds of the watch that a crash may forget, at most: many groups are watched for hours."""


def begin(now: Decision, deployment: Deployment) -> bool:
    """It has succeeded: watch it, if it is to be; whether it is."""
    plan, group = deployment.plan, now.group
    if not plan.alarms or plan.watch_after_success <= 0:
        return False
    deployment.watched_from = deployment.checkpoint = deployment.clock
    group.watched = deployment
    now.changes.groups[group.group_id] = group
    now.tell(deployment, Entry.Watching, f"the alarms are watched for {span(plan.watch_after_success)} more; the group is free")
    return True


def watch(deployment: Deployment) -> WatchAlarms:
    """The order to watch on, given again after a start of the coordinator. What was active when the deployment ended was active before."""
    plan = deployment.plan
    return WatchAlarms(plan.group_id, plan.alarms, deployment.completed_at or plan.created_at)


def end(now: Decision, why: str) -> None:
    """Nobody watches any more what the group has watched."""
    group, watched = now.group, now.group.watched
    if watched is None:
        return
    group.watched = None
    now.changes.groups[group.group_id] = group
    now.tell(watched, Entry.Watched, why)
    now.orders.append(WatchAlarms(group.group_id, (), now.at))


def replaced(now: Decision, by: Plan) -> None:
    """Another deployment of the group begins."""
    if by.creator is not Creator.CodeDeployAutoUpdate:
        end(now, f"{by.deployment_id} takes its place; the alarms are not watched any more")


def spreading(group: Group) -> Deployment | None:
    """The live deployment that brings newcomers what is watched; another one may still bring them what had succeeded before."""
    newcomers, watched = group.newcomers, group.watched
    return newcomers if newcomers is not None and watched is not None and _is_of(newcomers, watched) else None


def join(now: Decision, newcomers: Deployment) -> None:
    """Hosts came later and were given what is watched: they go back with the others."""
    watched = now.group.watched
    if watched is None or not _is_of(newcomers, watched):
        return
    brought = rollback.touched(newcomers)
    watched.joined |= {one.host_id: one.host_name for one in brought}


def forget(now: Decision, host_id: HostId) -> None:
    """A host was removed: it has nothing any more that could go back."""
    watched = now.group.watched
    if watched is None:
        return
    watched.targets.pop(host_id, None)
    watched.joined.pop(host_id, None)
    watched.members -= {host_id}
    if not watched.targets and not watched.joined:
        end(now, "every host that had it was removed")


def see(now: Decision, watched: Deployment, seen: AlarmSeen) -> None:
    """Take in what was seen of an alarm. From then on that it is active, the deployment has regressed."""
    alarm = next((one for one in watched.plan.alarms if one.name == seen.alarm_name), None)
    if alarm is None or watched.stopping is not None:
        return
    seen = watching.quiet_without_canary(watched, alarm, seen)
    before = watched.sight.get(seen.alarm_name)
    if before is seen.status:
        return
    watched.sight[seen.alarm_name] = seen.status
    now.because = f"alarm {seen.alarm_name}"
    now.tell(watched, Entry.AlarmStatus, f"{(before or AlarmStatus.UNKNOWN).name} -> {seen.status.name}: {seen.sample}")
    if seen.status is not AlarmStatus.ALARM:
        return
    active = f"alarm {seen.alarm_name} is active: {seen.sample}"
    if AutoRollbackEvent.DEPLOYMENT_STOP_ON_ALARM in watched.plan.auto_rollback:
        regress(now, watched, ErrorInformation(code=DeploymentErrorCode.ALARM_ACTIVE, message=active))
    else:
        now.tell(watched, Entry.Regressed, f"{active}; it is not rolled back, since DEPLOYMENT_STOP_ON_ALARM is not among its events")


def regress(now: Decision, watched: Deployment, why: ErrorInformation) -> None:
    """It is to be rolled back as soon as nothing of the group is live. This is stored: whatever happens now, it is not forgotten."""
    watched.stopping = why
    live = spreading(now.group)
    then = "" if live is None else f"; it is rolled back when {live.deployment_id} has ended, which stops"
    now.tell(watched, Entry.Regressed, why.message + then)


def pass_time(now: Decision) -> None:
    """End a watch whose time is over."""
    watched = now.group.watched
    if watched is not None and watched.stopping is None and watched.clock >= _until(watched):
        end(now, f"the alarms were watched for {span(watched.plan.watch_after_success)}")


def resume(watched: Deployment, elapsed: int) -> None:
    """After a load: the watch goes on with what was left of it."""
    watched.counts = Counter(one.status for one in watched.targets.values())
    watched.clock_at = elapsed
    watched.checkpoint = watched.clock


def wake(now: Decision) -> int | None:
    """Store the clock from time to time; the monotonic time of the next look at it, None while nothing is watched."""
    watched = now.group.watched
    if watched is None or watched.stopping is not None:
        return None  # what has regressed waits for no time to pass
    if watched.clock - watched.checkpoint >= CHECKPOINT_EVERY:
        now.changes.deployments[watched.deployment_id] = watched
    if watched.deployment_id in now.changes.deployments:
        watched.checkpoint = watched.clock
    return watched.clock_at + max(0, min(_until(watched), watched.checkpoint + CHECKPOINT_EVERY) - watched.clock)


def span(milliseconds: int) -> str:
    """A length of time for people: 4 h, 90 min, 45 s."""
    seconds = milliseconds // 1000
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _is_of(newcomers: Deployment, watched: Deployment) -> bool:
    return newcomers.plan.revision.revision_id == watched.plan.revision.revision_id


def _until(watched: Deployment) -> int:
    assert watched.watched_from is not None
    return watched.watched_from + watched.plan.watch_after_success
