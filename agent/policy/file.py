"""The policy file: who may have written it, and what it says.

Read again whenever it has changed, so that another key or a freeze counts at once.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from agent.errors import AgentError
from agent.policy.signatures import BadSignature, PublicKey, public_key
from agent.policy.terms import LIMITED, PLACES, Policy, plain_url

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_FILE = Path("/etc/hookline/agent-policy.toml")
_MOST_BYTES = 1024 * 1024
_NAME = r"[A-Za-z0-9._+=,@-]{1,100}"
_GROUP = re.compile(rf"{_NAME}/{_NAME}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_VARIABLE = re.compile(r"\*|[A-Za-z_][A-Za-z0-9_]*\*?")
_Rule = TypeVar("_Rule")


class NoPolicy:
    """For what a host's own administrator orders: they could change the file, so it binds nobody."""

    hook_environment = ("*",)
    """They have typed the command in this environment."""

    def policy(self) -> Policy | None:
        """Nothing is restricted."""
        return None


class PolicyFile:
    """The policy of this host. A file that was there once has to be there, and right, until the agent ends."""

    hook_environment = ()
    """What hooks see of the agent's environment beside the usual where there is no file."""

    def __init__(self, path: Path, *, is_needed: bool) -> None:
        self._path = path
        self._is_needed = is_needed
        self._seen: tuple[int, ...] | None = None
        self._policy: Policy | None = None

    @property
    def path(self) -> Path:
        """Where it lies, or would lie."""
        return self._path

    def policy(self) -> Policy | None:
        """What it says now; None: there is no such file, and nothing is restricted. Raises AgentError when it cannot be trusted."""
        try:
            if self._seen is None or _version(os.stat(self._path)) != self._seen:
                self._seen = None
                self._read()
        except FileNotFoundError as error:
            if self._is_needed:
                raise AgentError(f"cannot read the policy {self._path}: there is no such file") from error
            return None
        except OSError as error:
            raise AgentError(f"cannot read the policy {self._path}: {(error.strerror or str(error)).lower()}") from error
        return self._policy

    def _read(self) -> None:
        file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._is_needed = True
            found = os.fstat(file)
            _check_owners(self._path, found)
            content = os.read(file, _MOST_BYTES + 1)
            if not content or len(content) > _MOST_BYTES:
                why = (
                    f"it has more than {_MOST_BYTES} bytes"
                    if content
                    else "it is empty, and may be about to be written; remove it for no policy"
                )
                raise AgentError(f"cannot trust the policy {self._path}: {why}")
            self._policy = _policy(str(self._path), content)
            self._seen = _version(found)
        finally:
            os.close(file)


def _version(found: os.stat_result) -> tuple[int, ...]:
    """What changes with a file, and with who may write it."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _check_owners(path: Path, found: os.stat_result) -> None:
    """The file and every directory above it are root's or our own, and nobody else may write there."""
    if not stat.S_ISREG(found.st_mode):
        raise AgentError(f"cannot trust the policy {path}: it is not a file")
    real = Path(os.path.realpath(path))
    for each, status in ((real, found), *((above, above.stat()) for above in real.parents)):
        if status.st_uid not in (0, os.geteuid()):
            raise AgentError(f"cannot trust the policy {path}: {each} belongs to user id {status.st_uid}; chown root {each}")
        # In a sticky directory nobody can replace what another owns.
        if status.st_mode & 0o022 and not (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX):
            raise AgentError(f"cannot trust the policy {path}: others may write {each}; chmod go-w {each}")


def _policy(file: str, content: bytes) -> Policy:
    try:
        table = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AgentError(f"cannot read the policy {file}: {error}") from error
    said = _Said(file, table)
    keys = {key.id: key for key in said.each("signing_keys", _key)}
    destinations, origins, groups, runas = (said.given(name) for name in ("destinations", "origins", "groups", "runas"))
    policy = Policy(
        file=file,
        signing_keys=keys,
        require_signature=said.switch("require_signature", otherwise=False),
        groups=frozenset(said.each("groups", _group)) if groups else None,
        origins=tuple(said.each("origins", _origin)) if origins else None,
        destinations=tuple(said.each("destinations", _root)) if destinations else None,
        runas=frozenset(said.each("runas", _user)) if runas else None,
        root_hooks=said.switch("root_hooks", otherwise=True),
        no_new_privs=said.switch("no_new_privs", otherwise=False),
        hook_environment=tuple(said.each("hook_environment", _variable)),
        hook_limits=said.limits("hook_limits"),
        secret_commands=said.switch("secret_commands", otherwise=True),
        lowest_counter=said.counters("lowest_counter"),
        denied_bundles=frozenset(said.each("denied_bundles", _digest)),
        max_bundle_bytes=said.number("max_bundle_bytes"),
        max_unpacked_bytes=said.number("max_unpacked_bytes"),
        max_event_seconds=said.number("max_event_seconds"),
        freeze=said.switch("freeze", otherwise=False),
    )
    if not keys:
        for name, needs in (("require_signature", policy.require_signature), ("lowest_counter", bool(policy.lowest_counter))):
            if needs:
                said.refuse(name, "without signing_keys nothing could ever be deployed")
    return policy


class _Said:
    """The table of a policy file, and its complaints."""

    def __init__(self, file: str, table: dict[str, object]) -> None:
        self._file = file
        self._table = table
        known = [name for name in Policy.__dataclass_fields__ if name != "file"]
        for key in table:
            if key not in known:
                near = get_close_matches(key, known, n=1, cutoff=0.5)
                advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
                self.refuse(key, f"there is no such rule; {advice}")

    def refuse(self, name: str, why: str) -> NoReturn:
        raise AgentError(f"cannot use {name} in the policy {self._file}: {why}")

    def given(self, name: str) -> bool:
        return name in self._table

    def switch(self, name: str, *, otherwise: bool) -> bool:
        value = self._table.get(name, otherwise)
        if not isinstance(value, bool):
            self.refuse(name, "it has to be true or false")
        return value

    def number(self, name: str) -> int | None:
        value = self._table.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            self.refuse(name, "it has to be a whole number of 1 or more")
        return value

    def counters(self, name: str) -> dict[str, int]:
        table = self._table.get(name, {})
        if not isinstance(table, dict):
            self.refuse(name, "it has to be a table of counters by application, as in shop = 42")
        for application, counter in table.items():
            if not re.fullmatch(_NAME, application) or not isinstance(counter, int) or isinstance(counter, bool) or counter < 1:
                self.refuse(f"{name}.{application}", "it has to be a whole number of 1 or more")
        return table

    def limits(self, name: str) -> dict[str, int]:
        table = self._table.get(name, {})
        if not isinstance(table, dict):
            self.refuse(name, "it has to be a table of limits, as in open_files = 4096")
        for limit, most in table.items():
            if limit not in LIMITED:
                self.refuse(f"{name}.{limit}", f"there is no such limit; there are {', '.join(LIMITED)}")
            least = 0 if limit == "core_bytes" else 1
            if not isinstance(most, int) or isinstance(most, bool) or not least <= most < 1 << 62:
                self.refuse(f"{name}.{limit}", f"it has to be a whole number of {least} or more")
        return table

    def each(self, name: str, read: Callable[[str], _Rule]) -> list[_Rule]:
        values = self._table.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            self.refuse(name, "it has to be a list of texts in quotes")
        try:
            return [read(value) for value in values]
        except (ValueError, BadSignature) as error:
            self.refuse(name, str(error))


def _key(text: str) -> PublicKey:
    try:
        return public_key(text)
    except BadSignature as error:
        raise BadSignature(f"{text[:80]!r} is no key: {error}") from error


def _group(text: str) -> str:
    if not _GROUP.fullmatch(text):
        raise ValueError(f"{text!r} is not written as APPLICATION/GROUP")
    return text


def _origin(text: str) -> str:
    if text in PLACES:
        return text
    scheme, colon, _ = text.partition(":")
    if not colon or scheme not in ("s3", "github", "file", "http", "https"):
        raise ValueError(f"{text!r} is neither one of {', '.join(PLACES)} nor s3://BUCKET/, github:ACCOUNT/, https://HOST/ or file:/PATH")
    if scheme in ("http", "https") and (plain_url(text) is None or "?" in text):
        raise ValueError(f"{text!r} is not a plain URL")
    return text


def _root(text: str) -> str:
    if not text.startswith("/") or posixpath.normpath(text) != text:
        raise ValueError(f"{text!r} is not an absolute path without . and .. and a slash at its end")
    return text


def _user(text: str) -> str:
    if not text or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} is no user's name")
    return text


def _variable(text: str) -> str:
    if not _VARIABLE.fullmatch(text):
        raise ValueError(f"{text!r} is no name of a variable, nor the beginning of one and a star, as in AWS_*")
    return text


def _digest(text: str) -> str:
    if not _DIGEST.fullmatch(text):
        raise ValueError(f"{text!r} is not a SHA-256 in 64 digits of 0-9 a-f")
    return text
