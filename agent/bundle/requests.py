"""What the agent asks of the unpacking process, and how both write it on their pipe: one line of JSON each way."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any  # what comes out of JSON has no type until it has been read

from agent.bundle.archives.archive import Limits
from agent.model import BundleType
from agent.workspace.retention import Retention

GITHUB_API = "https://api.github.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorSource:
    """The coordinator's own store: HOST:PORT of its bundle service, and what says who asks: metadata, over plaintext, or the
    certificate of the identity in a data directory."""

    address: str
    metadata: tuple[tuple[str, str], ...] = ()
    data_dir: str = ""

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"the coordinator at {self.address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lender:
    """Whom to ask for a way to read a bundle that lies elsewhere, and for which instruction: the coordinator at HOST:PORT, and what says
    who asks, as in CoordinatorSource."""

    address: str
    instruction_id: str
    metadata: tuple[tuple[str, str], ...] = ()
    data_dir: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlSource:
    """A `file://`, `http://` or `https://` address; of those with private addresses only these origins are asked.

    `lender` is asked first, if there is one.
    """

    url: str
    private_origins: tuple[str, ...] = ()
    lender: Lender | None = None

    @property
    def name(self) -> str:
        """How messages call it: without its query, which can be a secret."""
        return self.url.partition("?")[0]

    @property
    def scheme(self) -> str:
        """What stands before the colon, in small letters."""
        return self.url.partition(":")[0].lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Source:
    """An object in S3; an empty version is the newest, an empty ETag is not compared.

    An empty endpoint or region is taken from the environment, and is else Amazon's. `lender` is asked first, if there is one.
    """

    bucket: str
    key: str
    version: str = ""
    e_tag: str = ""
    endpoint: str = ""
    region: str = ""
    lender: Lender | None = None

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubSource:
    """The files of a commit, as GitHub packs them; `token_file` holds the token to ask with, empty asks without one.

    It may send us to servers with private addresses only when they are among these origins. `lender` is asked first, if there is one.
    """

    repository: str
    commit_id: str
    api: str = GITHUB_API
    token_file: str = ""
    private_origins: tuple[str, ...] = ()
    lender: Lender | None = None

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"GitHub ({self.repository} at {self.commit_id})"


Source = CoordinatorSource | UrlSource | S3Source | GitHubSource


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadRequest:
    """One DownloadBundle: `sha256` in hexadecimal, empty where nobody can know it (not for http); timeout in seconds of work.

    Time in which the source bids us wait does not count. `appspec_name` None looks for the usual names. `appspec_sha256`, in
    hexadecimal, is what the AppSpec file has to hash to; empty is not compared. `origins` are those of the host's policy, for redirects.
    """

    group_id: str
    deployment_id: str
    revision: str
    source: Source
    sha256: str
    timeout: float
    bundle_type: BundleType = BundleType.GUESSED
    appspec_name: str | None = None
    appspec_sha256: str = ""
    limits: Limits = field(default_factory=Limits)
    origins: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallRequest:
    """One Install; `file_exists_behavior` is the deployment's word, which the AppSpec's overrules; timeout in seconds.

    `destinations` are the directories in which anything may be installed; None: anywhere.
    """

    group_id: str
    deployment_id: str
    revision: str
    timeout: float
    file_exists_behavior: str | None = None
    reserve_bytes: int = Limits().reserve_bytes
    destinations: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRequest:
    """A download that will be asked for soon: all of it but what anybody could see may be done now. Only its progress is answered."""

    download: DownloadRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectRequest:
    """Deployments of the past may go; it is not answered."""

    retention: Retention


Request = CollectRequest | PrepareRequest | DownloadRequest | InstallRequest
_NAMES = {CollectRequest: "collect", PrepareRequest: "prepare", DownloadRequest: "download", InstallRequest: "install"}


def encode(request: Request, root_prefix: str) -> bytes:
    """A request as a line."""
    return json.dumps({_NAMES[type(request)]: dataclasses.asdict(request), "root_prefix": root_prefix}).encode() + b"\n"


def decode(line: bytes) -> tuple[Request, str]:
    """The request of a line, and the prefix below which to work."""
    found = json.loads(line)
    root_prefix = found["root_prefix"]
    if "collect" in found:
        return CollectRequest(retention=Retention(**found["collect"]["retention"])), root_prefix
    if "prepare" in found:
        return PrepareRequest(download=_download(found["prepare"]["download"])), root_prefix
    if "install" in found:
        return _install(found["install"]), root_prefix
    return _download(found["download"]), root_prefix


def _download(values: dict[str, Any]) -> DownloadRequest:
    values["limits"] = Limits(**values["limits"])
    values["bundle_type"] = BundleType(values["bundle_type"])
    values["origins"] = None if values["origins"] is None else tuple(values["origins"])
    source = values["source"]
    if "address" in source:
        metadata = tuple((key, value) for key, value in source["metadata"])
        values["source"] = CoordinatorSource(address=source["address"], metadata=metadata, data_dir=source["data_dir"])
    else:
        values["source"] = _elsewhere(source)
    return DownloadRequest(**values)


def _install(values: dict[str, Any]) -> InstallRequest:
    if values["destinations"] is not None:
        values["destinations"] = tuple(values["destinations"])
    return InstallRequest(**values)


def _elsewhere(source: dict[str, Any]) -> Source:
    if source["lender"] is not None:
        source["lender"]["metadata"] = tuple((key, value) for key, value in source["lender"]["metadata"])
        source["lender"] = Lender(**source["lender"])
    if "bucket" in source:
        return S3Source(**source)
    source["private_origins"] = tuple(source["private_origins"])
    return UrlSource(**source) if "url" in source else GitHubSource(**source)
