"""DownloadBundle, in the unpacking process: fetch, verify, unpack, read the AppSpec, and only then say that the archive is there."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.appspec import AppSpecError, AppSpecNotFound, find_appspec, parse
from agent.bundle.archives.unpack import unpack
from agent.bundle.requests import CoordinatorSource, DownloadRequest, GitHubSource, S3Source, UrlSource
from agent.bundle.sources.coordinator import fetch_from_coordinator
from agent.bundle.sources.files import fetch_file, local_path
from agent.bundle.sources.incoming import Incoming, Progress, unavailable
from agent.payload import PayloadError, PayloadErrorCode
from agent.workspace import DeploymentDirectory, Workspace, disk
from agent.workspace.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A bundle that is on this host, unpacked and with its AppSpec, and only has to get its names."""

    request: DownloadRequest
    directory: DeploymentDirectory
    files: Sequence[Path]
    """What was written beside the files that it is to replace."""


def prepare(request: DownloadRequest, workspace: Workspace, progress: Progress, unpacking: Callable[[], None]) -> Prepared | None:
    """Bring a bundle to this host, saying when its bytes are all here; None when an earlier attempt has. Nobody sees it yet."""
    directory = workspace.deployment(request.group_id, request.deployment_id)
    directory.path.mkdir(parents=True, exist_ok=True)
    if _is_done(request, directory):
        return None
    try:
        bundle = _fetch(request, directory, progress)
        unpacking()
        unpacked = unpack(bundle, directory.unfinished_archive, request.limits, request.bundle_type)
        appspec = _read_appspec(request, directory)
    except PayloadError:
        discard(directory)
        raise
    contents = {directory.appspec: appspec, directory.bundle_source: _receipt(request), **workspace.downloaded(request.group_id, directory)}
    with disk.begun_beside(contents) as beside, Tree(directory.unfinished_archive) as tree:
        tree.settle(unpacked, beside)
    _discard_bundle(directory)
    return Prepared(request=request, directory=directory, files=tuple(contents))


def download(
    request: DownloadRequest,
    workspace: Workspace,
    progress: Progress,
    unpacking: Callable[[], None],
    prepared: Prepared | None = None,
) -> None:
    """Do what is left of a DownloadBundle; repeatable after a kill at any instant."""
    directory = workspace.deployment(request.group_id, request.deployment_id)
    if prepared is None or prepared.request != request:
        prepared = prepare(request, workspace, progress, unpacking)
    if prepared is None:
        workspace.record_downloaded(request.group_id, directory)
        discard(directory)
        return
    if directory.archive.exists():
        shutil.rmtree(directory.archive)
    directory.unfinished_archive.rename(directory.archive)
    disk.replace(prepared.files, above=(directory.path.parent, workspace.deployment_root))


def _is_done(request: DownloadRequest, directory: DeploymentDirectory) -> bool:
    """Whether an earlier attempt got as far as the archive; what may have changed since is fetched again."""
    if not (request.sha256 or _is_fixed(request)) or not directory.archive.is_dir():
        return False
    with contextlib.suppress(FileNotFoundError):
        return directory.bundle_source.read_text() == _receipt(request)
    return False


def _is_fixed(request: DownloadRequest) -> bool:
    match request.source:
        case GitHubSource():
            return True
        case S3Source(version=version, e_tag=e_tag):
            return bool(version or e_tag)
        case CoordinatorSource() | UrlSource():
            return False


def _receipt(request: DownloadRequest) -> str:
    which = [request.source.version, request.source.e_tag] if isinstance(request.source, S3Source) else []
    digests = {"sha256": request.sha256, **({"appspec_sha256": request.appspec_sha256} if request.appspec_sha256 else {})}
    return json.dumps({"revision": request.revision, "source": request.source.name, **digests, "version": which})


def _fetch(request: DownloadRequest, directory: DeploymentDirectory, progress: Progress) -> Path:
    """The bundle, complete and with the right digest: a file of ours, or a directory of the host that is to be copied."""
    source = request.source
    if isinstance(source, UrlSource) and source.scheme == "file":
        path = local_path(source.url)
        if path.is_dir():
            if request.sha256:
                raise unavailable(source.name, "it is a directory, which has no SHA-256, and that of the revision has to match")
            return path
    elif isinstance(source, (CoordinatorSource, UrlSource)) and not request.sha256:
        raise unavailable(source.name, "the revision has no SHA-256 to compare with; register it with one")
    incoming = Incoming(directory, source=source.name, sha256=request.sha256.lower(), limits=request.limits, progress=progress)
    with contextlib.closing(incoming):
        if not incoming.is_whole:
            _fetch_from(request, incoming, directory)
        incoming.finish()
    return directory.bundle


def _fetch_from(request: DownloadRequest, incoming: Incoming, directory: DeploymentDirectory) -> None:
    # What comes over HTTP and from S3 is imported here, because its libraries are large and most bundles come from the coordinator.
    match request.source:
        case CoordinatorSource() as source:
            fetch_from_coordinator(source, request.sha256, incoming)
        case UrlSource(scheme="file", url=url):
            fetch_file(local_path(url), incoming)
        case UrlSource(scheme="http" | "https") as source:
            from agent.bundle.sources.web import fetch_from_web

            fetch_from_web(source, request.origins, incoming, directory.bundle_etag)
        case UrlSource() as source:
            raise unavailable(source.name, f"{source.scheme} is none of file, http and https")
        case S3Source() as source:
            from agent.bundle.sources.s3 import fetch_from_s3

            fetch_from_s3(source, incoming, directory.bundle_etag)
        case GitHubSource() as source:
            from agent.bundle.sources.github import fetch_from_github

            fetch_from_github(source, request.bundle_type, incoming, directory.bundle_etag)


def _read_appspec(request: DownloadRequest, directory: DeploymentDirectory) -> str:
    """The AppSpec in normal form, as it is kept beside the archive."""
    archive = directory.unfinished_archive
    try:
        path = find_appspec(archive, request.appspec_name)
        content, name = path.read_bytes(), path.relative_to(archive.resolve()).as_posix()
        if request.appspec_sha256 not in ("", found := hashlib.sha256(content).hexdigest()):
            why = f"its SHA-256 is {found}, and what was signed has {request.appspec_sha256}"
            raise PayloadError(PayloadErrorCode.WRONG_DIGEST, f"cannot use {name} of the bundle: {why}")
        appspec = parse(content, name)
    except AppSpecNotFound as error:
        raise PayloadError(PayloadErrorCode.MISSING_APPSPEC, str(error)) from error
    except AppSpecError as error:
        raise PayloadError(PayloadErrorCode.BAD_APPSPEC, str(error)) from error
    return appspec.to_json()


def discard(directory: DeploymentDirectory) -> None:
    """Remove what is needed only on the way."""
    if directory.unfinished_archive.exists():
        shutil.rmtree(directory.unfinished_archive)
    _discard_bundle(directory)


def _discard_bundle(directory: DeploymentDirectory) -> None:
    """Remove the bundle itself; to keep it would double what every revision costs."""
    directory.bundle.unlink(missing_ok=True)
    directory.partial_bundle.unlink(missing_ok=True)
    directory.bundle_etag.unlink(missing_ok=True)
    directory.bundle_boot.unlink(missing_ok=True)
