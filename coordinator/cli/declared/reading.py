"""YAML, as much of it as declarations take: text in, a tree that knows its lines out.

Mappings and sequences in blocks or in brackets (so JSON too), quoted and plain scalars on one line, `|` texts, comments and several
documents. Anchors, aliases, tags and folded texts are refused, and so is a key that is there twice. What a plain scalar means is for
its reader to say: nothing here takes `no` for false or 1.10 for 1.1.
"""

import bisect
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

DEEPEST: Final = 20
_KEY: Final = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s"'\[\]{},#&*!|>%@`-][^\s:#]*|-[^\s:#]+):(?=\s|$)""")
_ITEM: Final = re.compile(r"-(?=\s|$)")
_SPACE: Final = re.compile(r"(?:\s|(?<=\s)#[^\n]*)*")
_DOUBLE: Final = re.compile(r'"((?:[^"\\\n]|\\[^\n])*)"')
_SINGLE: Final = re.compile(r"'((?:[^'\n]|'')*)'")
_IN_BRACKETS: Final = re.compile(r"(?:[^\s,\[\]{}:#\"'&*!|>%@`?]|:(?![\s,\[\]{}]|$))(?:[^\n,\[\]{}:#]|:(?![\s,\[\]{}]|$)|(?<!\s)#)*")
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)")
_ESCAPED: Final = {
    '"': '"', "\\": "\\", "/": "/", "n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "e": "\x1b", "a": "\a", "v": "\v"
}  # fmt: skip


class Unreadable(ValueError):
    """Text that is no such YAML; knows its line, and its document once it has left `read`."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line
        self.document = 1


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar, a sequence or a mapping, and the line where it begins. Only scalars are ever plain: written without quotes."""

    value: "str | list[Node] | dict[str, Node]"
    line: int
    plain: bool = False


_Line: TypeAlias = tuple[int, str]


def read(text: str) -> list[Node | None]:
    """The documents of a text in their order, None for one without content. Raises Unreadable."""
    documents: list[list[_Line]] = [[]]
    for number, line in enumerate(text.removeprefix("\N{BYTE ORDER MARK}").split("\n"), start=1):
        line = line.removesuffix("\r")
        if re.match(r"---(\s|$)", line):
            documents.append([(number, f"   {line[3:]}")])
        elif re.fullmatch(r"\.\.\.(\s+#.*|\s*)", line):
            documents.append([])
        elif line.startswith("%"):
            raise Unreadable(number, "directives (%) are not read")
        else:
            documents[-1].append((number, line))
    if len(documents) > 1 and not any(line.strip().partition("#")[0] for _, line in documents[0]):
        del documents[0]  # what stands before the first ---
    return [_read(lines, number) for number, lines in enumerate(documents, start=1)]


def _read(lines: list[_Line], number: int) -> Node | None:
    try:
        return _Reader(lines).document()
    except Unreadable as error:
        error.document = number
        raise


class _Reader:
    """Reads one document, line by line."""

    def __init__(self, lines: list[_Line]) -> None:
        self._lines = lines
        self._at = 0
        self._depth = 0

    def document(self) -> Node | None:
        if not self._peek():
            return None
        found = self._block(self._indent())
        if self._peek():
            raise self._error("is not indented like the lines above it")
        return found

    def _peek(self) -> bool:
        """Whether there is a line yet; blank ones and comments are passed over."""
        while self._at < len(self._lines) and not self._text().strip().partition("#")[0]:
            self._at += 1
        return self._at < len(self._lines)

    def _text(self) -> str:
        return self._lines[self._at][1]

    def _line(self) -> int:
        return self._lines[min(self._at, len(self._lines) - 1)][0]

    def _indent(self) -> int:
        text = self._text()
        indent = len(text) - len(text.lstrip(" "))
        if text[indent] == "\t":
            raise self._error("is indented with a tab: use blanks")
        return indent

    def _error(self, why: str) -> Unreadable:
        return Unreadable(self._line(), why)

    def _block(self, indent: int) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._error(f"is nested more than {DEEPEST} deep")
        text = self._text()[indent:]
        if _ITEM.match(text):
            found = self._sequence(indent)
        elif _KEY.match(text):
            found = self._mapping(indent)
        else:
            found = self._inline(indent, indent - 1)
        self._depth -= 1
        return found

    def _sequence(self, indent: int) -> Node:
        line, items = self._line(), list[Node]()
        while self._peek() and self._indent() == indent and _ITEM.match(self._text()[indent:]):
            number, text = self._lines[self._at]
            rest = text[indent + 1 :]
            if rest.strip().partition("#")[0]:
                self._lines[self._at] = (number, f"{'':{indent + 1}}{rest}")
                items.append(self._block(self._indent()))
            else:
                items.append(self._below(indent, number))
        return Node(items, line)

    def _mapping(self, indent: int) -> Node:
        line, items = self._line(), dict[str, Node]()
        while self._peek() and self._indent() == indent:
            number, text = self._lines[self._at]
            found = _KEY.match(text, indent)
            if found is None:
                raise self._error("has no key here: write KEY: VALUE" if not _ITEM.match(text[indent:]) else "is an item among keys")
            key = _unquoted(found[1], number)
            if key in items:
                raise self._error(f"{key}: is there twice; line {items[key].line} has it too")
            if text[found.end() :].strip().partition("#")[0]:
                items[key] = self._inline(found.end(), indent)
            else:
                items[key] = self._below(indent, number, sequence_beside=True)
        return Node(items, line)

    def _below(self, indent: int, number: int, *, sequence_beside: bool = False) -> Node:
        """What stands below a key or a dash."""
        self._at += 1
        if self._peek():
            deeper = self._indent()
            if deeper > indent or (sequence_beside and deeper == indent and _ITEM.match(self._text()[indent:])):
                return self._block(deeper)
        return Node("", number, plain=True)

    def _inline(self, start: int, indent: int) -> Node:
        """A value that begins on this line, below a key or dash with such an indent."""
        number, text = self._lines[self._at]
        rest = text[start:].strip()
        if rest[0] in "[{\"'":
            return self._flow(start)
        if rest[0] == "|":
            return self._literal(rest, indent)
        self._at += 1
        plain = re.split(r"\s#", rest)[0].strip()
        if plain[0] in "&*!>%@`|,]}" or re.search(r":(\s|$)", plain) or re.match(r"[-?](\s|$)", plain):
            raise Unreadable(number, f"{plain[:40]}: is not read as it stands; write a text with such characters in quotes")
        return Node(plain, number, plain=True)

    def _literal(self, marked: str, indent: int) -> Node:
        number = self._line()
        kind = re.split(r"\s+#", marked)[0]
        if kind not in ("|", "|-"):
            raise Unreadable(number, f"{kind[:20]}: begin a text of several lines with | or |-")
        self._at += 1
        lines: list[str] = []
        while self._at < len(self._lines) and (not self._text().strip() or self._indent() > indent):
            lines.append(self._text())
            self._at += 1
        if not any(line.strip() for line in lines):
            raise Unreadable(number, "has no text below its |")
        first = next(line for line in lines if line.strip())
        margin = len(first) - len(first.lstrip(" "))
        cut = [line[margin:] for line in lines]
        odd = any(line[:margin].strip() or (rest and not rest.strip()) for line, rest in zip(lines, cut, strict=True))
        if indent < 0 or odd:
            raise Unreadable(number, "has a text of several lines that others may read otherwise: write it in quotes")
        while not cut[-1]:
            cut.pop()
        return Node("\n".join(cut) + ("" if kind == "|-" else "\n"), number)

    def _flow(self, start: int) -> Node:
        """A value in quotes or brackets, which may go on on the next lines."""
        rest = self._text()[start:]
        try:
            found, end = _Flow(rest, self._line()).value(0, 0)
        except Unreadable:
            rest = "\n".join([rest, *(text for _, text in self._lines[self._at + 1 :])])
            found, end = _Flow(rest, self._line()).value(0, 0)
        line_end = rest.find("\n", end)
        after = rest[end : line_end if line_end >= 0 else len(rest)]
        self._at += rest.count("\n", 0, end)
        if after.strip() and not re.match(r"\s+#", after):
            raise self._error(f"{after.strip()[:40]}: does not belong behind a value")
        self._at += 1
        return found


class _Flow:
    """Reads what stands in quotes or brackets, character by character."""

    def __init__(self, text: str, line: int) -> None:
        self._text = text
        self._first = line
        self._ends = [found.start() for found in re.finditer("\n", text)]

    def _line(self, at: int) -> int:
        return self._first + bisect.bisect_left(self._ends, at)

    def _past(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at

    def value(self, at: int, depth: int) -> tuple[Node, int]:
        """A value, and where it ends."""
        at = self._past(at)
        line, first = self._line(at), self._text[at : at + 1]
        if depth > DEEPEST:
            raise Unreadable(line, f"is nested more than {DEEPEST} deep")
        if first and first in "[{":
            return self._collection(at, depth)
        found = {'"': _DOUBLE, "'": _SINGLE}.get(first, _IN_BRACKETS).match(self._text, at)
        if found is None or found[0].strip() in ("?", "-"):
            why = "does not end on its line" if first and first in "\"'" else "is not read as it stands"
            raise Unreadable(line, f"{self._text[at : at + 20].split(chr(10))[0] or 'the end'}: {why}")
        text = found[0].strip()
        return Node(_unquoted(text, line), line, plain=text[0] not in "\"'"), found.end()

    def _collection(self, at: int, depth: int) -> tuple[Node, int]:
        line, mapping = self._line(at), self._text[at] == "{"
        items, pairs, closing = list[Node](), dict[str, Node](), "}" if mapping else "]"
        at = self._past(at + 1)
        while self._text[at : at + 1] != closing:
            found, at = self.value(at, depth + 1)
            at = self._past(at)
            if mapping:
                if not isinstance(found.value, str) or self._text[at : at + 1] != ":":
                    raise Unreadable(self._line(at), "has no key here: write {KEY: VALUE}")
                if found.value in pairs:
                    raise Unreadable(found.line, f"{found.value}: is there twice")
                pairs[found.value], at = self.value(at + 1, depth + 1)
                at = self._past(at)
            else:
                items.append(found)
            if self._text[at : at + 1] == ",":
                at = self._past(at + 1)
            elif self._text[at : at + 1] != closing:
                raise Unreadable(self._line(at), f"has no , or {closing} where a value in brackets ends")
        return Node(pairs if mapping else items, line), at + 1


def _unquoted(text: str, line: int) -> str:
    if text[:1] == "'":
        return text[1:-1].replace("''", "'")
    if text[:1] != '"':
        return text

    def character(found: re.Match[str]) -> str:
        said = found[1]
        if len(said) == 1 and said not in _ESCAPED:
            raise Unreadable(line, f"\\{said}: is no escape; write \\\\ for a backslash, or use single quotes")
        return _ESCAPED[said] if len(said) == 1 else chr(int(said[1:], 16))

    try:  # JSON writes what is beyond 16 bits as two halves
        return _ESCAPE.sub(character, text[1:-1]).encode("utf-16", "surrogatepass").decode("utf-16")
    except (UnicodeDecodeError, ValueError, OverflowError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(line, "has an escape that is no character") from None
