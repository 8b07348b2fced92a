"""What a rollout by chance looks like from outside: what was done to hosts and what was ordered of them, held against what is promised."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import DeploymentId, HostId, Plan, ZonalConfig
from coordinator.core.orders import Instruct, Order, Settled
from tests.core.rollout import Rollout, host_id


@dataclass(frozen=True, slots=True)
class ZoneAccount:
    """A zone whose hosts a deployment keeps healthy beside the group's."""

    hosts: frozenset[HostId]
    floor: int
    window: int


@dataclass(slots=True)
class Account:
    """What can be seen from outside."""

    members: frozenset[HostId]
    healthy: set[HostId]
    lost: set[HostId]
    floors: dict[DeploymentId, int] = field(default_factory=dict)
    busy: dict[HostId, DeploymentId] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)
    """Alarms that are not known to be OK."""
    zones: dict[DeploymentId, list[ZoneAccount]] = field(default_factory=dict)
    """Of deployments that go zone by zone."""

    def serving(self, of: frozenset[HostId] | None = None) -> int:
        """How many hosts are healthy, there, and not being deployed to: of all, or of some."""
        return len((self.healthy & (self.members if of is None else of)) - self.lost - self.busy.keys())

    def part(self, deployment_id: DeploymentId, zonal: ZonalConfig, zone_of: Mapping[str, str]) -> None:
        """A deployment begins that goes zone by zone."""
        parts = [frozenset(host_id(name) for name, one in zone_of.items() if one == zone) for zone in set(zone_of.values())]
        self.zones[deployment_id] = [
            ZoneAccount(hosts, min(minimum, self.serving(hosts)), max(1, len(hosts) - minimum))
            for hosts, minimum in ((hosts, zonal.minimum.of(len(hosts))) for hosts in parts)
        ]

    def create(self, plan: Plan) -> None:
        """A deployment begins: what must stay is what the plan asks for, and no more than there is."""
        self.floors[plan.deployment_id] = min(plan.minimum_healthy_hosts.of(len(self.members)), self.serving())

    def obey(self, orders: list[Order], rollout: Rollout) -> None:
        """Each order must be allowed at the moment at which it is given."""
        for order in orders:
            if isinstance(order, Settled):
                self._settle(order.host_id, rollout)
            elif isinstance(order, Instruct):
                self._begin(order.instruction.host_id, order.instruction.plan)

    def _settle(self, host: HostId, rollout: Rollout) -> None:
        deployment_id = self.busy.pop(host)
        live = rollout.group.deployment
        of = next(one for one in [*rollout.ended, *([live] if live else [])] if one.deployment_id == deployment_id)
        match of.targets[host].status:
            case TargetStatus.Succeeded:
                self.healthy.add(host)
            case TargetStatus.Failed | TargetStatus.Unknown:
                self.healthy.discard(host)
            case status:
                assert status is TargetStatus.Skipped, f"{host} is settled and {status.name}"

    def _begin(self, host: HostId, plan: Plan) -> None:
        assert host not in self.busy, f"{host} is instructed twice"
        if plan.deployment_id not in self.floors:
            self.create(plan)
        assert not plan.alarms or not self.unseen or plan.ignore_poll_alarm_failure, f"{host} begins while nobody sees {self.unseen}"
        minimum, hosts = plan.minimum_healthy_hosts.of(len(self.members)), len(self.members)
        costs = host in self.healthy and host not in self.lost and hosts > 1
        self.busy[host] = plan.deployment_id
        assert len(self.busy) <= max(1, hosts - minimum), f"{len(self.busy)} hosts are in progress, {hosts - minimum} may be"
        floor = self.floors[plan.deployment_id]
        assert not costs or self.serving() >= floor, f"{host} begins and leaves {self.serving()} healthy, {floor} must stay"
        for zone in self.zones.get(plan.deployment_id, []):
            if host in zone.hosts:
                busy = len(self.busy.keys() & zone.hosts)
                assert busy <= zone.window, f"{busy} hosts are in progress in a zone, {zone.window} may be"
                left = self.serving(zone.hosts)
                assert not costs or len(zone.hosts) == 1 or left >= zone.floor, (
                    f"{host} leaves {left} healthy in its zone, not {zone.floor}"
                )
