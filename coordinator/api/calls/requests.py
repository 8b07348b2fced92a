"""What requests have in common: a request id that makes a repeat harmless, and pages."""

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from google.protobuf.message import Message

from coordinator.api.calls.principal import caller
from coordinator.core.errors import Invalid
from coordinator.core.facts import RequestKey
from coordinator.service.ports import Cursor

if TYPE_CHECKING:
    from grpc import aio

Context: TypeAlias = "aio.ServicerContext[Any, Any]"
"""What gRPC knows of a call. Any: our methods neither read nor write through it. (It is generic in its stubs only.)"""

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1_000

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BINDING_SIZE = 8

M = TypeVar("M", bound=Message)


class Paged(Protocol):
    """A request for a page."""

    page_size: int
    page_token: str


def request_key(method: str, request: Message) -> RequestKey:
    """Under what a call is remembered: who calls what, under which id, with which words."""
    request_id = str(getattr(request, "request_id", "")).lower()
    if request_id and not _UUID.fullmatch(request_id):
        raise Invalid(f"cannot accept {request_id[:60]!r} as a request id: it must be a UUID", field="request_id")
    return RequestKey(principal=str(caller.get()), method=method, request_id=request_id, digest=_digest(request, "request_id"))


def page_size(request: Paged) -> int:
    """How many a caller wants."""
    if request.page_size < 0:
        raise Invalid(f"cannot show {request.page_size} of a list: page_size must be 0 or more", field="page_size")
    return min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def cursor(request: Message, token: str, *, field: str = "page_token") -> Cursor:
    """Where to go on that a token asks for; empty: at the beginning. A token of another question is refused."""
    if not token:
        return ""
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
        binding, after = raw[:_BINDING_SIZE], raw[_BINDING_SIZE:].decode()
    except (binascii.Error, ValueError):
        raise Invalid(f"cannot read the {field}: pass it on as it came", field=field) from None
    if binding != _binding(request) or not after:
        raise Invalid(f"cannot go on from this {field}: it belongs to other arguments; begin without one or ask as before", field=field)
    return after


def token(request: Message, after: Cursor) -> str:
    """What a caller passes to go on from there; empty when there is nothing more."""
    return base64.urlsafe_b64encode(_binding(request) + after.encode()).decode() if after else ""


def _binding(request: Message) -> bytes:
    """What a token is bound to: the kind of the request and all its fields but those that say which part."""
    return _digest(request, "page_token", "page_size", "resume_token")[:_BINDING_SIZE]


def _digest(request: Message, *without: str) -> bytes:
    bare = type(request)()
    bare.CopyFrom(request)
    for field in without:
        if field in request.DESCRIPTOR.fields_by_name:
            bare.ClearField(field)
    name = request.DESCRIPTOR.full_name.encode()
    return hashlib.sha256(name + b"\0" + bare.SerializeToString(deterministic=True)).digest()
