"""Prometheus's HTTP service discovery: every host with labels that say what runs on it and to which cohort it belongs."""

import asyncio
import json
from collections.abc import Iterable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from coordinator.core.errors import DeployError, Invalid
from coordinator.service.discovery import DiscoveryService, Found, Wanted, read_port, target
from coordinator.web.alertmanager import shows

META: Final = "__meta_hookline_"
USUAL_PORT: Final = "9100"
_COMPACT: Final = json.JSONEncoder(separators=(",", ":"))
KNOWN: Final = frozenset({"port", "application", "group"})


class Discovery:
    """What is served at /sd/prometheus."""

    def __init__(self, hosts: DiscoveryService, token: str = "") -> None:
        """With a `token`, for those who show it."""
        self._hosts = hosts
        self._token = token
        self._turn = asyncio.Lock()

    async def answer(self, request: Request) -> Response:
        """A list of targets and labels. Whatever is not 200 leaves Prometheus with what it was told last."""
        if self._token and not shows(request, self._token):
            return _no(401, "cannot show hosts: show the token of --metrics-token-file as Authorization: Bearer TOKEN")
        try:
            port, wanted = _read(request)
            async with self._turn:  # one at a time: whoever asks for a large fleet often waits, and nobody else does
                found = await self._hosts.found(wanted)
                body = await asyncio.to_thread(_body, found, port)
        except Invalid as error:
            return _no(400, error.message)
        except DeployError as error:
            return _no(503, error.message)
        return Response(body, media_type="application/json")


def labels(found: Found) -> dict[str, str]:
    """What Prometheus is told of a host; what is not known is left out."""
    said = {
        "application": found.application_name,
        "group": found.group_name,
        "revision": found.revision_id,
        "cohort": found.cohort.value,
        "deployment": found.deployment_id,
        "host": found.host_name,
        "host_id": found.host_id,
    }
    return {META + name: value for name, value in said.items() if value}


def _read(request: Request) -> tuple[int, Wanted]:
    said = request.query_params
    if strange := sorted(set(said) - KNOWN):
        raise Invalid(f"cannot find hosts by {strange[0][:40]!r}: say port, application or group")
    return read_port(said.get("port", USUAL_PORT)), Wanted(said.get("application", ""), said.get("group", ""))


def _body(found: Iterable[Found], port: int) -> bytes:
    """One by one: to write a large fleet as JSON in one go would hold up the event loop, thread or not."""
    return f"[{','.join(_COMPACT.encode({'targets': [target(one, port)], 'labels': labels(one)}) for one in found)}]".encode()


def _no(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status_code=status)
