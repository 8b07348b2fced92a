"""What triggers need beside the catalogue, in memory."""

from coordinator.core.addresses import Forbidden
from coordinator.core.model import Trigger
from coordinator.service.notifications.ports import Unsent
from coordinator.service.records import DeploymentGroup


class Attempts:
    """Sends no test event and says that it was taken, unless `refusal` says otherwise."""

    def __init__(self) -> None:
        self.refusal = ""
        self.made: list[tuple[str, str]] = []

    async def attempt(self, group: DeploymentGroup, trigger: Trigger) -> str:
        """Note it."""
        self.made.append((group.name, trigger.name))
        if self.refusal:
            raise Unsent(self.refusal)
        return "200 ok"


class OneSecret:
    """Knows a secret `shop-hook`, which is a URL and a key."""

    def read(self, name: str) -> str:
        """The URL."""
        if name != "shop-hook":
            raise Forbidden(f"there is no secret {name}")
        return "https://hooks.example.org/services/T0/B0/x"

    def key(self, name: str) -> bytes:
        """The key."""
        self.read(name)
        return b"k" * 32
