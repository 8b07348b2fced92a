"""Secrets that stand elsewhere: in a file, in the environment, or in what a command prints. Looked up whenever they are needed."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LONGEST: Final = 8_192
COMMAND_WITHIN: Final = 10.0
"""Seconds."""


class Unresolved(Exception):
    """A secret that cannot be had, in a sentence without it."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret stands: exactly one of them is given."""

    file: str = ""
    env: str = ""
    command: tuple[str, ...] = ()

    def resolved(self) -> str:
        """The secret, one line. May take some seconds. Raises Unresolved."""
        text = self.lines()
        if not text or len(text) > LONGEST or not text.isascii() or not text.isprintable():
            raise Unresolved(f"cannot use the secret of {self}: it has to be one line of printable ASCII characters")
        return text

    def lines(self) -> str:
        """The secret, of several lines such as a private key has. May take some seconds. Raises Unresolved."""
        try:
            return self._text().strip()
        except (OSError, UnicodeDecodeError, KeyError, subprocess.SubprocessError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise Unresolved(f"cannot get the secret of {self}: {why}") from None

    def __str__(self) -> str:
        """How sentences name it; of a command its program alone."""
        return f"file {self.file}" if self.file else f"variable {self.env}" if self.env else f"command {self.command[0]}"

    def _text(self) -> str:
        if self.file:
            with Path(self.file).open("rb") as file:
                return file.read(LONGEST + 2).decode()
        if self.env:
            return os.environ[self.env]
        done = subprocess.run(self.command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_WITHIN, check=True)
        return done.stdout.decode()


def reference(said: object) -> Reference:
    """What a TOML file says: {file = "..."}, {env = "..."} or {command = ["...", ...]}. Raises ValueError for anything else."""
    match said:
        case {"file": str(path), **rest} if path.startswith("/") and not rest:
            return Reference(file=path)
        case {"env": str(name), **rest} if name and not rest:
            return Reference(env=name)
        case {"command": [str(), *_] as words, **rest} if all(isinstance(word, str) for word in words) and words[0] and not rest:
            return Reference(command=tuple(words))
        case Mapping() | _:
            raise ValueError('has to be {file = "/PATH"}, {env = "NAME"} or {command = ["PROGRAM", ...]}: no secret stands here itself')
