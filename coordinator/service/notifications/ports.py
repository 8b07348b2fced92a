"""What telling people needs of the rest of the world: the history as a queue, secrets, and a way out."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from coordinator.core.addresses import Forbidden
from coordinator.core.model import DeploymentId, HostId, Trigger

EVERYWHERE = 0
"""Stands for a group's number where all groups are meant."""


class Line(NamedTuple):
    """Who is told: a trigger of a group by its number and name, or somebody who is told of all groups."""

    group_no: int
    name: str


class Standing(NamedTuple):
    """A trigger and how far it has come."""

    line: Line
    trigger: Trigger
    cursor: int
    """It has been told of everything up to this entry of the history, or that was given up."""


class Notice(NamedTuple):
    """An entry of the history that somebody may be told of."""

    history_id: int
    at: int
    """UTC milliseconds."""
    entry: str
    application_name: str
    group_name: str
    deployment_id: DeploymentId
    host_id: HostId
    """Empty: it is about the deployment."""
    host_name: str
    message: str
    rolls_back: str
    """The deployment that this one rolls back; empty for any other."""


class Wanted(NamedTuple):
    """Which entries are looked for: those of deployments, and those of their hosts."""

    of_deployments: Sequence[str]
    of_hosts: Sequence[str]


class News(NamedTuple):
    """What has come in a stretch of the history."""

    groups: frozenset[int]
    """The numbers of the groups that have an entry there."""
    changed: bool
    """Groups were made, changed or deleted: triggers may be other ones."""


class Outbox(Protocol):
    """The history as a queue, with a cursor for everybody who is told. Raises StorageFailed and StorageFull where it must."""

    async def head(self) -> int:
        """The newest entry."""
        ...

    async def standing(self) -> list[Standing]:
        """All triggers of all groups."""
        ...

    async def begin(self, line: Line) -> int:
        """The cursor of somebody who is told of all groups; made to stand at the newest entry where there is none."""
        ...

    async def forget(self, line: Line) -> None:
        """Let go of such a cursor."""
        ...

    async def news(self, after: int, upto: int) -> News:
        """What has come after one entry, up to another."""
        ...

    async def notices(self, line: Line, wanted: Wanted, after: int, upto: int) -> tuple[list[Notice], int]:
        """The next entries that a line is to be told of, a handful of them, and the entry up to which those are all."""
        ...

    async def move(self, cursors: Mapping[Line, int]) -> None:
        """Put cursors forward; those that are gone stay so."""
        ...

    async def give_up(self, line: Line, cursor: int, message: str, *, at: int) -> None:
        """Put a cursor forward, and write into the history that what lies between was not delivered."""
        ...


class Secrets(Protocol):
    """Where secrets lie that triggers name. Both raise Forbidden for a secret that is not there or cannot be used, and quote none."""

    def read(self, name: str) -> str:
        """A line of text."""
        ...

    def key(self, name: str) -> bytes:
        """A key to sign with."""
        ...


class NoSecrets:
    """The Secrets of a coordinator that was told of none."""

    def read(self, name: str) -> str:
        """There is none."""
        raise Forbidden(f"there is no secret {name}: start the coordinator with --notify-secrets DIR and put a file of that name there")

    def key(self, name: str) -> bytes:
        """There is none."""
        raise Forbidden(self.read(name))


class Answer(NamedTuple):
    """What a server said."""

    status: int
    text: str
    """Its beginning."""
    retry_after: int
    """Milliseconds for which it asks to be left alone."""


class Unsent(Exception):
    """Nothing could be sent, or no answer came, and why."""


class Post(Protocol):
    """The way out."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a body and wait for the answer, for some seconds. Raises Unsent."""
        ...
