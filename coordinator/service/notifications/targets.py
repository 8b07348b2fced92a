"""Whom triggers may tell: what must be true of one, and of the address that it sends to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from coordinator.core.addresses import Forbidden, PrivateServers, Server, server_of
from coordinator.core.errors import InvalidTriggerConfig, TriggerTargetsLimitExceeded
from coordinator.core.model import Trigger, TriggerTarget
from coordinator.service.notifications.ports import Secrets
from coordinator.service.rules import check_name

TRIGGERS: Final = 10
"""So many a group may have (CodeDeploy: triggers per group, spec 5)."""

_SECRET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Targets:
    """Where triggers may send to."""

    allowed: PrivateServers
    """Servers with private addresses, or that speak plain HTTP, that the coordinator was told to allow."""
    secrets: Secrets

    def url(self, target: TriggerTarget) -> str:
        """Where a trigger sends to. Raises Forbidden, which never quotes a secret."""
        if not target.url_secret:
            return target.url
        return self.secrets.read(target.url_secret)

    def server(self, url: str) -> Server:
        """The server of a URL that may be sent to, as far as that is known before its name was looked up. Raises Forbidden."""
        server = server_of(url)
        literal = server.literal
        if literal is not None:
            self.allowed.check(server.host, literal)
        if server.scheme != "https" and not self.allowed.lists(server.host, literal):
            raise Forbidden(f"{server.host} would be told in the clear: use https, or have --notify-allow list it")
        return server

    def check(self, trigger: Trigger, *, field: str) -> None:
        """Raise InvalidTriggerConfig unless a trigger's target can be sent to, and its secrets are there."""
        target = trigger.target
        try:
            self.server(self.url(target))
            if target.signing_secret:
                self.secrets.key(target.signing_secret)
        except Forbidden as error:
            raise InvalidTriggerConfig(f"cannot tell anybody by trigger {trigger.name}: {error}", field=field) from None


def checked_triggers(triggers: Sequence[Trigger], targets: Targets, *, field: str) -> tuple[Trigger, ...]:
    """A group's triggers. Raises InvalidTriggerConfig, TriggerTargetsLimitExceeded."""
    if len(triggers) > TRIGGERS:
        raise TriggerTargetsLimitExceeded(f"cannot keep {len(triggers)} triggers: {TRIGGERS} are the most", field=field)
    if twice := {one.name for one in triggers if sum(other.name == one.name for other in triggers) > 1}:
        raise InvalidTriggerConfig(f"cannot have two triggers {min(twice)} in one group", field=field)
    for index, trigger in enumerate(triggers):
        _check(trigger, targets, f"{field}[{index}]")
    return tuple(triggers)


def _check(trigger: Trigger, targets: Targets, field: str) -> None:
    check_name(trigger.name, field=f"{field}.trigger_name")
    if not trigger.events:
        raise InvalidTriggerConfig(f"cannot keep trigger {trigger.name}: it has no event", field=f"{field}.trigger_events")
    target = trigger.target
    if bool(target.url) == bool(target.url_secret):
        raise InvalidTriggerConfig(f"cannot tell where trigger {trigger.name} sends to: give one of url and url_secret", field=field)
    for name in filter(None, (target.url_secret, target.signing_secret)):
        if not _SECRET.fullmatch(name):
            why = "use 1 to 100 characters of A-Z a-z 0-9 . _ -, with a letter or digit first"
            raise InvalidTriggerConfig(f"cannot read the secret {name[:120]!r}: {why}", field=field)
    targets.check(trigger, field=field)
