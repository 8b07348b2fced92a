"""What a login keeps on this machine: where the coordinator is, whom to trust there, and the token. For its owner's eyes alone."""

import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from coordinator.cli.refusals import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A coordinator that somebody has logged in to; `trust` is its root certificate, PEM."""

    coordinator: str
    trust: str
    token: str


def path() -> Path:
    """Where it is kept."""
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    home = Path(configured) if configured.startswith("/") else Path.home() / ".config"
    return home / "hookline" / "login.json"


def read() -> Login | None:
    """The login; None if there is none. Raises a Refusal for one that others may read, or that is no login."""
    file = path()
    try:
        with file.open(encoding="utf-8") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            kept = json.load(opened)
        login = Login(coordinator=str(kept["coordinator"]), trust=str(kept["trust"]), token=str(kept["token"]))
    except (FileNotFoundError, NotADirectoryError, PermissionError, RuntimeError):  # RuntimeError: whoever has no home has no login
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refusal(f"cannot read the login in {file}: {error}; say `hookline logout`, then log in again") from None
    if stat.S_IMODE(mode) & 0o077:
        raise Refusal(
            f"cannot use the login in {file}: others may read it; run `chmod 600 {file}`, and have the token revoked if somebody did"
        )
    return login


def write(login: Login) -> Path:
    """Keep a login in the place of the one before, whole or not at all."""
    file = path()
    beside = file.with_name(".login.json.new")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as opened:
            json.dump(asdict(login), opened)
        beside.replace(file)
    except OSError as error:
        raise click.FileError(str(file), f"cannot keep the login: {error.strerror}") from None
    return file


def forget() -> bool:
    """Take the login away; whether there was one."""
    try:
        path().unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise click.FileError(str(path()), f"cannot take the login away: {error.strerror}") from None
    return True


def read_trust(file: str) -> str:
    """The certificates in a file, PEM."""
    try:
        return Path(file).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise click.UsageError(
            f"cannot read {file!r} as --ca: {error}; it is a fingerprint of 64 hexadecimal digits, or a PEM file"
        ) from None
