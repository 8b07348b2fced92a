"""What a host's own policy allows, as values; and the few questions that need nothing but it. Pure."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from agent.model import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.model import Location
    from agent.policy.signatures import PublicKey

PLACES = tuple(place.value for place in Place)

ALWAYS_SEEN = (
    *("PATH", "HOME", "SHELL", "USER", "LOGNAME", "TZ", "LANG", "LANGUAGE", "LC_*", "TMPDIR"),
    *(f"{scheme}_proxy" for scheme in ("http", "https", "ftp", "all", "no")),
    *(f"{scheme}_PROXY" for scheme in ("HTTP", "HTTPS", "FTP", "ALL", "NO")),
)
"""What hooks see of the agent's environment on every host that has it; a star stands for the rest of a name."""

LIMITED = ("open_files", "processes", "memory_bytes", "file_bytes", "core_bytes", "cpu_seconds")
"""What scripts can be held to: the kernel's resource limits, by names that say what they count."""

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the administrator of a host allows its coordinator. None: everything; `file` is how sentences name where it stands."""

    file: str
    signing_keys: Mapping[str, PublicKey] = field(default_factory=dict)
    require_signature: bool = False
    groups: frozenset[str] | None = None
    origins: tuple[str, ...] | None = None
    destinations: tuple[str, ...] | None = None
    runas: frozenset[str] | None = None
    root_hooks: bool = True
    no_new_privs: bool = False
    hook_environment: tuple[str, ...] = ()  # beside ALWAYS_SEEN
    hook_limits: Mapping[str, int] = field(default_factory=dict)  # by LIMITED
    secret_commands: bool = True
    lowest_counter: Mapping[str, int] = field(default_factory=dict)
    denied_bundles: frozenset[str] = frozenset()
    max_bundle_bytes: int | None = None
    max_unpacked_bytes: int | None = None
    max_event_seconds: int | None = None
    freeze: bool = False


def summary(policy: Policy | None) -> str:
    """What a policy restricts, in a line."""
    if policy is None:
        return "none: the coordinator may do anything that the agent's user may"
    signing = (
        "" if not policy.signing_keys else f"keys {', '.join(policy.signing_keys)}" + (", required" if policy.require_signature else "")
    )
    parts = ["frozen: nothing begins"] if policy.freeze else []
    parts += [signing] if signing else []
    for name in ("groups", "origins", "destinations", "runas"):
        allowed = getattr(policy, name)
        parts += [] if allowed is None else [f"{name} {', '.join(sorted(allowed)) or 'none'}"]
    parts += [] if policy.root_hooks else ["no root hooks"]
    parts += ["no new privileges for hooks"] if policy.no_new_privs else []
    parts += [f"hooks see {', '.join(policy.hook_environment)}"] if policy.hook_environment else []
    parts += [f"hooks limited to {name} {most}" for name, most in policy.hook_limits.items()]
    parts += [] if policy.secret_commands else ["no commands for secrets"]
    parts += [f"{application} from {counter}" for application, counter in policy.lowest_counter.items()]
    return f"{policy.file}: {'; '.join(parts) or 'restricts little'}"


def seen(environment: Mapping[str, str], more: Iterable[str]) -> dict[str, str]:
    """Of the agent's environment what hooks see: what they always do, and what these names stand for."""
    named = (*ALWAYS_SEEN, *more)
    names, beginnings = frozenset(named), tuple(name[:-1] for name in named if name.endswith("*"))
    return {name: value for name, value in environment.items() if name in names or name.startswith(beginnings)}


def origin(location: Location) -> str:
    """Where a bundle comes from, as `origins` spells it."""
    words = dict(location.words)
    match location.place:
        case Place.COORDINATOR:
            return "coordinator"
        case Place.S3:
            return f"s3://{words['bucket']}/{words['key']}"
        case Place.GITHUB:
            return f"github:{words['repository']}"
        case Place.FILE:
            return f"file:{words['path']}"
        case Place.HTTP:
            return words["url"].partition("?")[0]


def allows_origin(allowed: tuple[str, ...], location: Location) -> bool:
    """Whether a bundle may come from there: a place's bare name allows all of it, anything longer what lies below."""
    if location.place.value in allowed:
        return True
    where = origin(location)
    if location.place is Place.HTTP:
        return allows_url(allowed, where)
    if any(part in (".", "..") for part in where.partition(":")[2].split("/")):
        return False
    return any(_is_below(where, each) for each in allowed)


def allows_url(allowed: tuple[str, ...], url: str) -> bool:
    """Whether a bundle may come from a web server's address, without its query: that of a revision, or one that a server redirects to."""
    plain = plain_url(url.partition("?")[0])
    below = (plain_url(each) or "" for each in allowed if each.startswith(("http:", "https:")))
    return Place.HTTP.value in allowed or (plain is not None and any(_is_below(plain, each) for each in below))


def plain_url(url: str) -> str | None:
    """A URL in its one plain spelling, port included; None where servers could disagree on what it names."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme.lower())
    except ValueError:
        return None
    path = unquote(parts.path)
    odd = any(each in parts.path.lower() for each in ("%2f", "%5c", "%25", "%00")) or "\\" in path or not path.isprintable()
    if odd or parts.username is not None or not parts.hostname or port is None or any(each in (".", "..") for each in path.split("/")):
        return None
    return f"{parts.scheme.lower()}://{parts.hostname}:{port}{path or '/'}"


def allows_destination(roots: tuple[str, ...], destination: str) -> bool:
    """Whether a destination, as an AppSpec writes it, lies at or below one of these, before any symlink is followed."""
    path = posixpath.normpath("/" + destination.lstrip("/"))
    return any(_is_below(path, root) for root in roots)


def _is_below(path: str, above: str) -> bool:
    if not above:
        return False
    return path == above or path.startswith(above if above.endswith("/") else above + "/")
