"""What an AppSpec file may say: the keys, their defaults and coercions, as the original reads them.

Where the original swallows a mistake silently, the file is accepted too and a warning says what will not happen.
"""

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TypeVar

from agent.appspec import SCRIPTED_EVENTS, AppSpec, AppSpecError, FileMapping, Permission, Script
from agent.appspec.items import Entry, Item, YamlError, load
from agent.appspec.permission_rules import permission

_DEFAULT_TIMEOUT = 3600
_LONGEST_TIMEOUT = 3600  # All scripts of one event together; longer ones are accepted, as the original's agent does.
_BEHAVIORS = ("DISALLOW", "OVERWRITE", "RETAIN")
_TOP_LEVEL = ("version", "os", "files", "permissions", "hooks", "file_exists_behavior")
_SCRIPT_KEYS = ("location", "timeout", "runas", "sudo")

T = TypeVar("T")


def read(content: bytes, name: str) -> AppSpec:
    """Read an AppSpec file; raises AppSpecError that begins with "cannot read" and its name."""
    try:
        top = load(content)
        if top is None or top.value is None:
            raise AppSpecError(f"cannot read {name}: the file is empty")
        return _Reader().top(top)
    except YamlError as error:
        raise AppSpecError(f"cannot read {name} {error}") from error


class _Reader:
    """Reads one file and gathers its warnings."""

    def __init__(self) -> None:
        self._warnings: list[str] = []

    def top(self, top: Item) -> AppSpec:
        keys = _mapping(top, "an AppSpec file is a mapping: version, os, files, hooks ...")
        self._check_version(top, keys)
        self._check_os(top, keys)
        behavior = self._file_exists_behavior(keys)
        files = tuple(self._each(keys.get("files"), "files", self._file))
        permissions = tuple(self._each(keys.get("permissions"), "permissions", self._permission))
        hooks = dict(self._hooks(keys.get("hooks")))
        for key, entry in keys.items():
            if key not in _TOP_LEVEL:
                self._warn_of_unknown(key, entry)
        return AppSpec(
            files=files,
            permissions=permissions,
            hooks=MappingProxyType(hooks),
            file_exists_behavior=behavior,
            warnings=tuple(self._warnings),
        )

    def _warn(self, item: Item, text: str) -> None:
        self._warnings.append(f"line {item.line}: {text}")

    def _warn_of_unknown(self, key: str, entry: Entry) -> None:
        if key in SCRIPTED_EVENTS:
            self._warn(entry.key, f"{key} stands beside hooks, not below it: its scripts never run; indent it")
        else:
            meant = {"permission": "permissions", "file": "files", "hook": "hooks"}.get(key)
            self._warn(entry.key, f"the key {key} is ignored" + (f"; did you mean {meant}?" if meant else ""))

    def _check_version(self, top: Item, keys: dict[str, Entry]) -> None:
        item = keys["version"].value if "version" in keys else top
        if "version" not in keys or isinstance(item.value, (bool, str)) or item.value != 0:
            raise item.error("version must be the number 0.0, without quotes")

    def _check_os(self, top: Item, keys: dict[str, Entry]) -> None:
        item = keys["os"].value if "os" in keys else top
        if "os" not in keys or item.value != "linux":
            said = repr(item.value) if "os" in keys and isinstance(item.value, (str, int, float)) else "nothing"
            raise item.error(f"os must be linux (lower case) for this agent; the file says {said}")

    def _file_exists_behavior(self, keys: dict[str, Entry]) -> str | None:
        entry = keys.get("file_exists_behavior")
        if entry is None or entry.value.value is None:
            return None
        if not isinstance(entry.value.value, str) or entry.value.value not in _BEHAVIORS:
            raise entry.value.error(f"file_exists_behavior must be {', '.join(_BEHAVIORS[:2])} or {_BEHAVIORS[2]}, in upper case")
        return entry.value.value

    def _each(self, entry: Entry | None, name: str, read_one: Callable[[Item], T]) -> Iterator[T]:
        if entry is None or entry.value.value is None:
            return
        if not isinstance(entry.value.value, tuple):
            raise entry.value.error(f"{name} must be a list: begin each entry with a dash")
        for item in entry.value.value:
            yield read_one(item)

    def _file(self, item: Item) -> FileMapping:
        keys = _mapping(item, "an entry of files is a mapping with source and destination")
        source, destination = _text(item, keys, "source"), _text(item, keys, "destination")
        at = keys["destination"].value
        if not destination.strip():
            raise at.error("destination is empty; write / for the root of the host")
        if destination.startswith("~"):
            raise at.error(f"destination {destination}: a tilde is not expanded; write the absolute path")
        if not destination.startswith("/"):
            self._warn(at, f"destination {destination} is relative: it is taken from the root directory; write /{destination}")
        for key, entry in keys.items():
            if key not in ("source", "destination"):
                why = "; use file_exists_behavior at the top level" if key == "overwrite" else ""
                self._warn(entry.key, f"the key {key} of a files entry is ignored{why}")
        inside = _inside_bundle(keys["source"].value, "" if source == "\\" else source)
        if inside and PurePosixPath(destination).name == PurePosixPath(inside).name and "." in PurePosixPath(inside).name:
            self._warn(at, f"destination {destination} is a directory that receives the file: the result is {destination}/{inside}")
        return FileMapping(source=inside, destination=destination)

    def _permission(self, item: Item) -> Permission:
        return permission(item, _mapping(item, "an entry of permissions is a mapping with object"), self._warn)

    def _hooks(self, entry: Entry | None) -> Iterator[tuple[str, tuple[Script, ...]]]:
        if entry is None or entry.value.value is None:
            return
        for event, scripts in _mapping(entry.value, "hooks must be a mapping of lifecycle events to lists of scripts").items():
            if event not in SCRIPTED_EVENTS:
                self._warn(scripts.key, f"the scripts of {event} never run: hooks are {', '.join(SCRIPTED_EVENTS)}")
            found = tuple(self._each(scripts, f"hook {event}", self._script))
            total = sum(script.timeout for script in found)
            if total > _LONGEST_TIMEOUT:
                self._warn(scripts.key, f"the timeouts of {event} add up to {total} s; CodeDeploy allows {_LONGEST_TIMEOUT} s an event")
            yield event, found

    def _script(self, item: Item) -> Script:
        keys = _mapping(item, "a script is a mapping with location, timeout, runas")
        entry = keys.get("location")
        spelt = "" if entry is None else _spelt(entry.value).strip()
        if entry is None or not spelt:
            raise (item if entry is None else entry.value).error("a script needs a location: its path in the bundle")
        if spelt.startswith("/"):
            self._warn(entry.value, f"location {spelt} is taken from the root of the bundle")
        for key, unknown in keys.items():
            if key not in _SCRIPT_KEYS:
                self._warn(unknown.key, f"the key {key} of a script is ignored")
        location = _inside_bundle(entry.value, spelt)
        if not location:
            raise entry.value.error(f"location {spelt} is no file")
        return Script(location=location, timeout=self._timeout(keys), runas=self._runas(keys), sudo=self._sudo(keys))

    def _timeout(self, keys: dict[str, Entry]) -> int:
        entry = keys.get("timeout")
        if entry is None or entry.value.value is None or entry.value.value is False:
            return _DEFAULT_TIMEOUT
        item = entry.value
        seconds = _to_i(item)
        if seconds is None or seconds <= 0:
            raise item.error(f"timeout must be a number of seconds above 0, not {_spelt(item)!r}")
        if str(seconds) != item.text:
            self._warn(item, f"timeout {_spelt(item)} is read as {seconds} s")
        return seconds

    def _runas(self, keys: dict[str, Entry]) -> str | None:
        entry = keys.get("runas")
        if entry is None or entry.value.value is None:
            return None
        user = _spelt(entry.value).strip()
        if not user:
            self._warn(entry.value, "runas is empty: the script runs as the agent's user")
        return user or None

    def _sudo(self, keys: dict[str, Entry]) -> bool:
        entry = keys.get("sudo")
        if entry is None or entry.value.value is None:
            return False
        if not isinstance(entry.value.value, bool):
            self._warn(entry.value, "sudo is neither true nor false: anything but false and nothing counts as true")
            return True
        return entry.value.value


def _mapping(item: Item, otherwise: str) -> dict[str, Entry]:
    if not isinstance(item.value, dict):
        raise item.error(otherwise)
    return item.value


def _text(item: Item, keys: dict[str, Entry], name: str) -> str:
    entry = keys.get(name)
    if entry is None or entry.value.value is None:
        raise (item if entry is None else entry.value).error(f"an entry of files needs a {name}")
    if not isinstance(entry.value.value, str):
        raise entry.value.error(f"{name} must be a path; quote it if it looks like a number or a word such as yes")
    if "\0" in entry.value.value or "\n" in entry.value.value:
        raise entry.value.error(f"{name} must be one line")
    return entry.value.value


def _spelt(item: Item) -> str:
    """How a scalar was written."""
    if isinstance(item.value, (tuple, dict)):
        raise item.error("a single value is expected here")
    return item.text or str(item.value)


def _inside_bundle(item: Item, path: str) -> str:
    """A path of the bundle without what does not matter: leading slashes, dots, doubled slashes."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                raise item.error(f"{path} leads out of the bundle")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _to_i(item: Item) -> int | None:
    """Ruby's to_i: the number at the beginning, fractions cut off."""
    if isinstance(item.value, bool) or isinstance(item.value, (tuple, dict)) or item.value is None:
        return None
    if isinstance(item.value, str):
        digits = "".join(_leading_digits(item.value.strip()))
        return int(digits) if digits and len(digits) <= 20 else None
    return int(item.value) if abs(item.value) < 1e15 else None


def _leading_digits(text: str) -> Iterator[str]:
    for character in text.replace("_", ""):
        if character not in "0123456789":
            return
        yield character
