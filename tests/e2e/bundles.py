"""Bundles whose hooks say that they ran, wait at a gate when there is one, and fail when they are told to."""

import os
from collections.abc import Iterable
from pathlib import Path

HOOKED = ("ApplicationStop", "BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService")
"""The lifecycle events with hooks, in their order."""

EVENTS = ("ApplicationStop", "DownloadBundle", "BeforeInstall", "Install", "AfterInstall", "ApplicationStart", "ValidateService")
"""All lifecycle events of a host without a load balancer, in their order."""

HOOK = """#!/bin/sh
# One line, appended by one write: the witness. Builtins alone, so that many hosts fit on a small machine.
read -r boot < /proc/sys/kernel/random/boot_id
line="$DEPLOYMENT_ID $LIFECYCLE_EVENT $HOOKLINE_HOST $boot $$"
echo "$line" >> "$WITNESS/begun"
gate="$WITNESS/gates/$LIFECYCLE_EVENT.$HOOKLINE_HOST"
word=go
if [ -p "$gate" ]; then read -r word < "$gate"; fi
if [ -n "$HOOK_SECONDS" ]; then sleep "$HOOK_SECONDS"; fi
echo "$line" >> "$WITNESS/ended"
if [ "$word" = fail ] || [ -e "$HOOKLINE_BUNDLE_DIR/fail/$LIFECYCLE_EVENT" ]; then echo "broken on purpose"; exit 3; fi
"""

CLOSE = """#!/bin/sh
echo "$DEPLOYMENT_ID $LIFECYCLE_EVENT $HOOKLINE_HOST $HOOKLINE_EVENT_STATUS" >> "$WITNESS/closing"
if [ -n "$HOOK_SECONDS" ]; then sleep "$HOOK_SECONDS"; fi
"""


def close(directory: Path) -> None:
    """Give a bundle closing hooks, for every event that has hooks."""
    (directory / "scripts" / "close.sh").write_text(CLOSE)
    always = "".join(f"    {event}: [{{location: scripts/close.sh}}]\n" for event in HOOKED)
    with (directory / "appspec.yml").open("a") as appspec:
        appspec.write(f"x-hookline:\n  always:\n{always}")


def bundle(directory: Path, version: str, *, fail: Iterable[str] = ()) -> Path:
    """Make a bundle; the hooks of the events in `fail` end with exit code 3."""
    (directory / "scripts").mkdir(parents=True)
    (directory / "files").mkdir()
    (directory / "files" / "VERSION").write_text(f"{version}\n")
    script = directory / "scripts" / "hook.sh"
    script.write_text(HOOK)
    script.chmod(0o755)
    hooks = "".join(f"  {event}:\n    - location: scripts/hook.sh\n      timeout: 600\n" for event in HOOKED)
    (directory / "appspec.yml").write_text(
        f"version: 0.0\nos: linux\nfiles:\n  - source: files\n    destination: /srv/app\nfile_exists_behavior: OVERWRITE\nhooks:\n{hooks}"
    )
    for event in fail:
        (directory / "fail").mkdir(exist_ok=True)
        (directory / "fail" / event).touch()
    return directory


class Gate:
    """A hook waits here until it is let through."""

    def __init__(self, path: Path) -> None:
        """Close the gate."""
        self._path = path
        os.mkfifo(path)
        # Open for both: the hook's own opening never waits, and `let` never finds nobody.
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def let(self, word: str = "go") -> None:
        """Let a hook through, that waits or comes; "fail" lets it fail. Those that come later do not wait."""
        self._path.unlink(missing_ok=True)
        os.write(self._descriptor, f"{word}\n".encode())

    def close(self) -> None:
        """Let everybody through."""
        self._path.unlink(missing_ok=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
