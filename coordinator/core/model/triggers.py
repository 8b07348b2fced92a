"""Triggers: who is told of what happens to a group's deployments (spec 3.3)."""

from dataclasses import dataclass
from enum import IntEnum


class TriggerEvent(IntEnum):
    """What a trigger may be told of, spelt as CodeDeploy spells it; its DeploymentReady and InstanceReady are of blue/green deployments."""

    DeploymentStart = 1
    DeploymentSuccess = 2
    DeploymentFailure = 3
    DeploymentStop = 4
    DeploymentRollback = 5
    InstanceStart = 6
    InstanceSuccess = 7
    InstanceFailure = 8


class TargetKind(IntEnum):
    """What is sent."""

    Webhook = 1
    """CodeDeploy's bodies."""
    Slack = 2
    """Messages that Slack, and what is like it, shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerTarget:
    """Where it is sent: one of `url` and `url_secret` is set. Secrets are named here, and lie with the coordinator."""

    kind: TargetKind
    url: str = ""
    url_secret: str = ""
    """The name of the secret that holds the URL."""
    signing_secret: str = ""
    """The name of the secret that what is sent is signed with; empty: it is not signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Somebody who is told."""

    name: str
    events: tuple[TriggerEvent, ...]
    """In their order, each once."""
    target: TriggerTarget
