"""Asks a coordinator whether it serves, and whether it lets this host in, without becoming an agent of it; and what time it is there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from hookline.v1 import agent_pb2, agent_pb2_grpc

_SERVING = b"\x08\x01"  # a HealthCheckResponse that says SERVING; a library for two bytes would be too much
_PATIENCE = 5.0
_TIME = "hookline-time-ms"

if TYPE_CHECKING:
    from grpc.aio import Metadata


@dataclass(frozen=True, slots=True)
class Word:
    """What a coordinator says: why not, None where all is well, and its time in milliseconds since 1970, None where it does not tell."""

    why_not: str | None
    time_ms: int | None = None


async def serves(channel: grpc.aio.Channel) -> Word:
    """Whether the coordinator at the other end serves."""
    ask = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes)
    call = ask(b"")
    try:
        async with asyncio.timeout(_PATIENCE):
            answer = await call
    except TimeoutError:
        return Word(f"no answer within {_PATIENCE:.0f} s")
    except grpc.aio.AioRpcError as error:
        return Word(f"{error.details()} ({error.code().name})")
    time_ms = _time(await call.initial_metadata())
    return Word(None if answer == _SERVING else "it answers that it does not serve just now", time_ms)


async def lets_in(channel: grpc.aio.Channel) -> Word:
    """Whether the coordinator lets the host in whose certificate this channel shows.

    Who calls is looked at before what is asked: a renewal without a request is refused to every host, and to those that may not come in
    for that reason.
    """
    stub: agent_pb2_grpc.AgentServiceAsyncStub = agent_pb2_grpc.AgentServiceStub(channel)
    try:
        await stub.RenewCertificate(agent_pb2.RenewCertificateRequest(), timeout=_PATIENCE)
    except grpc.aio.AioRpcError as error:
        is_let_in = error.code() is grpc.StatusCode.INVALID_ARGUMENT
        return Word(None if is_let_in else f"{error.details()} ({error.code().name})", _time(error.initial_metadata()))
    return Word(None)


def _time(metadata: Metadata) -> int | None:
    told = metadata.get(_TIME)
    return int(told) if isinstance(told, str) and told.isdecimal() and len(told) < 15 else None
