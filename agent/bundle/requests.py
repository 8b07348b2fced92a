"""What the agent asks of the unpacking process, and how both write it on their pipe: one line of JSON each way."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field

from agent.bundle.archives.archive import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorSource:
    """The coordinator's own store: HOST:PORT of its bundle service, and the metadata that says who asks."""

    address: str
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlSource:
    """A `file://`, `http://` or `https://` address."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadRequest:
    """One DownloadBundle: `sha256` in hexadecimal, empty only for a file or directory of the host; timeout in seconds of work.

    Time in which the source bids us wait does not count. `appspec_name` None looks for the usual names.
    """

    group_id: str
    deployment_id: str
    revision: str
    source: CoordinatorSource | UrlSource
    sha256: str
    timeout: float
    appspec_name: str | None = None
    max_revisions: int = 5
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallRequest:
    """One Install; `file_exists_behavior` is the deployment's word, which the AppSpec's overrules; timeout in seconds."""

    group_id: str
    deployment_id: str
    revision: str
    timeout: float
    file_exists_behavior: str | None = None
    reserve_bytes: int = Limits().reserve_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRequest:
    """A download from the coordinator's store at this HOST:PORT will be asked for soon; it is not answered."""

    address: str


Request = ConnectRequest | DownloadRequest | InstallRequest


def encode(request: Request, root_prefix: str) -> bytes:
    """A request as a line."""
    name = {ConnectRequest: "connect", DownloadRequest: "download", InstallRequest: "install"}[type(request)]
    return json.dumps({name: dataclasses.asdict(request), "root_prefix": root_prefix}).encode() + b"\n"


def decode(line: bytes) -> tuple[Request, str]:
    """The request of a line, and the prefix below which to work."""
    found = json.loads(line)
    root_prefix = found["root_prefix"]
    if "connect" in found:
        return ConnectRequest(**found["connect"]), root_prefix
    if "install" in found:
        return InstallRequest(**found["install"]), root_prefix
    values = found["download"]
    source = values["source"]
    values["limits"] = Limits(**values["limits"])
    if "url" in source:
        values["source"] = UrlSource(url=source["url"])
    else:
        metadata = tuple((key, value) for key, value in source["metadata"])
        values["source"] = CoordinatorSource(address=source["address"], metadata=metadata)
    return DownloadRequest(**values), root_prefix
