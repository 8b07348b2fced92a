"""What every implementation of the engine's Store promises. A test module for a store derives a class from this one."""

from dataclasses import asdict, replace
from typing import Protocol

import pytest

from coordinator.core.errors import RequestIdReused
from coordinator.core.facts import Report
from coordinator.core.lifecycle import (
    DeploymentErrorCode,
    DeploymentStatus,
    EventStatus,
    LifecycleErrorCode,
    LifecycleEvent,
    TargetStatus,
)
from coordinator.core.model import (
    Creator,
    Deployment,
    DeploymentId,
    Diagnostics,
    ErrorInformation,
    Group,
    HostId,
    InstanceHealth,
    InstructionId,
    Member,
    RevisionId,
    Target,
)
from coordinator.core.orders import Changes, EventChange, HoldingChange
from coordinator.engine.ports import Store
from coordinator.service.ports import Requests
from tests.store.things import API, NOW, PROGRESS, R1, R2, WEB, ZONES, created, deployment, host, key, known, plan, success, target, watched


class EngineStore(Store, Requests, Protocol):
    """Both ports that the engine's commits are seen through."""


class StoreContract:
    """Needs a fixture `store`: an empty one that knows the groups and revisions of `things`."""

    async def test_nothing_is_known_at_first(self, store: EngineStore) -> None:
        assert await store.sessions() == []
        assert await store.live_groups() == []

    async def test_a_rehearsal_leaves_nothing_behind(self, store: EngineStore) -> None:
        before = await store.last_commit()
        await store.rehearse(known("h1"))
        assert (await store.sessions(), await store.last_commit()) == ([], before)

    async def test_a_group_without_any_deployment_is_an_empty_one(self, store: EngineStore) -> None:
        assert asdict(await store.group(WEB)) == asdict(Group(group_id=WEB))

    async def test_a_deployment_that_waits_comes_back_without_hosts_and_with_them_once_its_turn_has_come(self, store: EngineStore) -> None:
        await store.commit(known("h1", "h2"))
        live = deployment(plan("d-1"), "h1")
        await store.commit(created(live))
        later = deployment(plan("d-2", start_at=NOW + 60_000), status=DeploymentStatus.Queued, due_at=NOW + 60_000)
        named = plan("d-3", chosen=frozenset({HostId("id-h1"), HostId("id-h2")}))
        waiting = deployment(named, status=DeploymentStatus.Created, due_at=NOW + 5_000)
        await store.commit(created(later))
        await store.commit(created(waiting))
        found = await store.group(WEB)
        assert found.deployment is not None
        assert asdict(found.deployment) == asdict(live)
        assert [asdict(one) for one in found.waiting] == [asdict(waiting), asdict(later)]
        live.status = waiting.status = DeploymentStatus.Succeeded
        await store.commit(Changes(deployments={live.deployment_id: live}))
        assert await store.live_groups() == [WEB]
        began = deployment(replace(named, last_successful=success("d-1")), "h2", "h1", due_at=NOW + 5_000, turn_at=NOW + 9_000)
        began.status = DeploymentStatus.Queued
        await store.commit(Changes(deployments={began.deployment_id: began}, begun={began.deployment_id: began}))
        found = await store.group(WEB)
        assert found.deployment is not None
        assert asdict(found.deployment) == asdict(began)
        assert [one.deployment_id for one in found.waiting] == ["d-2"]

    async def test_a_host_comes_back_with_every_field(self, store: EngineStore) -> None:
        await store.commit(known("h1"))
        assert [asdict(session) for session in await store.sessions()] == [asdict(host("h1"))]

    async def test_what_is_said_not_to_be_stored_of_a_host_is_not(self, store: EngineStore) -> None:
        changes = Changes()
        changes.hosts[HostId("id-h1")] = host("h1", stream=4, silent_since=9, resumed=True)
        await store.commit(changes)
        assert [asdict(session) for session in await store.sessions()] == [asdict(host("h1"))]

    async def test_a_host_may_change_its_name_and_all_else(self, store: EngineStore) -> None:
        await store.commit(known("h1"))
        changed = host("h9", host_id=HostId("id-h1"), acked_seq=0, session_epoch=4, tags={}, facts={}, capabilities=())
        changes = Changes()
        changes.hosts[changed.host_id] = changed
        await store.commit(changes)
        assert [asdict(session) for session in await store.sessions()] == [asdict(changed)]

    async def test_a_cursor_moves_without_its_host(self, store: EngineStore) -> None:
        await store.commit(known("h1", "h2"))
        changes = Changes()
        changes.cursors[HostId("id-h2")] = 99
        await store.commit(changes)
        assert {session.name: session.acked_seq for session in await store.sessions()} == {"h1": 17, "h2": 99}

    async def test_a_removed_host_is_forgotten_until_it_comes_again(self, store: EngineStore) -> None:
        await store.commit(known("h1", "h2"))
        changes = Changes()
        changes.removed.append(HostId("id-h1"))
        await store.commit(changes)
        assert [session.name for session in await store.sessions()] == ["h2"]
        await store.commit(known("h1"))
        assert {session.name for session in await store.sessions()} == {"h1", "h2"}

    async def test_a_host_that_is_removed_and_comes_again_in_one_commit_is_there(self, store: EngineStore) -> None:
        await store.commit(known("h1"))
        changes = known("h1")
        changes.removed.append(HostId("id-h1"))
        await store.commit(changes)
        assert [session.name for session in await store.sessions()] == ["h1"]

    async def test_a_deployment_comes_back_with_every_field(self, store: EngineStore) -> None:
        await store.commit(known("h3", "h1", "h2"))
        made = deployment(watched("d-1"), "h2", "h3", "h1", progress=PROGRESS, zones=ZONES)
        made.zone_of = {HostId("id-h2"): 0, HostId("id-h3"): 1, HostId("id-h1"): 0}
        await store.commit(created(made))
        found = await store.group(WEB)
        assert found.deployment is not None
        assert asdict(found.deployment) == asdict(made)
        assert list(found.deployment.targets) == ["id-h2", "id-h3", "id-h1"]

    async def test_a_target_comes_back_with_every_field(self, store: EngineStore) -> None:
        await store.commit(known("h1", "h2"))
        made = deployment(plan("d-1"), "h1", "h2")
        await store.commit(created(made))
        changed = target("d-1", "h2")
        changes = Changes()
        changes.targets[changed] = None
        await store.commit(changes)
        assert asdict((await _targets(store))[HostId("id-h2")]) == asdict(changed)

    async def test_what_a_target_was_created_with_is_stored_too(self, store: EngineStore) -> None:
        await store.commit(known("h1"))
        made = deployment(plan("d-1"), "h1")
        made.targets[HostId("id-h1")] = target("d-1", "h1")
        await store.commit(created(made))
        assert asdict((await _targets(store))[HostId("id-h1")]) == asdict(target("d-1", "h1"))

    async def test_a_target_keeps_the_name_that_its_host_had(self, store: EngineStore) -> None:
        await store.commit(known("h1"))
        await store.commit(created(deployment(plan("d-1"), "h1")))
        renamed = Changes()
        renamed.hosts[HostId("id-h1")] = host("h9", host_id=HostId("id-h1"))
        await store.commit(renamed)
        assert (await _targets(store))[HostId("id-h1")].host_name == "h1"

    async def test_a_deployment_changes_in_every_field_that_can(self, store: EngineStore) -> None:
        await store.commit(known("h1"))
        made = deployment(plan("d-1"), "h1")
        await store.commit(created(made))
        made.status = DeploymentStatus.Queued
        made.floor = 1
        made.stopping = None
        made.error = ErrorInformation(code=DeploymentErrorCode.HEALTH_CONSTRAINTS, message="too few")
        made.rollback_message = "none"
        made.started_at = None
        made.completed_at = NOW + 9
        made.clock = 5_678
        made.progress = PROGRESS
        made.watched_from = 5_650
        changes = Changes()
        changes.deployments[made.deployment_id] = made
        await store.commit(changes)
        assert asdict(await _live(store)) == asdict(made)

    async def test_what_is_watched_after_its_success_comes_back_with_who_came_since_and_without_who_has_gone(
        self, store: EngineStore
    ) -> None:
        await store.commit(known("h1", "h2", "h3", "h4"))
        made = deployment(watched("d-1"), "h1", "h2", status=DeploymentStatus.Succeeded, watched_from=600)
        changes = created(made)
        changes.groups[WEB] = Group(group_id=WEB, watched=made)
        await store.commit(changes)
        newer = deployment(plan("d-2"), "h3", "h4", status=DeploymentStatus.Succeeded, completed_at=NOW)
        newer.targets[HostId("id-h3")] = target("d-2", "h3")
        await store.commit(created(newer))
        gone = Changes()
        gone.removed.append(HostId("id-h2"))
        await store.commit(gone)
        assert await store.live_groups() == [WEB]
        found = (await store.group(WEB)).watched
        assert found is not None
        assert found.members == set(found.targets) == {HostId("id-h1")}
        assert found.joined == {HostId("id-h3"): "h3"}
        assert (found.watched_from, found.plan) == (600, made.plan)
        over = Changes()
        over.groups[WEB] = Group(group_id=WEB)
        await store.commit(over)
        assert ((await store.group(WEB)).watched, await store.live_groups()) == (None, [])

    async def test_a_deployment_for_newcomers_is_live_beside_another_one_and_is_no_part_of_what_is_watched(
        self, store: EngineStore
    ) -> None:
        await store.commit(known("h1", "h2", "h3"))
        live = deployment(plan("d-1"), "h1", "h2")
        await store.commit(created(live))
        beside = deployment(replace(plan("d-2"), creator=Creator.CodeDeployAutoUpdate, revision=R2), "h3")
        await store.commit(created(beside))
        found = await store.group(WEB)
        assert (found.deployment, found.newcomers) != (None, None)
        assert [asdict(one) for one in found.live] == [asdict(live), asdict(beside)]
        live.status = beside.status = DeploymentStatus.Succeeded
        live.watched_from, beside.completed_at = 600, NOW
        changes = Changes(deployments={one.deployment_id: one for one in (live, beside)})
        changes.groups[WEB] = Group(group_id=WEB, watched=live)
        await store.commit(changes)
        found = await store.group(WEB)
        assert found.live == ()
        assert found.watched is not None
        assert found.watched.joined == {}, "what it brought is not what is watched"

    async def test_what_is_changed_after_a_commit_is_not_stored(self, store: EngineStore) -> None:
        await store.commit(known("h1"))
        made = deployment(plan("d-1"), "h1")
        await store.commit(created(made))
        made.clock = 9
        made.targets[HostId("id-h1")].message = "changed"
        assert (await _targets(store))[HostId("id-h1")].message == ""
        assert (await _live(store)).clock == 1_234

    async def test_an_ended_deployment_is_not_live(self, store: EngineStore) -> None:
        await store.commit(known("h1"))
        made = deployment(plan("d-1"), "h1")
        await store.commit(created(made))
        assert await store.live_groups() == [WEB]
        made.status = DeploymentStatus.Stopped
        changes = Changes()
        changes.deployments[made.deployment_id] = made
        await store.commit(changes)
        assert await store.live_groups() == []
        assert (await store.group(WEB)).deployment is None

    async def test_groups_are_told_apart(self, store: EngineStore) -> None:
        await store.commit(known("h1"))
        await store.commit(created(deployment(plan("d-1"), "h1")))
        await store.commit(created(deployment(plan("d-2", API, R2), "h1")))
        assert sorted(await store.live_groups()) == sorted([WEB, API])
        assert (await _live(store)).deployment_id == "d-1"

    async def test_a_group_remembers_its_last_success_and_its_members(self, store: EngineStore) -> None:
        await store.commit(known("h1", "h2"))
        made = deployment(plan("d-1", revision=R2), "h1", "h2", status=DeploymentStatus.Succeeded)
        changes = created(made)
        members = {
            HostId("id-h1"): Member(host_id=HostId("id-h1"), target_epoch=4, health=InstanceHealth.Healthy),
            HostId("id-h2"): Member(host_id=HostId("id-h2"), target_epoch=0, health=InstanceHealth.Unhealthy, missed=2),
        }
        changes.groups[WEB] = Group(group_id=WEB, last_successful=success("d-1", R2))
        changes.members.update({(WEB, host_id): replace(member, lost=True) for host_id, member in members.items()})
        one = members[HostId("id-h1")]
        one.installed, one.deployed = RevisionId("r2"), RevisionId("r1")
        changes.holdings[WEB, one.host_id] = HoldingChange(one.installed, one.deployed)
        await store.commit(changes)
        found = await store.group(WEB)
        assert found.last_successful == success("d-1", R2)
        assert {host_id: asdict(one) for host_id, one in found.members.items()} == {i: asdict(one) for i, one in members.items()}

    async def test_a_failed_deployment_and_its_rollback_are_stored_at_once(self, store: EngineStore) -> None:
        await store.commit(known("h1", "h2", "h3"))
        await store.commit(created(deployment(plan("d-0"), "h1", "h2", "h3", status=DeploymentStatus.Succeeded)))
        failing = plan("d-1", revision=R2, last_successful=success("d-0"))
        failed = deployment(failing, "h3", "h2", "h1")
        await store.commit(created(failed))
        assert (await _live(store)).plan == failing
        failed.status = DeploymentStatus.Failed
        failed.rollback_deployment_id = DeploymentId("d-2")
        back = replace(
            failing,
            deployment_id=DeploymentId("d-2"),
            revision=R1,
            rolls_back=DeploymentId("d-1"),
            creator=Creator.codeDeployRollback,
            rollback_id=DeploymentId(""),
        )
        rollback = deployment(back, "h2", members=failed.members)
        changes = created(rollback)
        changes.deployments = {failed.deployment_id: failed, rollback.deployment_id: rollback}
        await store.commit(changes)
        assert asdict(await _live(store)) == asdict(rollback)

    async def test_the_members_of_a_deployment_to_a_part_of_its_group_are_stored(self, store: EngineStore) -> None:
        await store.commit(known("h1", "h2", "h3"))
        everybody = frozenset(HostId(f"id-{name}") for name in ("h1", "h2", "h3"))
        failing = deployment(plan("d-1", last_successful=None), "h2", members=everybody)
        await store.commit(created(failing))
        assert asdict(await _live(store)) == asdict(failing)
        failing.status, failing.rollback_deployment_id = DeploymentStatus.Failed, DeploymentId("d-2")
        back = plan("d-2", rolls_back=DeploymentId("d-1"), creator=Creator.codeDeployRollback)
        rollback = deployment(back, "h2", members=everybody)
        changes = created(rollback)
        changes.deployments = {failing.deployment_id: failing, rollback.deployment_id: rollback}
        await store.commit(changes)
        assert asdict(await _live(store)) == asdict(rollback)

    async def test_commits_are_numbered_upwards(self, store: EngineStore) -> None:
        numbers = [await store.commit(known(name)) for name in ("h1", "h2", "h1")]
        assert numbers == sorted(set(numbers))

    async def test_a_call_is_remembered_with_what_it_made(self, store: EngineStore) -> None:
        changes = Changes()
        changes.requests += [(key("one"), "d-1"), (key("one", method="StopDeployment"), "d-2"), (key("one", principal="bob"), "d-3")]
        await store.commit(changes)
        assert await store.replayed(key("one")) == "d-1"
        assert await store.replayed(key("one", method="StopDeployment")) == "d-2"
        assert await store.replayed(key("one", principal="bob")) == "d-3"
        assert await store.replayed(key("two")) is None
        with pytest.raises(RequestIdReused):
            await store.replayed(key("one", digest=b"other"))

    async def test_the_same_call_twice_at_once_is_remembered_once(self, store: EngineStore) -> None:
        changes = Changes()
        changes.requests += [(key("one"), "d-1"), (key("one"), "d-2")]
        await store.commit(changes)
        assert await store.replayed(key("one")) == "d-1"

    async def test_a_call_without_an_id_is_not_remembered(self, store: EngineStore) -> None:
        changes = Changes()
        changes.requests.append((key(""), "d-1"))
        await store.commit(changes)
        assert await store.replayed(key("")) is None

    async def test_the_store_is_behind_where_a_host_knows_a_higher_epoch(self, store: EngineStore) -> None:
        await store.commit(known("h1", "h2"))
        changes = created(deployment(plan("d-1"), "h1"))
        changes.members[WEB, HostId("id-h1")] = Member(host_id=HostId("id-h1"), target_epoch=5)
        await store.commit(changes)
        one, two = HostId("id-h1"), HostId("id-h2")
        assert await store.behind({}) == []
        assert await store.behind({(WEB, one): 5, (API, one): 0}) == []
        assert await store.behind({(WEB, one): 6}) == [WEB]
        assert sorted(await store.behind({(WEB, one): 6, (WEB, two): 1, (API, two): 1})) == [WEB, API]

    async def test_events_with_diagnostics_and_late_ones_can_be_stored(self, store: EngineStore) -> None:
        await store.commit(known("h1"))
        made = deployment(plan("d-1"), "h1")
        changes = created(made)
        one = made.targets[HostId("id-h1")]
        told = Diagnostics(error_code=LifecycleErrorCode.ScriptFailed, script_name="a.sh", message="exit 1", log_tail="oops")
        changes.events[one, LifecycleEvent.Install, 1] = EventChange(EventStatus.Failed, NOW, NOW + 1, 7, told)
        await store.commit(changes)
        late = Changes()
        for instruction in ("d-1/id-h1/0/1", "d-1/id-h1/0/x", "d-7/id-h1/0/1", "nonsense"):
            late.late.append(
                (HostId("id-h1"), Report(9, InstructionId(instruction), LifecycleEvent.AfterInstall, EventStatus.Succeeded, NOW))
            )
        late.late.append((HostId("id-nobody"), Report(9, InstructionId("d-1/id-h1/0/1"), LifecycleEvent.Install, EventStatus.Failed, NOW)))
        late.late.append((HostId("id-h1"), Report(9, InstructionId("d-1/id-h1/0/1"), None, EventStatus.Failed, NOW)))
        await store.commit(late)
        assert (await _targets(store))[HostId("id-h1")].status is TargetStatus.Pending


async def _live(store: EngineStore) -> Deployment:
    found = (await store.group(WEB)).deployment
    assert found is not None
    return found


async def _targets(store: EngineStore) -> dict[HostId, Target]:
    return (await _live(store)).targets
