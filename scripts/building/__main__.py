"""`scripts/build-agent`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.building import figures, inputs, products
from scripts.building.freeze import BuildError, environment, frozen, say
from scripts.building.inputs import Stamp
from scripts.building.tree import size, tree

MIB = 1024 * 1024


def make(names: Sequence[str], version: str, directory: Path) -> None:
    """Make the products that are not there already, and tell of them all."""
    directory.mkdir(parents=True, exist_ok=True)
    value = inputs.digest([*inputs.program(), *inputs.around(), *inputs.makers()], version, inputs.epoch())
    targets = {name: products.path(name, version, directory) for name in names}
    missing = {name: target for name, target in targets.items() if not Stamp(target, value).current}
    if missing:
        programs = environment()
        ready = tree(frozen(programs), version)
        for name, target in missing.items():
            products.MAKERS[name](ready, target, version, programs)
            Stamp(target, value).write()
        start, needs = figures.start_seconds(ready), figures.glibc(ready)
        say(f"{size(ready) / MIB:.0f} MiB installed; `hookline-agent --version` takes {start * 1000:.0f} ms; needs glibc {needs}")
    for target in targets.values():
        say(f"{target} ({target.stat().st_size / MIB:.1f} MiB)")


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when everything is there, 1 otherwise."""
    parser = argparse.ArgumentParser(
        prog="scripts/build-agent",
        description="Make the agent self-contained: a directory that needs no Python, as an archive and as packages.",
        epilog="It runs on systems of this processor whose C library is not older than this one's: build on the oldest that you have.",
    )
    parser.add_argument("products", nargs="*", metavar="PRODUCT", help=f"{', '.join(products.MAKERS)} (default: all)")
    parser.add_argument("--version", default=inputs.version(), help="another version than Hookline's, for a build between two releases")
    parser.add_argument("--directory", type=Path, default=inputs.ROOT / "dist", help="where they are put (default: dist)")
    settings = parser.parse_args(arguments)
    wanted = settings.products or list(products.MAKERS)
    if unknown := set(wanted) - set(products.MAKERS):
        parser.error(f"cannot make {', '.join(sorted(unknown))}: choose from {', '.join(products.MAKERS)}")
    try:
        make(wanted, settings.version, settings.directory.absolute())
    except BuildError as error:
        sys.stderr.write(f"build-agent: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
