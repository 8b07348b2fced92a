"""From where a revision lies, and what the agent's operator has set, to where its bundle is fetched from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never
from urllib.parse import quote

from agent.bundle.requests import GITHUB_API, GitHubSource, S3Source, UrlSource
from agent.model import Place

if TYPE_CHECKING:
    from pathlib import Path

    from agent.bundle.requests import Source
    from agent.model import Location


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """What the operator of the agent says of sources; an empty endpoint or region is left to the environment.

    `private_origins` are the servers with private addresses that bundles may come from.
    """

    s3_endpoint: str = ""
    s3_region: str = ""
    github_api: str = GITHUB_API
    github_token_file: str = ""
    private_origins: tuple[str, ...] = ()


def elsewhere(location: Location, root_prefix: Path, settings: SourceSettings) -> Source | None:
    """Where to fetch from; None when the coordinator keeps the bundle, whose address only a Welcome tells."""
    words = dict(location.words)
    match location.place:
        case Place.COORDINATOR:
            return None
        case Place.HTTP:
            return UrlSource(url=words["url"], private_origins=settings.private_origins)
        case Place.FILE:
            path = root_prefix / words["path"].lstrip("/")
            return UrlSource(url=f"file://{quote(str(path))}")
        case Place.S3:
            version, e_tag = words.get("version", ""), words.get("e_tag", "")
            return S3Source(
                bucket=words["bucket"],
                key=words["key"],
                version=version,
                e_tag=e_tag,
                endpoint=settings.s3_endpoint,
                region=settings.s3_region,
            )
        case Place.GITHUB:
            return GitHubSource(
                repository=words["repository"],
                commit_id=words["commit_id"],
                api=settings.github_api,
                token_file=settings.github_token_file,
                private_origins=settings.private_origins,
            )
        case _:
            assert_never(location.place)
