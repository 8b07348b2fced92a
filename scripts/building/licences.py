"""The licences of everything that a frozen agent has inside: of Python, of its packages, and of this system's libraries."""

import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

_LICENCE = re.compile(r"(licen[cs]e|copying|notice|authors)[^/]*$", re.IGNORECASE)


def collect(work: Path, environment: Path, into: Path) -> None:
    """Lay them into a directory; `work` is where PyInstaller has written down what it took, and from where."""
    taken = "".join((work / name).read_text() for name in ("PYZ-00.toc", "COLLECT-00.toc"))
    (site,) = environment.glob("lib/python3*/site-packages")
    found = [("python", Path(sysconfig.get_path("stdlib")) / "LICENSE.txt"), *_packages(taken, site), *_libraries(taken)]
    for name, file in found:
        if file.is_file():
            (into / name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, into / name / file.name)


def _packages(taken: str, site: Path) -> Iterator[tuple[str, Path]]:
    for about in site.glob("*.dist-info"):
        files = [line.partition(",")[0] for line in (about / "RECORD").read_text().splitlines()]
        if any(f"'{site / file}'" in taken for file in files):
            yield from ((about.stem, site / file) for file in files if file.startswith(about.name) and _LICENCE.search(file))


def _libraries(taken: str) -> Iterator[tuple[str, Path]]:
    if shutil.which("dpkg-query") is None:
        return
    for path in sorted(set(re.findall(r"'(/(?:usr/)?lib/[^']+)'", taken))):
        real = Path(path).resolve()  # dpkg may know it in /lib or in /usr/lib
        asked = subprocess.run(["dpkg-query", "--search", f"*/{real.parent.name}/{real.name}"], capture_output=True, text=True, check=False)
        package = asked.stdout.partition(":")[0]
        if package:
            yield package, Path("/usr/share/doc") / package / "copyright"
