"""What the audit gets of a call: its request as JSON without secrets, and what it was about."""

import json
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from coordinator.core.identity.access import Kind, Principal
from coordinator.engine.ports import Clock
from coordinator.service.access.attempts import Attempts
from coordinator.service.access.audit import AuditCall, AuditService

REQUEST_AT_MOST: Final = 16_384
"""Characters of a request that are kept; of a longer one there is but its length."""
TEXT_AT_MOST: Final = 512
LEFT_OUT: Final = "..."

_IDS: Final = ("deployment_id", "revision_id", "operator_certificate_id", "operator_token_id", "host_id", "join_token_id", "operator_name")
_NAMES: Final = ("application_name", "deployment_group_name", "deployment_config_name", "alarm_name", "host", "hosts")


class Recorder:
    """Writes calls down, after they were carried out and before they are answered."""

    def __init__(self, audit: AuditService, clock: Clock) -> None:
        """`audit` remembers."""
        self._audit = audit
        self._clock = clock
        self._nobody = Attempts(clock)

    async def record(self, method: str, principal: Principal, request: object, response: object, code: grpc.StatusCode) -> None:
        """Write a call down. Raises StorageFull or StorageFailed when it cannot be. Of those who show nothing that is any good only some
        are: they could fill the disk."""
        if principal.kind is Kind.Nobody or principal.barred:
            if not self._nobody.allowed(principal.address):
                return
            self._nobody.failed(principal.address)
        message = request if isinstance(request, Message) else None
        await self._audit.record(
            AuditCall(
                at=self._clock.now(),
                principal=str(principal),
                address=principal.address,
                method=method,
                request="{}" if message is None else request_text(message),
                reason=str(getattr(request, "reason", ""))[:TEXT_AT_MOST],
                code=code.name,
                subject=subject_of(response) or subject_of(request),
            )
        )


def request_text(request: Message) -> str:
    """A request as JSON without secrets: fields that the protos mark with debug_redact, and what URLs carry besides their place."""
    bare = type(request)()
    bare.CopyFrom(request)
    _redact(bare)
    said = _scrubbed(MessageToDict(bare, preserving_proto_field_name=True))
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return text if len(text) <= REQUEST_AT_MOST else json.dumps({"left_out": f"{len(text)} characters"})


def subject_of(message: object) -> str:
    """What a message is about: the first id that it or a message in it names, or else the names."""
    if not isinstance(message, Message):
        return ""
    ids = (_said(one, name) for name in _IDS for one in _parts(message))
    names = ("/".join(filter(None, (_said(one, name) for name in _NAMES))) for one in _parts(message))
    return next(filter(None, ids), "")[:TEXT_AT_MOST] or next(filter(None, names), "")[:TEXT_AT_MOST]


def _parts(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None and isinstance(value, Message):
            yield value


def _said(message: Message, name: str) -> str:
    value = getattr(message, name, "")
    return value if isinstance(value, str) else ",".join(map(str, value))


def _redact(message: Message) -> None:
    for field, value in message.ListFields():
        if field.GetOptions().debug_redact:
            message.ClearField(field.name)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for one in [value] if isinstance(value, Message) else value:
                _redact(one)


def _scrubbed(value: object) -> object:
    match value:
        case dict():
            return {key: _scrubbed(one) for key, one in value.items()}
        case list():
            return [_scrubbed(one) for one in value]
        case str() if "://" in value:
            return _place(value)
        case _:
            return value


def _place(url: str) -> str:
    """A URL without user, password, query and fragment."""
    try:
        said = urlsplit(url)
    except ValueError:
        return LEFT_OUT
    bare = said._replace(netloc=said.netloc.rpartition("@")[2], query=LEFT_OUT if said.query else "", fragment="")
    return bare.geturl()
