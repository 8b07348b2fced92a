"""What the keys of an AppSpec file share: reading one value as the original does, and going on after a mistake.

Every reader here takes the mapping that a value stands in and raises Flaw where the value makes no sense.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

from agent.appspec.findings import Finding, Flaw
from agent.appspec.items import Entry, Item

T = TypeVar("T")
U = TypeVar("U")

_GUESSES, _LONGEST_GUESS = 20, 40  # How many words are compared with the known ones, and how long they may be: it costs 0.1 ms each.

Keys = dict[str, Entry]


class Findings:
    """What was found in one file; `flaws` are those with which it cannot be used."""

    def __init__(self) -> None:
        self.all: list[Finding] = []
        self.flaws: list[Finding] = []
        self._guesses = _GUESSES

    def notice(self, finding: Finding) -> None:
        """Take one with which the file can be used."""
        self.all.append(finding)

    def attempt(self, read: Callable[[], T], otherwise: U) -> T | U:
        """What can be read, or else something to go on with, so that one mistake does not hide the next."""
        try:
            return read()
        except Flaw as flaw:
            self.all.append(flaw.finding)
            self.flaws.append(flaw.finding)
            return otherwise

    def each(self, entry: Entry | None, name: str, read: Callable[[Item], T]) -> tuple[T, ...]:
        """What can be read of a list; nothing where there is none."""
        if entry is None or entry.value.value is None:
            return ()
        items = entry.value.value
        if not isinstance(items, tuple):
            raise entry.value.flaw("wrong-type", f"{name} must be a list", "begin each entry with a dash")
        return tuple(each for item in items for each in self.attempt(partial(_one, read, item), ()))

    def unknown_keys(self, keys: Keys, known: Iterable[str], where: str) -> None:
        """Tell of the keys that nobody reads, and of those that are meant to be others."""
        for key, entry in keys.items():
            if key in known:
                continue
            meant = self.meant(key, known)
            if meant:
                self.notice(entry.key.finding("misspelt-key", f"the key {key}{where} is ignored", f"did you mean {meant}?"))
            else:
                self.notice(entry.key.finding("unknown-key", f"the key {key}{where} is ignored", "remove it"))

    def meant(self, word: str, known: Iterable[str]) -> str:
        """The known word that was probably meant, or the empty word; a file that is all mistakes is not worth guessing at."""
        if self._guesses == 0 or len(word) > _LONGEST_GUESS:
            return ""
        self._guesses -= 1
        from difflib import get_close_matches  # Here, because hardly any file needs it.

        names = {each.lower(): each for each in known}
        found = get_close_matches(word.lower(), names, n=1, cutoff=0.8)
        return names[found[0]] if found else ""


def _one(read: Callable[[Item], T], item: Item) -> tuple[T, ...]:
    return (read(item),)


def mapping(item: Item, otherwise: str) -> Keys:
    """A mapping, or a complaint in these words."""
    if not isinstance(item.value, dict):
        raise item.flaw("wrong-type", otherwise)
    return item.value


def entries(top: Item, name: str) -> tuple[Keys, ...]:
    """The mappings that stand below a key of a file without flaws: those of its list, or the one that it is."""
    item = given(mapping(top, ""), name)
    if item is None or isinstance(item.value, dict):
        return () if item is None else (mapping(item, ""),)
    return tuple(mapping(each, "") for each in item.value) if isinstance(item.value, tuple) else ()


def given(keys: Keys, name: str) -> Item | None:
    """The value of a key, None when it is left out or null."""
    entry = keys.get(name)
    return None if entry is None or entry.value.value is None else entry.value


def word(keys: Keys, name: str) -> str | None:
    """One line of text."""
    item = given(keys, name)
    return None if item is None else line(item, name)


def line(item: Item, name: str) -> str:
    """One line of text; a number or a boolean has to be quoted to be one."""
    if isinstance(item.value, (tuple, dict)) or item.value is None:
        raise item.flaw("wrong-type", f"{name} must be a word")
    if not isinstance(item.value, str):
        raise item.flaw("wrong-type", f"{name} must be a word, and {spelt(item)} is a {_KINDS[type(item.value)]}", f"write '{spelt(item)}'")
    if any(character in item.value for character in "\n\r\0\x85\u2028\u2029"):
        raise item.flaw("wrong-type", f"{name} must be one line")
    return item.value


def words(keys: Keys, name: str) -> tuple[Item, ...]:
    """A list of lines of text."""
    item = given(keys, name)
    if item is None:
        return ()
    if not isinstance(item.value, tuple):
        raise item.flaw("wrong-type", f"{name} must be a list", f"write [{spelt(item)}]" if not isinstance(item.value, dict) else "")
    for each in item.value:
        line(each, f"each of {name}")
    return item.value


def spelt(item: Item) -> str:
    """How a scalar was written, as the original turns any scalar into text."""
    if isinstance(item.value, (tuple, dict)):
        raise item.flaw("wrong-type", "a single value is expected here")
    return item.text or str(item.value)


def inside_bundle(item: Item, path: str) -> str:
    """A path of the bundle without what does not matter: leading slashes, dots, doubled slashes."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                raise item.flaw("outside-bundle", f"{path} leads out of the bundle")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def leading_number(item: Item) -> int | None:
    """Ruby's to_i: the number at the beginning, fractions cut off."""
    if isinstance(item.value, (bool, tuple, dict)) or item.value is None:
        return None
    if isinstance(item.value, str):
        digits = "".join(_leading_digits(item.value.strip()))
        return int(digits) if digits and len(digits) <= 20 else None
    return int(item.value) if abs(item.value) < 1e15 else None


_KINDS = {bool: "boolean", int: "number", float: "number"}


def _leading_digits(text: str) -> Iterator[str]:
    for character in text.replace("_", ""):
        if character not in "0123456789":
            return
        yield character
