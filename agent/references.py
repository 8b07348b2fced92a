"""References to what only the host knows: in place of a value, `{file:/path}`, `{env:NAME}` or `{command:...}`. Pure.

A reference is what is written, kept and sent; what it stands for is looked up for one script, just before that begins
(`supervisor/secrets.py`). Written without `re`, which would double what a supervisor loads.
"""

from __future__ import annotations

FILE, ENV, COMMAND = KINDS = ("file", "env", "command")


def reference(value: str) -> tuple[str, str] | None:
    """The kind of a reference and what it names; None: a value that stands for itself."""
    if not (value.startswith("{") and value.endswith("}")):
        return None
    kind, colon, target = value[1:-1].partition(":")
    return (kind, target.strip()) if colon and kind in KINDS else None


def spelt(kind: str, target: str) -> str:
    """A reference, as it is kept."""
    return f"{{{kind}:{target}}}"
