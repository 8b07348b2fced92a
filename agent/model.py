"""The values an agent speaks of: instructions, lifecycle events, reports.

Pure. Knows neither protobuf nor the journal's bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

InstructionId = NewType("InstructionId", str)
DeploymentId = NewType("DeploymentId", str)
GroupId = NewType("GroupId", str)
RevisionId = NewType("RevisionId", str)


class LifecycleEvent(StrEnum):
    """A step of a deployment on this host, spelt as CodeDeploy spells it."""

    BEFORE_BLOCK_TRAFFIC = "BeforeBlockTraffic"
    BLOCK_TRAFFIC = "BlockTraffic"
    AFTER_BLOCK_TRAFFIC = "AfterBlockTraffic"
    APPLICATION_STOP = "ApplicationStop"
    DOWNLOAD_BUNDLE = "DownloadBundle"
    BEFORE_INSTALL = "BeforeInstall"
    INSTALL = "Install"
    AFTER_INSTALL = "AfterInstall"
    APPLICATION_START = "ApplicationStart"
    VALIDATE_SERVICE = "ValidateService"
    BEFORE_ALLOW_TRAFFIC = "BeforeAllowTraffic"
    ALLOW_TRAFFIC = "AllowTraffic"
    AFTER_ALLOW_TRAFFIC = "AfterAllowTraffic"


OLD_REVISION_EVENTS = frozenset({LifecycleEvent.BEFORE_BLOCK_TRAFFIC, LifecycleEvent.AFTER_BLOCK_TRAFFIC, LifecycleEvent.APPLICATION_STOP})
"""Events whose scripts are those of the revision that is on the host already."""

REPEATABLE_EVENTS = frozenset({LifecycleEvent.DOWNLOAD_BUNDLE, LifecycleEvent.INSTALL})
"""Events made so that an interrupted one may simply begin again; they run no script."""


class EventStatus(StrEnum):
    """How far a lifecycle event has come, as far as an agent says."""

    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class InstructionStatus(StrEnum):
    """What a report says of a whole instruction."""

    WAITING = "Waiting"
    REFUSED = "Refused"
    CANCELLED = "Cancelled"


class ErrorCode(StrEnum):
    """Why a lifecycle event failed, as CodeDeploy names it; INTERRUPTED is ours."""

    SCRIPT_MISSING = "ScriptMissing"
    SCRIPT_NOT_EXECUTABLE = "ScriptNotExecutable"
    SCRIPT_TIMED_OUT = "ScriptTimedOut"
    SCRIPT_FAILED = "ScriptFailed"
    UNKNOWN_ERROR = "UnknownError"
    INTERRUPTED = "Interrupted"


class BundleType(StrEnum):
    """How a bundle is packed; GUESSED from its first bytes when nobody said."""

    GUESSED = "guessed"
    TAR = "tar"
    TGZ = "tgz"
    ZIP = "zip"
    DIRECTORY = "directory"


class FileExistsBehavior(StrEnum):
    """What Install does with a file that exists already; UNSAID leaves the word to the AppSpec."""

    UNSAID = ""
    DISALLOW = "DISALLOW"
    OVERWRITE = "OVERWRITE"
    RETAIN = "RETAIN"


class Place(StrEnum):
    """Where a bundle lies."""

    COORDINATOR = "coordinator"
    S3 = "s3"
    GITHUB = "github"
    HTTP = "http"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a revision's bundle lies: one place, and the words that this place needs, under the names of the contract."""

    place: Place
    words: tuple[tuple[str, str], ...] = ()
    bundle_type: BundleType = BundleType.GUESSED
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """What is said of a revision and who says so: a statement and its signature, as they came; nothing has been verified."""

    statement: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPlan:
    """One event that an instruction lists, and how long it may take."""

    event: LifecycleEvent
    timeout_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """A run of lifecycle events to walk; everything in it is fixed when it is first sent.

    An empty appspec_name looks for the usual names; signature None: the revision is not signed.
    """

    instruction_id: InstructionId
    digest: str
    target_epoch: int
    deployment_id: DeploymentId
    group_id: GroupId
    group_name: str
    application_name: str
    revision_id: RevisionId
    location: Location
    events: tuple[EventPlan, ...]
    file_exists_behavior: FileExistsBehavior = FileExistsBehavior.UNSAID
    creator: str = "user"
    appspec_name: str = ""
    signature: Signature | None = None
    ignore_application_stop_failures: bool = False
    restart: bool = False
    """Every event runs the scripts of the revision that is installed already; nothing is downloaded or installed."""

    def ignores(self, event: LifecycleEvent | None) -> bool:
        """Whether the next event begins although this one failed."""
        return self.ignore_application_stop_failures and event in OLD_REVISION_EVENTS and event is not self.events[-1].event


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """Why something ended badly, or what is waited for. error_code is None where no lifecycle event failed."""

    error_code: ErrorCode | None = None
    message: str
    script_name: str = ""
    log_tail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One change of one instruction: either of a lifecycle event or of the whole of it."""

    instruction_id: InstructionId
    at: int
    status: EventStatus | InstructionStatus
    event: LifecycleEvent | None = None
    diagnostics: Diagnostics | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A revision on the host and the deployment that put it there (which names its directory)."""

    revision_id: RevisionId
    deployment_id: DeploymentId


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What a deployment group has on this host, and the revision `before` what is installed. None: nothing yet."""

    installed: Installed | None = None
    deployed: RevisionId | None = None
    before: RevisionId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """The highest epoch accepted for a deployment group, and for which deployment."""

    target_epoch: int
    deployment_id: DeploymentId
