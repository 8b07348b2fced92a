"""Reads a table of the file of source credentials: every word is looked at, and what is wrong is said in a sentence."""

import re
from typing import Final

from coordinator.adapters.sources.asking import is_safe
from coordinator.adapters.sources.references import Reference, reference
from coordinator.core.model.roles import pattern_of

LONGEST: Final = 1_024
_WORD: Final = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


class Entry:
    """One table. Everything raises ValueError with a sentence, and never quotes what could be a secret."""

    def __init__(self, kind: str, said: object, *, needed: set[str], optional: set[str], begins: tuple[str, ...]) -> None:
        """A table [[kind]] has these words, and its source begins with one of those."""
        if not isinstance(said, dict) or not needed <= said.keys() <= needed | optional:
            raise ValueError(f"each [[{kind}]] says {', '.join(sorted(needed))} and, if need be, {', '.join(sorted(optional))}")
        self._said = said
        source = said["source"]
        if not isinstance(source, str) or not source.startswith(begins):
            shapes = " or ".join(f"{each}{'BUCKET/' if each == 's3://' else '...'}*" for each in begins)
            raise ValueError(f"source {str(source)[:100]!r} is none such as {shapes}")
        self.source = pattern_of(source)

    def text(self, name: str, default: str = "") -> str:
        """One line of printable characters."""
        value = self._said.get(name, default)
        if not isinstance(value, str) or value != default and (len(value) > LONGEST or not _WORD.fullmatch(value)):
            raise ValueError(f"the {name} for {self.source} is none")
        return value

    def address(self, name: str, default: str = "") -> str:
        """Where secrets may be sent, without a slash at its end."""
        value = self.text(name, default)
        if not is_safe(value) or "?" in value:
            raise ValueError(f"the {name} for {self.source} has to be https://HOST/PATH (http:// only for an address of this machine)")
        return value.rstrip("/")

    def secret(self, name: str) -> Reference:
        """Where a secret stands."""
        try:
            return reference(self._said[name])
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None

    def number(self, name: str, default: int) -> int:
        """A whole number."""
        value = self._said.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"the {name} for {self.source} is no number")
        return value

    def has(self, name: str) -> bool:
        """Whether the table says it."""
        return name in self._said
