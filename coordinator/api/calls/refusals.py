"""Errors as clients see them: a gRPC status with google.rpc details. Messages that are not DeployErrors are never shown."""

import re
from collections.abc import Mapping
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from coordinator.api.access.rates import TooManyCalls
from coordinator.core.errors import (
    AlreadyExists,
    Conflict,
    Denied,
    DeployError,
    Invalid,
    Limit,
    NotFound,
    Overtaken,
    Unauthenticated,
    Unavailable,
)

DOMAIN: Final = "hookline.dev"
RETRY_SECONDS: Final = 1

# The one table. `core/errors.py` draws the same picture.
STATUS: Final[Mapping[type[DeployError], grpc.StatusCode]] = {
    NotFound: grpc.StatusCode.NOT_FOUND,
    Invalid: grpc.StatusCode.INVALID_ARGUMENT,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    Overtaken: grpc.StatusCode.ABORTED,
    Limit: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    Denied: grpc.StatusCode.PERMISSION_DENIED,
}
# What a request may name that helps a client to say what to do next.
_NAMED: Final = (
    "application_name",
    "deployment_group_name",
    "deployment_config_name",
    "deployment_id",
    "revision_id",
    "host",
    "alarm_name",
)
_WORD_BREAK: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def code_of(error: DeployError) -> grpc.StatusCode:
    """The status code of a refusal."""
    return next((code for kind, code in STATUS.items() if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


def reason_of(error: DeployError) -> str:
    """The reason of a refusal: "DeploymentDoesNotExistException" is DEPLOYMENT_DOES_NOT_EXIST."""
    return _WORD_BREAK.sub("_", error.code.removesuffix("Exception")).upper()


def refused(error: DeployError, request: object) -> Status:
    """A refusal, with what the request named and the field that is wrong."""
    code = code_of(error)
    details: list[Message] = [ErrorInfo(reason=reason_of(error), domain=DOMAIN, metadata=_named(request))]
    if error.field:
        violation = BadRequest.FieldViolation(field=error.field, description=error.message)
        details.append(BadRequest(field_violations=[violation]))
    if code is grpc.StatusCode.UNAVAILABLE:
        details.append(RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS)))
    if isinstance(error, TooManyCalls):
        delay = Duration()
        delay.FromMilliseconds(error.retry_after)
        details.append(RetryInfo(retry_delay=delay))
    return _status(code, error.message, details)


def failed(incident: str) -> Status:
    """A bug: the client learns nothing but where to look."""
    message = f"the coordinator failed; its log says more under {incident}"
    return _status(grpc.StatusCode.INTERNAL, message, [ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"incident": incident})])


def too_late(seconds: float) -> Status:
    """The server's own deadline passed: the client had set none."""
    message = f"cannot answer: it took longer than {seconds:g} s; the call may have been done, so repeat it with the same request_id"
    return _status(grpc.StatusCode.DEADLINE_EXCEEDED, message, [ErrorInfo(reason="DEADLINE_EXCEEDED", domain=DOMAIN)])


def _status(code: grpc.StatusCode, message: str, details: list[Message]) -> Status:
    status = Status(code=code.value[0], message=message)
    for detail in details:
        status.details.append(_packed(detail))
    return status


def _packed(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed


def _named(request: object) -> dict[str, str]:
    return {name: value for name in _NAMED if isinstance(value := getattr(request, name, None), str) and value}
