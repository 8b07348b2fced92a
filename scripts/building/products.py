"""What is given away: an archive for any Linux, a package for Debian's kin and one for Red Hat's. The same inputs give the same bytes."""

import gzip
import platform
import tarfile
from collections.abc import Callable
from pathlib import Path

from scripts.building import figures, inputs
from scripts.building.freeze import carry_out
from scripts.building.tree import build

_ARCHITECTURES = {"x86_64": ("amd64", "x86_64"), "aarch64": ("arm64", "aarch64")}
"""What the kernel, Debian and Red Hat call a processor."""


def path(product: str, version: str, directory: Path) -> Path:
    """Where a product lies."""
    machine = platform.machine()
    debian, red_hat = _ARCHITECTURES.get(machine, (machine, machine))
    names = {
        "tar": f"hookline-agent-{version}-linux-{machine}.tar.gz",
        "deb": f"hookline-agent_{version}_{debian}.deb",
        "rpm": f"hookline-agent-{version}-1.{red_hat}.rpm",
    }
    return directory / names[product]


def archive(tree: Path, target: Path, version: str, _programs: Path) -> None:
    """The tree in one directory that names the version, with the unit and the examples of settings."""

    date = int(inputs.epoch())

    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = date
        return member

    top = f"hookline-agent-{version}"
    with (
        target.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for source, name in [(tree, top), *((extra, f"{top}/{extra.name}") for extra in inputs.extras())]:
            tar.add(source, name, filter=anonymous)


def package(tree: Path, target: Path, version: str, programs: Path) -> None:
    """A .deb or .rpm."""
    carry_out(
        *(str(programs / "nfpm"), "package", "--config", str(inputs.PACKAGING / "nfpm.yaml")),
        *("--packager", target.suffix.removeprefix("."), "--target", str(target)),
        more={
            "VERSION": version,
            "BUILD": build(tree),
            "STAGE": str(tree),
            "ARCH": _ARCHITECTURES.get(platform.machine(), ("all", ""))[0],
            "GLIBC": figures.glibc(tree),
            "SOURCE_DATE_EPOCH": inputs.epoch(),
        },
    )


MAKERS: dict[str, Callable[[Path, Path, str, Path], None]] = {"tar": archive, "deb": package, "rpm": package}
"""How each product is made from a tree."""
