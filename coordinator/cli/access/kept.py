"""What a login keeps on this machine: where the coordinator is, whom to trust there, and a token or a certificate with its key. For its
owner's eyes alone.
"""

import json
import os
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from coordinator.cli.refusals import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The operator's certificate; times are this machine's, in seconds since 1970."""

    file: str
    """Holds it with its key, PEM, beside the login."""
    renew_at: float
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A coordinator that somebody has logged in to; `trust` is its root certificate, PEM. There is a token or a certificate."""

    coordinator: str
    trust: str
    token: str = ""
    certificate: Certificate | None = None


def path() -> Path:
    """Where it is kept."""
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    home = Path(configured) if configured.startswith("/") else Path.home() / ".config"
    return home / "hookline" / "login.json"


def read() -> Login | None:
    """The login; None if there is none. Raises a Refusal for one that others may read, or that is no login."""
    file = path()
    try:
        kept = json.loads(_private(file))
        certificate = Certificate(**kept["certificate"]) if kept.get("certificate") else None
        return Login(
            coordinator=str(kept["coordinator"]), trust=str(kept["trust"]), token=str(kept.get("token", "")), certificate=certificate
        )
    except (FileNotFoundError, NotADirectoryError, PermissionError, RuntimeError):  # RuntimeError: whoever has no home has no login
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal(f"cannot read the login in {file}: {error}; say `hookline logout`, then log in again") from None


def write(login: Login) -> Path:
    """Keep a login in the place of the one before, whole or not at all; the certificate of that one is deleted."""
    before = _beside_what_is_kept()
    keep(path().name, json.dumps(asdict(login)).encode())
    for file in before:
        if file not in _beside(login):
            file.unlink(missing_ok=True)
    return path()


def keep(name: str, content: bytes) -> None:
    """Write a file beside the login, whole or not at all."""
    file = path().with_name(name)
    beside = file.with_name(f".{name}.new")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        beside.replace(file)
    except OSError as error:
        raise click.FileError(str(file), f"cannot keep the login: {error.strerror}") from None


def pair_of(certificate: Certificate) -> bytes:
    """A certificate with its key, PEM. Raises a Refusal when it cannot be used."""
    file = path().with_name(certificate.file)
    try:
        return _private(file)
    except OSError as error:
        raise Refusal(f"cannot read the certificate in {file}: {error.strerror}; say `hookline logout`, then log in anew") from None


def next_of(certificate: Certificate) -> str:
    """The file with the key for which a renewal is asked."""
    return f"{certificate.file}.next"


def forget() -> bool:
    """Take the login away, with its certificate; whether there was one."""
    beside = _beside_what_is_kept()
    try:
        path().unlink()
        for file in beside:
            file.unlink(missing_ok=True)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise click.FileError(str(path()), f"cannot take the login away: {error.strerror}") from None
    return True


def _beside(login: Login | None) -> list[Path]:
    """The files of a login beside its own: its certificate, and the key of a renewal that was not answered."""
    if login is None or login.certificate is None:
        return []
    return [path().with_name(name) for name in (login.certificate.file, next_of(login.certificate))]


def _beside_what_is_kept() -> list[Path]:
    with suppress(Refusal):  # what cannot be read is replaced
        return _beside(read())
    return []


def _private(file: Path) -> bytes:
    """What a file holds. Raises a Refusal if others may read it."""
    with file.open("rb") as opened:
        if stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & 0o077:
            raise Refusal(
                f"cannot use the login in {file}: others may read it; run `chmod 600 {file}`, and have the token or certificate revoked "
                "if somebody did"
            )
        return opened.read()


def read_trust(file: str) -> str:
    """The certificates in a file, PEM."""
    try:
        return Path(file).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise click.UsageError(
            f"cannot read {file!r} as --ca: {error}; it is a fingerprint of 64 hexadecimal digits, or a PEM file"
        ) from None
