"""A group's queue under anything that may happen: nobody is forgotten, nobody is overtaken, and everybody ends."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from coordinator.core.model import Deployment, DeploymentId, Queueing
from coordinator.core.queue import line
from tests.core.rollout import Rollout

HOSTS = ("a", "b")


class Queue(RuleBasedStateMachine):
    """Operators ask for deployments, stop and approve some, and time passes; hosts do well or badly."""

    def __init__(self) -> None:
        super().__init__()
        self.rollout = Rollout()
        self.rollout.given(HOSTS)

    @rule(
        of=st.sampled_from(["r1", "r2", "r3"]),
        queueing=st.sampled_from(Queueing),
        start_in=st.sampled_from([None, None, 30_000, 90_000]),
        approval=st.booleans(),
    )
    def deploy(self, of: str, queueing: Queueing, start_in: int | None, *, approval: bool) -> None:
        """Somebody wants a deployment."""
        self.rollout.deploy(of, HOSTS, rollback=True, queueing=queueing, start_in=start_in, approval=approval)

    @precondition(lambda self: self.rollout.called is not None)
    @rule()
    def take_turn(self) -> None:
        """The group's hosts are looked up."""
        called = self.rollout.called
        self.rollout.take_turn()
        live = self.rollout.group.deployment
        assert called is not None
        assert live is None or live.turn_at is None or line.find(self.rollout.group, called.deployment_id) is None

    @precondition(lambda self: self.rollout.in_progress if self.rollout.group.deployment is not None else False)
    @rule(well=st.booleans())
    def end(self, *, well: bool) -> None:
        """A host ends."""
        name = self.rollout.in_progress[0]
        (self.rollout.succeed if well else self.rollout.fail)(name)

    @precondition(lambda self: bool(self._under_way()))
    @rule(pick=st.integers(0, 9))
    def stop(self, pick: int) -> None:
        """Somebody stops one of those that have not ended."""
        under_way = self._under_way()
        self.rollout.stop(DeploymentId(under_way[pick % len(under_way)].deployment_id))

    @precondition(lambda self: bool(self._under_way()))
    @rule(pick=st.integers(0, 9))
    def approve(self, pick: int) -> None:
        """A second person gives their word."""
        under_way = self._under_way()
        self.rollout.approve("eve", of=under_way[pick % len(under_way)].deployment_id)

    @rule(seconds=st.sampled_from([1, 30, 60]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.rollout.wait(seconds * 1_000)

    @rule()
    def restart(self) -> None:
        """The coordinator is killed and started again."""
        self.rollout.restart(away=10_000)

    @invariant()
    def nobody_is_forgotten(self) -> None:
        """Whoever may begin is called, unless another one is live; the queue is bounded."""
        group = self.rollout.group
        assert len(group.waiting) <= line.AT_MOST
        first = line.first_due(group, self.rollout.at)
        if group.deployment is None and group.waiting:
            assert self.rollout.wake_at is not None, "nobody looks at the queue any more"
        if group.called is not None and first is not None and self.rollout.called is not None:
            assert group.called[0] == self.rollout.called.deployment_id

    def teardown(self) -> None:
        """Everybody is well from now on: everything ends."""
        for _ in range(400):
            if not self._under_way():
                return
            if self.rollout.called is not None:
                self.rollout.take_turn()
            elif self.rollout.group.deployment is not None and self.rollout.in_progress:
                self.rollout.succeed(self.rollout.in_progress[0])
            elif self.rollout.group.deployment is not None:
                self.rollout.approve("eve")
            else:
                self.rollout.wait(60_000)
        raise AssertionError(f"these never end: {[one.deployment_id for one in self._under_way()]}")

    def _under_way(self) -> list[Deployment]:
        group = self.rollout.group
        return [*group.live, *group.waiting]


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
