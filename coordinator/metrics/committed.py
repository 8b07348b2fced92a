"""Counts what commits say has happened: one look at each entry of the history and at each lifecycle event that changed."""

import re
from collections import Counter as Multiset
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from coordinator.core.evidence import analysis
from coordinator.core.facts import AlarmSeen, GroupFact
from coordinator.core.lifecycle import DeploymentErrorCode
from coordinator.core.model import AlarmStatus, Deployment, DeploymentId, Group, GroupId, Plan
from coordinator.core.orders import Changes, Entry, HistoryEntry
from coordinator.metrics.hooks import Hooks, Live
from coordinator.metrics.live import waits_for_people
from coordinator.metrics.names import Names
from coordinator.metrics.outcomes import VERDICTS, Outcomes

BATCH: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
SIGNATURE_RULES: Final = ("signing_keys", "require_signature", "lowest_counter")
"""The rules of an agent's policy by which a signature is not good enough; its refusal ends with the rule and the file that has it."""

ENTRIES: Final = tuple(Entry)[: tuple(Entry).index(Entry.HostRemoved) + 1]
"""What deployments and hosts write into the history; the catalogue's entries are not counted."""

_VERDICT: Final = re.compile(rf'the analysis of stage "[^"]*" (?:is|has) ({"|".join(VERDICTS)}): ')
_REFUSED: Final = re.compile(rf"\(({'|'.join(SIGNATURE_RULES)}) in [^()]+\)")


class Committed:
    """Everything that is counted after a commit."""

    def __init__(self, registry: CollectorRegistry, names: Names) -> None:
        """Nothing has happened yet."""
        self.live: dict[DeploymentId, Live] = {}
        self.outcomes = Outcomes(registry, names)
        self._hooks = Hooks()
        registry.register(self._hooks)
        self._entries = Multiset(dict.fromkeys(ENTRIES, 0))
        self._batches = Histogram("hookline_batch_size", "Hosts that were told to begin at one time.", buckets=BATCH, registry=registry)
        signatures = Counter(
            "hookline_signature_failures",
            "Hosts that refused a revision because of its signature, by the rule of their policy.",
            ("reason",),
            registry=registry,
        )
        self._signatures = {rule: signatures.labels(rule) for rule in SIGNATURE_RULES}
        registry.register(_Entries(self._entries))
        measured = Counter(
            "hookline_analysis_measurements", "Measurements of analyses, by what they brought.", ("outcome",), registry=registry
        )
        self._measured = {outcome: measured.labels(outcome) for outcome in analysis.OUTCOMES.values()}

    def resumed(self, deployment: Deployment, at: int) -> None:
        """A deployment that another run of the coordinator created goes on in this one. Of how long it has waited for people before,
        only what it takes to be approved is known."""
        plan = deployment.plan
        live = self.live[plan.deployment_id] = Live(plan, at, in_stage=deployment.started_at is not None)
        if plan.require_approval:
            live.wait(deployment.live_since, people=True)
            live.wait(deployment.started_at or at, people=False)
        live.wait(at, people=waits_for_people(deployment))

    def count(self, changes: Changes, facts: Mapping[GroupId, Sequence[GroupFact]], *, at: int, elapsed: int) -> None:
        """Count what is stored and carried out now: the changes, and the facts that they follow from."""
        history = changes.history
        for deployment_id, deployment in (changes.created | changes.begun).items():
            if not deployment.waits_for_turn:
                self.live[deployment_id] = Live(deployment.plan, at)
        if changes.events:
            self._hooks.count(changes.events, self.live, at)
        if not history:
            return
        self._entries.update([entry.entry for entry in history])
        begun = Multiset([entry.deployment_id for entry in history if entry.entry is Entry.InProgress and entry.host_id is not None])
        for hosts in begun.values():
            self._batches.observe(hosts)
        for entry in history:
            if entry.host_id is None:
                self._tell(entry, changes.deployments.get(entry.deployment_id or DeploymentId("")), facts, elapsed)
            elif entry.entry is Entry.Failed and (found := _REFUSED.search(entry.message)) is not None:
                self._signatures[found[1]].inc()
        for group in changes.groups.values():
            self._stand(changes, group)

    def _tell(self, entry: HistoryEntry, deployment: Deployment | None, facts: Mapping[GroupId, Sequence[GroupFact]], elapsed: int) -> None:
        if deployment is None:
            return
        plan = deployment.plan
        live = self.live.get(plan.deployment_id)
        if live is not None:
            live.wait(entry.at, people=waits_for_people(deployment))
        match entry.entry:
            case Entry.Created:
                self.outcomes.created(plan)
            case Entry.Stopping if live is not None and live.alarmed_at is None and _by_alarm(deployment):
                live.alarmed_at = min(_alarms(facts.get(plan.group_id, ())), default=elapsed)
            case Entry.Regressed if deployment.stopping is not None:
                live = self.live[plan.deployment_id] = Live(plan, entry.at)
                live.alarmed_at = min(_alarms(facts.get(plan.group_id, ())), default=elapsed)
            case Entry.Watched if deployment.rollback_deployment_id is not None:
                self.outcomes.taken_back(plan, DeploymentErrorCode.ALARM_ACTIVE)
                self._end(deployment)
            case Entry.InProgress if live is not None and live.alarmed_at is not None:
                self.outcomes.goes_back(plan, max(0, elapsed - live.alarmed_at) / 1_000)
                live.alarmed_at = None
            case Entry.Succeeded | Entry.Failed | Entry.Stopped:
                self.outcomes.ended(deployment, 0 if live is None else live.waited)
                self._end(deployment)
            case _:
                self._tell_of_stage(entry, plan, live)

    def _tell_of_stage(self, entry: HistoryEntry, plan: Plan, live: Live | None) -> None:
        match entry.entry:
            case Entry.StageBegan if live is not None:
                if live.in_stage:
                    self.outcomes.batch_ended(plan, "succeeded")
                live.in_stage = True
            case Entry.Measured:
                self._measured[entry.message.partition(":")[0]].inc()
            case Entry.Analysed if (verdict := _VERDICT.match(entry.message)) is not None:
                self.outcomes.analysed(plan, verdict[1])
            case _:
                pass

    def _end(self, deployment: Deployment) -> None:
        """Nothing is kept of what has ended; its rollback knows when the alarm was seen."""
        ended = self.live.pop(deployment.deployment_id, None)
        back = None if deployment.rollback_deployment_id is None else self.live.get(deployment.rollback_deployment_id)
        if ended is not None and back is not None:
            back.alarmed_at = ended.alarmed_at

    def _stand(self, changes: Changes, group: Group) -> None:
        """A group may have another deployment that succeeded last."""
        last = group.last_successful
        deployment = None if last is None else changes.deployments.get(last.deployment_id)
        if deployment is not None and deployment.completed_at is not None:
            plan = deployment.plan
            self.outcomes.succeeded(plan.application_name, plan.group_name, plan.revision.revision_id, deployment.completed_at)


class _Entries(Collector):
    """Shows the entries."""

    def __init__(self, entries: Multiset[Entry]) -> None:
        self._entries = entries

    def collect(self) -> Iterator[Metric]:
        """As they are now."""
        family = CounterMetricFamily("hookline_history_entries", "What deployments and hosts wrote into the history.", labels=("type",))
        for entry, count in self._entries.items():
            family.add_metric((entry,), count)
        yield family


def _by_alarm(deployment: Deployment) -> bool:
    return deployment.stopping is not None and deployment.stopping.code is DeploymentErrorCode.ALARM_ACTIVE


def _alarms(facts: Iterable[GroupFact]) -> Iterator[int]:
    """When alarms were seen in ALARM."""
    return (fact.elapsed for fact in facts if isinstance(fact, AlarmSeen) and fact.status is AlarmStatus.ALARM)
