"""The coordinator as the child of `scripts/bench alarms`: it is told of an alert in mid-rollout, and notes when what follows leaves."""

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import grpc.aio
import httpx
import uvloop

from coordinator.adapters.alarms.prometheus import Prometheus
from coordinator.adapters.alarms.sight import Sight
from coordinator.adapters.clock import SystemClock
from coordinator.app.coordinator import Coordinator
from coordinator.core.model import Alarm, Comparison, Expression, GroupId
from coordinator.core.orders import Cancel, Instruction, WatchAlarms
from coordinator.metrics import Metrics
from coordinator.program import tune
from coordinator.service.alarms.alerts import Alert
from coordinator.store.sqlite import FILE_NAME, SqliteStore
from hookline.v1 import alarms_pb2, alarms_pb2_grpc, catalog_pb2, deployments_pb2, resources_pb2
from scripts.benchmarks import child
from scripts.benchmarks.figures import cpu_seconds
from scripts.benchmarks.fleets.coordinator import APPLICATION, GROUP, Bench, NotedStreams, arguments, settings

if TYPE_CHECKING:
    from coordinator.core.facts import AlarmSeen

TOKEN: Final = "bench"
LABELS: Final = {"alertname": "Bench", "severity": "page"}


class AlarmedStreams(NotedStreams):
    """Notes when the first host is cancelled, when the first one rolls back, and how many were instructed before."""

    def start(self) -> None:
        """Begin anew."""
        self.watch()
        self.begun, self.cancelled, self.back, self.heard = 0, 0.0, 0.0, 0.0
        self.enough = asyncio.Event()

    def instruct(self, instruction: Instruction) -> None:
        """An instruction of the rollout, or of its rollback."""
        super().instruct(instruction)
        if instruction.plan.rolls_back:
            self.back = self.back or time.monotonic()
        else:
            self.begun += 1
            if self.begun >= 5:
                self.enough.set()

    def cancel(self, cancel: Cancel) -> None:
        """What is ordered is committed."""
        super().cancel(cancel)
        self.cancelled = self.cancelled or time.monotonic()


class AlarmBench(Bench):
    """An operator, and Alertmanager."""

    number = 0

    async def watch(self, channel: grpc.aio.Channel) -> None:
        """A first revision on every host, and a group that watches an alarm from then on."""
        await self.deploy()
        alarms: alarms_pb2_grpc.AlarmServiceAsyncStub = alarms_pb2_grpc.AlarmServiceStub(channel)
        source = alarms_pb2.AlertmanagerAlert(labels=LABELS)
        await alarms.CreateAlarm(alarms_pb2.CreateAlarmRequest(alarm=alarms_pb2.Alarm(alarm_name="Bench", alertmanager_alert=source)))
        group = catalog_pb2.DeploymentGroup(
            application_name=APPLICATION,
            deployment_group_name=GROUP,
            alarm_configuration=resources_pb2.AlarmConfiguration(enabled=True, alarms=["Bench"]),
            auto_rollback_configuration=resources_pb2.AutoRollbackConfiguration(
                enabled=True, events=[resources_pb2.AUTO_ROLLBACK_EVENT_DEPLOYMENT_STOP_ON_ALARM]
            ),
            deployment_config_name="CodeDeployDefault.OneAtATime",
        )
        request = catalog_pb2.UpdateDeploymentGroupRequest(deployment_group=group)
        request.update_mask.paths.extend(["alarm_configuration", "auto_rollback_configuration", "deployment_config_name"])
        await self.catalog.UpdateDeploymentGroup(request)
        location = resources_pb2.RevisionLocation(
            file=resources_pb2.FileLocation(path="/other"), bundle_type=resources_pb2.BUNDLE_TYPE_DIRECTORY
        )
        made = await self.catalog.RegisterRevision(catalog_pb2.RegisterRevisionRequest(application_name=APPLICATION, location=location))
        self.revision = made.revision.revision_id

    async def alarm(self, web: httpx.AsyncClient) -> child.Line:
        """A rollout, one host after another; an alert after the fifth; and its rollback."""
        streams = self.streams
        assert isinstance(streams, AlarmedStreams)
        streams.start()
        request = deployments_pb2.CreateDeploymentRequest(
            application_name=APPLICATION, deployment_group_name=GROUP, revision_id=self.revision
        )
        await self.deployments.CreateDeployment(request)
        await streams.enough.wait()
        self.number += 1
        posted = time.monotonic()
        await self._post(web, "firing")
        engine = self.coordinator.engine
        while (seen := engine.committed) and await self._goes_on():  # the deployment, then its rollback
            await engine.beyond(seen)
        await self._post(web, "resolved")
        return {"stopped": streams.cancelled - posted, "back": streams.back - max(streams.cancelled, posted)}

    async def _goes_on(self) -> bool:
        statuses = [resources_pb2.DEPLOYMENT_STATUS_QUEUED, resources_pb2.DEPLOYMENT_STATUS_IN_PROGRESS]
        request = deployments_pb2.ListDeploymentsRequest(page_size=1, statuses=statuses)
        return bool((await self.deployments.ListDeployments(request)).deployments)

    async def _post(self, web: httpx.AsyncClient, status: str) -> None:
        alert = {"status": status, "labels": LABELS, "startsAt": f"2027-01-01T00:00:{self.number:09}Z", "fingerprint": "f"}
        answer = await web.post("/alertmanager", json={"version": "4", "alerts": [alert]}, headers={"Authorization": f"Bearer {TOKEN}"})
        answer.raise_for_status()


class NoAlerts:
    """Alertmanager has told nothing."""

    async def alerts(self) -> list[Alert]:
        """None."""
        return []

    async def keep(self, alerts: Sequence[Alert], *, forget_before: int) -> None:
        """There are none."""


async def poll(url: str, alarms: int, groups: int, seconds: float) -> child.Line:
    """What looking at so many alarms for so many groups costs, every five seconds."""
    seen: list[AlarmSeen] = []
    sight = Sight(Prometheus.at(url), NoAlerts(), SystemClock(), put=seen.append, metrics=Metrics())
    source = Expression(expression="rate(errors[1m])", comparison=Comparison.GREATER, threshold=1, hold=30_000)
    watched = tuple(Alarm(name=f"alarm-{number}", source=replace(source, threshold=number + 1)) for number in range(alarms))
    looking = asyncio.create_task(sight.run())
    for number in range(groups):
        sight.watch(WatchAlarms(GroupId(f"group-{number}"), watched, SystemClock().now()))
    await asyncio.sleep(5)  # the first looks come all at once
    seen.clear()
    began, cpu = time.monotonic(), cpu_seconds()
    await asyncio.sleep(seconds)
    line: child.Line = {"core": (cpu_seconds() - cpu) / (time.monotonic() - began), "seen": len(seen)}
    looking.cancel()
    return line


async def main() -> None:
    """Answer the benchmark's commands."""
    logging.disable(logging.WARNING)  # every alarm is one
    directory = arguments().directory
    store = await SqliteStore.open(directory / FILE_NAME, SystemClock())
    coordinator = Coordinator(replace(settings(directory, secure=False, port=0), alertmanager_token=TOKEN), store, gateway=AlarmedStreams)
    assert isinstance(coordinator.streams, AlarmedStreams)
    coordinator.streams.start()
    tune()
    async with asyncio.TaskGroup() as parts:
        parts.create_task(coordinator.run())
        await coordinator.ready.wait()
        http = dict(word.split("=", 1) for word in coordinator.addresses.split())["http"]
        async with (
            grpc.aio.insecure_channel(str(coordinator.listeners.agents)) as channel,
            httpx.AsyncClient(base_url=f"http://{http}") as web,
        ):
            bench = AlarmBench(coordinator, channel, 0)
            await bench.prepare()

            async def answer(command: dict[str, Any]) -> child.Line:
                match command["do"]:
                    case "address":
                        return {"address": str(coordinator.listeners.agents)}
                    case "connected":
                        return {"hosts": len(coordinator.streams)}
                    case "watch":
                        await bench.watch(channel)
                        return {}
                    case "poll":
                        return await poll(command["url"], command["alarms"], command["groups"], command["seconds"])
                    case _:
                        return await bench.alarm(web)

            await child.serve(answer)
        coordinator.stop()
    store.close()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
