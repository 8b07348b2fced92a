"""What stands before every call, whoever serves it: who calls and may they, deadlines, refusals, metrics.

Handlers are wrapped once and the wrapper is kept, so a call costs a few microseconds and a message on a stream nothing at all:
reads and writes are never wrapped. (A stream that is written as an async generator passes its messages through one here;
one that calls `context.write` does not.)
"""

import asyncio
import inspect
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeAlias

import grpc
from google.rpc.status_pb2 import Status
from grpc import aio
from grpc_status import rpc_status

from coordinator.api import refusals
from coordinator.api.policy import POLICY
from coordinator.api.principal import LOCAL, Principal, caller
from coordinator.core.errors import Denied, DeployError
from coordinator.metrics import Metrics

UNARY_SECONDS = 30.0
"""How long a unary call may take whose client has set no deadline."""

log = logging.getLogger(__name__)

# Any: messages of every method pass here, and none is looked into. (gRPC's classes are generic in their stubs only.)
Context: TypeAlias = "aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Find: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"


def chain(
    metrics: Metrics,
    *,
    principal: Principal = LOCAL,
    policy: Mapping[str, frozenset[Principal]] = POLICY,
    unary_seconds: float = UNARY_SECONDS,
) -> Sequence[aio.ServerInterceptor]:
    """The interceptors of one of the coordinator's servers, in order; `principal` is whoever gets through to it."""
    return (Guard(metrics, principal=principal, policy=policy, unary_seconds=unary_seconds),)


class Guard(aio.ServerInterceptor):
    """Lets a call through to its handler, or not, and tells how it went."""

    def __init__(self, metrics: Metrics, *, principal: Principal, policy: Mapping[str, frozenset[Principal]], unary_seconds: float) -> None:
        """`policy` says who may call what; `unary_seconds` is the deadline of unary calls that have none."""
        self._metrics = metrics
        self._principal = principal
        self._policy = policy
        self.unary_seconds = unary_seconds
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}

    async def intercept_service(self, continuation: Find, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        """Say who calls, and put the wrapped handler in the handler's place."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        caller.set(self._principal)
        method = handler_call_details.method
        known = self._wrapped.get(method)
        if known is None or known[0] is not handler:
            known = self._wrapped[method] = (handler, self._wrap(method, handler))
        return known[1]

    def _wrap(self, method: str, handler: Handler) -> Handler:
        codecs = {"request_deserializer": handler.request_deserializer, "response_serializer": handler.response_serializer}
        if not handler.response_streaming:
            if handler.request_streaming:
                return grpc.stream_unary_rpc_method_handler(self._single(method, handler.stream_unary, None), **codecs)
            return grpc.unary_unary_rpc_method_handler(self._single(method, handler.unary_unary, self.unary_seconds), **codecs)
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(self._stream(method, handler.stream_stream), **codecs)
        return grpc.unary_stream_rpc_method_handler(self._stream(method, handler.unary_stream), **codecs)

    def _single(self, method: str, behaviour: Any, seconds: float | None) -> Callable[..., Any]:
        async def single(request: Any, context: Context) -> Any:
            async with _Call(self, method, request, context) as call:
                remaining: float | None = context.time_remaining()  # None without a deadline, whatever its stubs say
                async with asyncio.timeout(seconds if remaining is None else None) as limit:
                    call.limit = limit
                    return await behaviour(request, context)

        return single

    def _stream(self, method: str, behaviour: Any) -> Callable[..., Any]:
        async def written(request: Any, context: Context) -> None:
            async with _Call(self, method, request, context):
                await behaviour(request, context)

        async def generated(request: Any, context: Context) -> AsyncIterator[Any]:
            async with _Call(self, method, request, context):
                async for response in behaviour(request, context):
                    yield response

        return generated if inspect.isasyncgenfunction(behaviour) else written

    def admit(self, method: str) -> None:
        """Raise Denied unless the caller may call the method."""
        principal = caller.get()
        if principal not in self._policy.get(method, frozenset()):
            raise Denied(f"cannot call {method}: {principal} may not; ask who runs the coordinator")

    def refusal(self, error: BaseException, method: str, request: object) -> Status:
        """What the client is told of an error. A bug is logged, here and only here."""
        if isinstance(error, DeployError):
            return refusals.refused(error, request)
        incident = secrets.token_hex(4)
        log.error("call failed method=%s incident=%s", method, incident, exc_info=error)
        return refusals.failed(incident)

    def done(self, method: str, code: grpc.StatusCode, seconds: float | None) -> None:
        """Count a call that has ended."""
        _, service, name = method.split("/")
        self._metrics.call_ended(service, name, code.name, seconds)


class _Call:
    """One call, from its admission to its count."""

    __slots__ = ("_began", "_context", "_guard", "_method", "_request", "limit")

    def __init__(self, guard: Guard, method: str, request: object, context: Context) -> None:
        self._guard = guard
        self._method = method
        self._request = request
        self._context = context
        self._began = asyncio.get_running_loop().time()
        self.limit: asyncio.Timeout | None = None

    async def __aenter__(self) -> "_Call":
        try:
            self._guard.admit(self._method)
        except DeployError as error:
            await self._end(error)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._end(error)

    async def _end(self, error: BaseException | None) -> None:
        """Count the call and, where its handler raised, abort it with a status."""
        status = None
        if error is None or isinstance(error, aio.AbortError):
            code = _code(self._context)
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):  # the client is gone, or its deadline has passed
            code = grpc.StatusCode.DEADLINE_EXCEEDED if self._context.time_remaining() == 0 else grpc.StatusCode.CANCELLED
        else:
            if isinstance(error, TimeoutError) and self.limit is not None and self.limit.expired():
                status = refusals.too_late(self._guard.unary_seconds)
            else:
                status = self._guard.refusal(error, self._method, self._request)
            code = _CODES[status.code]
        self._guard.done(self._method, code, self._seconds())
        if status is not None:
            await self._context.abort_with_status(rpc_status.to_status(status))

    def _seconds(self) -> float | None:
        return None if self.limit is None else asyncio.get_running_loop().time() - self._began


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _code(context: Context) -> grpc.StatusCode:
    """The status that a handler has set; OK where it set none."""
    code: object = context.code()  # None or a number too, whatever its stubs say
    if isinstance(code, grpc.StatusCode):
        return code
    return _CODES.get(code, grpc.StatusCode.UNKNOWN) if isinstance(code, int) else grpc.StatusCode.OK
