"""What `hooks` may say: lifecycle events and their scripts, with the coercions of the original."""

from functools import partial

from agent.appspec import EXTENSION, SCRIPTED_EVENTS, Script
from agent.appspec.extension import NO_SCRIPT_EXTENSION, read_script_extension
from agent.appspec.items import Entry, Item
from agent.appspec.values import Findings, Keys, given, inside_bundle, leading_number, mapping, spelt

_DEFAULT_TIMEOUT = 3600
_LONGEST_TIMEOUT = 3600  # All scripts of one event together; longer ones are accepted, as the original's agent does.
_SCRIPT_KEYS = ("location", "timeout", "runas", "sudo", EXTENSION)


def read_hooks(item: Item | None, findings: Findings) -> dict[str, tuple[Script, ...]]:
    """The scripts of every event that is named, whether or not it ever runs any."""
    hooks: dict[str, tuple[Script, ...]] = {}
    if item is None:
        return hooks
    for event, entry in mapping(item, "hooks must be a mapping of lifecycle events to lists of scripts").items():
        if event not in SCRIPTED_EVENTS:
            meant = findings.meant(event, SCRIPTED_EVENTS)
            fix = f"did you mean {meant}?" if meant else f"hooks are {', '.join(SCRIPTED_EVENTS)}"
            findings.notice(entry.key.finding("hook-without-scripts", f"the scripts of {event} never run", fix))
        hooks[event] = findings.attempt(partial(_scripts, event, entry, findings), ())
    return hooks


def _scripts(event: str, entry: Entry, findings: Findings) -> tuple[Script, ...]:
    scripts = findings.each(entry, f"hook {event}", lambda item: (_script(item, findings), "timeout" in mapping(item, "")))
    total = sum(script.timeout for script, is_said in scripts if is_said)
    if total > _LONGEST_TIMEOUT:
        message = f"the timeouts of {event} add up to {total} s; CodeDeploy allows {_LONGEST_TIMEOUT} s an event"
        findings.notice(entry.key.finding("timeouts-too-long", message, "shorten them"))
    return tuple(script for script, _ in scripts)


def _script(item: Item, findings: Findings) -> Script:
    keys = mapping(item, "a script is a mapping with location, timeout, runas")
    findings.unknown_keys(keys, _SCRIPT_KEYS, " of a script")
    extension = findings.attempt(lambda: read_script_extension(given(keys, EXTENSION), findings), NO_SCRIPT_EXTENSION)
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
