"""What `hooks` may say: lifecycle events and their scripts, with the coercions of the original."""

from functools import partial

from agent.appspec import SCRIPTED_EVENTS, Script
from agent.appspec.items import Entry, Item
from agent.appspec.script import read_script
from agent.appspec.values import Findings, mapping

_LONGEST_TIMEOUT = 3600  # All scripts of one event together; longer ones are accepted, as the original's agent does.


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
    scripts = findings.each(entry, f"hook {event}", lambda item: (read_script(item, findings), "timeout" in mapping(item, "")))
    total = sum(script.timeout for script, is_said in scripts if is_said)
    if total > _LONGEST_TIMEOUT:
        message = f"the timeouts of {event} add up to {total} s; CodeDeploy allows {_LONGEST_TIMEOUT} s an event"
        findings.notice(entry.key.finding("timeouts-too-long", message, "shorten them"))
    return tuple(script for script, _ in scripts)
