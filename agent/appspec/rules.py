"""What an AppSpec file may say: its top level and `files`, with their defaults and coercions, as the original reads them.

Where the original swallows a mistake silently, the file is accepted too and a finding says what will not happen.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from types import MappingProxyType

from agent.appspec import EXTENSION, SCRIPTED_EVENTS, AppSpec, FileMapping, Script
from agent.appspec.extension import Extension, read_extension
from agent.appspec.findings import Finding, Flaw, Severity
from agent.appspec.hooks import read_hooks
from agent.appspec.items import Entry, Item
from agent.appspec.permissions import check_effect, read_permission
from agent.appspec.plain import load
from agent.appspec.values import Findings, Keys, given, inside_bundle, line, mapping

_WARNINGS = 50  # Said of one file at a deployment.
_BEHAVIORS = ("DISALLOW", "OVERWRITE", "RETAIN")
_TOP_LEVEL = ("version", "os", "files", "permissions", "hooks", "file_exists_behavior", EXTENSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """A file as far as it can be read, and all that is to be said about it; with `flaws` it cannot be used.

    `top` is what the values were read from, None when there is nothing.
    """

    appspec: AppSpec
    top: Item | None = None
    findings: tuple[Finding, ...] = ()
    flaws: tuple[Finding, ...] = ()

    def and_also(self, findings: Iterable[Finding]) -> "Examination":
        """The same with more to say."""
        return replace(self, findings=tuple(sorted((*self.findings, *findings), key=_place)))


def examine(content: bytes) -> Examination:
    """Read an AppSpec file to its end, whatever is wrong with it."""
    findings = Findings()
    top = findings.attempt(lambda: _top(content, findings), None)
    appspec = AppSpec() if top is None else findings.attempt(lambda: _whole(top, findings), AppSpec())
    return Examination(appspec=appspec, top=top, flaws=tuple(findings.flaws)).and_also(findings.all)


def _top(content: bytes, findings: Findings) -> Item:
    top = load(content, findings.notice)
    if top is None or top.value is None:
        raise Flaw(Finding(line=1, column=1, rule="syntax", message="the file is empty"))
    return top


def _whole(top: Item, findings: Findings) -> AppSpec:
    keys = mapping(top, "an AppSpec file is a mapping: version, os, files, hooks ...")
    findings.attempt(lambda: _check_platform(top, keys), None)
    findings.attempt(lambda: _check_version(top, keys), None)
    behavior = findings.attempt(lambda: _file_exists_behavior(keys), None)
    if behavior == "RETAIN":
        message = "files that exist already are left alone: permissions do not reach them, and later deployments do not remove them"
        findings.notice(keys["file_exists_behavior"].value.finding("retained-files", message))
    files = findings.attempt(lambda: findings.each(keys.get("files"), "files", lambda item: _file(item, findings)), ())
    permissions = findings.attempt(
        lambda: findings.each(keys.get("permissions"), "permissions", lambda item: read_permission(item, findings)), ()
    )
    check_effect(keys.get("permissions"), files, findings)
    hooks: dict[str, tuple[Script, ...]] = findings.attempt(lambda: read_hooks(given(keys, "hooks"), findings), {})
    extension = findings.attempt(lambda: read_extension(given(keys, EXTENSION), hooks, findings), Extension())
    _check_top_level(keys, findings)
    return AppSpec(
        files=files,
        permissions=permissions,
        hooks=MappingProxyType(hooks),
        always=extension.always,
        on_failure=extension.on_failure,
        file_exists_behavior=behavior,
        env=extension.env,
        repeatable=extension.repeatable,
        probed=extension.probed,
        probe=extension.probe,
        preserve_directory_symlinks=extension.preserve_directory_symlinks,
        warnings=tuple(_warnings(findings)),
    )


def _warnings(findings: Findings) -> list[str]:
    """What the agent says of a file that it uses; notes are about other agents."""
    said = sorted((each for each in findings.all if each.severity is not Severity.NOTE), key=_place)
    more = [f"and {len(said) - _WARNINGS} more; `hookline-agent lint` lists them"] if len(said) > _WARNINGS else []
    return [f"line {each.line}: {each}" for each in said[:_WARNINGS]] + more


def _place(finding: Finding) -> tuple[int, int]:
    return finding.line, finding.column


def _check_top_level(keys: Keys, findings: Findings) -> None:
    """What stands where nobody reads it."""
    rest: dict[str, Entry] = {}
    for key, entry in keys.items():
        inner = entry.value.value
        if key in SCRIPTED_EVENTS:
            message = f"{key} stands beside hooks, not below it: its scripts never run"
            findings.notice(entry.key.finding("hook-outside-hooks", message, "indent it, below hooks"))
        elif key not in _TOP_LEVEL and isinstance(inner, dict) and "file_exists_behavior" in inner:
            at = inner["file_exists_behavior"].key
            message = f"file_exists_behavior stands below {key}, where it is ignored"
            findings.notice(at.finding("file-exists-behavior-elsewhere", message, "move it to the top level"))
        else:
            rest[key] = entry
    findings.unknown_keys(rest, _TOP_LEVEL, "")


def _check_version(top: Item, keys: Keys) -> None:
    item = keys["version"].value if "version" in keys else top
    if "version" not in keys or isinstance(item.value, (bool, str)) or item.value != 0:
        raise item.flaw("version", "version must be the number 0.0, without quotes")


def _check_platform(top: Item, keys: Keys) -> None:
    if "os" not in keys and ("Resources" in keys or "resources" in keys):
        raise top.flaw("other-platform", "this AppSpec file is for Lambda or ECS: it has resources and no os", "deploy it with CodeDeploy")
    item = keys["os"].value if "os" in keys else top
    if "os" not in keys or item.value != "linux":
        said = repr(item.value) if "os" in keys and isinstance(item.value, (str, int, float)) else "nothing"
        raise item.flaw("os", f"os must be linux (lower case) for this agent; the file says {said}")


def _file_exists_behavior(keys: Keys) -> str | None:
    item = given(keys, "file_exists_behavior")
    if item is None:
        return None
    if not isinstance(item.value, str) or item.value not in _BEHAVIORS:
        message = f"file_exists_behavior must be {', '.join(_BEHAVIORS[:2])} or {_BEHAVIORS[2]}, in upper case"
        raise item.flaw("file-exists-behavior", message)
    return item.value


def _file(item: Item, findings: Findings) -> FileMapping:
    keys = mapping(item, "an entry of files is a mapping with source and destination")
    source, destination = _path(item, keys, "source"), _path(item, keys, "destination")
    at, source_at = keys["destination"].value, keys["source"].value
    _check_destination(at, destination, findings)
    if not source:
        findings.notice(source_at.finding("empty-source", "an empty source means the whole bundle", "write /"))
    if "*" in source:
        message = f"source {source}: a star stands for itself, no pattern is expanded"
        findings.notice(source_at.finding("glob-in-source", message, "name the directory, whose contents are copied"))
    if "\\" in source and source != "\\":
        findings.notice(source_at.finding("backslash", f"source {source} holds a backslash, which is part of the name", "write /"))
    if "overwrite" in keys:
        message = "overwrite does nothing in an entry of files"
        findings.notice(keys["overwrite"].key.finding("overwrite-in-files", message, "use file_exists_behavior at the top level"))
    findings.unknown_keys(keys, ("source", "destination", "overwrite"), " of a files entry")
    inside = inside_bundle(source_at, "" if source == "\\" else source)
    name = PurePosixPath(inside).name
    if inside and PurePosixPath(destination).name == name and "." in name:
        message = f"destination {destination} is a directory that receives the file: the result is {destination}/{name}"
        findings.notice(at.finding("destination-repeats-name", message, f"write {PurePosixPath(destination).parent}"))
    return FileMapping(source=inside, destination=destination)


def _check_destination(at: Item, destination: str, findings: Findings) -> None:
    if not destination.strip():
        raise at.flaw("missing-key", "destination is empty", "write / for the root of the host")
    if destination.startswith("~"):
        raise at.flaw("tilde", f"destination {destination}: a tilde is not expanded", "write the absolute path")
    if not destination.startswith("/"):
        message = f"destination {destination} is relative: it is taken from the root directory"
        findings.notice(at.finding("relative-path", message, f"write /{destination}"))


def _path(item: Item, keys: Keys, name: str) -> str:
    found = given(keys, name)
    if found is None:
        raise (keys[name].value if name in keys else item).flaw("missing-key", f"an entry of files needs a {name}")
    return line(found, name)
