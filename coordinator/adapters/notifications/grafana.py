"""Grafana's annotations by its HTTP API. No redirect is followed and no environment's proxy used: the operator has named the address."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import httpx

from coordinator.adapters.notifications.post import trusted
from coordinator.service.notifications.annotations import Region
from coordinator.service.notifications.outlets import Refused
from coordinator.service.notifications.ports import Answer, Unsent

PATIENCE: Final = 10.0
"""Seconds that an answer may take."""
OCTETS_AT_MOST: Final = 1 << 20
REGIONS_AT_MOST: Final = 100


class Grafana:
    """See `service.notifications.annotations.Annotations`."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        """`client` has the address for its base; use `at`."""
        self._client = client

    @classmethod
    def at(cls, url: str, token: str) -> Self:
        """The Grafana at an address; `token` may be empty."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        client = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=PATIENCE, verify=trusted(), trust_env=False, follow_redirects=False
        )
        return cls(client)

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def find(self, tags: Sequence[str]) -> list[Region]:
        """See `Annotations.find`."""
        asked = {"type": "annotation", "limit": str(REGIONS_AT_MOST), "tags": list(tags)}
        found = await self._ask("GET", "", params=asked)
        try:
            return [_region(one) for one in found if isinstance(found, list)]
        except (KeyError, TypeError, ValueError):
            raise Unsent("what answers is no Grafana: its annotations are others") from None

    async def write(self, region: Region) -> None:
        """See `Annotations.write`."""
        said = {"time": region.begin, "timeEnd": region.end, "tags": region.tags, "text": region.text}
        if region.number:
            await self._ask("PATCH", f"/{region.number}", json=said)
        else:
            await self._ask("POST", "", json=said)

    async def _ask(self, verb: str, path: str, **said: Any) -> Any:  # JSON
        try:
            async with asyncio.timeout(PATIENCE), self._client.stream(verb, f"/api/annotations{path}", **said) as response:
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > OCTETS_AT_MOST:
                        raise Unsent(f"Grafana answers with more than {OCTETS_AT_MOST >> 10} KiB")
        except TimeoutError:
            raise Unsent(f"cannot ask Grafana: no answer within {PATIENCE:g} s") from None
        except httpx.HTTPError as error:
            raise Unsent(f"cannot ask Grafana: {str(error) or type(error).__name__}") from None
        if not 200 <= response.status_code < 300:
            raise Refused(Answer(response.status_code, body.decode("utf-8", "replace"), 0))
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise Unsent(f"what answers is no Grafana: status {response.status_code} without JSON") from None


def _region(found: Mapping[str, Any]) -> Region:  # JSON
    begin = int(found["time"])
    tags = tuple(map(str, found["tags"]))
    return Region(number=int(found["id"]), begin=begin, end=int(found.get("timeEnd") or begin), tags=tags, text=str(found["text"]))
