"""What one turn of the engine has decided, before it is stored."""

from dataclasses import dataclass, field

from coordinator.core.errors import DeployError
from coordinator.core.facts import GroupFact
from coordinator.core.model import GroupId, HostId, Session
from coordinator.core.orders import Changes, Order
from coordinator.engine.inbox import Asked


@dataclass(slots=True)
class Turn:
    """Everything here is forgotten when it cannot be committed."""

    at: int
    elapsed: int
    changes: Changes = field(default_factory=Changes)
    facts: dict[GroupId, list[GroupFact]] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    welcomes: dict[HostId, Session] = field(default_factory=dict)
    refusals: list[tuple[int, DeployError]] = field(default_factory=list)
    acknowledged: dict[HostId, int] = field(default_factory=dict)
    asked: dict[int, Asked] = field(default_factory=dict)
    """By the identity of the fact."""
    swept: bool = False
