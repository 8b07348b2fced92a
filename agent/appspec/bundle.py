"""What is wrong between an AppSpec file and the bundle that it stands in: what would only come out on a host.

Reads a directory; changes nothing.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from agent.appspec import EXTENSION, AppSpec, AppSpecError, AppSpecNotFound, FileMapping, find_appspec
from agent.appspec.findings import Finding
from agent.appspec.items import MAX_BYTES, Item
from agent.appspec.rules import Examination, examine
from agent.appspec.values import entries, given

_SHEBANG = 256


def read_at_most(path: Path) -> bytes:
    """The content of an AppSpec file, or as much of it as shows that it is too large."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def examine_bundle(root: Path, requested: str | None = None) -> tuple[str, Examination]:
    """The name of the AppSpec file of an unpacked bundle, and what is to be said about it there; None looks for the usual names."""
    try:
        path = find_appspec(root, requested)
    except AppSpecNotFound as error:
        fix = "it has an appspec.json: rename it" if (root / "appspec.json").exists() else "put appspec.yml into the root of the bundle"
        return requested or "appspec.yml", _refused("missing-appspec", str(error), fix)
    except AppSpecError as error:
        return requested or "appspec.yml", _refused("outside-bundle", str(error), "")
    name = path.relative_to(root.resolve()).as_posix()
    found = examine(read_at_most(path))
    if found.flaws or found.top is None:
        return name, found
    more = [*_of_name(name), *_of_files(root, found.appspec, found.top), *_of_scripts(root, found.appspec, found.top)]
    return name, found.and_also(more)


def _refused(rule: str, message: str, fix: str) -> Examination:
    finding = Finding(line=1, column=1, rule=rule, message=message, fix=fix)
    return Examination(appspec=AppSpec(), findings=(finding,), flaws=(finding,))


def _of_name(name: str) -> Iterator[Finding]:
    if name == "appspec.yaml":
        message = "CodeDeploy's first agent looks for appspec.yml when it runs hooks, and fails"
        yield Finding(line=1, column=1, rule="appspec-name", message=message, fix="call it appspec.yml")


def _of_files(root: Path, appspec: AppSpec, top: Item) -> Iterator[Finding]:
    copied: dict[str, str] = {}
    for mapping, keys in zip(appspec.files, entries(top, "files"), strict=True):
        source = keys["source"].value
        if not os.path.lexists(root / mapping.source):
            yield source.finding("source-missing", f"the bundle has no {mapping.source}", "add it to the bundle, or correct the path")
            continue
        twice = ""
        for path in _copied(root, mapping):
            twice = twice or (path if path in copied else "")
            copied.setdefault(path, mapping.source or "/")
        if twice:
            message = f"{twice} is copied twice, from {copied[twice]} and from {mapping.source or '/'}"
            yield source.finding("destination-twice", message, "remove one of the entries")
    for permission, keys in zip(appspec.permissions, entries(top, "permissions"), strict=True):
        if os.path.normpath(f"/{permission.object.lstrip('/')}") in copied and (permission.pattern != "**" or permission.except_):
            message = f"{permission.object} is a file, which takes neither pattern nor except"
            yield keys["object"].value.finding("permission-pattern-of-file", message, "remove pattern and except")


def _copied(root: Path, mapping: FileMapping) -> Iterator[str]:
    """The files that an entry makes on the host."""
    source = root / mapping.source
    destination = os.path.normpath(f"/{mapping.destination.lstrip('/')}")
    if not source.is_dir():
        yield os.path.join(destination, source.name)
        return
    for above, _, names in os.walk(source):
        for name in names:
            yield os.path.normpath(os.path.join(destination, os.path.relpath(os.path.join(above, name), source)))


def _of_scripts(root: Path, appspec: AppSpec, top: Item) -> Iterator[Finding]:
    ours = given(top.value, EXTENSION) if isinstance(top.value, dict) else None
    within = Item(value={}, line=1, column=1) if ours is None else ours
    for above, name, hooks in (
        (top, "hooks", appspec.hooks),
        (within, "on_failure", appspec.on_failure),
        (within, "always", appspec.always),
    ):
        for keys in entries(above, name):
            for event, scripts in hooks.items():
                items = keys[event].value.value
                for script, item in zip(scripts, items if isinstance(items, tuple) else (), strict=True):
                    if isinstance(item.value, dict):
                        yield from _of_script(root, script.location, item.value["location"].value)
    for keys in entries(within, "probe"):
        if appspec.probe is not None:
            yield from _of_script(root, appspec.probe.location, keys["location"].value)


def _of_script(root: Path, location: str, at: Item) -> Iterator[Finding]:
    path = (root / location).resolve()
    if not path.is_relative_to(root.resolve()):
        yield at.finding("outside-bundle", f"{location} is a symlink that leads out of the bundle", "put the script into the bundle")
    elif not path.is_file():
        what = "is a directory" if path.is_dir() else "is not in the bundle"
        yield at.finding("script-missing", f"the script {location} {what}", "add it to the bundle, or correct the location")
    else:
        with path.open("rb") as file:
            first = file.readline(_SHEBANG)
        if first.startswith(b"#!") and first.endswith(b"\r\n"):
            message = f"the first line of {location} ends with CR LF, so that its interpreter is not found"
            yield at.finding("script-line-ends", message, "save it with LF line ends; .gitattributes can keep them: *.sh text eol=lf")
        elif not first.startswith((b"#!", b"\x7fELF")):
            yield at.finding("script-without-interpreter", f"{location} does not begin with #!, and /bin/sh runs it", "add #!/bin/sh")
