"""From the tree of a file to a message: every key has to be a field, and every value of its field's kind."""

import re
from typing import TYPE_CHECKING, Final

from coordinator.cli.declared.writing import AMBIGUOUS
from coordinator.cli.wording.spelling import number_in
from coordinator.cli.wording.text import clean
from coordinator.cli.wording.watched import length

if TYPE_CHECKING:
    from collections.abc import Collection

    from google._upb import _message as upb
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message

    from coordinator.cli.declared.reading import Node

_NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_WHOLE: Final = re.compile(r"[-+]?(0|[1-9]\d{0,18})", re.ASCII)
_KINDS: Final = {str: "a text", list: "a list", dict: "a mapping of keys"}


class Wrong(ValueError):
    """A value that cannot be what its field takes; knows its key and its line."""

    def __init__(self, node: "Node", key: str, why: str) -> None:
        super().__init__(f"{clean(key)}: {clean(why)}" if key else clean(why))
        self.line = node.line


def fill(message: "Message", node: "Node", key: str = "", *, never: "Collection[str]" = (), beside: "Collection[str]" = ()) -> None:
    """Put what a mapping says into a message. Fields named in `never` are the coordinator's to set; keys in `beside` are no fields.

    Raises Wrong.
    """
    if not isinstance(node.value, dict):
        raise Wrong(node, key, f"must be {_KINDS[dict]}, and is {_shown(node)}")
    fields = {field.name: field for field in message.DESCRIPTOR.fields if field.name not in never}
    sources = dict[str, str]()
    for name, child in node.value.items():
        path = f"{key}.{name}" if key else name
        if name in beside:
            continue
        if name in never:
            raise Wrong(child, path, "the coordinator sets it: leave it out")
        if name not in fields:
            raise Wrong(child, path, f"is no key here; there are {', '.join([*beside, *fields])}")
        oneof = fields[name].containing_oneof
        if oneof is not None and not oneof.name.startswith("_") and sources.setdefault(oneof.name, name) != name:
            raise Wrong(child, path, f"{sources[oneof.name]} is there too: say one of them")
        _put(message, fields[name], child, path)


def _put(message: "Message", field: "FieldDescriptor | upb.FieldDescriptor", node: "Node", key: str) -> None:
    if node.plain and node.value in ("", "~", "null"):
        raise Wrong(node, key, "has no value: write one, or leave the key out")
    place = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        if not isinstance(node.value, dict):
            raise Wrong(node, key, f"must be {_KINDS[dict]}, and is {_shown(node)}")
        for name, child in node.value.items():
            place[name] = _text(child, f"{key}.{name}")
    elif field.is_repeated:
        if not isinstance(node.value, list):
            raise Wrong(node, key, f"must be {_KINDS[list]}, and is {_shown(node)}: begin each item with a dash")
        for index, child in enumerate(node.value):
            if field.message_type is not None:
                fill(place.add(), child, f"{key}[{index}]")
            else:
                place.append(_scalar(message, field, child, f"{key}[{index}]"))
    elif field.message_type is None:
        setattr(message, field.name, _scalar(message, field, node, key))
    elif field.message_type.full_name == "google.protobuf.Duration" and isinstance(node.value, str):
        try:
            place.CopyFrom(length(node.value))
        except ValueError as error:
            raise Wrong(node, key, str(error)) from None
    else:
        place.SetInParent()
        fill(place, node, key)


def _scalar(message: "Message", field: "FieldDescriptor | upb.FieldDescriptor", node: "Node", key: str) -> str | int | float | bool:
    text = _text(node, key) if field.type == field.TYPE_STRING else node.value
    if not isinstance(text, str):
        raise Wrong(node, key, f"must be one value, and is {_shown(node)}")
    if field.type == field.TYPE_STRING:
        return text
    if field.type == field.TYPE_ENUM:
        try:
            return number_in(message, field.name, text)
        except ValueError as error:
            raise Wrong(node, key, str(error)) from None
    if field.type == field.TYPE_BOOL:
        if not node.plain or text not in ("true", "false"):
            raise Wrong(node, key, f"must be true or false, and is {_shown(node)}")
        return text == "true"
    if field.type == field.TYPE_DOUBLE:
        if not node.plain or not _NUMBER.fullmatch(text):
            raise Wrong(node, key, f"must be a number, and is {_shown(node)}")
        return float(text)
    bits = 31 if field.type == field.TYPE_INT32 else 63
    if not node.plain or not _WHOLE.fullmatch(text) or not -(2**bits) <= int(text) < 2**bits:
        raise Wrong(node, key, f"must be a whole number, and is {_shown(node)}")
    return int(text)


def _text(node: "Node", key: str) -> str:
    if not isinstance(node.value, str):
        raise Wrong(node, key, f"must be {_KINDS[str]}, and is {_shown(node)}")
    if node.plain and AMBIGUOUS.fullmatch(node.value):
        raise Wrong(node, key, f"must be {_KINDS[str]}, and {node.value or 'nothing'} may be taken for something else: write it in quotes")
    return node.value


def _shown(node: "Node") -> str:
    if isinstance(node.value, str):
        text = node.value if len(node.value) <= 40 else f"{node.value[:40]}..."
        return (text or "empty") if node.plain else f'"{text}"'
    return _KINDS[type(node.value)]
