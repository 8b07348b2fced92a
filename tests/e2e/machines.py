"""A small Debian without Python: as a directory to change root into, and booted, with an init system of its own.

It is made once, by debootstrap, and kept in `.cache`. What a test changes in it is in memory and goes with the test.
"""

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.e2e.cluster import SOON, Cluster, until

ROOT = Path(__file__).parents[2]
SYSTEM = ROOT / ".cache" / "debian"
PACKAGES = ROOT / ".cache" / "packages"
BOOTS_WITHIN = 40.0


def needed(*programs: str) -> None:
    """Skip, and say so, where a program or root is missing."""
    missing = [program for program in programs if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} is missing: packages are tried out on a system that it makes or boots")
    if os.geteuid():
        pytest.skip("needs root: packages are tried out on a system that is mounted or booted")


def system() -> Path:
    """The Debian; made when it is not there. Skips where it cannot be, for want of a mirror."""
    needed("debootstrap")
    if not SYSTEM.exists():
        unfinished = SYSTEM.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.parent.mkdir(exist_ok=True)
        made = subprocess.run(
            ["debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus", _release(), str(unfinished)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            pytest.skip(f"debootstrap cannot make a system to try packages on: {made.stdout[-300:]}{made.stderr[-300:]}")
        shutil.rmtree(unfinished / "var" / "cache" / "apt" / "archives")
        unfinished.rename(SYSTEM)
    return SYSTEM


def _release() -> str:
    """This machine's own release: what was built here runs there."""
    about = platform.freedesktop_os_release()
    if about.get("ID") != "debian":
        pytest.skip(f"packages are tried out on a Debian as this machine's own, and this is {about.get('PRETTY_NAME', 'unknown')}")
    return about["VERSION_CODENAME"]


def built(product: str, version: str = "") -> Path:
    """A product of scripts/build-agent; made when the agent has changed."""
    options = ["--version", version] if version else []
    command = [str(ROOT / "scripts" / "build-agent"), "--directory", str(PACKAGES), *options, product]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.splitlines()[-1].split()[1])


def changed_root(cluster: Cluster, archive: Path) -> Path:
    """A program that runs the agent out of an archive where the Debian is everything, and the cluster's directory in its place."""
    inside, over = cluster.directory.parent / "root", cluster.directory.parent / "over"
    for directory in (inside, over):
        directory.mkdir()
    program = cluster.directory.parent / "hookline-agent"
    top = archive.name.partition("-linux-")[0]
    program.write_text(f"""#!/bin/sh
# The mounts go with the process.
[ -n "$ITS_OWN" ] || ITS_OWN=yes exec unshare --mount "$0" "$@"
set -e
mount -t tmpfs tmpfs {over}
mkdir {over}/upper {over}/work
mount -t overlay -o lowerdir={SYSTEM},upperdir={over}/upper,workdir={over}/work overlay {inside}
mount --rbind /dev {inside}/dev
mount -t proc proc {inside}/proc
mkdir -p {inside}{cluster.directory} {inside}/opt
mount --bind {cluster.directory} {inside}{cluster.directory}
tar -xzf {archive} -C {inside}/opt
exec env -u ITS_OWN PATH=/usr/sbin:/usr/bin:/sbin:/bin LD_LIBRARY_PATH=/opt/operator chroot {inside} /opt/{top}/hookline-agent "$@"
""")
    program.chmod(0o755)
    return program


class Machine:
    """The Debian booted by systemd-nspawn; to be used as a context. It shares the loopback network with the test."""

    def __init__(self, shared: Path, files: Mapping[str, str]) -> None:
        """`shared` is a directory that is there under its own name; `files` are there when it boots."""
        self._shared = shared
        self._files = files
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        """Boot it."""
        needed("systemd-nspawn", "nsenter")
        self._log = self._shared / "console.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *("systemd-nspawn", "--quiet", "--boot", "--directory", str(system()), "--volatile=overlay", "--console=pipe"),
                    *("--register=no", "--keep-unit", "--link-journal=no", f"--bind={self._shared}", f"--bind-ro={PACKAGES}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until(self._up, "the machine is up", BOOTS_WITHIN)
            for path, text in self._files.items():
                self.write(path, text)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Switch it off."""
        if kind is not None:
            print(self.said("journalctl", "--no-pager", "--lines=60")[1])  # noqa: T201
        self.stop()

    def stop(self) -> None:
        """Switch it off."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(SOON)
            self._process.kill()
            self._process.wait()
            self._process = None

    def run(self, *command: str) -> str:
        """What a command says in the machine; fails when the command does."""
        code, output = self.said(*command)
        assert code == 0, f"{' '.join(command)} ended with {code}: {output}"
        return output

    def said(self, *command: str) -> tuple[int, str]:
        """How a command ends in the machine, and what it says."""
        enter = ["nsenter", "--target", str(self._leader), "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root", "--wd=/"]
        clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            [*enter, *command],
            env=clean,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        (self._shared / "written").write_text(text)
        self.run("install", "-D", "-m", "644", str(self._shared / "written"), path)

    def install(self, package: Path) -> str:
        """Install a .deb or upgrade to it; the settings that are there stay."""
        return self.run("dpkg", "--force-confold", "--install", str(package))

    def has(self, path: str) -> bool:
        """Whether something is there."""
        return self.said("test", "-e", path)[0] == 0

    def shows(self, unit_property: str) -> str:
        """A property of the agent's unit."""
        return self.run("systemctl", "show", "--value", "--property", unit_property, "hookline-agent.service")

    def becomes(self, unit_property: str, accepts: Callable[[str], bool]) -> str:
        """A property of the agent's unit, as soon as it is as wanted."""
        return until(lambda: value if accepts(value := self.shows(unit_property)) else "", f"{unit_property} of the unit")

    def _up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.skip(f"systemd-nspawn cannot boot a system here: {self._log.read_text(errors='replace')[-500:]}")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children:
            return False
        self._leader = int(children[0])
        time.sleep(0.05)
        return self.said("systemctl", "is-system-running")[1] in {"running", "degraded"}
