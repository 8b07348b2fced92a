"""The files of a host's identity, below its data directory:

    identity/current                 the generation that counts: 0 after joining, one more after each renewal
    identity/3/key.pem               its key, which never leaves the host
    identity/3/chain.pem             its certificate, and what stands above it
    identity/3/trust.pem             the roots that it trusts
    identity/3/enrolment.json        who it is, where its coordinator is, when the certificate begins and ends

A generation lies on the disk as a whole before `current` names it, so a crash at any instant leaves a pair that works. Its key lies there
before anybody hears of it: when the answer to a request is lost, the same key is shown again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import AgentError

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY = "identity"
_CURRENT, _KEY, _CHAIN, _TRUST, _ENROLMENT = "current", "key.pem", "chain.pem", "trust.pem", "enrolment.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """What a host knows of itself. Times are milliseconds since 1970; addresses are HOST:PORT."""

    cluster: str
    host_id: str
    name: str
    generation: int
    """How often its certificate was renewed."""
    serial: str
    """Of its certificate, hexadecimal."""
    begins_at: int
    ends_at: int
    received_at: int
    """When the certificate came, by this host's clock."""
    coordinator: str
    enrol_address: str
    authority: str
    """The fingerprint of the root certificate that the operator named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a host shows, and whom it trusts; PEM."""

    enrolment: Enrolment
    key: bytes
    chain: bytes
    trust: bytes


class IdentityFiles:
    """Reads and writes them. Whoever writes has the data directory to itself."""

    def __init__(self, data_dir: Path) -> None:
        self.directory = data_dir / DIRECTORY

    def credentials(self) -> Credentials | None:
        """Those that count now; None: this host has not joined. Raises AgentError for files that cannot be used."""
        try:
            generation = self.directory / os.readlink(self.directory / _CURRENT)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AgentError(f"cannot read {self.directory / _CURRENT}: {_why(error)}") from error
        key, chain, trust, enrolment = (_read(generation / name) for name in (_KEY, _CHAIN, _TRUST, _ENROLMENT))
        try:
            said = Enrolment(**json.loads(enrolment))
        except (ValueError, TypeError) as error:
            path = generation / _ENROLMENT
            raise AgentError(f"cannot read {path}: it is damaged; restore it, or join again with `hookline-agent join --again`") from error
        _check_private(generation / _KEY)
        return Credentials(enrolment=said, key=key, chain=chain, trust=trust)

    def pair(self, generation: int) -> tuple[Path, Path]:
        """Where the certificate of a generation lies, with what stands above it, and its key."""
        return self._generation(generation) / _CHAIN, self._generation(generation) / _KEY

    def key(self, generation: int) -> bytes | None:
        """The key of a generation; None: it has none yet."""
        path = self._generation(generation) / _KEY
        if not path.exists():
            return None
        _check_private(path)
        return _read(path)

    def keep_key(self, generation: int, key: bytes) -> None:
        """Has a new key on the disk, before anybody hears of it."""
        made = self._generation(generation)
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(mode=0o700, parents=True)
        _write(made / _KEY, key, 0o600)
        _settle(self.directory)
        _settle(self.directory.parent)

    def keep(self, credentials: Credentials) -> None:
        """Lets credentials count whose key is kept already; the generation before stays, for whoever is reading it."""
        generation = credentials.enrolment.generation
        made = self._generation(generation)
        _write(made / _CHAIN, credentials.chain, 0o644)
        _write(made / _TRUST, credentials.trust, 0o644)
        _write(made / _ENROLMENT, (json.dumps(dataclasses.asdict(credentials.enrolment), indent=2) + "\n").encode(), 0o644)
        beside = self.directory / f".{_CURRENT}.new"
        beside.unlink(missing_ok=True)
        beside.symlink_to(made.name)
        beside.rename(self.directory / _CURRENT)
        _settle(self.directory)
        for old in self.directory.iterdir():
            if old.name.isdecimal() and int(old.name) < generation - 1:
                shutil.rmtree(old, ignore_errors=True)

    def forget(self) -> None:
        """Removes everything: this host is nobody."""
        (self.directory / _CURRENT).unlink(missing_ok=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _generation(self, generation: int) -> Path:
        return self.directory / str(generation)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AgentError(f"cannot read {path}: {_why(error)}; restore it, or join again with `hookline-agent join --again`") from error


def _check_private(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        advice = f"run `chmod 600 {path}`; if somebody else had it, join again with `hookline-agent join --again`"
        raise AgentError(f"cannot use {path}: others may read this host's key; {advice}")


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and on the disk."""
    beside = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        beside.rename(path)
        _settle(path.parent)
    except OSError as error:
        raise AgentError(f"cannot write {path}: {_why(error)}") from error


def _settle(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
