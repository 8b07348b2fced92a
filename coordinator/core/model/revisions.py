"""What is deployed: a bundle, where it lies, and who answers for it."""

from dataclasses import dataclass
from enum import IntEnum

from coordinator.core.model.names import DeploymentId, RevisionId


class FileExistsBehavior(IntEnum):
    """What Install does with a file that exists already (spec 1.4); the AppSpec's own word wins."""

    Unspecified = 0
    DISALLOW = 1
    OVERWRITE = 2
    RETAIN = 3


class BundleType(IntEnum):
    """How a bundle is packed."""

    Unspecified = 0
    tar = 1
    tgz = 2
    zip = 3
    directory = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorLocation:
    """A bundle that the coordinator keeps, `size` bytes of it."""

    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Location:
    """An object in Amazon S3 or a server with its API; an empty version is the newest, an empty ETag is not compared."""

    bucket: str
    key: str
    version: str = ""
    e_tag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubLocation:
    """A commit on GitHub, `repository` as ACCOUNT/REPOSITORY."""

    repository: str
    commit_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLocation:
    """A file behind http or https."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLocation:
    """A file or directory on every host, as an absolute path under its root prefix."""

    path: str


Place = CoordinatorLocation | S3Location | GitHubLocation | HttpLocation | FileLocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who answers for a revision: a statement and minisign's signature of it. Only agents have keys to verify it with."""

    statement: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A bundle of an application: where it lies and what it must hash to (empty: nobody knows). signature None: it is not signed."""

    revision_id: RevisionId
    place: Place
    bundle_type: BundleType
    sha256: bytes
    signature: Signature | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """A deployment that succeeded, as far as a rollback to it has to know."""

    deployment_id: DeploymentId
    revision: Revision
    file_exists_behavior: FileExistsBehavior
