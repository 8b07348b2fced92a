"""AlarmService for gRPC: reads requests, asks the service, writes answers."""

from collections.abc import Mapping
from functools import partial

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from coordinator.api import messages
from coordinator.api.calls.requests import Context, cursor, page_size, request_key, token
from coordinator.core.errors import Invalid
from coordinator.core.model import Alarm
from coordinator.service.alarms.alarms import AlarmService
from coordinator.service.records import CatalogAlarm
from coordinator.wire import alarms as wire
from coordinator.wire.operators import instant
from hookline.v1 import alarms_pb2 as pb
from hookline.v1.alarms_pb2_grpc import AlarmServiceServicer

SOURCES: Mapping[str, type[Message]] = {
    "expression": pb.Expression,
    "prometheus_alert": pb.PrometheusAlert,
    "alertmanager_alert": pb.AlertmanagerAlert,
}
PARTS = tuple(f"{name}.{part}" for name, kind in SOURCES.items() for part in kind.DESCRIPTOR.fields_by_name)
OTHERS = ("interval", "no_data", "on_error")
FIELDS = frozenset({*SOURCES, *PARTS, *OTHERS})
"""What can be changed about an alarm."""


class AlarmServicer(AlarmServiceServicer):
    """Alarms, and what is to be seen of them."""

    def __init__(self, alarms: AlarmService) -> None:
        """`alarms` does the work."""
        self._alarms = alarms

    async def CreateAlarm(self, request: pb.CreateAlarmRequest, context: Context) -> pb.CreateAlarmResponse:
        """Make an alarm."""
        made = await self._alarms.create(wire.read_alarm(request.alarm, field="alarm"), request_key("CreateAlarm", request))
        return pb.CreateAlarmResponse(alarm=messages.alarm(made))

    async def GetAlarm(self, request: pb.GetAlarmRequest, context: Context) -> pb.GetAlarmResponse:
        """Show an alarm."""
        return pb.GetAlarmResponse(alarm=messages.alarm(await self._alarms.alarm(request.alarm_name)))

    async def ListAlarms(self, request: pb.ListAlarmsRequest, context: Context) -> pb.ListAlarmsResponse:
        """List alarms."""
        page = await self._alarms.alarms(size=page_size(request), after=cursor(request, request.page_token))
        alarms = [messages.alarm(one) for one in page.items]
        return pb.ListAlarmsResponse(alarms=alarms, next_page_token=token(request, page.next))

    async def UpdateAlarm(self, request: pb.UpdateAlarmRequest, context: Context) -> pb.UpdateAlarmResponse:
        """Change an alarm."""
        change = partial(_changed, request.alarm, _mask(request))
        now = await self._alarms.update(request.alarm.alarm_name, change, request_key("UpdateAlarm", request))
        return pb.UpdateAlarmResponse(alarm=messages.alarm(now))

    async def DeleteAlarm(self, request: pb.DeleteAlarmRequest, context: Context) -> pb.DeleteAlarmResponse:
        """Remove an alarm."""
        await self._alarms.delete(request.alarm_name, request_key("DeleteAlarm", request))
        return pb.DeleteAlarmResponse()

    async def TestAlarm(self, request: pb.TestAlarmRequest, context: Context) -> pb.TestAlarmResponse:
        """Look at an alarm now."""
        seen, at = await self._alarms.test(request.alarm_name)
        return pb.TestAlarmResponse(status=pb.AlarmStatus.ValueType(seen.status), sample=seen.sample, time=instant(at))


def _mask(request: pb.UpdateAlarmRequest) -> FieldMask | None:
    """What is to be changed; None: everything."""
    paths = set(request.update_mask.paths)
    if not paths or paths == {"*"}:
        return None
    if strange := sorted(paths - FIELDS):
        raise Invalid(
            f"cannot update {strange[0]!r}: update_mask may name {', '.join((*SOURCES, *OTHERS))} or a part of one, such as {PARTS[0]}, "
            'or be "*" alone',
            field="update_mask",
        )
    return FieldMask(paths=sorted(paths))


def _changed(said: pb.Alarm, mask: FieldMask | None, now: CatalogAlarm) -> Alarm:
    """The alarm that there is, with what was said in its place."""
    if mask is None:
        return wire.read_alarm(said, field="alarm")
    changed = wire.alarm(now.alarm)
    mask.MergeMessage(said, changed, replace_message_field=True, replace_repeated_field=True)
    return wire.read_alarm(changed, field="alarm")
