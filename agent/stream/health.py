"""Asks a coordinator whether it serves, and whether it lets this host in, without becoming an agent of it."""

from __future__ import annotations

import asyncio

import grpc

from hookline.v1 import agent_pb2, agent_pb2_grpc

_SERVING = b"\x08\x01"  # a HealthCheckResponse that says SERVING; a library for two bytes would be too much
_PATIENCE = 5.0


async def why_not_serving(channel: grpc.aio.Channel) -> str | None:
    """Why the coordinator at the other end does not serve; None: it does."""
    ask = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes)
    try:
        async with asyncio.timeout(_PATIENCE):
            answer = await ask(b"")
    except TimeoutError:
        return f"no answer within {_PATIENCE:.0f} s"
    except grpc.aio.AioRpcError as error:
        return f"{error.details()} ({error.code().name})"
    return None if answer == _SERVING else "it answers that it does not serve just now"


async def why_not_let_in(channel: grpc.aio.Channel) -> str | None:
    """Why the coordinator does not let the host in whose certificate this channel shows; None: it does.

    Who calls is looked at before what is asked: a renewal without a request is refused to every host, and to those that may not come in
    for that reason.
    """
    stub: agent_pb2_grpc.AgentServiceAsyncStub = agent_pb2_grpc.AgentServiceStub(channel)
    try:
        await stub.RenewCertificate(agent_pb2.RenewCertificateRequest(), timeout=_PATIENCE)
    except grpc.aio.AioRpcError as error:
        return None if error.code() is grpc.StatusCode.INVALID_ARGUMENT else f"{error.details()} ({error.code().name})"
    return None
