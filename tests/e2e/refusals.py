"""How a call by gRPC is refused."""

from collections.abc import Callable

import grpc
import pytest


def refused(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    """The status and the sentence that a call by gRPC is refused with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: object = caught.value
    assert isinstance(error, grpc.Call)
    return error.code(), error.details() or ""
