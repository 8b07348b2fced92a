"""The files: found, read, and every declaration in them understood before anything is asked of the coordinator."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from coordinator.cli.declared.kinds import KINDS, Declared
from coordinator.cli.declared.messages import Wrong, fill
from coordinator.cli.refusals import USAGE
from coordinator.cli.wording.text import clean

if TYPE_CHECKING:
    from coordinator.cli.declared.reading import Node

MAX_BYTES: Final = 4 * 1024 * 1024
SUFFIXES: Final = (".yaml", ".yml", ".json")
STDIN: Final = "-"


class Refused(click.ClickException):
    """Files that cannot be applied as they are: nothing was asked of the coordinator. Ends the program with exit code 2."""

    exit_code = USAGE


@dataclass(frozen=True, slots=True)
class Found:
    """A declaration and where it stands."""

    declared: Declared
    where: str


def found_in(names: Iterable[str]) -> list[Found]:
    """What files declare, in their order, each once. Raises Refused."""
    found = dict[tuple[str, str], Found]()
    for name, content in _contents(names):
        for one in _declarations(name, content):
            key = (one.declared.kind, one.declared.name)
            if key in found:
                raise Refused(f"cannot read {one.where}: {' '.join(key)} is declared already, in {found[key].where}")
            found[key] = one
    if not found:
        raise Refused("cannot apply files that declare nothing: hookline export shows how a declaration is written")
    return list(found.values())


def _contents(names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        if name == STDIN:
            yield "stdin", sys.stdin.buffer.read(MAX_BYTES + 1)
            continue
        for path in _files(Path(name)):
            try:
                with path.open("rb") as file:
                    yield clean(str(path)), file.read(MAX_BYTES + 1)
            except OSError as error:
                raise Refused(f"cannot read {clean(str(path))}: {error.strerror}") from None


def _files(path: Path) -> list[Path]:
    """A file, or those of a directory."""
    if not path.is_dir():
        return [path]
    try:
        inside = sorted(one for one in path.iterdir() if one.suffix in SUFFIXES and one.is_file())
    except OSError as error:
        raise Refused(f"cannot read {clean(str(path))}: {error.strerror}") from None
    if not inside:
        raise Refused(f"cannot apply {clean(str(path))}: no file in it ends in {', '.join(SUFFIXES)} (directories below it are not read)")
    return inside


def _declarations(name: str, content: bytes) -> Iterator[Found]:
    from coordinator.cli.declared import reading  # with PyYAML, which no other command needs

    if len(content) > MAX_BYTES:
        raise Refused(f"cannot read {name}: it has more than {MAX_BYTES // 1024 // 1024} MiB")
    try:
        documents = reading.read(content.decode())
    except UnicodeDecodeError as error:
        raise Refused(f"cannot read {name}: it is not UTF-8 (byte {error.start})") from None
    except reading.Unreadable as error:
        raise Refused(f"cannot read {name}, document {error.document}, line {error.line}: {clean(str(error))}") from None
    for number, document in enumerate(documents, start=1):
        if document is None:
            continue
        for node in document.value if isinstance(document.value, list) else [document]:
            where = f"{name}, document {number}, line {node.line}"
            try:
                yield Found(declared(node), where)
            except Wrong as error:
                raise Refused(f"cannot read {name}, document {number}, line {error.line}: {error}") from None


def declared(node: "Node") -> Declared:
    """What a mapping declares, complete. Raises Wrong."""
    kinds = {kind.kind: kind for kind in KINDS}
    if not isinstance(node.value, dict):
        raise Wrong(node, "", "a declaration is a mapping of keys, of which the first is kind")
    named = node.value.get("kind")
    if named is None:
        raise Wrong(node, "kind", f"is missing; there are {', '.join(kinds)}")
    if not isinstance(named.value, str) or named.value not in kinds:
        raise Wrong(named, "kind", f"is none of {', '.join(kinds)}")
    kind = kinds[named.value]
    made = kind.empty()
    fill(made.message, node, never=kind.never, beside=("kind",))
    for key in kind.names:
        if key not in node.value or not getattr(made.message, key):
            raise Wrong(node, key, "is missing")
    said = [key for key in kind.either if key in node.value and node.value[key].value != []]
    if kind.either and len(said) != 1:
        raise Wrong(node, " and ".join(said), f"say one of {', '.join(kind.either)}, and no other")
    made.complete()
    return made
