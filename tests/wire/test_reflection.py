"""Clients that know nothing can ask what there is, under both names of reflection; and whether it is well."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2 as reflection
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from coordinator.api.reflection import METHOD, NEW, OLD
from tests.wire.world import World

SERVICES = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "hookline.v1.AgentService",
    "hookline.v1.AlarmService",
    "hookline.v1.TriggerService",
    "hookline.v1.CatalogService",
    "hookline.v1.DeploymentService",
    "hookline.v1.FleetService",
    "hookline.v1.ForesightService",
    "hookline.v1.AccessService",
    "hookline.v1.AuditService",
}


def asked(address: str, package: str, request: reflection.ServerReflectionRequest) -> reflection.ServerReflectionResponse:
    """One question, asked by a blocking client."""
    with grpc.insecure_channel(address) as channel:
        call: Any = channel.stream_stream(
            f"/{package}.ServerReflection/{METHOD}",
            request_serializer=reflection.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection.ServerReflectionResponse.FromString,
        )
        answer: reflection.ServerReflectionResponse = next(call(iter([request])))
        return answer


@pytest.mark.parametrize("package", [NEW, OLD])
async def test_all_services_are_listed(world: World, package: str) -> None:
    answer = await asyncio.to_thread(asked, world.address, package, reflection.ServerReflectionRequest(list_services=""))
    assert {one.name for one in answer.list_services_response.service} == SERVICES


@pytest.mark.parametrize("package", [NEW, OLD])
@pytest.mark.parametrize("symbol", sorted(SERVICES))
async def test_every_service_is_described(world: World, package: str, symbol: str) -> None:
    question = reflection.ServerReflectionRequest(file_containing_symbol=symbol)
    answer = await asyncio.to_thread(asked, world.address, package, question)
    assert answer.file_descriptor_response.file_descriptor_proto


async def test_the_reflection_client_of_grpc_finds_a_method(world: World) -> None:
    def find() -> list[str]:
        with grpc.insecure_channel(world.address) as channel:
            pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
            return [method.name for method in pool.FindServiceByName("hookline.v1.DeploymentService").methods]

    assert "WatchDeployment" in await asyncio.to_thread(find)


@pytest.mark.parametrize("service", ["", "hookline.v1.DeploymentService"])
async def test_health_is_told(world: World, service: str) -> None:
    stub: Any = health_pb2_grpc.HealthStub(world.channel)
    call = stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert (await call).status == health_pb2.HealthCheckResponse.SERVING
    assert (await call.initial_metadata())["hookline-time-ms"] == str(world.clock.now())
