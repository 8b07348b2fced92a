"""Fetches the files of a commit from GitHub, or from a server with its API, as the archive that it makes of them.

What the coordinator lends goes first: an address for this one archive. Else the API is asked, with the agent's own token if it has one,
which is read from its file each time, so that it can be replaced, and is sent to the API's own host alone.
"""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from agent.bundle.requests import GITHUB_API, GitHubSource
from agent.bundle.sources.http import Asking, fetch_http
from agent.bundle.sources.incoming import Incoming, unavailable
from agent.bundle.sources.lent import Loan, borrowed
from agent.bundle.sources.origins import Forbidden, PrivateOrigins, server_of
from agent.model import BundleType

_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28", "User-Agent": "hookline-agent"}
_LONGEST_TOKEN = 4096
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def fetch_from_github(source: GitHubSource, bundle_type: BundleType, incoming: Incoming, validator: Path) -> None:
    """Fetch the archive, a zip file when the revision says so and a tgz file otherwise, from where the coordinator says, else from where
    the API sends us."""
    if not _REPOSITORY.fullmatch(source.repository) or not _COMMIT.fullmatch(source.commit_id):
        # The token goes along: whoever could write more into the address would ask the API for something else with it.
        raise unavailable(incoming.source, "a repository is ACCOUNT/REPOSITORY, a commit its full id")
    loan = borrowed(source.lender, incoming.source)
    if loan.url:
        return _fetch_lent(loan.url, source, incoming, validator)
    form = "zipball" if bundle_type is BundleType.ZIP else "tarball"
    url = f"{source.api.rstrip('/')}/repos/{source.repository}/{form}/{source.commit_id}"
    fetch_http(url, incoming, validator, _asking(source, incoming.source, loan))


def _fetch_lent(url: str, source: GitHubSource, incoming: Incoming, validator: Path) -> None:
    """The address carries its own right, so no token goes along."""
    if not belongs(url, source):
        why = "the coordinator lent an address that is not this commit's"
        raise unavailable(incoming.source, f"{why}; github_api here has to be the api of the [[github]] in its file of source credentials")
    gone = "the address that the coordinator lent does not open it (any more); deploy again, and look at the coordinator's log"
    refusals = dict.fromkeys((401, 403, 404), gone)
    fetch_http(url, incoming, validator, Asking(refusals=refusals, private=_private(source, incoming.source, server_of(url).host)))


def belongs(url: str, source: GitHubSource) -> bool:
    """Whether an address is that of the commit's archive, on the server that belongs to the API that this host would ask itself."""
    try:
        server, api = server_of(url), server_of(source.api)
    except Forbidden:
        return False
    site = api.host.removeprefix("api.")
    here = server.host in (f"codeload.{site}", *(() if source.api == GITHUB_API else (site,)))
    path = unquote(urlsplit(url).path).lower()
    right = f"/{source.repository.lower()}/" in path and path.endswith(f"/{source.commit_id}") and "/../" not in path
    return here and (server.scheme, server.port) == (api.scheme, api.port) and right


def _asking(source: GitHubSource, name: str, loan: Loan) -> Asking:
    token = _token(source.token_file, name) if source.token_file else ""
    own = f"the agent's own token ({source.token_file})"
    none = f"no token was used: the agent has none (--github-token-file), and {loan.why_none}"
    used_up = "the number of requests that it allows is used up, or"
    refusals = {
        401: f"it does not accept {own}; it may have expired, so put a new one there" if token else none,
        403: f"{used_up} {own} may not do this" if token else f"{used_up} it wants a token; {none}",
        404: f"there is no such repository or commit, or {own} may not see it"
        if token
        else f"there is no such repository or commit, or {none}",
        422: "there is no such commit",
    }
    headers = {**_HEADERS, "Authorization": f"Bearer {token}"} if token else _HEADERS
    private = _private(source, name)
    return Asking(headers=headers, may_leave_host=True, refusals=refusals, private=private, trouble=loan.trouble)


def _private(source: GitHubSource, name: str, *beside: str) -> PrivateOrigins:
    """A server of our own is listed by having been set, with what stands `beside` it."""
    if source.api == GITHUB_API:
        return PrivateOrigins(source.private_origins)
    try:
        return PrivateOrigins((*source.private_origins, server_of(source.api).host, *beside))
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
