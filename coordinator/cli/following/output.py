"""Reading what hooks print across disconnects: every byte of every host once, whatever broke in between."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from coordinator.cli import protos
from coordinator.cli.clock import Clock
from coordinator.cli.connection import Connection
from coordinator.cli.following.watch import BROKEN, PATIENCE, PAUSES, TOKEN_REFUSED
from coordinator.cli.refusals import code_of, refusal

if TYPE_CHECKING:
    from hookline.v1.deployments_pb2 import ReadLogsRequest, ReadLogsResponse


def read(connection: Connection, clock: Clock, request: "ReadLogsRequest", lost: Callable[[], None]) -> "Iterator[ReadLogsResponse]":
    """The pieces until there are no more, a host's in order and without a gap. `lost` is called each time the stream broke."""
    failures, last = 0, clock.elapsed()
    ends: dict[str, int] = {}
    while True:
        call = connection.deployments.ReadLogs(request)
        try:
            for response in call:
                failures, last = 0, clock.elapsed()
                end = ends.get(response.host_id, 0)
                if response.offset > end and request.resume_token:
                    break  # the coordinator lost what was read before, and got it back in another order
                request.resume_token = response.resume_token
                if (new := _after(response, end)) is not None:
                    ends[response.host_id] = response.offset + len(response.content) + response.dropped_bytes
                    yield new
            else:
                return
            request.resume_token = ""
            continue
        except protos.grpc.RpcError as error:
            code = code_of(error).name
            if code in TOKEN_REFUSED and request.resume_token:
                request.resume_token = ""
            elif code not in BROKEN or clock.elapsed() - last >= (PATIENCE if request.follow else connection.timeout):
                raise refusal(error, connection.coordinator, PATIENCE) from None
        finally:
            call.cancel()
        lost()
        clock.wait(PAUSES[min(failures, len(PAUSES) - 1)])
        failures += 1


def _after(response: "ReadLogsResponse", end: int) -> "ReadLogsResponse | None":
    """What of a piece lies after what is known; None: nothing."""
    known = end - response.offset
    if known <= 0:
        return response
    if known >= len(response.content) + response.dropped_bytes and not response.complete:
        return None
    new = type(response)()
    new.CopyFrom(response)
    new.offset = end
    new.content = response.content[known:]
    new.dropped_bytes = response.dropped_bytes - min(response.dropped_bytes, max(0, known - len(response.content)))
    return new
