"""A bounded reader of untrusted YAML: values that remember where they stand, or a flaw with line and column.

PyYAML's pure Python parser does the scanning (its C sibling crashes on hostile input); every limit and every conversion is here, made
straight from its events. YAML 1.1 as CodeDeploy's original reads it, without aliases, without duplicate keys, without tags of a language.
"""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass

import yaml

from agent.appspec.findings import Finding, Flaw

MAX_BYTES = 64 * 1024
MAX_DEPTH = 20
MAX_NODES = 10_000
_MAX_NUMBER = 40  # Characters: a number of thousands of digits, or of base-60 parts, costs seconds to read.
_MAX_PLAIN = 4096  # Characters of a scalar that may be anything but text: no pattern is tried on a longer one.

_PREFIX = "tag:yaml.org,2002:"
_STR, _INT, _FLOAT, _BOOL, _NULL = (_PREFIX + name for name in ("str", "int", "float", "bool", "null"))
_SEQ, _MAP, _DATE = _PREFIX + "seq", _PREFIX + "map", _PREFIX + "timestamp"
_AS_TEXT = (_DATE, _PREFIX + "merge", _PREFIX + "value", _STR)
_TRUE = ("yes", "true", "on")
_BASE_60 = re.compile(r"([-+]?)(\d+):(\d+)(?::(\d+))?")
_HINTS = {
    "found character '\\t'": "indent with spaces, not with tabs",
    "while scanning an alias": 'a value that begins with * must be quoted: "**"',
    "mapping values are not allowed here": "a value that contains ': ' must be quoted",
}

Scalar = None | bool | int | float | str
Notice = Callable[[Finding], None]
"""Told what is worth knowing about a file that can be used."""


@dataclass(slots=True, kw_only=True)
class Item:
    """One value of a document and its place; `text` is how a plain (unquoted) scalar was spelt, empty for all others."""

    value: "Scalar | tuple[Item, ...] | dict[str, Entry]"
    line: int
    column: int
    text: str = ""

    def finding(self, rule: str, message: str, fix: str = "") -> Finding:
        """Something to say about this value."""
        return Finding(line=self.line, column=self.column, rule=rule, message=message, fix=fix)

    def flaw(self, rule: str, message: str, fix: str = "") -> Flaw:
        """A complaint about this value."""
        return Flaw(self.finding(rule, message, fix))


@dataclass(slots=True, kw_only=True)
class Entry:
    """A key of a mapping with its value."""

    key: Item
    value: Item


def load(content: bytes, notice: Notice) -> Item | None:
    """The first document of a YAML text, None when there is none; raises Flaw."""
    if len(content) > MAX_BYTES:
        raise _flaw(1, 1, "limits", f"the file has {len(content)} bytes; at most {MAX_BYTES} are read")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _flaw(*_place(content[: error.start].decode("utf-8", "replace")), "encoding", "this byte is not UTF-8") from error
    if content.startswith(b"\xef\xbb\xbf"):
        message = "the file begins with a byte order mark, with which CodeDeploy's first agent reads the first key only"
        notice(Finding(line=1, column=1, rule="byte-order-mark", message=message, fix="save it as UTF-8 without one"))
    try:
        composer = _Composer(text, notice)
        item = composer.document()
        composer.look_for_more()
    except yaml.reader.ReaderError as error:
        raise _flaw(*_place(text[: error.position]), "encoding", "a control character is not allowed here") from error
    except yaml.MarkedYAMLError as error:
        raise _marked(error) from error
    return item


class _Parser(yaml.SafeLoader):
    """PyYAML's parser, which stops at a bracket that stands too deep: it reads far ahead of what is composed."""

    def fetch_flow_collection_start(self, token_class: type[yaml.Token]) -> None:
        """Take a [ or {, unless it stands too deep."""
        if self.flow_level >= MAX_DEPTH:
            raise _flaw(self.line + 1, self.column + 1, "limits", f"values are nested deeper than {MAX_DEPTH} levels")
        super().fetch_flow_collection_start(token_class)


class _Composer:
    """Makes items of the parser's events and stops at the first one beyond a limit."""

    def __init__(self, text: str, notice: Notice) -> None:
        parser = _Parser(text)
        self._next: Callable[[], yaml.Event] = parser.get_event
        self._resolve: Callable[[type[yaml.Node], str, tuple[bool, bool]], str] = parser.resolve
        self._notice = notice
        self._nodes = 0

    def document(self) -> Item | None:
        """The first document of the stream."""
        self._next()  # the begin of the stream
        return None if isinstance(self._next(), yaml.StreamEndEvent) else self._item(self._next(), 0)

    def look_for_more(self) -> None:
        """Tell of a second document; what is wrong in there is nobody's business."""
        with contextlib.suppress(yaml.YAMLError, Flaw):
            event = self._next()
            while isinstance(event, yaml.DocumentEndEvent):
                event = self._next()
            if isinstance(event, yaml.DocumentStartEvent):
                line, column = _at(event)
                message = "a second document begins here, which nobody reads"
                self._notice(Finding(line=line, column=column, rule="second-document", message=message, fix="remove it"))

    def _item(self, event: yaml.Event, depth: int) -> Item:
        line, column = _at(event)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _flaw(line, column, "limits", f"the file has more than {MAX_NODES} values")
        if depth >= MAX_DEPTH:
            raise _flaw(line, column, "limits", f"values are nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, line, column)
        if isinstance(event, yaml.AliasEvent):
            fix = "write the value out, or quote it if it is a pattern"
            raise _flaw(line, column, "alias", "aliases (*name) are not allowed", fix)
        if isinstance(event, yaml.MappingStartEvent):
            self._check_tag(event.tag, _MAP, line, column)
            return Item(value=self._entries(depth + 1), line=line, column=column)
        assert isinstance(event, yaml.SequenceStartEvent), event
        self._check_tag(event.tag, _SEQ, line, column)
        items: list[Item] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._item(event, depth + 1))
        return Item(value=tuple(items), line=line, column=column)

    def _entries(self, depth: int) -> "dict[str, Entry]":
        entries: dict[str, Entry] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._item(event, depth)
            if isinstance(key.value, (tuple, dict)):
                raise key.flaw("wrong-type", "a key must be a word, not a list or a mapping")
            name = key.text or str(key.value)
            if name in entries:
                first = entries[name].key.line
                raise key.flaw("duplicate-key", f"the key {name!r} stands here a second time; the first is in line {first}", "remove one")
            entries[name] = Entry(key=key, value=self._item(self._next(), depth))
        return entries

    def _check_tag(self, tag: str | None, usual: str, line: int, column: int) -> None:
        if tag is not None and tag not in ("!", usual):
            raise _flaw(line, column, "tag", f"the tag {tag} is not allowed", "remove it")

    def _scalar(self, event: yaml.ScalarEvent, line: int, column: int) -> Item:
        text: str = event.value
        tag = event.tag
        if tag is None or tag == "!":
            known_text = event.style is not None or tag == "!" or len(text) > _MAX_PLAIN
            tag = _STR if known_text else self._resolve(yaml.ScalarNode, text, (True, False))
        item = Item(value=text, line=line, column=column, text=text if event.style is None else "")
        if tag == _STR:
            return item
        if tag == _DATE:
            message = f"the date {text} is not quoted, and CodeDeploy's first agent refuses the file"
            self._notice(item.finding("unquoted-date", message, f"write '{text}'"))
        elif tag == _NULL:
            item.value = None
        elif tag == _BOOL:
            item.value = text.lower() in _TRUE
        elif tag in (_INT, _FLOAT):
            item.value = _number(item, text, is_int=tag == _INT)
        elif tag not in _AS_TEXT:
            self._check_tag(tag, _STR, line, column)
        return item


def _number(item: Item, text: str, *, is_int: bool) -> int | float | str:
    if len(text) > _MAX_NUMBER:
        raise item.flaw("limits", f"a number of more than {_MAX_NUMBER} characters")
    try:
        return _value(text.replace("_", "").replace(",", ""), is_int=is_int)
    except ValueError as error:
        raise item.flaw("wrong-type", f"{text!r} is not a number") from error


def _value(text: str, *, is_int: bool) -> int | float | str:
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


def _at(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _flaw(line: int, column: int, rule: str, message: str, fix: str = "") -> Flaw:
    return Flaw(Finding(line=line, column=column, rule=rule, message=message, fix=fix))


def _marked(error: yaml.MarkedYAMLError) -> Flaw:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    problem = " ".join(part for part in (error.context, error.problem) if part)
    hint = next((hint for sign, hint in _HINTS.items() if sign in problem), "")
    return _flaw(line, column, "alias" if "alias" in problem else "syntax", problem or "this is not YAML", hint)


def _place(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
