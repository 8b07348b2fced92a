"""Fetches the files of a commit from GitHub, or from a server with its API, as the archive that it makes of them.

The token is read from its file each time, so that it can be replaced, and is sent to the API's own host alone.
"""

import re
from pathlib import Path

from agent.bundle.requests import GITHUB_API, GitHubSource
from agent.bundle.sources.http import Asking, fetch_http
from agent.bundle.sources.incoming import Incoming, unavailable
from agent.bundle.sources.origins import Forbidden, PrivateOrigins, server_of
from agent.model import BundleType

_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28", "User-Agent": "hookline-agent"}
_LONGEST_TOKEN = 4096
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def fetch_from_github(source: GitHubSource, bundle_type: BundleType, incoming: Incoming, validator: Path) -> None:
    """Fetch the archive, a zip file when the revision says so and a tgz file otherwise."""
    if not _REPOSITORY.fullmatch(source.repository) or not _COMMIT.fullmatch(source.commit_id):
        # The token goes along: whoever could write more into the address would ask the API for something else with it.
        raise unavailable(incoming.source, "a repository is ACCOUNT/REPOSITORY, a commit its full id")
    form = "zipball" if bundle_type is BundleType.ZIP else "tarball"
    url = f"{source.api.rstrip('/')}/repos/{source.repository}/{form}/{source.commit_id}"
    fetch_http(url, incoming, validator, _asking(source, incoming.source))


def _asking(source: GitHubSource, name: str) -> Asking:
    token = _token(source.token_file, name) if source.token_file else ""
    hidden = "the agent's token may not see it" if token else "it is private, and the agent has no token (--github-token-file)"
    used_up = "the number of requests that it allows is used up, or the token may not do this"
    refusals = {
        401: "it does not accept the agent's token; it may have expired",
        403: used_up if token else f"{used_up}; with a token (--github-token-file) the agent may ask oftener",
        404: f"there is no such repository or commit, or {hidden}",
        422: "there is no such commit",
    }
    headers = {**_HEADERS, "Authorization": f"Bearer {token}"} if token else _HEADERS
    return Asking(headers=headers, may_leave_host=True, refusals=refusals, private=_private(source, name))


def _private(source: GitHubSource, name: str) -> PrivateOrigins:
    """A server of our own is listed by having been set."""
    if source.api == GITHUB_API:
        return PrivateOrigins(source.private_origins)
    try:
        return PrivateOrigins((*source.private_origins, server_of(source.api).host))
    except Forbidden as error:
        raise unavailable(name, f"github_api of this agent's settings cannot be used: {error}") from error


def _token(path: str, name: str) -> str:
    try:
        with open(path, "rb") as file:
            token = file.read(_LONGEST_TOKEN).decode("ascii").strip()
    except OSError as error:
        raise unavailable(name, f"the token cannot be read from {path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise unavailable(name, f"{path} does not hold a token") from error
    if not token or not token.isprintable() or " " in token:
        raise unavailable(name, f"{path} does not hold a token, one word on one line")
    return token
