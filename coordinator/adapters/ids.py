"""Random names: the one place of the coordinator that uses chance."""

import secrets
import string
import uuid
from typing import Final

from coordinator.core.model import DeploymentId, GroupId

_ALPHABET: Final = string.ascii_uppercase + string.digits
_LENGTH: Final = 9


class RandomIds:
    """Implements the engine's port `Ids`."""

    def deployment_id(self) -> DeploymentId:
        """ "d-" and nine of A-Z0-9, as CodeDeploy's; random, so that a restored database never mints one again."""
        return DeploymentId("d-" + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH)))

    def group_id(self) -> GroupId:
        """A UUID."""
        return GroupId(str(uuid.uuid4()))
