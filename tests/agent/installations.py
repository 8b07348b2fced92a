"""A host that deployments install files on, for tests of Install."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.appspec import parse
from agent.installer import Installation, install
from agent.payload import PayloadError
from agent.workspace import Workspace

Files = dict[str, str | None]
"""Path to content; a content of None is a directory, one that begins with -> a symlink."""

PERMISSIONS = "files:\n  - {source: app, destination: /srv/app}\npermissions:\n"


class Host:
    """A host below a prefix, and the deployments that reach it."""

    def __init__(self, root: Path) -> None:
        self.root = root / "host"
        self.root.mkdir()
        self.workspace = Workspace(root_prefix=self.root)
        self._count = 0

    def bring(self, files: Files, appspec: str = "files:\n  - source: app\n    destination: /srv/app\n") -> str:
        """What DownloadBundle leaves: an unpacked bundle and its AppSpec in normal form."""
        self._count += 1
        deployment_id = f"d-{self._count}"
        directory = self.workspace.deployment("g", deployment_id)
        directory.archive.mkdir(parents=True)
        write(directory.archive, files)
        directory.appspec.write_text(parse(f"version: 0.0\nos: linux\n{appspec}".encode(), "appspec.yml").to_json())
        return deployment_id

    def install(
        self,
        deployment_id: str,
        *,
        behavior: str | None = None,
        passed: Callable[[str], None] | None = None,
        reserve: int = 0,
        destinations: tuple[str, ...] | None = None,
    ) -> None:
        installation = Installation(
            group_id="g",
            deployment_id=deployment_id,
            revision=f"r-{deployment_id}",
            file_exists_behavior=behavior,
            reserve_bytes=reserve,
            destinations=destinations,
        )
        install(installation, self.workspace, passed or (lambda point: None))

    def refusal(self, deployment_id: str, *, behavior: str | None = None, reserve: int = 0) -> PayloadError:
        with pytest.raises(PayloadError) as caught:
            self.install(deployment_id, behavior=behavior, reserve=reserve)
        return caught.value

    def files(self, *, modes: bool = False) -> dict[str, str]:
        """Everything on the host but the workspace."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if name.split("/")[0] == "opt":
                continue
            kind = f"-> {os.readlink(path)}" if path.is_symlink() else "directory" if path.is_dir() else path.read_text()
            found[name] = f"{stat.S_IMODE(path.lstat().st_mode):o} {kind}" if modes else kind
        return found

    def cleanup(self) -> list[str]:
        return [os.path.relpath(path, self.root) for path in self.workspace.cleanup("g")]


def write(root: Path, files: Files) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        elif content.startswith("->"):
            path.symlink_to(content[2:].strip())
        else:
            path.write_text(content)
