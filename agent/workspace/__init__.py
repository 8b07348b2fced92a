"""Where everything of a deployment lies on the host: CodeDeploy's layout and file names, below a prefix.

Paths, the pointers to earlier deployments and the lists of what was installed; it knows nothing of how they come about.

    <group>/<deployment>/bundle.tar                     the bundle, while it is fetched and unpacked
    <group>/<deployment>/deployment-archive/            the unpacked bundle; there only when it is complete
    <group>/<deployment>/appspec.json                   its AppSpec in normal form
    <group>/<deployment>/.bundle-source                 which bundle was unpacked
    <group>/<deployment>/logs/scripts.log               every line of this deployment's scripts
    deployment-instructions/<group>-cleanup             what was installed, one path a line
    deployment-instructions/<group>-install.json        the last list of steps
    deployment-instructions/<group>-installed.json      which revision finished Install last
    deployment-instructions/<group>-pending.json        an Install that has begun to stage
    deployment-instructions/<group>-commit.json         an Install that has staged everything and must be finished
    deployment-instructions/<group>_last_successful_install, <group>_most_recent_install    one path each
    deployment-logs/codedeploy-agent-deployments.log    the lines of all deployments
    ongoing-deployment/<deployment>                     a deployment in flight
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.workspace import disk

_IDENTIFIER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DEPLOYMENT_ROOT = "opt/hookline-agent/deployment-root"
_OURS = ("deployment-instructions", "deployment-logs", "ongoing-deployment")


class WorkspaceError(Exception):
    """An id that cannot name a directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentDirectory:
    """One deployment's directory."""

    path: Path

    @property
    def deployment_id(self) -> str:
        """The deployment that it belongs to."""
        return self.path.name

    @property
    def bundle(self) -> Path:
        """The downloaded bundle, whatever its type."""
        return self.path / "bundle.tar"

    @property
    def partial_bundle(self) -> Path:
        """What has arrived of the bundle so far."""
        return self.path / "bundle.tar.partial"

    @property
    def archive(self) -> Path:
        """The unpacked bundle; exists only when it is complete."""
        return self.path / "deployment-archive"

    @property
    def unfinished_archive(self) -> Path:
        """The bundle while it is being unpacked."""
        return self.path / "deployment-archive-temp"

    @property
    def appspec(self) -> Path:
        """The AppSpec in normal form: read it with `AppSpec.from_json`."""
        return self.path / "appspec.json"

    @property
    def bundle_source(self) -> Path:
        """Which bundle was unpacked."""
        return self.path / ".bundle-source"

    @property
    def bundle_etag(self) -> Path:
        """What the server called the version that is being fetched."""
        return self.path / ".bundle-etag"

    @property
    def bundle_boot(self) -> Path:
        """Which start of the machine the bundle began to arrive after."""
        return self.path / ".bundle-boot"

    @property
    def scripts_log(self) -> Path:
        """Every line that this deployment's scripts printed."""
        return self.path / "logs" / "scripts.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledRevision:
    """The revision whose Install finished last, and the deployment that brought it."""

    revision: str
    deployment_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The directories of all deployments on a host; every absolute path lies below the prefix."""

    root_prefix: Path = Path("/")

    @property
    def deployment_root(self) -> Path:
        """The directory that holds all deployments."""
        return self.root_prefix / _DEPLOYMENT_ROOT

    @property
    def instructions(self) -> Path:
        """The directory of the lists and pointers."""
        return self.deployment_root / "deployment-instructions"

    @property
    def deployments_log(self) -> Path:
        """The lines of all deployments' scripts."""
        return self.deployment_root / "deployment-logs" / "codedeploy-agent-deployments.log"

    def ongoing(self, deployment_id: str) -> Path:
        """The marker of a deployment in flight."""
        return self.deployment_root / "ongoing-deployment" / _checked(deployment_id)

    def deployment(self, group_id: str, deployment_id: str) -> DeploymentDirectory:
        """The directory of a deployment, there or not."""
        return DeploymentDirectory(path=self.deployment_root / _checked(group_id) / _checked(deployment_id))

    def cleanup_list(self, group_id: str) -> Path:
        """The file that lists what the group has installed."""
        return self.instructions / f"{_checked(group_id)}-cleanup"

    def install_steps(self, group_id: str) -> Path:
        """The file that tells the steps of the last installation."""
        return self.instructions / f"{_checked(group_id)}-install.json"

    def pending(self, group_id: str) -> Path:
        """The record of an installation that stages and has changed nothing yet."""
        return self.instructions / f"{_checked(group_id)}-pending.json"

    def commit(self, group_id: str) -> Path:
        """The record of an installation that has staged everything and is to be finished."""
        return self.instructions / f"{_checked(group_id)}-commit.json"

    def last_successful(self, group_id: str) -> DeploymentDirectory | None:
        """The deployment whose Install finished last, None before the first; its archive may have been removed by hand."""
        return _pointed_to(self._last_successful(group_id))

    def most_recent(self, group_id: str) -> DeploymentDirectory | None:
        """The deployment whose DownloadBundle finished last, None before the first."""
        return _pointed_to(self._most_recent(group_id))

    def downloaded(self, group_id: str, directory: DeploymentDirectory) -> Mapping[Path, str]:
        """The files that record the end of DownloadBundle."""
        self.instructions.mkdir(parents=True, exist_ok=True)
        return {self._most_recent(group_id): f"{directory.path}\n"}

    def record_downloaded(self, group_id: str, directory: DeploymentDirectory) -> None:
        """Record the end of DownloadBundle."""
        disk.replace_whole(self.downloaded(group_id, directory))

    def installed_revision(self, group_id: str) -> InstalledRevision | None:
        """The revision whose Install finished last in a group, None before the first."""
        content = _read(self._installed(group_id))
        if content is None:
            return None
        found: dict[str, str] = json.loads(content)
        return InstalledRevision(revision=found["revision"], deployment_id=found["deployment_id"])

    def installed(self, group_id: str, installed: InstalledRevision, *, cleanup: Iterable[str], steps: str) -> Mapping[Path, str]:
        """The files that record the end of Install: what is there now, and whose it is."""
        self.instructions.mkdir(parents=True, exist_ok=True)
        directory = self.deployment(group_id, installed.deployment_id)
        revision = json.dumps({"revision": installed.revision, "deployment_id": installed.deployment_id})
        return {
            self.cleanup_list(group_id): "".join(f"{path}\n" for path in cleanup),
            self.install_steps(group_id): steps,
            self._installed(group_id): revision,
            self._last_successful(group_id): f"{directory.path}\n",
        }

    def record_installed(self, group_id: str, installed: InstalledRevision, *, cleanup: Iterable[str], steps: str) -> None:
        """Record the end of Install."""
        disk.replace_whole(self.installed(group_id, installed, cleanup=cleanup, steps=steps))

    def cleanup(self, group_id: str) -> tuple[str, ...]:
        """What the group has installed, parents first; a last line without its end is dropped as torn."""
        return tuple(line for line in (_read(self.cleanup_list(group_id)) or "").split("\n")[:-1] if line)

    def group_ids(self) -> Sequence[str]:
        """The groups that have deployments on this host."""
        return [name for name in _directories(self.deployment_root) if name not in _OURS]

    def deployments(self, group_id: str) -> Sequence[DeploymentDirectory]:
        """The directories of a group's deployments, in no order."""
        group = self.deployment_root / _checked(group_id)
        return [DeploymentDirectory(path=group / name) for name in _directories(group)]

    def _installed(self, group_id: str) -> Path:
        return self.instructions / f"{_checked(group_id)}-installed.json"

    def _last_successful(self, group_id: str) -> Path:
        return self.instructions / f"{_checked(group_id)}_last_successful_install"

    def _most_recent(self, group_id: str) -> Path:
        return self.instructions / f"{_checked(group_id)}_most_recent_install"


def _pointed_to(pointer: Path) -> DeploymentDirectory | None:
    content = _read(pointer)
    return DeploymentDirectory(path=Path(content.rstrip("\n"))) if content else None


def _directories(path: Path) -> Sequence[str]:
    """The directories in one, by name; what has a name that no id has is not ours."""
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and _IDENTIFIER.fullmatch(entry.name)]
    except FileNotFoundError:
        return []


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")  # As bytes, so that no line end is translated.
    except FileNotFoundError:
        return None


def _checked(identifier: str) -> str:
    if _IDENTIFIER.fullmatch(identifier) is None:
        raise WorkspaceError(f"cannot name a directory after {identifier!r}: ids have up to 128 of A-Z a-z 0-9 . _ -")
    return identifier
