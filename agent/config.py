"""Who this agent is and what its operator asked for; parsed once, trusted from there on."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import platform
import re
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent import __version__
from agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LOCK_NAME = "agent.lock"
ANYWHERE = "192.0.2.1"
"""An address that nobody has (RFC 5737)."""
MOST_TAGS = 64
LONGEST_TAG_KEY = 128
LONGEST_TAG_VALUE = 256
_NAME = re.compile(r"[A-Za-z0-9._+=,@-]{1,100}")
_HOST_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What Hello says of the host and the agent."""

    host_id: str
    name: str
    boot_id: str
    agent_version: str
    tags: tuple[tuple[str, str], ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


def host_name(text: str) -> str:
    """A host's display name."""
    if not _NAME.fullmatch(text):
        raise AgentError(f"cannot use {text!r} as the host's name: it has to be 1 to 100 characters of A-Z a-z 0-9 . _ + = , @ -")
    return text


def tags(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Tags as they are typed, KEY=VALUE each."""
    if len(texts) > MOST_TAGS:
        raise AgentError(f"cannot use {len(texts)} tags: a host has at most {MOST_TAGS}")
    parsed: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise AgentError(f"cannot use {text!r} as a tag: it has to be KEY=VALUE")
        if len(key) > LONGEST_TAG_KEY or len(value) > LONGEST_TAG_VALUE:
            raise AgentError(
                f"cannot use the tag {key[:40]!r}: a key has at most {LONGEST_TAG_KEY} characters, a value {LONGEST_TAG_VALUE}"
            )
        if parsed.setdefault(key, value) != value:
            raise AgentError(f"cannot use the tag {key!r} twice with different values")
    return tuple(parsed.items())


def zone(text: str) -> str:
    """The name of the place where the host stands; empty when nobody has said."""
    if len(text) > LONGEST_TAG_VALUE or not text.isprintable():
        raise AgentError(f"cannot use {text[:40]!r} as the host's zone: it has to be at most {LONGEST_TAG_VALUE} printable characters")
    return text


def loopback(address: str) -> str:
    """HOST:PORT of a coordinator on this machine: the only one that may be spoken to in plaintext."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise AgentError(f"cannot use {address!r} as the coordinator's address: it has to be HOST:PORT")
    bare = host.strip("[]")
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(bare, None)}
    except OSError as error:
        raise AgentError(f"cannot use {address!r} as the coordinator's address: {host} has no address ({error.strerror})") from error
    beyond = sorted(str(ip) for ip in found if not ipaddress.ip_address(ip).is_loopback)
    if beyond:
        raise AgentError(
            f"cannot speak plaintext with {host} ({beyond[0]}): --insecure is for loopback addresses only; join the coordinator instead"
        )
    return address


def agent_version() -> str:
    """The version of the agent program. A self-contained one was told its own when it was packed."""
    packed: str | None = getattr(sys, "_MEIPASS", None)
    if packed is None:
        return __version__  # importlib.metadata, which knows it too, is 2.5 MiB
    with open(os.path.join(packed, "VERSION")) as file:
        return file.read().strip()


def observed(coordinator: str = "", zone: str = "") -> tuple[tuple[str, str], ...]:
    """What the agent sees of its host, and is told of it; `coordinator` is where the coordinator listens."""
    address = _address(coordinator.rpartition(":")[0].strip("[]"))
    seen = (("os", platform.system().lower()), ("arch", platform.machine()), ("python", platform.python_version()))
    found = (("address", address), ("zone", zone))
    return (*seen, *(fact for fact in found if fact[1]))


def _address(peer: str) -> str:
    """The host's own address towards another; towards the rest of the world, where that is a name: nothing is looked up here, because it
    could take long. Empty when there is none. (To connect a datagram's socket sends nothing.)"""
    for there, family in ((peer, socket.AF_INET), (peer, socket.AF_INET6), (ANYWHERE, socket.AF_INET)):
        try:
            socket.inet_pton(family, there)
            with socket.socket(family, socket.SOCK_DGRAM) as towards:
                towards.connect((there, 9))
                return str(towards.getsockname()[0])
        except OSError:
            continue
    return ""


class DirectoryInUse(AgentError):
    """Another process has the data directory; pid is "unknown" when it has not said its own."""

    def __init__(self, path: Path, pid: str) -> None:
        super().__init__(f"cannot use the data directory {path}: the agent with pid {pid} has it; stop that one first")
        self.pid = pid


class DataDirectory:
    """The directory that makes an agent itself again after a restart. One agent at a time has it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise AgentError(f"cannot write in the data directory {self.path}: {error.strerror}; name another --data-dir") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            raise DirectoryInUse(self.path, other) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        self.host_id = self._host_id()

    @property
    def journal(self) -> Path:
        """Where the journal lies."""
        return self.path / "journal"

    def become(self, host_id: str) -> None:
        """Is another host from now on: the one that the coordinator says."""
        if host_id != self.host_id:
            self._keep(self.path / "host_id", host_id)
            self.host_id = host_id

    def close(self) -> None:
        """Lets another agent have it."""
        os.close(self._lock)

    def _host_id(self) -> str:
        path = self.path / "host_id"
        try:
            host_id = path.read_text().strip()
        except FileNotFoundError:
            host_id = os.urandom(16).hex()
            self._keep(path, host_id)
        except OSError as error:
            raise AgentError(f"cannot read {path}: {error.strerror}") from error
        if not _HOST_ID.fullmatch(host_id):
            raise AgentError(f"cannot use {path}: a host id is 32 digits of 0-9 a-f; restore it, or remove it to be a new host")
        return host_id

    def _keep(self, path: Path, text: str) -> None:
        new = path.with_suffix(".new")
        with new.open("w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def boot_id() -> str:
    """The kernel's boot id; on a kernel without one, empty."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""
