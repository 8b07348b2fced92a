"""What one script may say, below `hooks` and wherever else one is named: with the coercions of the original, and what is ours."""

import re
from dataclasses import dataclass

from agent.appspec import EXTENSION, Script
from agent.appspec.items import Item
from agent.appspec.values import Findings, Keys, given, inside_bundle, leading_number, mapping, spelt
from agent.references import COMMAND, ENV, FILE, KINDS, reference
from agent.references import spelt as spelt_reference

SCRIPT_KEYS = ("location", "timeout", "runas", "sudo", EXTENSION)

_DEFAULT_TIMEOUT = 3600
_EXTENSION_KEYS = ("args", "env")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = re.compile(r"HOOKLINE_.*|BUNDLE_(?:BUCKET|KEY|VERSION|ETAG|COMMIT)|LIFECYCLE_EVENT|DEPLOYMENT_.*|APPLICATION_NAME")

Environment = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Extension:
    """`x-hookline` of one script."""

    args: tuple[str, ...] = ()
    env: Environment = ()


_NO_EXTENSION = _Extension()


def read_script(item: Item, findings: Findings) -> Script:
    """The script that a mapping names."""
    keys = mapping(item, "a script is a mapping with location, timeout, runas")
    findings.unknown_keys(keys, SCRIPT_KEYS, " of a script")
    extension = findings.attempt(lambda: _extension(given(keys, EXTENSION), findings), _NO_EXTENSION)
    return Script(
        location=_location(item, keys, findings),
        timeout=findings.attempt(lambda: _timeout(keys, findings), _DEFAULT_TIMEOUT),
        runas=_runas(keys, findings),
        sudo=_sudo(keys, findings),
        args=extension.args,
        env=extension.env,
    )


def _location(item: Item, keys: Keys, findings: Findings) -> str:
    at = given(keys, "location")
    path = "" if at is None else spelt(at).strip()
    if at is None or not path:
        where = keys["location"].value if "location" in keys else item
        raise where.flaw("missing-key", "a script needs a location: its path in the bundle")
    if any(character in path for character in "\n\r\0"):
        raise at.flaw("wrong-type", "location must be one line")
    if path.startswith("/"):
        message = f"location {path} is taken from the root of the bundle"
        findings.notice(at.finding("location-from-root", message, f"write {path.lstrip('/')}"))
    if " " in path:
        message = f"location {path} is one path with a space in its name, and takes no arguments"
        findings.notice(at.finding("location-with-spaces", message, f"give arguments as args, below {EXTENSION} of the script"))
    if "\\" in path:
        findings.notice(at.finding("backslash", f"location {path} holds a backslash, which is part of the name", "write /"))
    inside = inside_bundle(at, path)
    if not inside:
        raise at.flaw("missing-key", f"location {path} is no file")
    return inside


def _timeout(keys: Keys, findings: Findings) -> int:
    item = given(keys, "timeout")
    if item is None or item.value is False:
        return _DEFAULT_TIMEOUT
    seconds = leading_number(item)
    if seconds is None or seconds <= 0:
        raise item.flaw("timeout", f"timeout must be a number of seconds above 0, not {_shown(item)}")
    if str(seconds) != spelt(item):
        findings.notice(item.finding("timeout-misread", f"timeout {spelt(item)} is read as {seconds} s", f"write {seconds}"))
    return seconds


def _shown(item: Item) -> str:
    return "a list" if isinstance(item.value, tuple) else "a mapping" if isinstance(item.value, dict) else repr(spelt(item))


def _runas(keys: Keys, findings: Findings) -> str | None:
    item = given(keys, "runas")
    if item is None:
        return None
    user = spelt(item).strip()
    if any(character in user for character in "\n\r\0"):
        raise item.flaw("wrong-type", "runas must be one line")
    if not user:
        findings.notice(item.finding("runas-empty", "runas is empty: the script runs as the agent's user", "remove it"))
    return user or None


def _sudo(keys: Keys, findings: Findings) -> bool:
    item = given(keys, "sudo")
    if item is None:
        return False
    if not isinstance(item.value, bool):
        message = "sudo is neither true nor false: anything but false and nothing counts as true"
        findings.notice(item.finding("sudo-not-boolean", message, "write true or false"))
        return True
    return item.value


def _extension(item: Item | None, findings: Findings) -> _Extension:
    """What the file asks of one script."""
    if item is None:
        return _NO_EXTENSION
    keys = mapping(item, "x-hookline of a script must be a mapping")
    findings.attempt(lambda: check_keys(keys, _EXTENSION_KEYS, "x-hookline"), None)
    return _Extension(args=findings.attempt(lambda: _args(keys), ()), env=findings.attempt(lambda: read_env(keys), ()))


def check_keys(keys: Keys, known: tuple[str, ...], what: str) -> None:
    """Refuse a key that means nothing, which below `x-hookline` is never passed over."""
    for key, entry in keys.items():
        if key not in known:
            raise entry.key.flaw("extension", f"{what} has no key {key} here", f"it takes {', '.join(known[:-1])} and {known[-1]}")


def read_env(keys: Keys) -> Environment:
    """Variables for scripts: as they are spelt, or references."""
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
