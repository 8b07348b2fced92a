"""A trigger as the courier sees it: somebody who is told of entries, one at a time."""

from dataclasses import dataclass
from typing import Final, Protocol

from coordinator.core.addresses import Forbidden
from coordinator.core.errors import NotFound
from coordinator.core.model import TargetKind, Trigger
from coordinator.engine.ports import Clock
from coordinator.service.notifications import bodies, signing, slack
from coordinator.service.notifications.bodies import Told
from coordinator.service.notifications.events import event_of, wanted
from coordinator.service.notifications.ports import Answer, Notice, Post, Unsent, Wanted
from coordinator.service.notifications.targets import Targets
from coordinator.service.ports import History
from coordinator.service.records import DeploymentGroup, TargetRecord

ANSWER_LENGTH: Final = 300
"""Characters of an answer that are told."""


class Refused(Unsent):
    """A target has answered that it does not take it, and may have asked to be left alone for some milliseconds."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(spelt(answer))
        self.retry_after = answer.retry_after


class Outlet(Protocol):
    """Somebody who is told."""

    @property
    def kind(self) -> str:
        """What it is called where notifications are counted."""
        ...

    @property
    def wanted(self) -> Wanted:
        """Which entries it is told of."""
        ...

    async def tell(self, notice: Notice) -> bool:
        """Tell it, once; whether there was anything to tell. Raises Unsent, and StorageFailed."""
        ...


@dataclass(frozen=True, slots=True)
class Ways:
    """By which triggers tell: where the history is read, where they may send to, and the way out."""

    history: History
    targets: Targets
    post: Post
    clock: Clock
    cluster: str

    def outlet(self, trigger: Trigger) -> Outlet:
        """What tells by a trigger."""
        return TriggerOutlet(trigger, self)

    async def attempt(self, group: DeploymentGroup, trigger: Trigger) -> str:
        """Send a test event, once, and return what was answered. Raises Unsent."""
        now = self.clock.now()
        said = f"This is a test of trigger {trigger.name} of {group.application_name}/{group.name}."
        where = bodies.source(self.cluster, group.application_name, group.name)
        headers = bodies.headers(f"test-{now}", "Test", where, at=now, subject=trigger.name)
        content: dict[str, object] = {"text": slack.escaped(said)}
        if trigger.target.kind is TargetKind.Webhook:
            content = bodies.test_body(self.cluster, group, trigger.name, said)
        return spelt(await self.send(trigger, headers, bodies.encoded(content)))

    async def send(self, trigger: Trigger, headers: dict[str, str], body: bytes) -> Answer:
        """Send a body to a trigger's target, signed where it says so. Raises Unsent."""
        target = trigger.target
        try:
            url = self.targets.url(target)
            self.targets.server(url)
            if target.signing_secret:
                key = self.targets.secrets.key(target.signing_secret)
                headers = headers | signing.signed(key, headers["ce-id"], body, at=self.clock.now())
        except Forbidden as error:
            raise Unsent(f"cannot send: {error}") from None
        answer = await self.post.post(url, headers, body)
        if not 200 <= answer.status < 300:
            raise Refused(answer)
        return answer


class TriggerOutlet:
    """See `Outlet`."""

    def __init__(self, trigger: Trigger, ways: Ways) -> None:
        """It is told of the trigger's events alone."""
        self._trigger = trigger
        self._ways = ways
        self.kind = trigger.target.kind.name.lower()
        self.wanted = wanted(trigger.events)

    async def tell(self, notice: Notice) -> bool:
        """See `Outlet.tell`."""
        event = event_of(notice)
        if event is None:
            return False
        told = Told(
            trigger_name=self._trigger.name,
            cluster=self._ways.cluster,
            event=event,
            notice=notice,
            deployment=await self._ways.history.deployment(notice.deployment_id),
            target=await self._target(notice) if notice.host_id else None,
        )
        made = bodies.body if self._trigger.target.kind is TargetKind.Webhook else slack.message
        await self._ways.send(self._trigger, bodies.cloud_event(told), bodies.encoded(made(told)))
        return True

    async def _target(self, notice: Notice) -> TargetRecord | None:
        """None: the host was removed meanwhile."""
        try:
            return await self._ways.history.target(notice.deployment_id, notice.host_id)
        except NotFound:
            return None


def spelt(answer: Answer) -> str:
    """An answer in one line."""
    text = " ".join(answer.text.split())[:ANSWER_LENGTH]
    return f"it answered {answer.status}{f': {text}' if text else ''}"
