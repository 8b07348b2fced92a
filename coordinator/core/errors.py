"""Everything that Hookline refuses, as one tree.

    DeployError
    ├── NotFound             no such thing                          NOT_FOUND
    ├── Invalid              the request itself is wrong            INVALID_ARGUMENT
    ├── AlreadyExists        the name is taken                      ALREADY_EXISTS
    ├── Conflict             right, but not now                     FAILED_PRECONDITION
    ├── Limit                too large, too many, no room           RESOURCE_EXHAUSTED
    ├── Unavailable          try again                              UNAVAILABLE
    ├── Unauthenticated      nobody knows who calls                 UNAUTHENTICATED
    └── Denied               not allowed                            PERMISSION_DENIED

`code` is the name of the exception in CodeDeploy's API (or one in its style); a message reads "cannot X: why", and what to do.
"""

from typing import ClassVar


class DeployError(Exception):
    """What is refused, with a sentence for the caller."""

    code: ClassVar[str] = "InternalException"

    def __init__(self, message: str, *, field: str = "") -> None:
        """`message` is for people; `field` names the request's field that is wrong, in the protos' spelling."""
        super().__init__(message)
        self.message = message
        self.field = field


class NotFound(DeployError):
    """There is no such thing."""

    code = "NotFoundException"


class Invalid(DeployError):
    """The request itself is wrong and will be wrong again."""

    code = "InvalidInputException"


class AlreadyExists(DeployError):
    """The name is taken."""

    code = "AlreadyExistsException"


class Conflict(DeployError):
    """The request is right, but not in this situation."""

    code = "ConflictException"


class Overtaken(DeployError):
    """Somebody else was faster; read again, and try again."""

    code = "OperationAbortedException"


class Limit(DeployError):
    """Something is too large, too many, or there is no room."""

    code = "LimitExceededException"


class Unavailable(DeployError):
    """Safe to try again."""

    code = "ThrottlingException"


class Unauthenticated(DeployError):
    """Nobody knows who calls."""

    code = "UnauthenticatedException"


class Denied(DeployError):
    """The caller may not do this."""

    code = "AccessDeniedException"


class ApplicationDoesNotExist(NotFound):
    """No such application."""

    code = "ApplicationDoesNotExistException"


class ApplicationAlreadyExists(AlreadyExists):
    """The application's name is taken."""

    code = "ApplicationAlreadyExistsException"


class DeploymentGroupDoesNotExist(NotFound):
    """No such deployment group."""

    code = "DeploymentGroupDoesNotExistException"


class DeploymentGroupAlreadyExists(AlreadyExists):
    """The deployment group's name is taken."""

    code = "DeploymentGroupAlreadyExistsException"


class AlarmDoesNotExist(NotFound):
    """No such alarm."""

    code = "AlarmDoesNotExistException"


class AlarmAlreadyExists(AlreadyExists):
    """The alarm's name is taken."""

    code = "AlarmAlreadyExistsException"


class AlarmInUse(Conflict):
    """A deployment group names the alarm."""

    code = "AlarmInUseException"


class AlarmActive(Conflict):
    """An alarm is active, and the group lets nobody deploy meanwhile."""

    code = "AlarmActiveException"


class InvalidAlarmConfig(Invalid):
    """What is said about the alarms of a group or a deployment makes no sense, or names one that does not exist."""

    code = "InvalidAlarmConfigException"


class AlarmsLimitExceeded(Invalid):
    """More alarms than one group may name."""

    code = "AlarmsLimitExceededException"


class InvalidTriggerConfig(Invalid):
    """What is said about a trigger makes no sense, or names a target that nobody is told at."""

    code = "InvalidTriggerConfigException"


class TriggerTargetsLimitExceeded(Invalid):
    """More triggers than one group may have."""

    code = "TriggerTargetsLimitExceededException"


class TriggerDoesNotExist(NotFound):
    """The group has no such trigger."""

    code = "TriggerDoesNotExistException"


class DeploymentConfigDoesNotExist(NotFound):
    """No such deployment config."""

    code = "DeploymentConfigDoesNotExistException"


class DeploymentConfigAlreadyExists(AlreadyExists):
    """The deployment config's name is taken."""

    code = "DeploymentConfigAlreadyExistsException"


class DeploymentConfigInUse(Conflict):
    """A deployment group uses the config."""

    code = "DeploymentConfigInUseException"


class InvalidOperation(Conflict):
    """The thing may not be changed, such as a predefined config."""

    code = "InvalidOperationException"


class RevisionDoesNotExist(NotFound):
    """No such revision."""

    code = "RevisionDoesNotExistException"


class InvalidRevision(Invalid):
    """The revision is malformed, or its bundle is."""

    code = "InvalidRevisionException"


class DeploymentDoesNotExist(NotFound):
    """No such deployment."""

    code = "DeploymentDoesNotExistException"


class DeploymentTargetDoesNotExist(NotFound):
    """The host has no part in the deployment."""

    code = "DeploymentTargetDoesNotExistException"


class DeploymentLimitExceeded(Conflict):
    """Another deployment of the group is active (spec 4.3)."""

    code = "DeploymentLimitExceededException"


class DeploymentAlreadyCompleted(Conflict):
    """The deployment has ended."""

    code = "DeploymentAlreadyCompletedException"


class HealthConstraintsInvalid(Conflict):
    """The minimum of healthy hosts leaves no host to deploy to (spec 4.2)."""

    code = "HealthConstraintsInvalidException"


class NoInstances(Conflict):
    """No host matches the deployment group."""

    code = "NoInstancesException"


class InstanceDoesNotExist(NotFound):
    """No such host."""

    code = "InstanceDoesNotExistException"


class JoinTokenDoesNotExist(NotFound):
    """No such join token."""

    code = "JoinTokenDoesNotExistException"


class OperatorDoesNotExist(NotFound):
    """No such operator."""

    code = "OperatorDoesNotExistException"


class OperatorAlreadyExists(AlreadyExists):
    """The operator's name is taken; it is never free again."""

    code = "OperatorAlreadyExistsException"


class OperatorCertificateDoesNotExist(NotFound):
    """No operator has a certificate with that id."""

    code = "OperatorCertificateDoesNotExistException"


class OperatorTokenDoesNotExist(NotFound):
    """No such token of an operator."""

    code = "OperatorTokenDoesNotExistException"


class GrantDoesNotExist(NotFound):
    """The operator has no such grant."""

    code = "GrantDoesNotExistException"


class InstanceInUse(Conflict):
    """The host is connected, or a deployment waits for it."""

    code = "InstanceInUseException"


class InstanceNameAlreadyRegistered(AlreadyExists):
    """Another live host has the name."""

    code = "InstanceNameAlreadyRegisteredException"


class RequestIdReused(Invalid):
    """The request id was used for another request."""

    code = "RequestIdReusedException"


class BundleTooLarge(Limit):
    """The bundle is past the coordinator's limit."""

    code = "BundleTooLargeException"


class StorageFull(Limit):
    """The coordinator's disk is full."""

    code = "StorageFullException"


class StorageFailed(Unavailable):
    """The coordinator cannot write its history just now."""

    code = "StorageFailedException"


class StorageUnusable(Conflict):
    """The data directory cannot be used by this program now: another coordinator has it, or its schema is newer."""

    code = "StorageUnusableException"
