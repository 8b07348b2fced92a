"""Bundles that lie on this host already."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from agent.bundle.sources.incoming import Incoming, unavailable

_CHUNK = 1024 * 1024


def local_path(url: str) -> Path:
    """The path that a file:// address names."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        raise unavailable(url, "a file address has the form file:///absolute/path")
    return Path(path)


def fetch_file(path: Path, incoming: Incoming) -> None:
    """Copy a bundle that lies on this host."""
    incoming.restart()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise unavailable(incoming.source, (error.strerror or str(error)).lower()) from error
    with open(fd, "rb") as file:
        incoming.begin(os.fstat(fd).st_size)
        while chunk := file.read(_CHUNK):
            incoming.write(chunk)
