"""Random names: the one place of the coordinator that uses chance."""

import secrets
import string
import uuid
from typing import Final

from coordinator.core.model import DeploymentId, GroupId, HostId

_ALPHABET: Final = string.ascii_uppercase + string.digits
_LENGTH: Final = 9


class RandomIds:
    """Implements the engine's port `Ids`, and the services' `Secrets`."""

    def deployment_id(self) -> DeploymentId:
        """ "d-" and nine of A-Z0-9, as CodeDeploy's; random, so that a restored database never mints one again."""
        return DeploymentId("d-" + self._nine())

    def host_id(self) -> HostId:
        """32 lower-case hexadecimal digits."""
        return HostId(secrets.token_hex(16))

    def join_token(self) -> tuple[str, str]:
        """ "jt-" and nine characters to name it by, and its text: "hlj_" and 256 random bits in base64url."""
        return "jt-" + self._nine(), "hlj_" + secrets.token_urlsafe(32)

    def operator_token(self, prefix: str) -> tuple[str, str]:
        """ "ot-" and nine characters to name it by, and its text: the prefix and 256 random bits in base64url."""
        return "ot-" + self._nine(), prefix + secrets.token_urlsafe(32)

    def group_id(self) -> GroupId:
        """A UUID."""
        return GroupId(str(uuid.uuid4()))

    def _nine(self) -> str:
        return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
