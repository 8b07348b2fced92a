"""Alertmanager's webhook: reads what it posts (payload version 4) and hands it on."""

import hmac
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from coordinator.core.errors import DeployError, Invalid, Limit
from coordinator.engine.ports import Clock
from coordinator.service.alarms.alerts import Alert

OCTETS_AT_MOST: Final = 1 << 20
TEXT_AT_MOST: Final = 1_000
LABELS_AT_MOST: Final = 100

Receive = Callable[[Sequence[Alert]], Awaitable[int]]
"""Takes alerts in once they are stored; how many were news."""


class Webhook:
    """What is served at /alertmanager."""

    def __init__(self, receive: Receive, token: str, clock: Clock, count: Callable[[str], None]) -> None:
        """Whoever shows `token` is believed. Every call is counted by `count`: accepted, refused or failed."""
        self._receive = receive
        self._token = token
        self._clock = clock
        self._count = count

    async def answer(self, request: Request) -> Response:
        """Answer once the alerts are stored. Alertmanager tries again after 5xx and 429, and not after another 4xx."""
        if not shows(request, self._token):
            return self._no(401, "cannot accept the alerts: show the token of --alertmanager-token-file as Authorization: Bearer TOKEN")
        try:
            alerts = read(await _body(request), now=self._clock.now())
            news = await self._receive(alerts)
        except Invalid as error:
            return self._no(400, error.message)
        except Limit as error:
            return self._no(429, error.message)
        except ClientDisconnect:
            return self._no(400, "the client has gone")
        except DeployError as error:
            return self._no(503, error.message, "failed")
        self._count("accepted")
        return JSONResponse({"received": len(alerts), "new": news})

    def _no(self, status: int, why: str, counted: str = "refused") -> Response:
        self._count(counted)
        return JSONResponse({"error": why}, status_code=status)


def shows(request: Request, token: str) -> bool:
    """Whether a request carries a token."""
    return hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {token}".encode())


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > OCTETS_AT_MOST:
            raise Invalid(f"cannot read the alerts: more than {OCTETS_AT_MOST} bytes; set max_alerts in Alertmanager's webhook_configs")
    return bytes(body)


def read(body: bytes, *, now: int) -> list[Alert]:
    """The alerts of a webhook's body. Raises Invalid."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise Invalid("cannot read the alerts: the body is not JSON") from None
    if not isinstance(said, dict) or said.get("version") != "4" or not isinstance(said.get("alerts"), list):
        raise Invalid('cannot read the alerts: the body is not a message of Alertmanager\'s webhook ("version": "4", "alerts": [...])')
    return [_alert(one, now) for one in said["alerts"]]


def _alert(said: Any, now: int) -> Alert:  # JSON
    labels = said.get("labels") if isinstance(said, dict) else None
    if not isinstance(labels, dict) or not labels or len(labels) > LABELS_AT_MOST:
        raise Invalid(f"cannot read an alert: labels must be a map with 1 to {LABELS_AT_MOST} names")
    status = said.get("status")
    if status not in ("firing", "resolved"):
        raise Invalid("cannot read an alert: status must be firing or resolved")
    texts = [said.get("fingerprint"), said.get("startsAt"), *labels, *labels.values()]
    if not all(isinstance(text, str) and len(text) <= TEXT_AT_MOST for text in texts) or not texts[0] or not texts[1]:
        raise Invalid(f"cannot read an alert: fingerprint, startsAt and labels must be texts of at most {TEXT_AT_MOST} characters")
    ended_at = None if status == "firing" else now
    return Alert(fingerprint=said["fingerprint"], labels=labels, starts_at=said["startsAt"], ended_at=ended_at)
