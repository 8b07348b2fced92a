"""FleetService and EnrolmentService for gRPC: read requests, ask the services, write answers."""

from collections.abc import Callable

import grpc

from coordinator.api import messages
from coordinator.api.access.entrance import peer_address
from coordinator.api.access.recording import Recorder
from coordinator.api.calls.requests import Context, cursor, page_size, request_key, token
from coordinator.core.errors import Conflict, Invalid
from coordinator.core.identity.access import Kind, Principal
from coordinator.core.identity.enrolment import EnrolmentStatus, check_welcome
from coordinator.service.enrolment import ASK_AGAIN_AFTER, Applicant, EnrolmentService, Returning, WantedToken
from coordinator.service.fleet import FleetService
from coordinator.wire import operators as wire
from hookline.v1 import fleet_pb2 as pb
from hookline.v1.fleet_pb2_grpc import EnrolmentServiceServicer, FleetServiceServicer


class FleetServicer(FleetServiceServicer):
    """Hosts, their tags, and how they come in."""

    def __init__(self, fleet: FleetService, enrolment: EnrolmentService | None, *, enrol_address: Callable[[], str]) -> None:
        """Who does the work. Over plaintext there is no enrolment."""
        self._fleet = fleet
        self._enrolling = enrolment
        self._enrol_address = enrol_address

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

    async def SetInstanceProfile(self, request: pb.SetInstanceProfileRequest, context: Context) -> pb.SetInstanceProfileResponse:
        """Say what a host may read."""
        host = await self._fleet.set_sources(request.host, request.sources, request_key("SetInstanceProfile", request))
        return pb.SetInstanceProfileResponse(host=messages.host(host))

    async def RemoveHost(self, request: pb.RemoveHostRequest, context: Context) -> pb.RemoveHostResponse:
        """Forget a host."""
        await self._fleet.remove(request.host, request_key("RemoveHost", request))
        return pb.RemoveHostResponse()

    async def CreateJoinToken(self, request: pb.CreateJoinTokenRequest, context: Context) -> pb.CreateJoinTokenResponse:
        """Make a join token."""
        wanted = WantedToken(
            ttl=request.ttl.ToMilliseconds(),
            uses=request.uses,
            tags=dict(request.tags),
            auto_approve=request.auto_approve,
            trust_tags=request.trust_tags,
            name_pattern=request.name_pattern,
            application_name=request.application_name,
            group_name=request.deployment_group_name,
        )
        token, text = await self._enrolment.create_token(wanted, request_key("CreateJoinToken", request))
        return pb.CreateJoinTokenResponse(
            join_token=messages.join_token(token),
            text=text,
            authority_fingerprint=self._enrolment.fingerprint,
            enrol_address=self._enrol_address(),
        )

    async def ListJoinTokens(self, request: pb.ListJoinTokensRequest, context: Context) -> pb.ListJoinTokensResponse:
        """List tokens that can still be used."""
        page = await self._enrolment.tokens(size=page_size(request), after=cursor(request, request.page_token))
        tokens = [messages.join_token(one) for one in page.items]
        return pb.ListJoinTokensResponse(join_tokens=tokens, next_page_token=token(request, page.next))

    async def RevokeJoinToken(self, request: pb.RevokeJoinTokenRequest, context: Context) -> pb.RevokeJoinTokenResponse:
        """Make a token useless."""
        await self._enrolment.revoke_token(request.join_token_id, request_key("RevokeJoinToken", request))
        return pb.RevokeJoinTokenResponse()

    async def ListEnrolments(self, request: pb.ListEnrolmentsRequest, context: Context) -> pb.ListEnrolmentsResponse:
        """List who has asked to become a host; over plaintext nobody has to."""
        if self._enrolling is None:
            return pb.ListEnrolmentsResponse()
        page = await self._enrolment.enrolments(
            [_status(one) for one in request.statuses], size=page_size(request), after=cursor(request, request.page_token)
        )
        found = [messages.enrolment(one) for one in page.items]
        return pb.ListEnrolmentsResponse(enrolments=found, next_page_token=token(request, page.next))

    async def ApproveHost(self, request: pb.ApproveHostRequest, context: Context) -> pb.ApproveHostResponse:
        """Let a host in."""
        enrolment = await self._enrolment.approve(request.host, request_key("ApproveHost", request))
        return pb.ApproveHostResponse(enrolment=messages.enrolment(enrolment))

    async def RevokeHost(self, request: pb.RevokeHostRequest, context: Context) -> pb.RevokeHostResponse:
        """Shut a host out for ever."""
        enrolment = await self._enrolment.revoke(request.host, request.reason, request_key("RevokeHost", request))
        return pb.RevokeHostResponse(enrolment=messages.enrolment(enrolment))

    async def AdoptHost(self, request: pb.AdoptHostRequest, context: Context) -> pb.AdoptHostResponse:
        """Let a machine take the place of a host that is gone."""
        enrolment = await self._enrolment.adopt(request.host, request.machine, request_key("AdoptHost", request))
        return pb.AdoptHostResponse(enrolment=messages.enrolment(enrolment))

    async def RenameHost(self, request: pb.RenameHostRequest, context: Context) -> pb.RenameHostResponse:
        """Give a host another name."""
        enrolment = await self._enrolment.rename(request.host, request.name, request_key("RenameHost", request))
        return pb.RenameHostResponse(enrolment=messages.enrolment(enrolment))

    @property
    def _enrolment(self) -> EnrolmentService:
        if self._enrolling is None:
            raise Conflict("cannot enrol hosts: this coordinator runs with --insecure, where every agent on this machine is let in")
        return self._enrolling


class EnrolmentServicer(EnrolmentServiceServicer):
    """Where machines ask to become hosts."""

    def __init__(self, enrolment: EnrolmentService, *, agent_address: Callable[[], str], recorder: Recorder) -> None:
        """`agent_address`: where hosts connect; `recorder` writes down who came back."""
        self._enrolment = enrolment
        self._recorder = recorder
        self._agent_address = agent_address

    async def Enrol(self, request: pb.EnrolRequest, context: Context) -> pb.EnrolResponse:
        """Take a machine's request."""
        applicant = Applicant(
            name=request.name, token=request.join_token, request=request.certificate_request, address=peer_address(context)
        )
        enrolment, certificate = await self._enrolment.enrol(applicant)
        response = pb.EnrolResponse(
            enrolment=messages.enrolment(enrolment), trust=self._enrolment.trust, agent_address=self._agent_address()
        )
        if certificate is None:
            response.retry_after.FromMilliseconds(ASK_AGAIN_AFTER)
        else:
            response.certificate_chain = certificate.chain
        return response

    async def Readmit(self, request: pb.ReadmitRequest, context: Context) -> pb.ReadmitResponse:
        """Take back a host that was away for long. Only what changes something is written down: it asks until it is let in."""
        returning = Returning(
            chain=request.certificate_chain,
            generation=request.generation,
            request=request.certificate_request,
            signature=request.signature,
            address=peer_address(context),
        )
        enrolment, certificate, news = await self._enrolment.readmit(returning)
        locked = enrolment.status is EnrolmentStatus.Locked
        response = pb.ReadmitResponse(trust=self._enrolment.trust, generation=enrolment.generation)
        if news:
            code = grpc.StatusCode.PERMISSION_DENIED if locked else grpc.StatusCode.OK
            agent = Principal(Kind.Agent, enrolment.host_id, address=returning.address)
            await self._recorder.record("/hookline.v1.EnrolmentService/Readmit", agent, request, messages.enrolment(enrolment), code)
        if locked:
            check_welcome(enrolment)
        if certificate is None:
            response.retry_after.FromMilliseconds(ASK_AGAIN_AFTER)
        else:
            response.certificate_chain = certificate.chain
        return response


def _status(number: int) -> EnrolmentStatus:
    try:
        return EnrolmentStatus(number)
    except ValueError:
        raise Invalid(f"cannot list enrolments of status {number}: there is no such status", field="statuses") from None
