"""A gRPC server that no call can end.

grpcio's own reads the path of every call that is for none of its registered methods as text, and ends for good over one that is no UTF-8,
whoever sends it: all calls of that listener are gone, and nobody is let in any more (grpcio 1.85, the newest). Here every method that is
served is registered, so that gRPC finds it by its bytes; what is left is for no method, and is told so without a look at its path.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from grpc import aio
from grpc._cython import cygrpc  # type: ignore[attr-defined,unused-ignore]  # what grpc.aio is made of: it has no stubs
from grpc.aio import _server  # type: ignore[attr-defined,unused-ignore]  # the same


class _NoMethod:
    """Finds nothing."""

    def resolve_handler(self, details: object) -> None:
        """None."""


class _Calls(cygrpc.AioServer):  # type: ignore[misc,unused-ignore]  # no stubs
    """Hands calls to the methods that are registered, and refuses the others."""

    async def _request_call(self) -> None:
        """The next call for no registered method: each is refused here, so there never is one, until the server stops."""
        refusing = set[asyncio.Task[None]]()
        while True:
            refusal = asyncio.create_task(_refuse(await super()._request_call()))
            refusing.add(refusal)
            refusal.add_done_callback(refusing.discard)


async def _refuse(call: object) -> None:
    """UNIMPLEMENTED, in grpcio's own words; who has gone hears nothing."""
    with suppress(cygrpc.ExecuteBatchError):
        await cygrpc._handle_rpc("", _NoMethod(), (), call, asyncio.get_running_loop(), False)


class _Server(_server.Server):  # type: ignore[misc,unused-ignore]  # no stubs
    """grpcio's own, but for how it finds methods."""

    def __init__(self, interceptors: Sequence[aio.ServerInterceptor], options: Sequence[tuple[str, Any]]) -> None:
        """See `make_server`."""
        self._loop = cygrpc.get_working_loop()
        self._server = _Calls(self._loop, None, (), interceptors, tuple(options), None)

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Nothing: what generated code adds here it registers as well."""


def make_server(*, interceptors: Sequence[aio.ServerInterceptor] = (), options: Sequence[tuple[str, Any]] = ()) -> aio.Server:
    """See `grpc.aio.server`. Methods have to be registered (`add_registered_method_handlers`)."""
    return cast("aio.Server", _Server(interceptors, options))  # the stubs' class is another than the one that it is made of
