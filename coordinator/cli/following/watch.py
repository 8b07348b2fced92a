"""Watching a deployment across disconnects: what the coordinator sends, in order, from where it broke off."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from coordinator.cli import protos
from coordinator.cli.clock import Clock
from coordinator.cli.connection import Connection
from coordinator.cli.following.wording import has_ended
from coordinator.cli.refusals import code_of, refusal

if TYPE_CHECKING:
    from hookline.v1.deployments_pb2 import WatchDeploymentResponse

PATIENCE = 300.0  # seconds without any message after which reconnecting is given up
PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)
BROKEN = ("UNAVAILABLE", "INTERNAL", "UNKNOWN", "CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED")
TOKEN_REFUSED = ("OUT_OF_RANGE", "DATA_LOSS", "INVALID_ARGUMENT", "FAILED_PRECONDITION")


def watch(connection: Connection, clock: Clock, deployment_id: str, lost: Callable[[], None]) -> "Iterator[WatchDeploymentResponse]":
    """Every message until the deployment has ended. `lost` is called each time the stream broke and is opened again."""
    token, ended, failures, last = "", False, 0, clock.elapsed()
    while True:
        call = connection.deployments.WatchDeployment(
            protos.deployments.WatchDeploymentRequest(deployment_id=deployment_id, resume_token=token)
        )
        try:
            for response in call:
                token, failures, last = response.resume_token or token, 0, clock.elapsed()
                if response.WhichOneof("message") == "deployment":
                    ended = has_ended(response.deployment)
                yield response
                if response.bookmark.complete:
                    return
            if ended:
                return
        except protos.grpc.RpcError as error:
            code = code_of(error).name
            if code in TOKEN_REFUSED and token:  # too old, or of a database that is gone: begin with a snapshot again
                token = ""
            elif code not in BROKEN or clock.elapsed() - last >= PATIENCE:
                raise refusal(error, connection.coordinator, PATIENCE) from None
        finally:
            call.cancel()
        lost()
        clock.wait(PAUSES[min(failures, len(PAUSES) - 1)])
        failures += 1
