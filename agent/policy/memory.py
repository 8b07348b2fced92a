"""What this host has verified and run before, in a file of its own: `releases.json` in the agent's data directory.

It is what stands between a coordinator and old releases, so it is on the disk before anything follows from it, and a file that cannot be
read keeps the agent from starting.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from agent.errors import AgentError
from agent.workspace import disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "releases.json"
_FORMAT = 1
_MOST_BUNDLES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found good about an unpacked bundle: which statement (its SHA-256), and the AppSpec in normal form (its SHA-256)."""

    statement: str
    appspec: str


@dataclass(slots=True, kw_only=True)
class Releases:
    """What ran of one application: the highest counter, and the SHA-256 of every bundle, oldest first."""

    highest: int = 0
    ran: list[str] = field(default_factory=list)


class Memory:
    """Reads and writes the file. Verified bundles are known by the directory of their deployment: GROUP_ID/DEPLOYMENT_ID."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._latest = 0
        self._applications: dict[str, Releases] = {}
        self._verified: dict[str, Verified] = {}
        try:
            self._read(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return
        except OSError as error:
            raise AgentError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            why = "without it nobody can say which releases ran here; restore it, or remove it to begin anew at lowest_counter"
            raise AgentError(f"cannot read {path}: it is damaged ({error!r}); {why}") from error

    def highest(self, application: str) -> int:
        """The highest counter that ever ran here successfully; 0 when none did."""
        return self._of(application).highest

    def ran(self, application: str, bundle_sha256: str) -> bool:
        """Whether this bundle ran here successfully."""
        return bundle_sha256 in self._of(application).ran

    def applications(self) -> dict[str, Releases]:
        """What ran of every application."""
        return dict(self._applications)

    @property
    def latest(self) -> int:
        """The latest time, in milliseconds since 1970, at which a release was admitted: the clock was that far once."""
        return self._latest

    def verified(self, directory: str) -> Verified | None:
        """What was found good about the bundle that is unpacked for a deployment; None: nothing was."""
        return self._verified.get(directory)

    def forget(self, directory: str) -> None:
        """Nothing good is known any more about what is unpacked there."""
        if self._verified.pop(directory, None) is not None:
            self._write()

    def verify(self, directory: str, verified: Verified, *, at: int, is_kept: Callable[[str], bool]) -> None:
        """What is unpacked for a deployment was found good; forgets directories that are not kept any more."""
        self._verified = {known: found for known, found in self._verified.items() if is_kept(known)}
        self._verified[directory] = verified
        self._latest = max(self._latest, at)
        self._write()

    def succeeded(self, application: str, counter: int, bundle_sha256: str) -> None:
        """A release has run here from its first event to its last."""
        releases = self._of(application)
        if releases.highest >= counter and releases.ran[-1:] == [bundle_sha256]:
            return
        releases.highest = max(releases.highest, counter)
        releases.ran = [*(each for each in releases.ran if each != bundle_sha256), bundle_sha256][-_MOST_BUNDLES:]
        self._applications[application] = releases
        self._write()

    def _of(self, application: str) -> Releases:
        return self._applications.get(application, Releases())

    def _read(self, found: dict[str, Any]) -> None:  # Any: what comes out of JSON has no type until it has been read
        if found["format"] != _FORMAT:
            raise ValueError(f"format {found['format']}, this agent reads {_FORMAT}")
        self._latest = int(found["latest"])
        for application, each in found["applications"].items():
            self._applications[application] = Releases(highest=int(each["highest"]), ran=[str(one) for one in each["ran"]])
        for directory, each in found["verified"].items():
            self._verified[directory] = Verified(statement=str(each["statement"]), appspec=str(each["appspec"]))

    def _write(self) -> None:
        found = {
            "format": _FORMAT,
            "latest": self._latest,
            "applications": {application: asdict(each) for application, each in self._applications.items()},
            "verified": {directory: asdict(each) for directory, each in self._verified.items()},
        }
        disk.replace_whole({self._path: json.dumps(found)})
