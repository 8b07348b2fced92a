"""CodeDeploy's lifecycle events and statuses, and which way each may move.

Everything that says what comes after what lives here, as tables; `scripts/gen-diagrams` draws them into `coordinator/README.md`. The
numbers are stored in the database and sent on the wire (`protos/hookline/v1/resources.proto` has the same ones), so they never change;
within one enum greater means later. Names are CodeDeploy's spelling: `LifecycleEvent.ApplicationStop.name`.
"""

from enum import IntEnum
from typing import Final


class LifecycleEvent(IntEnum):
    """A step of a deployment on one host; the values are CodeDeploy's command positions (spec 2.1)."""

    BeforeBlockTraffic = 1
    BlockTraffic = 2
    AfterBlockTraffic = 3
    ApplicationStop = 4
    DownloadBundle = 5
    BeforeInstall = 6
    Install = 7
    AfterInstall = 8
    ApplicationStart = 9
    ValidateService = 10
    BeforeAllowTraffic = 11
    AllowTraffic = 12
    AfterAllowTraffic = 13


IN_PLACE: Final = (
    LifecycleEvent.ApplicationStop,
    LifecycleEvent.DownloadBundle,
    LifecycleEvent.BeforeInstall,
    LifecycleEvent.Install,
    LifecycleEvent.AfterInstall,
    LifecycleEvent.ApplicationStart,
    LifecycleEvent.ValidateService,
)
"""The events of an in-place deployment without a load balancer (spec 2.1)."""


RESTART: Final = (LifecycleEvent.ApplicationStop, LifecycleEvent.ApplicationStart, LifecycleEvent.ValidateService)
"""The events of a deployment that restarts the revision that is installed (spec 3.4)."""


OLD_REVISION_EVENTS: Final = (LifecycleEvent.BeforeBlockTraffic, LifecycleEvent.AfterBlockTraffic, LifecycleEvent.ApplicationStop)
"""The events whose scripts are those of the revision that is on the host already (spec 2.2)."""


class EventStatus(IntEnum):
    """How far a lifecycle event has come on one host."""

    Pending = 1
    InProgress = 2
    Succeeded = 3
    Failed = 4
    Skipped = 5
    Unknown = 6


class TargetStatus(IntEnum):
    """How far a deployment has come on one host."""

    Pending = 1
    InProgress = 2
    Succeeded = 3
    Failed = 4
    Skipped = 5
    Unknown = 6

    @property
    def terminal(self) -> bool:
        """Whether nothing follows."""
        return self > TargetStatus.InProgress


class DeploymentStatus(IntEnum):
    """How far a deployment has come."""

    Created = 1
    Queued = 2
    InProgress = 3
    Succeeded = 4
    Failed = 5
    Stopped = 6

    @property
    def terminal(self) -> bool:
        """Whether nothing follows."""
        return self > DeploymentStatus.InProgress


TARGET_NEXT: Final = {
    TargetStatus.Pending: (TargetStatus.InProgress, TargetStatus.Skipped, TargetStatus.Failed),
    TargetStatus.InProgress: (TargetStatus.Succeeded, TargetStatus.Failed, TargetStatus.Skipped, TargetStatus.Unknown),
    TargetStatus.Succeeded: (),
    TargetStatus.Failed: (),
    TargetStatus.Skipped: (),
    TargetStatus.Unknown: (),
}
"""What may follow a target's status. Failed at once: its host was offline. Skipped in progress: it was cancelled before its first event, or
its host was offline and did not come back."""

TARGET_AGAIN: Final = {
    TargetStatus.Failed: (TargetStatus.Pending,),
    TargetStatus.Skipped: (TargetStatus.Pending,),
    TargetStatus.Unknown: (TargetStatus.Pending,),
}
"""The same as a further attempt, because somebody wants the host tried once more."""

EVENT_NEXT: Final = {
    EventStatus.Pending: (EventStatus.InProgress, EventStatus.Skipped),
    EventStatus.InProgress: (EventStatus.Succeeded, EventStatus.Failed, EventStatus.Unknown),
    EventStatus.Succeeded: (),
    EventStatus.Failed: (),
    EventStatus.Skipped: (),
    EventStatus.Unknown: (),
}
"""What may follow a lifecycle event's status, as it is shown, until its target has ended."""

EVENT_LATE: Final = {
    EventStatus.Skipped: (EventStatus.Succeeded, EventStatus.Failed),
    EventStatus.Unknown: (EventStatus.Succeeded, EventStatus.Failed),
}
"""The same after that: a host that was lost has gone on by itself, and tells what it did once it is back."""

DEPLOYMENT_NEXT: Final = {
    DeploymentStatus.Created: (DeploymentStatus.Queued, DeploymentStatus.Failed, DeploymentStatus.Stopped),
    DeploymentStatus.Queued: (DeploymentStatus.InProgress, DeploymentStatus.Failed, DeploymentStatus.Stopped),
    DeploymentStatus.InProgress: (DeploymentStatus.Succeeded, DeploymentStatus.Failed, DeploymentStatus.Stopped),
    DeploymentStatus.Succeeded: (),
    DeploymentStatus.Failed: (),
    DeploymentStatus.Stopped: (),
}
"""What may follow a deployment's status. It is Created for as long as somebody has to approve it, and stops when nobody does. It fails
while it has not begun when no host may begin at all, and stops there when an alarm is active before the first one does."""


class InstructionStatus(IntEnum):
    """What a report says of a whole instruction; 0 when it is about a lifecycle event."""

    Event = 0
    Waiting = 1
    Refused = 2
    Cancelled = 3


class LifecycleErrorCode(IntEnum):
    """Why a lifecycle event failed; CodeDeploy's names (spec 2.5) and our Interrupted."""

    Success = 1
    ScriptMissing = 2
    ScriptNotExecutable = 3
    ScriptTimedOut = 4
    ScriptFailed = 5
    UnknownError = 6
    Interrupted = 7


class DeploymentErrorCode(IntEnum):
    """Why a deployment ended badly; CodeDeploy's names (spec 3.4)."""

    HEALTH_CONSTRAINTS = 1
    HEALTH_CONSTRAINTS_INVALID = 2
    MANUAL_STOP = 3
    NO_INSTANCES = 4
    AGENT_ISSUE = 5
    ALARM_ACTIVE = 6
    ALARM_POLL_FAILED = 7
    """Ours: nobody could say whether an alarm is active (CodeDeploy stops as well, without a code of its own; spec 4.5)."""
    IAM_ROLE_PERMISSIONS = 8
    """The group's service role, its demands on signatures or its hosts' profiles do not allow it any more."""
    ANALYSIS_FAILED = 9
    """Ours: what was measured after a stage says that it must not go on."""


def event_status(target: TargetStatus, stored: EventStatus | None) -> EventStatus:
    """Return what an event of a target is shown as, when `stored` is what was reported of it (None: nothing).

    Events without a report have no row: they are Pending while the target may still go on, and Skipped once it has ended
    (spec 2.5). What was in progress when the host was lost is Unknown.
    """
    if stored is None:
        return EventStatus.Skipped if target.terminal else EventStatus.Pending
    if stored is EventStatus.InProgress and target.terminal:
        return EventStatus.Unknown
    return stored
