"""The YAML of declarations: text in, a tree that knows its lines out.

PyYAML reads; what is made of its events is said here. Anchors, aliases and tags are refused, and so is a key that is there twice. What a
plain scalar means is for its reader to say: nothing here takes `no` for false or 1.10 for 1.1.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

DEEPEST: Final = 20
_HINTS: Final = {
    "found character '\\t'": "use blanks for the indent, no tabs",
    "mapping values are not allowed here": "see how this line is indented, or write a text with a colon in quotes",
    "while scanning an alias": "write a text that begins with * in quotes",
    "while scanning an anchor": "write a text that begins with & in quotes",
    "cannot start any token": "write a text with such a character in quotes",
}


class Unreadable(ValueError):
    """Text that is no such YAML; knows its line and its document."""

    def __init__(self, line: int, why: str, document: int = 1) -> None:
        super().__init__(why)
        self.line = line
        self.document = document


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar, a sequence or a mapping, and the line where it begins. Only scalars are ever plain: written without quotes."""

    value: "str | list[Node] | dict[str, Node]"
    line: int
    plain: bool = False


def read(text: str) -> list[Node | None]:
    """The documents of a text in their order, None for one without content. Raises Unreadable."""
    reader = _Reader()
    try:
        reader.read(text)
    except Unreadable as error:
        error.document = reader.document
        raise
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unreadable(line, "has a control character: write it as an escape, in double quotes", reader.document) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(mark.line + 1 if mark else 1, _told(error), reader.document) from None
    return reader.found


class _Parser(yaml.SafeLoader):
    """PyYAML's parser, which stops at a bracket that stands too deep: it reads far ahead of what is taken."""

    def fetch_flow_collection_start(self, token_class: type[yaml.Token]) -> None:
        if self.flow_level > DEEPEST:
            raise Unreadable(self.line + 1, f"is nested more than {DEEPEST} deep")
        super().fetch_flow_collection_start(token_class)


class _Reader:
    """Makes nodes of the parser's events."""

    def __init__(self) -> None:
        self.document = 1
        self.found: list[Node | None] = []
        self._next: Callable[[], yaml.Event]

    def read(self, text: str) -> None:
        self._next = _Parser(text.removeprefix("\N{BYTE ORDER MARK}")).get_event
        self._documents()

    def _documents(self) -> None:
        self._next()  # the begin of the stream
        while not isinstance(self._next(), yaml.StreamEndEvent):
            content = self._node(self._next(), 0)
            self.found.append(None if content.plain and not content.value else content)
            self._next()
            self.document += 1

    def _node(self, event: yaml.Event, depth: int) -> Node:
        assert event.start_mark is not None
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise Unreadable(line, f"*{event.anchor}: aliases are not read; write the value out, or a text in quotes")
        assert isinstance(event, yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent)
        if event.anchor is not None or event.tag is not None:
            said = f"&{event.anchor}" if event.anchor is not None else event.tag
            raise Unreadable(line, f"{said}: anchors and tags are not read; leave it out, or write a text in quotes")
        if depth > DEEPEST:
            raise Unreadable(line, f"is nested more than {DEEPEST} deep")
        if isinstance(event, yaml.ScalarEvent):
            return Node(_whole(event.value, line), line, plain=not event.style)
        if isinstance(event, yaml.MappingStartEvent):
            return Node(self._pairs(depth), line)
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Node(items, line)

    def _pairs(self, depth: int) -> dict[str, Node]:
        pairs: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key.value, str):
                raise Unreadable(key.line, "has a list or a mapping for a key: write KEY: VALUE")
            if key.value in pairs:
                raise Unreadable(key.line, f"{key.value}: is there twice; line {lines[key.value]} has it too")
            lines[key.value] = key.line
            pairs[key.value] = self._node(self._next(), depth + 1)
        return pairs


def _whole(text: str, line: int) -> str:
    """A text whose characters beyond 16 bits JSON wrote as two halves."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise Unreadable(line, "has an escape that is no character") from None


def _told(error: yaml.MarkedYAMLError) -> str:
    """What the parser says, and what to do about it."""
    said = ", ".join(part for part in (error.context, error.problem) if part)
    return "; ".join([said, *(hint for sign, hint in _HINTS.items() if sign in said)])
