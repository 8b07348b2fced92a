"""How deployments, targets and their failures are put into words."""

import datetime
from typing import TYPE_CHECKING

from coordinator.cli import protos
from coordinator.cli.wording.spelling import spelt
from coordinator.cli.wording.text import clean, clean_lines, date_time, duration, moment, span

if TYPE_CHECKING:
    from hookline.v1.deployments_pb2 import Deployment, DeploymentOverview, Target
    from hookline.v1.resources_pb2 import Diagnostics, LifecycleEventRecord

LOG_LINES = 12
ENDED = ("Succeeded", "Failed", "Stopped")


def has_ended(deployment: "Deployment") -> bool:
    """Whether nothing will happen to a deployment any more."""
    return spelt(deployment, "status") in ENDED


def awaited(deployment: "Deployment") -> str:
    """What a deployment waits for before any host begins; "" if nothing."""
    return "; it ".join(part for part in (turn(deployment), approval(deployment)) if part)


def turn(deployment: "Deployment") -> str:
    """Where a deployment stands that waits for its turn; "" if it does not."""
    if not deployment.HasField("queue_place"):
        return ""
    place, begins = deployment.queue_place, date_time(deployment.scheduled_time)
    parts = [f"until {begins}"] if begins else []
    if place.behind_deployment_id:
        parts.append(
            f"behind {clean(place.behind_deployment_id)}" + (f", as number {place.position} of the queue" if place.position > 1 else "")
        )
    return f"waits {' and '.join(parts)}" if parts else "waits for its turn"


def approval(deployment: "Deployment") -> str:
    """Whose word a deployment waits for; "" if nobody's."""
    if has_ended(deployment) or not deployment.require_approval or deployment.approved_by:
        return ""
    return f"waits for somebody other than {clean(deployment.created_by)}: hookline approve {clean(deployment.deployment_id)}"


def waits(deployment: "Deployment", now: datetime.datetime) -> str:
    """What a deployment that goes on waits for beside its hosts, and for how long; "" if nothing."""
    waiting, kinds = deployment.waiting, protos.deployments.WaitingFor
    if has_ended(deployment) or waiting.waiting_for in (kinds.WAITING_FOR_UNSPECIFIED, kinds.WAITING_FOR_HOSTS, kinds.WAITING_FOR_APPROVAL):
        return ""
    until = moment(waiting.until_time)
    left = f", for {span((until - now).total_seconds())} more" if until else ""
    verbs = {kinds.WAITING_FOR_GATE: "approve", kinds.WAITING_FOR_RESUMPTION: "resume"}
    verbs |= {kinds.WAITING_FOR_BAKE: "promote", kinds.WAITING_FOR_ANALYSIS: "promote"}
    verb = verbs.get(waiting.waiting_for)
    return f"{clean(waiting.message)}{left}{f': hookline {verb} {clean(deployment.deployment_id)}' if verb else ''}"


def stage(deployment: "Deployment") -> str:
    """Which stage a deployment is in: 'stage "25 %", 2 of 4'; "" where it has one alone."""
    index, stages = deployment.waiting.stage, deployment.stages
    if has_ended(deployment) or not 0 <= index < len(stages):
        return ""
    return f'stage "{clean(stages[index].name)}", {index + 1} of {len(stages)}'


def stages(deployment: "Deployment") -> list[str]:
    """All stages of a deployment, a line for each."""
    lines = []
    for one in deployment.stages:
        parts = [clean(one.name), hosts(one.overview)]
        if one.HasField("gate"):
            parts.append(f"passed by {clean(one.passed_by)}" if one.passed_by else "gate")
        lines.append("  ".join(parts))
    return lines


def place(deployment: "Deployment") -> str:
    """APP/GROUP."""
    return clean(f"{deployment.application_name}/{deployment.deployment_group_name}")


def revision(deployment: "Deployment") -> str:
    """What a deployment brings, or restarts."""
    restarts = deployment.deployment_mode == protos.deployments.DEPLOYMENT_MODE_RESTART
    return clean(deployment.revision_id) + (" (restart)" if restarts else "")


def made_by(deployment: "Deployment") -> str:
    """Who made a deployment."""
    if deployment.rollback_info.rollback_triggering_deployment_id:
        return f"rolls back {clean(deployment.rollback_info.rollback_triggering_deployment_id)}"
    return f"by {clean(deployment.created_by) or spelt(deployment, 'creator') or 'somebody'}"


def elapsed(deployment: "Deployment", now: datetime.datetime) -> str:
    """How long a deployment took or takes."""
    began, ended = moment(deployment.create_time), moment(deployment.complete_time)
    if began is None:
        return ""
    return duration((ended - began).total_seconds()) if ended else span((now - began).total_seconds())


def counts(overview: "DeploymentOverview") -> dict[str, int]:
    """How many targets have which status."""
    return {
        "Succeeded": overview.succeeded,
        "Failed": overview.failed,
        "InProgress": overview.in_progress,
        "Pending": overview.pending,
        "Skipped": overview.skipped,
    }


def counted(numbers: dict[str, int]) -> str:
    """Counts by status as words; those that are 0 are left out."""
    return ", ".join(f"{count:,} {name}" for name, count in numbers.items() if count)


def hosts(overview: "DeploymentOverview") -> str:
    """How far the hosts are: "3 of 6: 3 Succeeded, 3 Pending"."""
    numbers = counts(overview)
    return f"{sum(numbers.values()):,}: {counted(numbers)}" if any(numbers.values()) else ""


def error(deployment: "Deployment") -> str:
    """Why a deployment ended badly; "" if it did not."""
    if not deployment.HasField("error_information"):
        return ""
    code, message = spelt(deployment.error_information, "code"), clean(deployment.error_information.message)
    return ": ".join(part for part in (code, message) if part)


def outcome(deployment: "Deployment") -> str:
    """How a deployment stands, with its counts and its error."""
    numbers = counts(deployment.deployment_overview)
    total = sum(numbers.values())
    of_all = f"{numbers['Succeeded']:,} of {total:,} hosts succeeded" if total else "no hosts"
    return f"{spelt(deployment, 'status')}: {of_all}{f'. {error(deployment)}' if error(deployment) else ''}"


def failed_event(target: "Target") -> "LifecycleEventRecord | None":
    """The lifecycle event that failed on a target."""
    failed = protos.resources.LIFECYCLE_EVENT_STATUS_FAILED, protos.resources.LIFECYCLE_EVENT_STATUS_UNKNOWN
    return next((event for event in target.lifecycle_events if event.status in failed), None)


def diagnosis(diagnostics: "Diagnostics") -> str:
    """A failure in one line: "ScriptFailed: scripts/start.sh exited with 1"."""
    message, script = clean(diagnostics.message), clean(diagnostics.script_name)
    told = f"{script}: {message}" if script and script not in message else message
    return ": ".join(part for part in (spelt(diagnostics, "error_code"), told) if part)


def reason(target: "Target") -> str:
    """Why a target failed or waits, in one line; "" where there is nothing to say."""
    event = failed_event(target)
    if event is None:
        return clean(target.message)
    return f"{spelt(event, 'lifecycle_event')} {diagnosis(event.diagnostics)}".strip()


def log_tail(diagnostics: "Diagnostics", lines: int = LOG_LINES) -> list[str]:
    """The last lines of a script's output, made harmless."""
    return clean_lines(diagnostics.log_tail)[-lines:]
