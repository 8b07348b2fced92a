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
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status
from grpc import aio
from grpc_status import rpc_status

from coordinator.api.access.entrance import Entrance, Same, Stay, peer_address
from coordinator.api.access.rates import TooManyCalls
from coordinator.api.access.recording import Recorder
from coordinator.api.access.seats import Seat, Seats, TooManyStreams
from coordinator.api.access.tenants import Tenants
from coordinator.api.calls import refusals
from coordinator.api.calls.policy import POLICY, GroupOf, Rule, application_of, check_kind, check_place
from coordinator.api.calls.principal import LOCAL, caller
from coordinator.core.errors import Denied, DeployError, DeploymentDoesNotExist, Invalid
from coordinator.core.identity.access import Kind, Principal
from coordinator.metrics import MethodCalls, Metrics
from hookline.v1.deployments_pb2 import CreateDeploymentRequest

UNARY_SECONDS = 30.0
"""How long a unary call may take whose client has set no deadline."""

STAYED = "cannot go on with this call: the token or certificate has ended, or what you may do was changed; ask again"

log = logging.getLogger(__name__)

# Any: messages of every method pass here, and none is looked into. (gRPC's classes are generic in their stubs only.)
Context: TypeAlias = "aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Find: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"


async def _no_group(deployment_id: str) -> tuple[str, str]:
    raise DeploymentDoesNotExist(f"cannot find deployment {deployment_id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a listener asks of calls."""

    entrance: Entrance = field(default_factory=lambda: Same(LOCAL))
    """Says who calls."""
    policy: Mapping[str, Rule] = field(default_factory=lambda: POLICY)
    """Says who may call what."""
    group_of: GroupOf = _no_group
    tenants: Tenants | None = None
    """Counts what each operator asks for; None: nobody does."""
    seats: Seats | None = None
    """Counts what each has open; None: nobody does."""
    recorder: Recorder | None = None
    """Writes down what changes something; None where nothing is served that does."""


def chain(metrics: Metrics, rules: Rules | None = None, *, unary_seconds: float = UNARY_SECONDS) -> Sequence[aio.ServerInterceptor]:
    """The interceptors of one of the coordinator's servers, in order."""
    return (Guard(metrics, rules or Rules(), unary_seconds=unary_seconds),)


class Guard(aio.ServerInterceptor):
    """Lets a call through to its handler, or not, and tells how it went."""

    def __init__(self, metrics: Metrics, rules: Rules, *, unary_seconds: float) -> None:
        """`unary_seconds` is the deadline of unary calls that have none."""
        self._calls = metrics.calls
        self.rules = rules
        self.unary_seconds = unary_seconds
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}

    async def intercept_service(self, continuation: Find, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        """Put the wrapped handler in the handler's place."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        known = self._wrapped.get(method)
        if known is None or known[0] is not handler:
            known = self._wrapped[method] = (handler, self._wrap(method, handler))
        return known[1]

    def _wrap(self, method: str, handler: Handler) -> Handler:
        read = _readable(handler.request_deserializer, raises=handler.request_streaming)
        codecs = {"request_deserializer": read, "response_serializer": handler.response_serializer}
        count = self._calls.of(method, requests=handler.request_streaming, responses=handler.response_streaming)
        if not handler.response_streaming:
            if handler.request_streaming:
                return grpc.stream_unary_rpc_method_handler(self._single(count, handler.stream_unary, None), **codecs)
            return grpc.unary_unary_rpc_method_handler(self._single(count, handler.unary_unary, self.unary_seconds), **codecs)
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(self._stream(count, handler.stream_stream), **codecs)
        return grpc.unary_stream_rpc_method_handler(self._stream(count, handler.unary_stream), **codecs)

    def _single(self, count: MethodCalls, behaviour: Any, seconds: float | None) -> Callable[..., Any]:
        async def single(request: Any, context: Context) -> Any:
            async with _Call(self, count, request, context, lasts=seconds is None) as call:
                remaining: float | None = context.time_remaining()  # None without a deadline, whatever its stubs say
                async with asyncio.timeout(seconds if remaining is None else None) as limit:
                    call.began(limit)
                    call.response = await behaviour(call.request, context)
                    count.sent()
                    return call.response

        return single

    def _stream(self, count: MethodCalls, behaviour: Any) -> Callable[..., Any]:
        async def written(request: Any, context: Context) -> None:
            async with _Call(self, count, request, context, lasts=True):
                await behaviour(request, context)

        async def generated(request: Any, context: Context) -> AsyncIterator[Any]:
            async with _Call(self, count, request, context, lasts=True) as call, asyncio.timeout(None) as limit:
                call.began(limit)
                async for response in behaviour(request, context):
                    count.sent()
                    yield response

        return generated if inspect.isasyncgenfunction(behaviour) else written

    def refusal(self, error: BaseException, method: str, request: object) -> Status:
        """What the client is told of an error. A bug is logged, here and only here."""
        if isinstance(error, DeployError):
            return refusals.refused(error, request)
        incident = secrets.token_hex(4)
        log.error("call failed method=%s incident=%s", method, incident, exc_info=error)
        return refusals.failed(incident)


class _Call:
    """One call, from its admission to its count."""

    def __init__(self, guard: Guard, count: MethodCalls, request: object, context: Context, *, lasts: bool) -> None:
        """A call that `lasts` ends when its caller may not stay."""
        self._guard = guard
        self._method = count.path
        self._count = count
        self._rule = guard.rules.policy.get(count.path)
        self._lasts = lasts
        self._context = context
        self._begun = asyncio.get_running_loop().time()
        self._principal = Principal(Kind.Nobody)
        self._limit: asyncio.Timeout | None = None
        self._stay: Stay | None = None
        self._seat: Seat | None = None
        self._asked = request if isinstance(request, Message) else None
        """The request; of a stream, its first message."""
        self.request = request
        """What the handler gets."""
        self.response: object = None
        count.started()
        if self._asked is not None:
            count.received()

    async def __aenter__(self) -> "_Call":
        try:
            await self._admit()
        except BaseException as error:
            await self._end(error)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._end(error)

    def began(self, limit: asyncio.Timeout) -> None:
        """The handler begins, and has to end when `limit` runs out."""
        self._limit = limit
        if self._stay is not None:
            self._stay.bind(limit)

    async def _admit(self) -> None:
        """Raise unless the caller may do this."""
        if isinstance(self.request, DeployError):
            raise self.request
        rules = self._guard.rules
        self._principal = Principal(Kind.Nobody, address=peer_address(self._context))
        self._principal = await rules.entrance.principal(self._context)
        if self._lasts:
            self._stay = rules.entrance.stay(self._principal)
            if rules.seats is not None:
                self._seat = rules.seats.take(self._principal)
        caller.set(self._principal)
        check_kind(self._rule, self._principal, self._method)
        if rules.tenants is not None and self._rule is not None:
            rules.tenants.check_call(self._method, self._principal, reads=self._rule.reads, lasts=self._lasts)
        if self._asked is None:
            if self._rule is not None and self._rule.permission is not None:
                self.request = self._checked(self.request)
        else:
            await self._check_place(self._asked)

    async def _checked(self, messages: Any) -> AsyncIterator[Any]:
        """The messages of a client, of which the first says what it wants."""
        async for message in messages:
            self._count.received()
            if self._asked is None:
                self._asked = message
                await self._check_place(message)
            yield message

    async def _check_place(self, request: Message) -> None:
        if self._rule is not None:
            rules = self._guard.rules
            await check_place(self._rule, self._principal, request, rules.group_of)
            if self._seat is not None and (application := await application_of(self._rule, request, rules.group_of)):
                self._seat.take("application", application)
            if rules.tenants is not None and isinstance(request, CreateDeploymentRequest):
                rules.tenants.check_deployment(self._principal, request.application_name)

    async def _end(self, error: BaseException | None) -> None:
        """Count the call, write it down and, where it was refused or its handler raised, abort it with a status."""
        self._guard.rules.entrance.left(self._principal, self._stay)
        if self._seat is not None:
            self._seat.leave()
        code, status = self._outcome(error)
        try:
            if not isinstance(error, TooManyCalls | TooManyStreams):  # a flood of calls is not to become one of rows
                await self._record(code)
        except DeployError as failure:
            if error is None:
                status = self._guard.refusal(failure, self._method, self._asked)
                code = _CODES[status.code]
        self._count.ended(code.name, asyncio.get_running_loop().time() - self._begun)
        if status is not None:
            await self._context.abort_with_status(rpc_status.to_status(status))

    def _outcome(self, error: BaseException | None) -> tuple[grpc.StatusCode, Status | None]:
        """How the call went, and what its client is told of an error."""
        if error is None or isinstance(error, aio.AbortError):
            return _code(self._context), None
        if isinstance(error, asyncio.CancelledError | GeneratorExit):  # the client is gone, or its deadline has passed
            late = self._context.time_remaining() == 0
            return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED, None
        if isinstance(error, TimeoutError) and self._limit is not None and self._limit.expired():
            status = refusals.too_late(self._guard.unary_seconds)
            if self._lasts:
                status = self._guard.refusal(Denied(STAYED), self._method, self._asked)
        else:
            status = self._guard.refusal(error, self._method, self._asked)
        return _CODES[status.code], status

    async def _record(self, code: grpc.StatusCode) -> None:
        recorder = self._guard.rules.recorder
        if recorder is not None and self._rule is not None and not self._rule.reads:
            await recorder.record(self._method, self._principal, self._asked, self.response, code)


def _readable(parse: Callable[[bytes], Any] | None, *, raises: bool) -> Callable[[bytes], Any] | None:
    """Refuse octets that are no message, in words. A stream's reads raise the refusal; a single request cannot, and becomes it."""
    if parse is None:
        return None

    def read(octets: bytes) -> Any:
        try:
            return parse(octets)
        except DecodeError as error:
            refusal = Invalid(f"cannot read a message of this call: {error}; use a client made from this coordinator's protos")
            if raises:
                raise refusal from None
            return refusal

    return read


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _code(context: Context) -> grpc.StatusCode:
    """The status that a handler has set; OK where it set none."""
    code: object = context.code()  # None or a number too, whatever its stubs say
    if isinstance(code, grpc.StatusCode):
        return code
    return _CODES.get(code, grpc.StatusCode.UNKNOWN) if isinstance(code, int) else grpc.StatusCode.OK
