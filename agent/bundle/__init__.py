"""Bundles: fetched, verified, unpacked and installed by a short-lived process of their own; `Unpacker` is the agent's end of it."""

from agent.bundle.archives.archive import Limits
from agent.bundle.requests import CoordinatorSource, DownloadRequest, InstallRequest, UrlSource
from agent.bundle.unpacker import Unpacker
from agent.payload import PayloadError, PayloadErrorCode

__all__ = [
    "CoordinatorSource",
    "DownloadRequest",
    "InstallRequest",
    "Limits",
    "PayloadError",
    "PayloadErrorCode",
    "Unpacker",
    "UrlSource",
]
