"""What `x-hookline` may say: the one key that is ours, at the top level and in a script. CodeDeploy's agents ignore it.

Nobody else has read it before, so nothing below it is tolerated: what is not understood is refused.
"""

import re
from dataclasses import dataclass

from agent.appspec import SCRIPTED_EVENTS
from agent.appspec.items import Item
from agent.appspec.values import Findings, Keys, given, mapping, spelt
from agent.references import COMMAND, ENV, FILE, KINDS, reference
from agent.references import spelt as spelt_reference

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = re.compile(r"HOOKLINE_.*|BUNDLE_(?:BUCKET|KEY|VERSION|ETAG|COMMIT)|LIFECYCLE_EVENT|DEPLOYMENT_.*|APPLICATION_NAME")
_TOP_KEYS = ("env", "interrupted", "directory_symlinks")
_SCRIPT_KEYS = ("args", "env")
_LATER = ("always", "on_failure")

Environment = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """`x-hookline` of the whole file; scripts of `repeatable` events may run again when they were interrupted."""

    env: Environment = ()
    repeatable: tuple[str, ...] = ()
    preserve_directory_symlinks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptExtension:
    """`x-hookline` of one script."""

    args: tuple[str, ...] = ()
    env: Environment = ()


NO_SCRIPT_EXTENSION = ScriptExtension()


def read_extension(item: Item | None, findings: Findings) -> Extension:
    """What the file asks of all its scripts."""
    if item is None:
        return Extension()
    keys = mapping(item, "x-hookline must be a mapping")
    findings.attempt(lambda: _check_keys(keys, _TOP_KEYS), None)
    return Extension(
        env=findings.attempt(lambda: _env(keys), ()),
        repeatable=findings.attempt(lambda: _repeatable(keys), ()),
        preserve_directory_symlinks=findings.attempt(lambda: _preserves(keys), False),
    )


def read_script_extension(item: Item | None, findings: Findings) -> ScriptExtension:
    """What the file asks of one script."""
    if item is None:
        return NO_SCRIPT_EXTENSION
    keys = mapping(item, "x-hookline of a script must be a mapping")
    findings.attempt(lambda: _check_keys(keys, _SCRIPT_KEYS), None)
    return ScriptExtension(args=findings.attempt(lambda: _args(keys), ()), env=findings.attempt(lambda: _env(keys), ()))


def _check_keys(keys: Keys, known: tuple[str, ...]) -> None:
    for key, entry in keys.items():
        if key in _LATER and "interrupted" in known:
            raise entry.key.flaw("extension", f"{key} is not supported by this agent yet", "remove it")
        if key not in known:
            raise entry.key.flaw("extension", f"x-hookline has no key {key} here", f"it takes {', '.join(known[:-1])} and {known[-1]}")


def _repeatable(keys: Keys) -> tuple[str, ...]:
    """The events whose scripts may run again: all by one word, or each by its own."""
    item = given(keys, "interrupted")
    if item is None:
        return ()
    if not isinstance(item.value, dict):
        return SCRIPTED_EVENTS if _is_rerun(item) else ()
    for event, entry in item.value.items():
        if event not in SCRIPTED_EVENTS:
            raise entry.key.flaw("extension", f"{event} runs no scripts", f"hooks are {', '.join(SCRIPTED_EVENTS)}")
    return tuple(event for event, entry in item.value.items() if _is_rerun(entry.value))


def _is_rerun(item: Item) -> bool:
    if item.value == "probe":
        raise item.flaw("extension", "interrupted: probe is not supported by this agent yet", "write fail or rerun")
    if item.value not in ("fail", "rerun"):
        raise item.flaw("extension", "interrupted must be fail or rerun, or a mapping of lifecycle events to one of these")
    return item.value == "rerun"


def _preserves(keys: Keys) -> bool:
    item = given(keys, "directory_symlinks")
    if item is not None and item.value not in ("copy", "preserve"):
        raise item.flaw("extension", "directory_symlinks must be copy or preserve", "copy is what CodeDeploy does")
    return item is not None and item.value == "preserve"


def _env(keys: Keys) -> Environment:
    item = given(keys, "env")
    if item is None:
        return ()
    env = []
    for name, entry in mapping(item, "env must be a mapping of names to values").items():
        if _ENV_NAME.fullmatch(name) is None:
            raise entry.key.flaw("extension", f"{name!r} is no name of an environment variable", "use letters, digits and _")
        if _OURS.fullmatch(name):
            raise entry.key.flaw("extension", f"{name} is set by the agent", "take another name")
        env.append((name, "" if entry.value.value is None else _value(entry.value)))
    return tuple(env)


def _value(item: Item) -> str:
    """A text, or a reference to what only the host knows: `{file: /path}`, or the same as a text."""
    if not isinstance(item.value, dict):
        text = _content(item)
        found = reference(text)
        return text if found is None else _reference(item, *found)
    if len(item.value) == 1:
        ((written, entry),) = item.value.items()
        if entry.value.value is not None:
            written = f"{written}:{_content(entry.value)}"
        found = reference(f"{{{written}}}")
        if found is not None:
            return _reference(item, *found)
    raise item.flaw("extension", "this is neither a value nor a reference", f"a reference is one of {', '.join(KINDS)}: {{file: /path}}")


def _reference(item: Item, kind: str, target: str) -> str:
    if kind == FILE and not target.startswith("/"):
        raise item.flaw(
            "extension", f"the reference to a file does not name an absolute path: {target!r}", "write {file: /run/secrets/...}"
        )
    if kind == ENV and _ENV_NAME.fullmatch(target) is None:
        raise item.flaw("extension", f"{target!r} is no name of an environment variable", "write {env: NAME}")
    if kind == COMMAND and not target:
        raise item.flaw("extension", "the reference to a command does not name one", "write {command: ...}")
    return spelt_reference(kind, target)


def _args(keys: Keys) -> tuple[str, ...]:
    item = given(keys, "args")
    if item is None:
        return ()
    if not isinstance(item.value, tuple):
        raise item.flaw("extension", "args must be a list", "write [--port, '8080']")
    for each in item.value:
        if isinstance(each.value, dict) or (isinstance(each.value, str) and reference(each.value) is not None):
            raise each.flaw("extension", "an argument cannot be a reference: everybody on the host can see it", "put it into env")
    return tuple(_content(each) for each in item.value)


def _content(item: Item) -> str:
    """A text as it was written, 0644 and yes included."""
    text = spelt(item)
    if "\0" in text:
        raise item.flaw("extension", "a NUL can be neither argued nor exported")
    if item.value is None:
        raise item.flaw("extension", "a value is missing here", 'write "" for the empty one')
    return text
