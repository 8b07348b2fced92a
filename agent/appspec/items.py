"""A bounded reader of untrusted YAML: values that remember where they stand, or an error with line and column.

PyYAML's pure Python loader does the scanning (its C sibling crashes on hostile input); every limit and every conversion
is here. YAML 1.1 as CodeDeploy's original reads it, without aliases, without duplicate keys, without tags of a language.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

MAX_BYTES = 64 * 1024
MAX_DEPTH = 20
MAX_NODES = 10_000
_MAX_NUMBER = 40  # Characters: a number of thousands of digits, or of base-60 parts, costs seconds to read.

_STR, _INT, _FLOAT = "tag:yaml.org,2002:str", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_BOOL, _NULL, _SEQ, _MAP = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"
_AS_TEXT = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge", "tag:yaml.org,2002:value", _STR)
_TRUE = ("yes", "true", "on")
_BASE_60 = re.compile(r"([-+]?)(\d+):(\d+)(?::(\d+))?")
_HINTS = {
    "found character '\\t'": "; indent with spaces, not with tabs",
    "while scanning an alias": '; a value that begins with * must be quoted: "**"',
    "mapping values are not allowed here": "; a value that contains ': ' must be quoted",
}

Scalar = None | bool | int | float | str


class YamlError(Exception):
    """What is wrong, and where; line and column count from 1."""

    def __init__(self, line: int, column: int, problem: str) -> None:
        super().__init__(f"line {line}, column {column}: {problem}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One value of a document and its place; `text` is how a plain (unquoted) scalar was spelt, empty for all others."""

    value: "Scalar | tuple[Item, ...] | dict[str, Entry]"
    line: int
    column: int
    text: str = ""

    def error(self, problem: str) -> YamlError:
        """A complaint about this value."""
        return YamlError(self.line, self.column, problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A key of a mapping with its value."""

    key: Item
    value: Item


def load(content: bytes) -> Item | None:
    """The first document of a YAML text, None when there is none; raises YamlError."""
    if len(content) > MAX_BYTES:
        raise YamlError(1, 1, f"the file has {len(content)} bytes; at most {MAX_BYTES} are read")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _place(content[: error.start].decode("utf-8", "replace"))
        raise YamlError(line, column, "this byte is not UTF-8") from error
    try:
        loader = _Loader(text)
        node = loader.get_node() if loader.check_node() else None
    except yaml.reader.ReaderError as error:
        raise YamlError(*_place(text[: error.position]), "a control character is not allowed here") from error
    except yaml.MarkedYAMLError as error:
        raise _marked(error) from error
    return None if node is None else _item(node)


class _Loader(yaml.SafeLoader):
    """Composes nodes and stops at the first one beyond a limit."""

    depth = 0
    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose the next node, counting it."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it open
        line, column = (event.start_mark.line + 1, event.start_mark.column + 1) if event.start_mark is not None else (1, 1)
        if isinstance(event, yaml.AliasEvent):
            raise YamlError(line, column, "aliases (*name) are not allowed; write the value out, or quote it if it is a pattern")
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise YamlError(line, column, f"the file has more than {MAX_NODES} values")
        if self.depth >= MAX_DEPTH:
            raise YamlError(line, column, f"values are nested deeper than {MAX_DEPTH} levels")
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def fetch_flow_collection_start(self, token_class: type[yaml.Token]) -> None:
        """Take a [ or {, unless it stands too deep: the scanner reads far ahead of the composer."""
        if self.flow_level >= MAX_DEPTH:
            raise YamlError(self.line + 1, self.column + 1, f"values are nested deeper than {MAX_DEPTH} levels")
        super().fetch_flow_collection_start(token_class)


def _item(node: yaml.Node) -> Item:
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    if isinstance(node, yaml.MappingNode) and node.tag == _MAP:
        return Item(value=dict(_entries(node)), line=line, column=column)
    if isinstance(node, yaml.SequenceNode) and node.tag == _SEQ:
        return Item(value=tuple(_item(each) for each in node.value), line=line, column=column)
    if isinstance(node, yaml.ScalarNode):
        plain = node.style is None
        return Item(value=_scalar(node, line, column), line=line, column=column, text=node.value if plain else "")
    raise YamlError(line, column, f"the tag {node.tag} is not allowed")


def _entries(node: yaml.MappingNode) -> Iterator[tuple[str, Entry]]:
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        key = _item(key_node)
        if isinstance(key.value, (tuple, dict)):
            raise key.error("a key must be a word, not a list or a mapping")
        name = key.text or str(key.value)
        if name in lines:
            raise key.error(f"the key {name!r} stands here a second time; the first is in line {lines[name]}")
        lines[name] = key.line
        yield name, Entry(key=key, value=_item(value_node))


def _scalar(node: yaml.ScalarNode, line: int, column: int) -> Scalar:
    text: str = node.value
    if node.tag == _NULL:
        return None
    if node.tag == _BOOL:
        return text.lower() in _TRUE
    if node.tag in _AS_TEXT:
        return text
    if node.tag not in (_INT, _FLOAT):
        raise YamlError(line, column, f"the tag {node.tag} is not allowed")
    if len(text) > _MAX_NUMBER:
        raise YamlError(line, column, f"a number of more than {_MAX_NUMBER} characters")
    try:
        return _number(text.replace("_", "").replace(",", ""), is_int=node.tag == _INT)
    except ValueError as error:
        raise YamlError(line, column, f"{text!r} is not a number") from error


def _number(text: str, *, is_int: bool) -> int | float | str:
    if ":" in text:
        parts = _BASE_60.fullmatch(text)
        if parts is None:
            return text
        sign, hours, minutes, seconds = parts.groups(default="0")
        total = int(hours) * 3600 + int(minutes) * 60 + int(seconds)  # The original reads 1:30 as an hour and a half.
        return -total if sign == "-" else total
    if not is_int:
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    digits = text.lstrip("+-")
    base = 8 if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit() else 0
    return int(text, base)


def _marked(error: yaml.MarkedYAMLError) -> YamlError:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    problem = " ".join(part for part in (error.context, error.problem) if part)
    hint = next((hint for sign, hint in _HINTS.items() if sign in problem), "")
    return YamlError(line, column, (problem or "not YAML") + hint)


def _place(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
