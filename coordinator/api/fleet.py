"""FleetService for gRPC: reads requests, asks the service, writes answers."""

from coordinator.api import messages
from coordinator.api.requests import Context, cursor, page_size, request_key, token
from coordinator.service.fleet import FleetService
from coordinator.wire import operators as wire
from hookline.v1 import fleet_pb2 as pb
from hookline.v1.fleet_pb2_grpc import FleetServiceServicer


class FleetServicer(FleetServiceServicer):
    """Hosts and their tags."""

    def __init__(self, fleet: FleetService) -> None:
        """`fleet` does the work."""
        self._fleet = fleet

    async def ListHosts(self, request: pb.ListHostsRequest, context: Context) -> pb.ListHostsResponse:
        """List hosts."""
        page = await self._fleet.hosts(
            wire.read_tag_filters(request.tag_filters, field="tag_filters"),
            size=page_size(request),
            after=cursor(request, request.page_token),
        )
        return pb.ListHostsResponse(hosts=[messages.host(one) for one in page.items], next_page_token=token(request, page.next))

    async def GetHost(self, request: pb.GetHostRequest, context: Context) -> pb.GetHostResponse:
        """Show a host."""
        return pb.GetHostResponse(host=messages.host(await self._fleet.host(request.host)))

    async def AddTags(self, request: pb.AddTagsRequest, context: Context) -> pb.AddTagsResponse:
        """Set tags on hosts."""
        hosts = await self._fleet.add_tags(request.hosts, dict(request.tags), request_key("AddTags", request))
        return pb.AddTagsResponse(hosts=[messages.host(one) for one in hosts])

    async def RemoveTags(self, request: pb.RemoveTagsRequest, context: Context) -> pb.RemoveTagsResponse:
        """Remove tags from hosts."""
        hosts = await self._fleet.remove_tags(request.hosts, request.keys, request_key("RemoveTags", request))
        return pb.RemoveTagsResponse(hosts=[messages.host(one) for one in hosts])

    async def RemoveHost(self, request: pb.RemoveHostRequest, context: Context) -> pb.RemoveHostResponse:
        """Forget a host."""
        await self._fleet.remove(request.host, request_key("RemoveHost", request))
        return pb.RemoveHostResponse()
