"""What a deployment's alarms let it do (spec 4.5): begin with hosts, end, or stop.

One alarm in ALARM stops the deployment. An alarm that is UNKNOWN is not OK: no further host begins while nobody can see, and the
deployment does not end. After a minute it stops, or goes on blind where its plan says so, and the history tells which. For how long they
are watched once the hosts of a stage have ended, says `core/stages/pauses.py`.

Pure.
"""

from dataclasses import replace

from coordinator.core.deployment import deadlines
from coordinator.core.deployment.decision import Decision
from coordinator.core.evidence import analysis
from coordinator.core.evidence.cohorts import has_canary
from coordinator.core.facts import AlarmSeen
from coordinator.core.lifecycle import DeploymentErrorCode
from coordinator.core.model import Alarm, AlarmStatus, Deployment, ErrorInformation, Expression
from coordinator.core.orders import Entry, WatchAlarms


def begin(now: Decision, deployment: Deployment) -> None:
    """Nothing is known of its alarms yet: have them watched."""
    if deployment.plan.alarms:
        deployment.blind_since = deployment.clock
        now.orders.append(watch(deployment))


def watch(deployment: Deployment) -> WatchAlarms:
    """The order to watch a live deployment's alarms; given again after a start of the coordinator."""
    plan = deployment.plan
    return WatchAlarms(plan.group_id, (*plan.alarms, *analysis.looks(deployment)), deployment.live_since)


def end(now: Decision, deployment: Deployment) -> None:
    """It has ended: nobody needs to look any more."""
    if deployment.plan.alarms or analysis.is_going_on(deployment):
        now.orders.append(WatchAlarms(deployment.plan.group_id, (), now.at))


def see(now: Decision, deployment: Deployment, seen: AlarmSeen) -> ErrorInformation | None:
    """Take in what was seen of an alarm; why the deployment has to stop, if it has to."""
    watched = next((one for one in deployment.plan.alarms if one.name == seen.alarm_name), None)
    if watched is None:
        return None
    seen = quiet_without_canary(deployment, watched, seen)
    before = deployment.sight.get(seen.alarm_name)
    if before is seen.status:
        return None
    deployment.sight[seen.alarm_name] = seen.status
    now.because = f"alarm {seen.alarm_name}"
    now.tell(deployment, Entry.AlarmStatus, f"{(before or AlarmStatus.UNKNOWN).name} -> {seen.status.name}: {seen.sample}")
    if not unknown(deployment):
        deployment.blind_since = None
    elif deployment.blind_since is None and before is not None and seen.status is AlarmStatus.UNKNOWN:
        deployment.blind_since = deployment.clock
    if seen.status is not AlarmStatus.ALARM or deployment.stopping is not None:
        return None
    return ErrorInformation(code=DeploymentErrorCode.ALARM_ACTIVE, message=f"alarm {seen.alarm_name} is active: {seen.sample}")


def quiet_without_canary(deployment: Deployment, watched: Alarm, seen: AlarmSeen) -> AlarmSeen:
    """What was seen of an alarm about the canary; while there is none it is not active, and nobody is blind."""
    if not (isinstance(watched.source, Expression) and watched.source.of_canary) or has_canary(deployment):
        return seen
    return replace(seen, status=AlarmStatus.OK, sample="no host is a canary at this time")


def give_up_seeing(now: Decision, deployment: Deployment) -> ErrorInformation | None:
    """Nobody has seen all the alarms for too long: why the deployment has to stop, or None when it goes on, blind if it must."""
    until = deadlines.blind_until(deployment)
    if until is None or deployment.clock < until:
        return None
    waited = f"for {deadlines.TO_SEE // 1000} s nobody could say whether these alarms are active: {', '.join(unknown(deployment))}"
    if not deployment.plan.ignore_poll_alarm_failure:
        message = f"cannot go on: {waited}; see whether Prometheus answers, or let the group ignore failures to poll alarms"
        return ErrorInformation(code=DeploymentErrorCode.ALARM_POLL_FAILED, message=message)
    deployment.blind_since = None
    now.tell(deployment, Entry.Blind, f"goes on blind: {waited}")
    return None


def unknown(deployment: Deployment) -> list[str]:
    """The alarms of which nobody knows whether they are active, by name."""
    sight = deployment.sight
    return [one.name for one in deployment.plan.alarms if sight.get(one.name, AlarmStatus.UNKNOWN) is AlarmStatus.UNKNOWN]
