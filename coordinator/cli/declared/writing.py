"""Messages as they are declared: field by field as `--output json` spells them, in YAML that any reader of YAML reads alike."""

import re
from typing import TYPE_CHECKING, Final

from coordinator.cli.wording.spelling import JsonValue, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

# What some reader of YAML takes for something else than text.
AMBIGUOUS: Final = re.compile(
    r"|~|null|true|false|yes|no|on|off|y|n|<<|=|[-+]?\.?[0-9][0-9_]*\.?[0-9_]*(e[-+]?[0-9]+)?|[-+]?0[xob][0-9a-f_]+|[-+]?\.(inf|nan)|"
    r"[-+]?[0-9][0-9_]*(:[0-9_]+)+(\.[0-9_]*)?|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([t ].*)?",
    re.IGNORECASE,
)
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./@+-]*|[0-9]+m?s", re.ASCII)
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_DURATION: Final = "google.protobuf.Duration"


def written(kind: str, message: "Message") -> list[str]:
    """The lines of a declaration."""
    return [f"kind: {kind}", *lines(tree(message))]


def tree(message: "Message") -> dict[str, JsonValue]:
    """What a message says, without what it does not say: unset messages, empty texts and lists, false."""
    said: dict[str, JsonValue] = {}
    for name, spelt in to_json(message).items():
        field, value = message.DESCRIPTOR.fields_by_name[name], getattr(message, name)
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            if spelt not in ("", [], {}) and spelt is not False:
                said[name] = spelt
        elif field.is_repeated:
            if value:
                said[name] = [tree(one) for one in value]
        elif field.message_type.full_name == _DURATION:
            said[name] = _length(value.seconds, value.nanos)
        else:
            said[name] = tree(value)
    return said


def lines(of: dict[str, JsonValue]) -> list[str]:
    """The lines of a mapping."""
    return [line for key, value in of.items() for line in _entry(f"{_text(key)}:", value)]


def _length(seconds: int, nanos: int) -> str:
    return f"{seconds * 1000 + nanos // 1_000_000}ms" if nanos else f"{seconds}s"


def _entry(begin: str, value: JsonValue) -> "Iterator[str]":
    if isinstance(value, dict) and value:
        yield begin
        yield from (f"  {line}" for line in lines(value))
    elif isinstance(value, list) and value:
        yield begin
        for one in value:
            yield from (f"  {line}" for line in _item(one))
    else:
        yield f"{begin} {_scalar(value)}"


def _item(value: JsonValue) -> "Iterator[str]":
    first, *rest = lines(value) if isinstance(value, dict) and value else [_scalar(value)]
    yield f"- {first}"
    yield from (f"  {line}" for line in rest)


def _scalar(value: JsonValue) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() and 0 < abs(value) < 2**53 else re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
        case str():
            return _text(value)
        case _:
            return "{}" if isinstance(value, dict) else "[]"


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and not AMBIGUOUS.fullmatch(text):
        return text
    return f'"{"".join(map(_character, text))}"'


def _character(one: str) -> str:
    if one in _SHORT or one.isprintable():
        return _SHORT.get(one, one)
    return f"\\u{ord(one):04x}" if ord(one) < 0x10000 else f"\\U{ord(one):08x}"
