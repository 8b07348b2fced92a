"""Secrets that triggers name: files of a directory, read whenever they are needed, so a new one counts at once."""

from pathlib import Path
from typing import Final

from coordinator.core.addresses import Forbidden
from coordinator.service.notifications.signing import key_of

LONGEST: Final = 4_096


class SecretFiles:
    """See `service.notifications.ports.Secrets`."""

    def __init__(self, directory: Path) -> None:
        """Every secret is a file of one line there, under its name."""
        self._directory = directory

    def read(self, name: str) -> str:
        """The line. Raises Forbidden."""
        path = self._directory / name
        try:
            with path.open("rb") as file:
                text = file.read(LONGEST + 1).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise Forbidden(f"cannot read the secret {name} in {self._directory}: {str(why).lower()}") from None
        if not text or len(text) > LONGEST or not text.isascii() or not text.isprintable():
            raise Forbidden(f"the secret {name} in {self._directory} must be one line of printable ASCII characters")
        return text

    def key(self, name: str) -> bytes:
        """The key. Raises Forbidden."""
        try:
            return key_of(self.read(name))
        except Forbidden:
            raise
        except ValueError as error:
            raise Forbidden(f"cannot sign with the secret {name} in {self._directory}: {error}") from None
