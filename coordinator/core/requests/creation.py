"""Somebody wants a revision deployed: it begins, waits for its turn, or is refused."""

from collections.abc import Iterator
from dataclasses import replace

from coordinator.core.deployment import bounds, course, newcomers, reasons
from coordinator.core.deployment.decision import Decision
from coordinator.core.errors import DeployError
from coordinator.core.evidence import late
from coordinator.core.facts import DeploymentRequested
from coordinator.core.model import Creator, Group
from coordinator.core.orders import Answer
from coordinator.core.queue import line


def refusals(group: Group, fact: DeploymentRequested) -> Iterator[DeployError]:
    """Every reason why a deployment is refused, the first one first. Of hosts nothing is said that it does not have yet."""
    error = line.refusal(group, fact)
    if error is not None:
        yield error
    if not line.waits(group, fact):
        yield from reasons.unfit(group, fact.plan, newcomers.apart(group, fact.plan, fact.hosts))


def create(now: Decision, fact: DeploymentRequested) -> None:
    """Make the deployment, or say why it cannot be."""
    group, by_itself = now.group, fact.plan.creator is Creator.CodeDeployAutoUpdate
    error, waits = next(refusals(group, fact), None), line.waits(group, fact)
    now.orders.append(Answer(fact, error))
    if error is not None:
        return
    plan = replace(newcomers.frozen(group, fact.plan), last_successful=group.last_successful)
    now.remember(fact.request, plan)
    now.because, now.principal = "newcomers" if by_itself else "CreateDeployment", plan.created_by
    unapproved = line.supersede(now, fact)
    if unapproved is not None:
        unapproved.roll_back = False
        course.stop(now, unapproved, line.superseded(plan))
        course.advance(now, unapproved)
    if waits:
        line.join(now, bounds.make(now, plan))
        return
    late.replaced(now, plan)
    bounds.get_to_know(now, fact.hosts)
    bounds.begin(now, bounds.make(now, plan), plan, newcomers.apart(group, plan, fact.hosts))
