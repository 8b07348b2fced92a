"""What an AppSpec file asks for, in normal form, and where the file is found in a bundle.

YAML stops inside this package. It is read once, by the process that unpacks the bundle; everybody else reads the normal form with
`AppSpec.from_json`, so the agent itself never touches a bundle's YAML.
"""

import dataclasses
import json
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType

DEFAULT_NAME = "appspec.yml"
EXTENSION = "x-hookline"
SCRIPTED_EVENTS = (
    "BeforeBlockTraffic",
    "AfterBlockTraffic",
    "ApplicationStop",
    "BeforeInstall",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
    "BeforeAllowTraffic",
    "AfterAllowTraffic",
)

CLOSING_SECONDS = 120
"""What all closing hooks of an event together may take. With the probe it is less than a coordinator waits past an event's deadline."""

PROBE_SECONDS = 60
"""What a probe may take."""


class AppSpecError(Exception):
    """A bundle's AppSpec that is missing or cannot be understood, in a sentence."""


class AppSpecNotFound(AppSpecError):
    """A bundle without AppSpec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One script of a hook; `runas` is None for the agent's own user, `env` are variables of this script alone."""

    location: str
    timeout: int
    runas: str | None
    sudo: bool
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMapping:
    """What to copy: a path in the bundle (empty: the whole bundle) and the directory on the host that receives it."""

    source: str
    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SelinuxContext:
    """An SELinux context as the AppSpec spells it; None where it says nothing."""

    type: str
    user: str | None
    range: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """Who owns what was installed and who may use it; None and () leave a thing as it is, `type` empty means both."""

    object: str
    pattern: str = "**"
    except_: tuple[str, ...] = ()
    owner: str | None = None
    group: str | None = None
    mode: int | None = None
    acls: tuple[str, ...] = ()
    context: SelinuxContext | None = None
    type: tuple[str, ...] = ("file", "directory")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSpec:
    """An AppSpec file of the server platform.

    `file_exists_behavior` None leaves it to the deployment, `env` is for all scripts. Scripts of `repeatable` events may run again when
    they were interrupted; of `probed` events, `probe` says what became of them. `on_failure` and `always` have the closing hooks of
    events. A symlink to a directory is copied as that directory unless `preserve_directory_symlinks`.
    """

    files: tuple[FileMapping, ...] = ()
    permissions: tuple[Permission, ...] = ()
    hooks: Mapping[str, tuple[Script, ...]] = field(default_factory=lambda: MappingProxyType({}))
    always: Mapping[str, tuple[Script, ...]] = field(default_factory=lambda: MappingProxyType({}))
    on_failure: Mapping[str, tuple[Script, ...]] = field(default_factory=lambda: MappingProxyType({}))
    file_exists_behavior: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    repeatable: tuple[str, ...] = ()
    probed: tuple[str, ...] = ()
    probe: Script | None = None
    preserve_directory_symlinks: bool = False
    warnings: tuple[str, ...] = ()

    def closing(self, event: str, *, failed: bool) -> tuple[Script, ...]:
        """The closing hooks of an event that has ended so, in the order in which they run."""
        return (*(self.on_failure.get(event, ()) if failed else ()), *self.always.get(event, ()))

    @property
    def scripts(self) -> Iterator[Script]:
        """Everything that may ever run."""
        for hooks in (self.hooks, self.on_failure, self.always):
            for scripts in hooks.values():
                yield from scripts
        if self.probe is not None:
            yield self.probe

    def to_json(self) -> str:
        """The normal form that is kept beside the unpacked bundle."""
        found = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        found["files"] = [dataclasses.asdict(each) for each in self.files]
        found["permissions"] = [dataclasses.asdict(each) for each in self.permissions]
        for name in ("hooks", "always", "on_failure"):
            found[name] = {event: [dataclasses.asdict(each) for each in scripts] for event, scripts in found[name].items()}
        found["probe"] = None if self.probe is None else dataclasses.asdict(self.probe)
        return json.dumps(found)

    @classmethod
    def from_json(cls, text: str | bytes) -> "AppSpec":
        """Read the normal form back."""
        found = json.loads(text)
        probe = found.get("probe")
        return cls(
            files=tuple(FileMapping(**each) for each in found["files"]),
            permissions=tuple(_permission(each) for each in found["permissions"]),
            hooks=_hooks(found["hooks"]),
            always=_hooks(found.get("always", {})),
            on_failure=_hooks(found.get("on_failure", {})),
            file_exists_behavior=found["file_exists_behavior"],
            env=_pairs(found.get("env", ())),
            repeatable=tuple(found.get("repeatable", ())),
            probed=tuple(found.get("probed", ())),
            probe=None if probe is None else _script(probe),
            preserve_directory_symlinks=found.get("preserve_directory_symlinks", False),
            warnings=tuple(found["warnings"]),
        )


def parse(content: bytes, name: str) -> AppSpec:
    """Read an AppSpec file; `name` is what error messages call it."""
    from agent.appspec.rules import examine  # Here, so that only the process that reads YAML loads it.

    found = examine(content)
    if not found.flaws:
        return found.appspec
    first = found.flaws[0]
    more = f" (and {len(found.flaws) - 1} more: `hookline-agent lint` lists them)" if len(found.flaws) > 1 else ""
    where = "" if first.message == "the file is empty" else f" line {first.line}, column {first.column}"
    raise AppSpecError(f"cannot read {name}{where}: {first}{more}")


def find_appspec(archive: Path, requested: str | None) -> Path:
    """The AppSpec file of an unpacked bundle: the requested name, else appspec.yaml, else appspec.yml; always inside it."""
    root = archive.resolve()
    names = list(dict.fromkeys([requested or DEFAULT_NAME, "appspec.yaml", DEFAULT_NAME]))
    for name in names:
        wanted = PurePosixPath(name.lstrip("/"))
        found = (root / wanted).resolve()
        if ".." in wanted.parts or not found.is_relative_to(root):
            raise AppSpecError(f"cannot read AppSpec file {name}: it lies outside the bundle")
        if found.exists() and stat.S_ISREG(found.stat().st_mode):
            return found
    raise AppSpecNotFound(f"cannot find an AppSpec file in the bundle: there is no {' and no '.join(names)} in its root; put one there")


def _hooks(found: Mapping[str, Iterable[dict[str, object]]]) -> Mapping[str, tuple[Script, ...]]:
    return MappingProxyType({event: tuple(_script(each) for each in scripts) for event, scripts in found.items()})


def _script(found: dict[str, object]) -> Script:
    values = {**found, "args": tuple(found.get("args", ())), "env": _pairs(found.get("env", ()))}  # type: ignore[arg-type]
    return Script(**values)  # type: ignore[arg-type]  # a form that only to_json writes


def _pairs(found: Iterable[Iterable[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in found)


def _permission(found: dict[str, object]) -> Permission:
    context = found["context"]
    values = dict(found, context=SelinuxContext(**context) if isinstance(context, dict) else None)
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return Permission(**{**values, **lists})  # type: ignore[arg-type]  # a form that only to_json writes
