"""Puts every service on a gRPC server, and refuses to start one that is not guarded whole."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from google.protobuf.descriptor import ServiceDescriptor
from grpc import aio
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from coordinator.api.calls.policy import check_coverage
from coordinator.api.reflection import METHOD, NEW, OLD, add_reflection
from coordinator.engine.ports import Clock
from coordinator.wire.clock import time_told
from hookline.v1 import access_pb2, agent_pb2, alarms_pb2, catalog_pb2, deployments_pb2, fleet_pb2, foresight_pb2, triggers_pb2
from hookline.v1.access_pb2_grpc import (
    AccessServiceServicer,
    AuditServiceServicer,
    add_AccessServiceServicer_to_server,
    add_AuditServiceServicer_to_server,
)
from hookline.v1.alarms_pb2_grpc import AlarmServiceServicer, add_AlarmServiceServicer_to_server
from hookline.v1.catalog_pb2_grpc import CatalogServiceServicer, add_CatalogServiceServicer_to_server
from hookline.v1.deployments_pb2_grpc import DeploymentServiceServicer, add_DeploymentServiceServicer_to_server
from hookline.v1.fleet_pb2_grpc import FleetServiceServicer, add_FleetServiceServicer_to_server
from hookline.v1.foresight_pb2_grpc import ForesightServiceServicer, add_ForesightServiceServicer_to_server
from hookline.v1.triggers_pb2_grpc import TriggerServiceServicer, add_TriggerServiceServicer_to_server

ENROLMENT: Final = "hookline.v1.EnrolmentService"
AGENTS: Final = "hookline.v1.AgentService"
FILES: Final = (catalog_pb2, deployments_pb2, foresight_pb2, alarms_pb2, triggers_pb2, fleet_pb2, access_pb2, agent_pb2, health_pb2)


class Agents(Protocol):
    """The gateway's side of the server, which speaks bytes and so registers itself."""

    def register(self, server: aio.Server) -> None:
        """Serve AgentService on `server`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """What operators are served."""

    catalog: CatalogServiceServicer
    deployments: DeploymentServiceServicer
    foresight: ForesightServiceServicer
    alarms: AlarmServiceServicer
    triggers: TriggerServiceServicer
    fleet: FleetServiceServicer
    access: AccessServiceServicer
    audit: AuditServiceServicer


class TimedHealth(HealthServicer):
    """The health of the coordinator and of each of its services, and what time it is there."""

    def __init__(self, clock: Clock) -> None:
        """All is well from the start."""
        super().__init__()
        self._clock = clock

    # Any: the library's own messages, which nobody here looks into.
    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> health_pb2.HealthCheckResponse:
        """Whether it serves."""
        await context.send_initial_metadata(time_told(self._clock.now()))
        return await super().Check(request, context)


def register(servers: Iterable[aio.Server], operators: Operators, health: TimedHealth, *, agents: Agents | None = None) -> None:
    """Put the operators' services on servers, with health and reflection; the agents' as well where they have no listener of their own.
    Raises RuntimeError when the policy forgets a method."""
    check_coverage(methods())
    absent = {ENROLMENT} if agents is not None else {ENROLMENT, AGENTS}
    for server in servers:
        add_CatalogServiceServicer_to_server(operators.catalog, server)
        add_DeploymentServiceServicer_to_server(operators.deployments, server)
        add_ForesightServiceServicer_to_server(operators.foresight, server)
        add_AlarmServiceServicer_to_server(operators.alarms, server)
        add_TriggerServiceServicer_to_server(operators.triggers, server)
        add_FleetServiceServicer_to_server(operators.fleet, server)
        add_AccessServiceServicer_to_server(operators.access, server)
        add_AuditServiceServicer_to_server(operators.audit, server)
        if agents is not None:
            agents.register(server)
        add_HealthServicer_to_server(health, server)
        add_reflection(server, [name for name in (service.full_name for service in _services()) if name not in absent])


async def tell_serving(health: TimedHealth) -> None:
    """Answer SERVING to who asks for one service (to who asks for the whole server it is the answer from the start)."""
    for service in _services():
        await health.set(service.full_name, health_pb2.HealthCheckResponse.SERVING)


def methods() -> list[str]:
    """The full name of every method that is served."""
    listed = [f"/{service.full_name}/{method.name}" for service in _services() for method in service.methods]
    return [*listed, *(f"/{package}.ServerReflection/{METHOD}" for package in (NEW, OLD))]


def _services() -> list[ServiceDescriptor]:
    return [service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]
