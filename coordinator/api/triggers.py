"""TriggerService for gRPC: reads requests, asks the service, writes answers."""

from coordinator.api.calls.requests import Context
from coordinator.service.notifications.trials import TriggerService
from coordinator.wire.operators import duration
from hookline.v1 import triggers_pb2 as pb
from hookline.v1.triggers_pb2_grpc import TriggerServiceServicer


class TriggerServicer(TriggerServiceServicer):
    """Tries triggers."""

    def __init__(self, triggers: TriggerService) -> None:
        """`triggers` does the work."""
        self._triggers = triggers

    async def TestTrigger(self, request: pb.TestTriggerRequest, context: Context) -> pb.TestTriggerResponse:
        """Send a test event."""
        trial = await self._triggers.test(request.application_name, request.deployment_group_name, request.trigger_name)
        return pb.TestTriggerResponse(delivered=trial.delivered, answer=trial.answer, duration=duration(trial.took))
