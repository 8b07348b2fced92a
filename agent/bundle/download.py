"""DownloadBundle, in the unpacking process: fetch, verify, unpack, read the AppSpec, and only then say that the archive is there."""

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from agent.appspec import AppSpecError, AppSpecNotFound, find_appspec, parse
from agent.bundle.archives.unpack import unpack
from agent.bundle.requests import CoordinatorSource, DownloadRequest
from agent.bundle.sources.coordinator import Line, fetch_from_coordinator
from agent.bundle.sources.incoming import Incoming, Progress, fetch_file, local_path, unavailable
from agent.payload import PayloadError, PayloadErrorCode
from agent.workspace import DeploymentDirectory, Workspace


def download(
    request: DownloadRequest, workspace: Workspace, progress: Progress, unpacking: Callable[[], None], line: Line | None = None
) -> None:
    """Bring a bundle to this host, saying when its bytes are all here; repeatable after a kill at any instant.

    `line` is one to the coordinator that may be open already.
    """
    workspace.prune(request.group_id, current=request.deployment_id, max_revisions=request.max_revisions)
    directory = workspace.deployment(request.group_id, request.deployment_id)
    directory.path.mkdir(parents=True, exist_ok=True)
    if not _is_done(request, directory):
        try:
            bundle = _fetch(request, directory, progress, line or Line())
            unpacking()
            unpack(bundle, directory.unfinished_archive, request.limits)
            appspec = _read_appspec(request, directory)
        except PayloadError:
            _discard(directory)
            raise
        if directory.archive.exists():
            shutil.rmtree(directory.archive)
        directory.unfinished_archive.rename(directory.archive)
        beside = {directory.appspec: appspec, directory.bundle_source: _receipt(request)}
        workspace.record_downloaded(request.group_id, directory, beside=beside)
    else:
        workspace.record_downloaded(request.group_id, directory)
    _discard(directory)


def _is_done(request: DownloadRequest, directory: DeploymentDirectory) -> bool:
    """Whether an earlier attempt got as far as the archive; a directory of the host may have changed since, and is read again."""
    if not request.sha256 or not directory.archive.is_dir():
        return False
    with contextlib.suppress(FileNotFoundError):
        return directory.bundle_source.read_text() == _receipt(request)
    return False


def _receipt(request: DownloadRequest) -> str:
    return json.dumps({"revision": request.revision, "source": _source(request), "sha256": request.sha256})


def _source(request: DownloadRequest) -> str:
    if isinstance(request.source, CoordinatorSource):
        return f"the coordinator at {request.source.address}"
    return request.source.url.partition("?")[0]


def _fetch(request: DownloadRequest, directory: DeploymentDirectory, progress: Progress, line: Line) -> Path:
    """The bundle, complete and with the right digest: a file of ours, or a directory of the host that is to be copied."""
    scheme = "" if isinstance(request.source, CoordinatorSource) else request.source.url.partition(":")[0].lower()
    if not isinstance(request.source, CoordinatorSource) and scheme == "file":
        path = local_path(request.source.url)
        if path.is_dir():
            return path
    elif not request.sha256:
        raise unavailable(_source(request), "the revision has no SHA-256 to compare with")
    incoming = Incoming(directory, source=_source(request), sha256=request.sha256.lower(), limits=request.limits, progress=progress)
    with contextlib.closing(incoming):
        if not incoming.is_whole:
            _fetch_from(request, scheme, incoming, directory, line)
        while not incoming.finish():
            _fetch_from(request, scheme, incoming, directory, line)
    return directory.bundle


def _fetch_from(request: DownloadRequest, scheme: str, incoming: Incoming, directory: DeploymentDirectory, line: Line) -> None:
    if isinstance(request.source, CoordinatorSource):
        fetch_from_coordinator(request.source, request.sha256, incoming, line)
    elif scheme == "file":
        fetch_file(local_path(request.source.url), incoming)
    elif scheme in ("http", "https"):
        from agent.bundle.sources.http import fetch_http  # Here, because httpx is large and few bundles come this way.

        fetch_http(request.source.url, incoming, directory.bundle_etag)
    else:
        raise unavailable(_source(request), f"{scheme} is none of file, http and https")


def _read_appspec(request: DownloadRequest, directory: DeploymentDirectory) -> str:
    """The AppSpec in normal form, as it is kept beside the archive."""
    archive = directory.unfinished_archive
    try:
        path = find_appspec(archive, request.appspec_name)
        appspec = parse(path.read_bytes(), path.relative_to(archive.resolve()).as_posix())
    except AppSpecNotFound as error:
        raise PayloadError(PayloadErrorCode.MISSING_APPSPEC, str(error)) from error
    except AppSpecError as error:
        raise PayloadError(PayloadErrorCode.BAD_APPSPEC, str(error)) from error
    return appspec.to_json()


def _discard(directory: DeploymentDirectory) -> None:
    """Remove what is needed only on the way; a kept bundle would double what every revision costs."""
    if directory.unfinished_archive.exists():
        shutil.rmtree(directory.unfinished_archive)
    directory.bundle.unlink(missing_ok=True)
    directory.partial_bundle.unlink(missing_ok=True)
    directory.bundle_etag.unlink(missing_ok=True)
