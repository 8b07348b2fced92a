"""What a script sees of its deployment: CodeDeploy's variables and ours. What it sees of the agent's is the policy's to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.model import Place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from agent.facts import Begin, Close, Recover
    from agent.workspace import DeploymentDirectory


class Environment:
    """What a script could see: the agent's own environment, and beside it CodeDeploy's variables and ours."""

    def __init__(self, *, own: Mapping[str, str], root_prefix: Path, host: str) -> None:
        self.own = dict(own)
        self._of_the_host = {"HOOKLINE_ROOT_PREFIX": str(root_prefix), "HOOKLINE_HOST": host}

    def of(self, order: Begin | Recover | Close, serving: DeploymentDirectory) -> dict[str, str]:
        """What is said of one event. It describes the new deployment; the bundle directory is that of the scripts."""
        instruction = order.instruction
        words = dict(instruction.location.words)
        environment = {
            **self._of_the_host,
            "LIFECYCLE_EVENT": order.event.value,
            "DEPLOYMENT_ID": instruction.deployment_id,
            "APPLICATION_NAME": instruction.application_name,
            "DEPLOYMENT_GROUP_NAME": instruction.group_name,
            "DEPLOYMENT_GROUP_ID": instruction.group_id,
            "HOOKLINE_BUNDLE_DIR": str(serving.archive),
        }
        if order.previous is not None:
            environment["HOOKLINE_PREVIOUS_REVISION"] = order.previous
        if instruction.location.place is Place.S3:
            names = {"BUNDLE_BUCKET": "bucket", "BUNDLE_KEY": "key", "BUNDLE_VERSION": "version", "BUNDLE_ETAG": "e_tag"}
            environment |= {name: words[word] for name, word in names.items() if word in words}
        elif instruction.location.place is Place.GITHUB:
            environment["BUNDLE_COMMIT"] = words.get("commit_id", "")
        return environment
