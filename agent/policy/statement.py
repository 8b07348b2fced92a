"""What is signed of a revision, as canonical text: `deploy/SECURITY.md` shows one.

Pure. There is exactly one way to write a statement, so bytes that differ are another statement.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

MAX_BYTES = 16 * 1024
_FIRST_LINE = b"hookline-statement: "
_NAME = r"[A-Za-z0-9._+=,@-]{1,100}"
_FORM = re.compile(
    rf"hookline-statement: 1\n"
    rf"application: (?P<application>{_NAME})\n"
    rf"counter: (?P<counter>[1-9][0-9]{{0,17}})\n"
    rf"bundle-sha256: (?P<bundle_sha256>[0-9a-f]{{64}})\n"
    rf"bundle-size: (?P<bundle_size>[1-9][0-9]{{0,17}})\n"
    rf"appspec-sha256: (?P<appspec_sha256>[0-9a-f]{{64}})\n"
    rf"groups: (?P<groups>\*|{_NAME}/{_NAME}(?: {_NAME}/{_NAME})*)\n"
    rf"not-after: (?P<not_after>never|[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}Z)\n"
)


class UnreadableStatement(Exception):
    """Bytes that are no statement, in half a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What the holder of a signing key says of a bundle. groups None: any of the application; not_after None: for ever."""

    application: str
    counter: int
    bundle_sha256: str
    bundle_size: int
    appspec_sha256: str
    groups: tuple[str, ...] | None
    not_after: int | None


def parse(content: bytes) -> Statement:
    """The statement of these bytes. Raises UnreadableStatement."""
    found = _FORM.fullmatch(content[: MAX_BYTES + 1].decode("ascii", "replace"))
    if found is None:
        if content.startswith(_FIRST_LINE) and not content.startswith(_FIRST_LINE + b"1\n"):
            raise UnreadableStatement("its statement has a form that this agent is too old for")
        raise UnreadableStatement("its statement is not in the one form that there is")
    groups = None if found["groups"] == "*" else tuple(found["groups"].split(" "))
    if groups is not None and list(groups) != sorted({each for each in groups if each.startswith(f"{found['application']}/")}):
        raise UnreadableStatement("the groups of its statement are not in order, or not the application's")
    return Statement(
        application=found["application"],
        counter=int(found["counter"]),
        bundle_sha256=found["bundle_sha256"],
        bundle_size=int(found["bundle_size"]),
        appspec_sha256=found["appspec_sha256"],
        groups=groups,
        not_after=_milliseconds(found["not_after"]),
    )


def spelt(milliseconds: int) -> str:
    """A time as statements spell it."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _milliseconds(text: str) -> int | None:
    if text == "never":
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp()) * 1000
    except ValueError as error:
        raise UnreadableStatement(f"its statement ends on {text}, which is no time") from error
