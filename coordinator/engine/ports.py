"""What the engine needs of the world, as Protocols: a store, the agents, the alarms, a clock, ids.

Time is told in whole milliseconds: `now` is UTC and only shown, `elapsed` is monotonic and decides.
"""

from collections.abc import Mapping
from typing import Protocol

from coordinator.core.errors import DeployError
from coordinator.core.facts import Request
from coordinator.core.model import DeploymentId, Group, GroupId, HostId, Session
from coordinator.core.orders import CallUp, Cancel, Changes, Instruction, WatchAlarms


class DeploymentsRefused(Exception):
    """Deployments that were decided cannot be created any more: what they deploy, or where to, was deleted meanwhile."""

    def __init__(self, why: Mapping[DeploymentId, DeployError]) -> None:
        """`why` each of them cannot."""
        super().__init__(", ".join(why))
        self.why = why


class StoreBroken(Exception):
    """What was decided can never be stored: a bug, in the deciding or in the storing."""


class Store(Protocol):
    """The history and the present, durable."""

    async def commit(self, changes: Changes) -> int:
        """Store everything in one transaction and return its number, which grows with each commit.

        When it returns, the rows survive a power cut. When it raises, nothing was stored: StorageFull or StorageFailed when that will
        pass, DeploymentsRefused when everything but those deployments can be stored, StoreBroken when it will fail again and again.
        The caller changes none of the objects in `changes` before it returns.
        """
        ...

    async def rehearse(self, changes: Changes) -> None:
        """Store everything and take it back: it raises what `commit` would."""
        ...

    async def last_commit(self) -> int:
        """The number of the last commit; 0 when there is none."""
        ...

    async def sessions(self) -> list[Session]:
        """Every known host, as stored."""
        ...

    async def live_groups(self) -> list[GroupId]:
        """Groups with a deployment that has not ended, be it live or waiting for its turn, or of which one is watched after its success."""
        ...

    async def group(self, group_id: GroupId) -> Group:
        """A group with its members, those of its deployments that wait for their turn and those that are live, these with all targets, as
        committed last; likewise the one that is watched after its success, without hosts that were removed and with those that newcomers'
        deployments have brought its revision to since.

        Every field that says "Not stored", and the counters, are left for `core/machine.restore` to fill in.
        A group without any deployment yet is an empty one.
        """
        ...

    async def behind(self, epochs: Mapping[tuple[GroupId, HostId], int]) -> list[GroupId]:
        """Groups that the store knows, and of which a host knows a higher target epoch than is stored for it."""
        ...


class Agents(Protocol):
    """The hosts' open streams. No call waits for a stream; what cannot be sent is dropped, since Welcome repeats it."""

    def welcome(self, session: Session, *, busy: bool) -> None:
        """Accept a host's stream: `session.stream` speaks for it from now on, an older one ends, even when the newer one is gone
        already. `busy`: an instruction is outstanding."""
        ...

    def refuse(self, stream: int, error: DeployError) -> None:
        """End a stream whose Hello cannot be accepted, with a sentence for its agent."""
        ...

    def instruct(self, instruction: Instruction) -> None:
        """Send an instruction to its host."""
        ...

    def cancel(self, cancel: Cancel) -> None:
        """Send a Cancel to its host."""
        ...

    def acknowledge(self, host_id: HostId, acked_seq: int) -> None:
        """Tell a host that its reports up to a number are committed."""
        ...

    def settle(self, host_id: HostId) -> None:
        """Nothing is outstanding for the host any more: it may beat slowly again."""
        ...


class Alarms(Protocol):
    """Whoever looks at alarms, and puts `AlarmSeen` into the inbox after every look."""

    def watch(self, order: WatchAlarms) -> None:
        """Look at a group's alarms from now on, at once and then every interval, and at no others of it. Never waits."""
        ...


class Turns(Protocol):
    """Whoever looks up which hosts a group has when the turn of a deployment comes, and asks for it to begin (`TurnCame`)."""

    def call(self, order: CallUp) -> None:
        """Do so soon. Never waits."""
        ...


class Clock(Protocol):
    """Time."""

    def now(self) -> int:
        """UTC milliseconds since 1970."""
        ...

    def elapsed(self) -> int:
        """Monotonic milliseconds since an arbitrary moment."""
        ...

    async def sleep(self, milliseconds: int) -> None:
        """Wait."""
        ...


class Ids(Protocol):
    """Random names."""

    def deployment_id(self) -> DeploymentId:
        """ "d-" and nine of A-Z0-9."""
        ...

    def group_id(self) -> GroupId:
        """A UUID."""
        ...


class Commits(Protocol):
    """What the engine has committed, for those who watch: `engine/loop.Engine` is one."""

    @property
    def committed(self) -> int:
        """The number of the last commit."""
        ...

    async def beyond(self, commit: int) -> int:
        """Wait until something was committed after `commit`, and return the number of the last commit."""
        ...


class Inbox(Protocol):
    """Where operators' facts go: `engine/loop.Engine` is one."""

    async def ask(self, fact: Request) -> None:
        """Put a fact to the engine and return once it is decided and committed. Raises the DeployError it was refused with,
        StorageFull or StorageFailed when it could not be stored within 5 s; then nothing of it remains."""
        ...
