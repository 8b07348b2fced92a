"""What the coordinator says over HTTP: /metrics, /healthz, and where Prometheus finds the hosts. What it hears: Alertmanager's webhook."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coordinator.metrics import Metrics
from coordinator.web.alertmanager import Webhook, shows
from coordinator.web.discovery import Discovery

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the coordinator is."""

    serving: bool
    """Whether it commits."""
    committed: int
    """The number of its last commit."""
    store: str
    """What the store says of itself: "ok", or why it cannot write."""


def app(
    metrics: Metrics,
    health: Callable[[], Health],
    webhook: Webhook | None = None,
    metrics_token: str = "",
    discovery: Discovery | None = None,
) -> Starlette:
    """The HTTP application. `health` is asked whenever somebody wants to know; without a `webhook` there is nowhere to post alerts;
    with a token /metrics is for those who show it; without a `discovery` nobody is told where the hosts are."""

    async def show_metrics(request: Request) -> Response:
        if metrics_token and not shows(request, metrics_token):
            return JSONResponse(
                {"error": "cannot show metrics: show the token of --metrics-token-file as Authorization: Bearer TOKEN"}, 401
            )
        body, content_type = await metrics.exposition(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    async def show_health(request: Request) -> Response:
        now = health()
        said = {"status": "serving" if now.serving else "not serving", "committed": now.committed, "store": now.store}
        return JSONResponse(said, status_code=200 if now.serving else 503)

    routes = [Route("/metrics", show_metrics), Route("/healthz", show_health)]
    if webhook is not None:
        routes.append(Route("/alertmanager", webhook.answer, methods=["POST"]))
    if discovery is not None:
        routes.append(Route("/sd/prometheus", discovery.answer))
    application = Starlette(routes=routes)
    application.add_middleware(_Headers)
    return application


class _Headers:
    """Adds to every answer the headers that keep browsers from guessing, framing and storing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)
