"""An engine at work over a store in memory, whose hosts report what a test says, and what is counted of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from coordinator.core.facts import AlarmSeen, ApprovalGiven, DeploymentRequested, PauseRequested, Report, ReportsReceived, ResumeRequested
from coordinator.core.lifecycle import EventStatus, LifecycleErrorCode, LifecycleEvent
from coordinator.core.model import (
    AlarmStatus,
    DeploymentId,
    Diagnostics,
    HostId,
    InstructionId,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    Plan,
    Queueing,
    Revision,
    Snapshot,
)
from coordinator.engine.loop import Engine
from coordinator.metrics import Metrics
from coordinator.wire import agents as wire
from hookline.v1 import agent_pb2 as pb
from tests.engine.test_alarms import Eyes
from tests.engine.test_loop import PatientClock, SilentAgents
from tests.store.memory import MemoryStore
from tests.store.things import R1, WEB, plan

SCRIPT = LifecycleEvent.ApplicationStart
EVENTS = (LifecycleEvent.DownloadBundle, SCRIPT)
AT_ONCE = MinimumHealthyHosts(type=MinimumHealthyHostsType.HOST_COUNT, value=0)


class Running:
    """The engine, its clock and its metrics. Hosts are "h0", "h1"...; each says hello when it is deployed to for the first time."""

    def __init__(self, store: MemoryStore, *, names: bool) -> None:
        self.clock, self.metrics, self.store = PatientClock(), Metrics(names=names), store
        self.engine = Engine(store=store, agents=SilentAgents(), clock=self.clock, metrics=self.metrics, alarms=Eyes())
        self.metrics.watch(self.engine.overview)
        self._seqs: dict[str, int] = {}

    def value(self, name: str, **labels: str) -> float | None:
        """A sample, None when there is none."""
        return self.metrics.registry.get_sample_value(f"hookline_{name}", labels)

    async def turned(self) -> None:
        """Let the engine take what there is, and finish."""
        before = self.engine.committed
        async with asyncio.timeout(30):
            await self.engine.beyond(before)

    async def hello(self, host: str) -> None:
        """A host opens its first stream; what it reported to another run of the coordinator is behind it."""
        known = self.store.hosts.get(_id(host))
        self._seqs[host] = 0 if known is None else known.acked_seq
        said = pb.Hello(host_id=_id(host), name=host, journal_id="j", agent_version="0.1.0", last_seq=self._seqs[host])
        self.engine.inbox.put(wire.hello(said, stream=len(self._seqs), at=self.clock.at, elapsed=self.clock.at))
        await self.turned()

    async def deploy(
        self, deployment_id: str, hosts: int = 1, revision: Revision = R1, queueing: Queueing = Queueing.REFUSE, **changed: object
    ) -> Plan:
        """Deploy to some hosts at once."""
        wanted = {"outdated_only": False, "require_approval": False, "lifecycle_events": EVENTS, "minimum_healthy_hosts": AT_ONCE}
        made = plan(deployment_id, WEB, revision, **(wanted | {"created_at": self.clock.at} | changed))
        names = [f"h{number}" for number in range(hosts)]
        for name in names:
            if name not in self._seqs:
                await self.hello(name)
        snapshots = tuple(Snapshot(host_id=_id(name), name=name) for name in names)
        await self.engine.ask(DeploymentRequested(at=self.clock.at, elapsed=self.clock.at, plan=made, hosts=snapshots, queueing=queueing))
        return made

    async def approve(self, deployment_id: str) -> None:
        """Somebody else approves it."""
        at = self.clock.at
        await self.engine.ask(
            ApprovalGiven(at=at, elapsed=at, deployment_id=DeploymentId(deployment_id), approved_by="bob", reason="looks good")
        )

    async def pause(self, deployment_id: str, *, resume: bool = False) -> None:
        """Somebody pauses it, or resumes it."""
        wish = ResumeRequested if resume else PauseRequested
        await self.engine.ask(wish(at=self.clock.at, elapsed=self.clock.at, deployment_id=DeploymentId(deployment_id), requested_by="bob"))

    async def report(
        self, deployment_id: str, host: str, event: LifecycleEvent, status: EventStatus, at: int, diagnostics: Diagnostics | None = None
    ) -> None:
        """A host reports an event, at a time of its own clock."""
        self._seqs[host] += 1
        told = Report(self._seqs[host], InstructionId(f"{deployment_id}/{_id(host)}/0/1"), event, status, at, diagnostics=diagnostics)
        stream = list(self._seqs).index(host) + 1
        self.engine.inbox.put(ReportsReceived(self.clock.at, self.clock.at, stream, _id(host), (told,)))
        await self.turned()

    async def succeed(self, deployment_id: str, host: str = "h0", seconds: float = 2) -> None:
        """A host does all that it was told; each event takes so long."""
        at = 5_000_000
        for event in EVENTS:
            await self.report(deployment_id, host, event, EventStatus.InProgress, at)
            at += round(seconds * 1_000)
            await self.report(deployment_id, host, event, EventStatus.Succeeded, at)

    async def fail(
        self, deployment_id: str, host: str = "h0", code: LifecycleErrorCode = LifecycleErrorCode.ScriptFailed, why: str = "no"
    ) -> None:
        """A host fails in its script after two seconds."""
        await self.report(deployment_id, host, SCRIPT, EventStatus.InProgress, 5_000_000)
        await self.report(deployment_id, host, SCRIPT, EventStatus.Failed, 5_002_000, Diagnostics(error_code=code, message=why))

    async def see(self, name: str, status: AlarmStatus, plan: Plan) -> None:
        """Somebody looks at an alarm."""
        at = self.clock.at
        self.engine.inbox.put(AlarmSeen(at=at, elapsed=at, group_id=plan.group_id, alarm_name=name, status=status, sample="9"))
        await self.turned()


@asynccontextmanager
async def running(store: MemoryStore | None = None, *, names: bool = False) -> AsyncIterator[Running]:
    """An engine that runs."""
    made = Running(store or MemoryStore(), names=names)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(made.engine.run())
        await made.engine.started.wait()
        yield made
        task.cancel()


def _id(host: str) -> HostId:
    return HostId(f"{int(host[1:]):032x}")
