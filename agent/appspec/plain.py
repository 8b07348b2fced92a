"""Reads the plain style in which nearly every AppSpec file is written, in a tenth of the time that YAML takes.

One entry a line, indented, with words, paths, whole numbers and quoted texts as values. What is written in any other way is given to
the whole reader in `items.py`, and so is everything that is not beyond doubt: both give the same items, or this one gives none.
"""

import re

from agent.appspec import items
from agent.appspec.items import Entry, Item, Notice

_LINES = 2_000
_DEPTH = 10
_LONGEST = 400  # Characters of a line.
_ASCII = re.compile(r"[\x20-\x7e\n]*")
_ENTRY = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):(?: +(.*))?")
_QUOTED = re.compile(r"""(?:'([^']*)'|"([^"\\]*)")(?: +#.*)?""")
_TEXT = re.compile(r"(?:\./|/|[A-Za-z])[^:]*(?::[^ :][^:]*)*")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_SPELLINGS = {
    spelt: value
    for word, value in (("yes", True), ("true", True), ("on", True), ("no", False), ("false", False), ("off", False), ("null", None))
    for spelt in (word, word.capitalize(), word.upper())
}

_Line = tuple[int, int, str]
"""How far it is indented, its number, and what it says."""


def load(content: bytes, notice: Notice) -> Item | None:
    """The first document of a YAML text, None when there is none; raises Flaw."""
    return load_plain(content) or items.load(content, notice)


def load_plain(content: bytes) -> Item | None:
    """The document, None when it is not written in the plain style."""
    if len(content) > items.MAX_BYTES or not content.isascii():
        return None
    text = content.decode("ascii").replace("\r\n", "\n")
    if _ASCII.fullmatch(text) is None:
        return None
    lines = [
        (len(line) - len(said), number, said.rstrip(" "))
        for number, line in enumerate(text.split("\n"), start=1)
        if (said := line.lstrip(" ")) and not said.startswith("#")
    ]
    if lines and lines[0][0] == 0 and lines[0][2] == "---":
        del lines[0]
    if not lines or lines[0][0] or len(lines) > _LINES or any(len(said) > _LONGEST for _, _, said in lines):
        return None
    try:
        return _Blocks(lines).whole()
    except _NotPlain:
        return None


class _NotPlain(Exception):
    """The whole reader has to say what this is."""


class _Blocks:
    """Makes items of lines."""

    def __init__(self, lines: list[_Line]) -> None:
        self._lines = lines
        self._at = 0

    def whole(self) -> Item:
        """The mapping that the file is."""
        item = self._block(0)
        if self._at < len(self._lines) or not isinstance(item.value, dict):
            raise _NotPlain
        return item

    def _indent(self) -> int:
        """How far the next line is indented; -1 at the end."""
        return self._lines[self._at][0] if self._at < len(self._lines) else -1

    def _block(self, depth: int) -> Item:
        """What begins with the next line: a list where it has a dash, a mapping where it has a key."""
        if depth > _DEPTH:
            raise _NotPlain
        indent, number, said = self._lines[self._at]
        value = self._list(indent, depth) if said.startswith("- ") else self._mapping(indent, depth)
        if self._indent() > indent:
            raise _NotPlain
        return Item(value=value, line=number, column=indent + 1)

    def _list(self, indent: int, depth: int) -> tuple[Item, ...]:
        found = []
        while self._indent() == indent and self._lines[self._at][2].startswith("- "):
            _, number, said = self._lines[self._at]
            rest = said[2:].lstrip(" ")
            inner = indent + len(said) - len(rest)
            if _ENTRY.fullmatch(rest):
                self._lines[self._at] = (inner, number, rest)
                found.append(self._block(depth + 1))
            else:
                self._at += 1
                found.append(_scalar(rest, number, inner))
            if self._indent() > indent:
                raise _NotPlain
        return tuple(found)

    def _mapping(self, indent: int, depth: int) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        while self._indent() == indent:
            _, number, said = self._lines[self._at]
            entry = _ENTRY.fullmatch(said)
            if entry is None:
                if said.startswith("- ") and found:
                    break  # The list that this mapping stands in goes on.
                raise _NotPlain
            name, value = entry[1], entry[2] or ""
            if name in found or name in _SPELLINGS:
                raise _NotPlain
            self._at += 1
            key = Item(value=name, line=number, column=indent + 1, text=name)
            if value and not value.startswith("#"):
                found[name] = Entry(key=key, value=_scalar(value, number, indent + entry.start(2)))
            else:
                found[name] = Entry(key=key, value=self._below(indent, depth, Item(value=None, line=number, column=indent + len(name) + 2)))
            if self._indent() > indent:
                raise _NotPlain
        return found

    def _below(self, indent: int, depth: int, otherwise: Item) -> Item:
        """What stands below a key: further in, or a list whose dashes stand right under it."""
        following = self._indent()
        if following > indent or (following == indent and self._lines[self._at][2].startswith("- ")):
            return self._block(depth + 1)
        return otherwise


def _scalar(said: str, number: int, column: int) -> Item:
    quoted = _QUOTED.fullmatch(said)
    if quoted is not None:
        return Item(value=quoted[1] if quoted[1] is not None else quoted[2], line=number, column=column + 1)
    text = said.partition(" #")[0].rstrip(" ")
    if text in _SPELLINGS:
        return Item(value=_SPELLINGS[text], line=number, column=column + 1, text=text)
    if _TEXT.fullmatch(text):
        return Item(value=text, line=number, column=column + 1, text=text)
    if _NUMBER.fullmatch(text):
        return Item(value=int(text), line=number, column=column + 1, text=text)
    if text == "0.0":
        return Item(value=0.0, line=number, column=column + 1, text=text)
    raise _NotPlain
