"""Deployments on Grafana's dashboards: regions from begin to end, the same however often an entry is told."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from coordinator.core.model import DeploymentId
from coordinator.core.orders import Entry
from coordinator.service.notifications.annotations import GrafanaOutlet, Region
from coordinator.service.notifications.ports import Notice
from coordinator.service.records import DeploymentRecord
from tests.service.test_notification_bodies import DEPLOYMENT, NOW, notice
from tests.store.things import plan

USUAL = ("hookline", "app:shop", "group:web")


class Dashboard:
    """Grafana's annotations."""

    def __init__(self) -> None:
        self.kept: list[Region] = []
        self.written = 0

    async def find(self, tags: Sequence[str]) -> list[Region]:
        return [one for one in self.kept if set(tags) <= set(one.tags)]

    async def write(self, region: Region) -> None:
        self.written += 1
        if region.number:
            self.kept[region.number - 1] = region
        else:
            self.kept.append(region._replace(number=len(self.kept) + 1))


async def told(dashboard: Dashboard, *entries: Notice, deployment: DeploymentRecord = DEPLOYMENT, times: int = 1) -> list[bool]:
    async def found(deployment_id: DeploymentId) -> DeploymentRecord:
        return deployment

    outlet = GrafanaOutlet(found, dashboard)
    return [await outlet.tell(one) for one in entries for _ in range(times)]


def at(entry: Entry, second: int, **more: object) -> Notice:
    return notice(entry, **more)._replace(at=NOW + second * 1_000, history_id=100 + second)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize("times", [1, 2])
async def test_a_deployment_and_its_bake_time_are_regions(times: int) -> None:
    dashboard = Dashboard()
    entries = (at(Entry.InProgress, 1), at(Entry.Baking, 20, message="every host has ended"), at(Entry.Failed, 50))
    assert await told(dashboard, *entries[:1], times=times) == [True, False][:times]
    (begun,) = dashboard.kept
    assert (begun.begin, begun.end) == (NOW + 1_000, NOW + 1_000)
    assert begun.tags == (*USUAL, "outcome:in_progress", "deployment:d-75I7MBT7C", "part:deployment", "entry:101")
    assert begun.text == "d-75I7MBT7C deploys revision r1 (shop/web)"
    await told(dashboard, *entries[1:], times=times)
    whole, bake = dashboard.kept
    assert (whole.begin, whole.end, bake.begin, bake.end) == (NOW + 1_000, NOW + 50_000, NOW + 20_000, NOW + 50_000)
    assert whole.tags == (*USUAL, "outcome:failed", "deployment:d-75I7MBT7C", "part:deployment", "entry:101")
    assert bake.tags == (*USUAL, "outcome:failed", "deployment:d-75I7MBT7C", "part:bake", "entry:120")
    assert bake.text == "d-75I7MBT7C deploys revision r1 (shop/web): every host has ended"
    assert dashboard.written == 4


async def test_a_stage_ends_when_the_next_begins() -> None:
    dashboard = Dashboard()
    stages = (at(Entry.StageBegan, 0, message="canary, 1 of 2"), at(Entry.InProgress, 1), at(Entry.StageBegan, 3, message="rest, 2 of 2"))
    await told(dashboard, *stages, at(Entry.Baking, 5), at(Entry.Succeeded, 9), at(Entry.Watching, 10), at(Entry.Regressed, 30))
    assert [(one.tags[5], one.tags[3], one.end - NOW) for one in dashboard.kept] == [
        ("part:stage", "outcome:succeeded", 3_000),
        ("part:deployment", "outcome:succeeded", 9_000),
        ("part:stage", "outcome:succeeded", 5_000),
        ("part:bake", "outcome:succeeded", 9_000),
        ("part:watch", "outcome:regressed", 30_000),
    ]
    assert dashboard.kept[0].text == "d-75I7MBT7C deploys revision r1 (shop/web): canary, 1 of 2"


async def test_what_began_before_anybody_told_grafana_is_a_whole_region_at_its_end() -> None:
    dashboard = Dashboard()
    assert await told(dashboard, at(Entry.Stopped, 50), times=2) == [True, False]
    (whole,) = dashboard.kept
    assert (whole.begin, whole.end, whole.tags[3]) == (DEPLOYMENT.started_at, NOW + 50_000, "outcome:stopped")


async def test_a_rollback_says_what_it_rolls_back() -> None:
    dashboard = Dashboard()
    rollback = replace(DEPLOYMENT, plan=plan("d-2", created_at=NOW), started_at=None)
    await told(dashboard, at(Entry.InProgress, 1, rolls_back="d-1", deployment_id="d-2"), deployment=rollback)
    (begun,) = dashboard.kept
    assert (begun.text, begun.tags[-1]) == ("d-2 rolls d-1 back to revision r1 (shop/web)", "rollback")
