"""Asks a coordinator whether it serves, as anybody may (`grpc.health.v1`), without becoming an agent of it."""

from __future__ import annotations

import asyncio

import grpc

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
