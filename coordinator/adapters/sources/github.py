"""Reads commits for hosts as a GitHub App: what is lent is the address of one archive, which is good for some minutes.

The App's key stays here, and so does the token that it buys (an hour, one repository, contents to be read and nothing else). Hosts get only
where GitHub's API would have sent them: an address for this one commit that carries its own right.
"""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from coordinator.adapters.sources.asking import Answer, Asker, Crowded, TooOften, Trouble, is_safe, wait_of
from coordinator.adapters.sources.entries import Entry
from coordinator.adapters.sources.references import Reference, Unresolved
from coordinator.core.model import BundleType, GitHubLocation, Revision
from coordinator.engine.ports import Clock
from coordinator.service.sources.lending import ComeBack, Lent, NoCredential

GITHUB_API: Final = "https://api.github.com"
LASTS: Final = 300
"""Seconds for which GitHub says that the address of a private archive is good."""
EARLIER, LATER = 60, 540
"""Seconds: from when, for clocks differ, until when what is signed with the App's key counts; GitHub takes ten minutes at most."""
MARGIN: Final = 300_000
"""Milliseconds before its end in which a token is used no more."""
SKEW: Final = 30.0
"""Seconds by which the clocks have to differ to be mentioned."""
_HEADERS: Final = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28", "User-Agent": "hookline-coordinator"}
_REDIRECTS: Final = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: str = field(repr=False)
    until: int


class GitHubApp:
    """One [[github]] of the file: an App, and the repositories that it is for."""

    def __init__(self, said: object, asker: Asker, clock: Clock) -> None:
        """Raises ValueError with a sentence; looks at the key, so that a wrong one is known at once."""
        entry = Entry("github", said, needed={"source", "app_id", "private_key"}, optional={"api"}, begins=("github://",))
        self.source = entry.source
        self._app_id = entry.text("app_id")
        self._api = entry.address("api", GITHUB_API)
        self._key = entry.secret("private_key")
        try:
            _private(self._key)
        except (Trouble, Unresolved) as error:
            raise ValueError(str(error)) from None
        self._asker = asker
        self._clock = clock
        self._tokens: dict[str, _Token] = {}
        self._one: dict[str, asyncio.Lock] = {}
        self._free_at = 0

    async def lend(self, revision: Revision) -> Lent | ComeBack | None:
        """The address of a commit's archive. Raises NoCredential, Trouble, Unresolved."""
        place = revision.place
        if not isinstance(place, GitHubLocation):
            return None
        if (left := self._free_at - self._clock.elapsed()) > 0:
            return ComeBack(after=left)
        try:
            return Lent(url=await self._archive(place, revision.bundle_type), lasts=LASTS)
        except Crowded as error:
            return ComeBack(after=error.after)
        except TooOften as error:
            self._free_at = self._clock.elapsed() + error.after
            return ComeBack(after=error.after)

    async def check(self) -> None:
        """Ask GitHub who we are. Raises Trouble, Unresolved, TooOften."""
        answer = await self._asked("GET", f"{self._api}/app", await asyncio.to_thread(self._proof))
        if answer.status != 200:
            raise self._odd(answer, "the App itself")

    async def _archive(self, place: GitHubLocation, bundle_type: BundleType) -> str:
        form = "zipball" if bundle_type is BundleType.zip else "tarball"
        url = f"{self._api}/repos/{place.repository}/{form}/{place.commit_id}"
        answer = await self._asked("GET", url, await self._token(place.repository))
        if answer.status == 401:  # It was taken back before its end, as when the App is installed anew.
            self._tokens.pop(place.repository, None)
            answer = await self._asked("GET", url, await self._token(place.repository))
        if answer.status in (404, 422):
            raise NoCredential(f"cannot lend anything: GitHub knows no commit {place.commit_id} in {place.repository}")
        location = answer.headers.get("location", "")
        if answer.status not in _REDIRECTS or not is_safe(location):
            raise self._odd(answer, f"the archive of {place.repository}")
        if location.startswith(f"{self._api}/"):
            raise NoCredential(f"cannot lend anything: {place.repository} has been renamed; register the commit under its new name")
        return location

    async def _token(self, repository: str) -> str:
        """A token for one repository; hosts that ask together wait for the same one."""
        async with self._one.setdefault(repository, asyncio.Lock()):
            known = self._tokens.get(repository)
            if known is None or known.until - MARGIN <= self._clock.now():
                known = self._tokens[repository] = await self._bought(repository)
            return known.text

    async def _bought(self, repository: str) -> _Token:
        proof = await asyncio.to_thread(self._proof)
        found = await self._asked("GET", f"{self._api}/repos/{repository}/installation", proof)
        if found.status == 404:
            raise NoCredential(f"cannot lend anything: GitHub App {self._app_id} is not installed on {repository}")
        if found.status in _REDIRECTS:
            raise NoCredential(f"cannot lend anything: {repository} has been renamed; register the commit under its new name")
        if found.status != 200:
            raise self._odd(found, f"the installation on {repository}")
        try:
            installation = int(json.loads(found.content)["id"])
        except (ValueError, KeyError, TypeError):
            raise self._odd(found, f"the installation on {repository}") from None
        wanted = {"repositories": [repository.partition("/")[2]], "permissions": {"contents": "read"}}
        url = f"{self._api}/app/installations/{installation}/access_tokens"
        made = await self._asked("POST", url, proof, json.dumps(wanted).encode())
        if made.status == 422:
            raise Trouble(f"GitHub App {self._app_id} may not read {repository}: give it the permission Contents: read-only")
        try:
            if made.status != 201:
                raise ValueError
            said = json.loads(made.content)
            return _Token(text=str(said["token"]), until=int(datetime.fromisoformat(said["expires_at"]).timestamp() * 1000))
        except (ValueError, KeyError, TypeError):
            raise self._odd(made, f"a token for {repository}") from None

    async def _asked(self, method: str, url: str, bearer: str, body: bytes = b"") -> Answer:
        answer = await self._asker.ask(method, url, {**_HEADERS, "Authorization": f"Bearer {bearer}"}, body)
        wait = wait_of(answer, self._clock.now())
        if wait is not None:
            raise TooOften(wait)
        return answer

    def _proof(self) -> str:
        """That we are the App, good for some minutes."""
        now = self._clock.now() // 1000
        return jwt.encode({"iss": self._app_id, "iat": now - EARLIER, "exp": now + LATER}, _private(self._key), algorithm="RS256")

    def _odd(self, answer: Answer, what: str) -> Trouble:
        """What an answer that was not expected may mean."""
        if answer.status == 401:
            return Trouble(f"{self._api} does not accept the key of GitHub App {self._app_id}: {self._apart(answer)}")
        if answer.status == 403:
            return Trouble(f"{self._api} keeps {what} from GitHub App {self._app_id}: is it suspended, or our address not allowed?")
        return Trouble(f"{self._api} answers {answer.status} when asked for {what}")

    def _apart(self, answer: Answer) -> str:
        try:
            theirs = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
        except ValueError:
            theirs = self._clock.now() / 1000
        ahead = self._clock.now() / 1000 - theirs
        if abs(ahead) > SKEW:
            return f"the clock of this machine is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} GitHub's; set it right"
        return "look at app_id and private_key in the file of source credentials"


def _private(key: Reference) -> RSAPrivateKey:
    """The App's key. Raises Trouble, Unresolved."""
    try:
        found = load_pem_private_key(key.lines().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, RSAPrivateKey):
        raise Trouble(f"{key} holds no RSA private key in PEM, as GitHub gives one for an App")
    return found
