"""What `x-hookline` may say: the one key that is ours, at the top level and in a script. CodeDeploy's agents ignore it.

Nobody else has read it before, so nothing below it is tolerated: what is not understood is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from agent.appspec import CLOSING_SECONDS, PROBE_SECONDS, SCRIPTED_EVENTS, Script
from agent.appspec.items import Entry, Item
from agent.appspec.script import SCRIPT_KEYS, Environment, check_keys, read_env, read_script
from agent.appspec.values import Findings, Keys, given, mapping, spelt

_KEYS = ("env", "interrupted", "probe", "always", "on_failure", "directory_symlinks")
_POLICIES = ("fail", "rerun", "probe")
_SHORT_TIMEOUT = 60  # Of a probe or a closing hook that says nothing.

Hooks = Mapping[str, tuple[Script, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """`x-hookline` of the whole file.

    Interrupted scripts of `repeatable` events may run again; of `probed` events, `probe` says what became of them.
    """

    env: Environment = ()
    always: Hooks = field(default_factory=dict)
    on_failure: Hooks = field(default_factory=dict)
    repeatable: tuple[str, ...] = ()
    probed: tuple[str, ...] = ()
    probe: Script | None = None
    preserve_directory_symlinks: bool = False


def read_extension(item: Item | None, hooks: Hooks, findings: Findings) -> Extension:
    """What the file asks of its scripts, which are those of `hooks`."""
    if item is None:
        return Extension()
    keys = mapping(item, "x-hookline must be a mapping")
    findings.attempt(lambda: check_keys(keys, _KEYS, "x-hookline"), None)
    policies = findings.attempt(lambda: _interrupted(keys), None)
    return Extension(
        env=findings.attempt(lambda: read_env(keys), ()),
        always=findings.attempt(lambda: _closing_hooks(keys, "always", hooks, findings), {}),
        on_failure=findings.attempt(lambda: _closing_hooks(keys, "on_failure", hooks, findings), {}),
        repeatable=tuple(event for event, policy in (policies or {}).items() if policy == "rerun"),
        probed=tuple(event for event, policy in (policies or {}).items() if policy == "probe"),
        probe=None if policies is None else findings.attempt(lambda: _probe(keys, policies, findings), None),
        preserve_directory_symlinks=findings.attempt(lambda: _preserves(keys), False),
    )


def _interrupted(keys: Keys) -> dict[str, str]:
    """What becomes of the events whose scripts were interrupted: of all by one word, or of each by its own."""
    item = given(keys, "interrupted")
    if item is None:
        return {}
    if not isinstance(item.value, dict):
        return dict.fromkeys(SCRIPTED_EVENTS, _policy(item))
    for event, entry in item.value.items():
        _check_event(event, entry)
    return {event: _policy(entry.value) for event, entry in item.value.items()}


def _policy(item: Item) -> str:
    if not isinstance(item.value, str) or item.value not in _POLICIES:
        raise item.flaw("extension", "interrupted must be fail, rerun or probe, or a mapping of lifecycle events to one of these")
    return item.value


def _probe(keys: Keys, policies: Mapping[str, str], findings: Findings) -> Script | None:
    item = given(keys, "probe")
    wanted = "probe" in policies.values()
    if item is None and wanted:
        raise keys["interrupted"].value.flaw(
            "extension", "no probe is named", "add probe: {location: scripts/is-it-done.sh} below x-hookline"
        )
    if item is not None and not wanted:
        raise keys["probe"].key.flaw("extension", "no event asks the probe", "add interrupted: probe below x-hookline")
    return None if item is None else _short_script(item, PROBE_SECONDS, findings)


def _closing_hooks(keys: Keys, name: str, hooks: Hooks, findings: Findings) -> Hooks:
    """The scripts that follow those of an event."""
    item = given(keys, name)
    closing: dict[str, tuple[Script, ...]] = {}
    for event, entry in (
        {} if item is None else mapping(item, f"{name} must be a mapping of lifecycle events to lists of scripts")
    ).items():
        closing[event] = findings.attempt(partial(_closing_scripts, name, event, entry, hooks, findings), ())
    return closing


def _closing_scripts(name: str, event: str, entry: Entry, hooks: Hooks, findings: Findings) -> tuple[Script, ...]:
    _check_event(event, entry)
    scripts = findings.each(entry, f"{name} of {event}", lambda item: _short_script(item, CLOSING_SECONDS, findings))
    if scripts and not hooks.get(event):
        raise entry.key.flaw(
            "extension", f"{event} has no scripts below hooks, so there is nothing to close", f"add them, or remove {event} here"
        )
    return scripts


def _check_event(event: str, entry: Entry) -> None:
    if event not in SCRIPTED_EVENTS:
        raise entry.key.flaw("extension", f"{event} runs no scripts", f"hooks are {', '.join(SCRIPTED_EVENTS)}")


def _short_script(item: Item, most: int, findings: Findings) -> Script:
    """A script as below `hooks`, which has less time."""
    keys = mapping(item, "a script is a mapping with location, timeout, runas")
    check_keys(keys, SCRIPT_KEYS, "a script below x-hookline")
    timeout = given(keys, "timeout")
    if timeout is not None and (isinstance(timeout.value, bool) or not isinstance(timeout.value, int) or not 1 <= timeout.value <= most):
        said = "" if isinstance(timeout.value, (tuple, dict)) else f", not {spelt(timeout)}"
        raise timeout.flaw("extension", f"timeout must be a number of seconds from 1 to {most} here{said}")
    script = read_script(item, findings)
    return replace(script, timeout=_SHORT_TIMEOUT) if timeout is None else script


def _preserves(keys: Keys) -> bool:
    item = given(keys, "directory_symlinks")
    if item is not None and item.value not in ("copy", "preserve"):
        raise item.flaw("extension", "directory_symlinks must be copy or preserve", "copy is what CodeDeploy does")
    return item is not None and item.value == "preserve"
