"""What the coordinator may do for a deployment group, whoever asks for it: where revisions come from, to how many hosts, how fast.

Pure; what an operator may do says `core/identity/access`, what a host allows its own policy.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from coordinator.core.model.revisions import CoordinatorLocation, FileLocation, GitHubLocation, HttpLocation, Place, Revision, S3Location

COORDINATOR: Final = "coordinator"
"""The source of bundles that were pushed."""

_ODD: Final = re.compile(r"(?:^|[/\\])\.\.?(?:$|[/\\?#;])|%(?:2e|2f|5c|25)|\\", re.IGNORECASE)
"""A part that leads elsewhere, or one that may be read so once it is decoded."""
_PATTERN: Final = re.compile(r"(?:https?|s3|github)://[^/*\s]+(?:/[^*\s]*)?(?<!\*)|file:///[^*\s]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRole:
    """The bounds of a group; those that are left out bound nothing."""

    sources: tuple[str, ...] = ()
    """Where revisions may come from: `source_of` of a place, or one that ends with /* for everything below."""
    max_hosts: int = 0
    config_names: tuple[str, ...] = ()
    automatic_rollback: bool = True

    def refuses(self, revision: Revision, config_name: str, *, hosts: int, back: str = "") -> str:
        """Why a deployment is outside of these bounds; empty: it is not. `back`: the config by which it is rolled back, if not its own."""
        source = source_of(revision.place)
        if not reads(self.sources, source):
            return f"with revisions from {', '.join(self.sources)}, and {revision.revision_id} comes from {source}"
        if self.config_names and config_name not in self.config_names:
            return f"with {', '.join(self.config_names)}, and not with {config_name}"
        if self.config_names and back and back not in self.config_names:
            return f"with {', '.join(self.config_names)}, and not roll back with {back}"
        if self.max_hosts and hosts > self.max_hosts:
            return f"to at most {self.max_hosts} of its hosts, and these are {hosts}; name some of them, or have more allowed"
        return ""


def reads(sources: Sequence[str], source: str) -> bool:
    """Whether these patterns let a source be read; none of them: any."""
    return not sources or any(covers(pattern, source) for pattern in sources)


def source_of(place: Place) -> str:
    """Where a bundle lies, in one line that patterns are compared with."""
    match place:
        case CoordinatorLocation():
            return COORDINATOR
        case S3Location(bucket=bucket, key=key):
            return f"s3://{bucket}/{key}"
        case GitHubLocation(repository=repository):
            return f"github://{repository.lower()}"
        case FileLocation(path=path):
            return f"file://{path}"
        case HttpLocation(url=url):
            scheme, _, rest = url.partition("://")
            host, slash, path = rest.partition("/")
            return f"{scheme.lower()}://{host.lower()}{slash}{path}"


def covers(pattern: str, source: str) -> bool:
    """Whether a pattern names a source, or what it lies below. What a server could read as another path lies below nothing."""
    if not pattern.endswith("/*"):
        return pattern == source
    below = pattern.removesuffix("*")
    rest = source.removeprefix(below)
    return source.startswith(below) and bool(rest) and not _ODD.search(rest)


def pattern_of(typed: str) -> str:
    """A pattern as it is kept. Raises ValueError with a sentence for what could cover more than it seems to."""
    if typed == COORDINATOR:
        return typed
    bare = typed.removesuffix("/*")
    if len(typed) > 1024 or not _PATTERN.fullmatch(bare) or (bare == typed and typed.endswith("/")):
        raise ValueError(
            f"cannot allow the source {typed[:100]!r}: it is coordinator, or an address such as https://HOST/PATH, s3://BUCKET/KEY, "
            "github://OWNER/REPOSITORY or file:///PATH, which may end with /* for everything below"
        )
    scheme, _, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    kept = rest.lower() if scheme == "github" else f"{host if scheme == 's3' else host.lower()}{slash}{path}"
    return f"{scheme}://{kept}{typed[len(bare) :]}"
