"""A bundle, its statement and the signature of it: made, written beside each other, and read again."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coordinator.cli import protos
from coordinator.cli.pack import Bundle, pack
from coordinator.cli.signing.minisign import read_secret
from coordinator.cli.signing.statement import Terms, appspec_of

if TYPE_CHECKING:
    from hookline.v1.resources_pb2 import Signature

SUFFIX = ".minisig"
PASSWORD = "HOOKLINE_SIGNING_PASSWORD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A statement and its signature, each as the content of a file."""

    statement: str
    signature: str

    def write(self, path: Path) -> Path:
        """Write the statement to this file and the signature beside it; the latter's path."""
        beside = path.with_name(path.name + SUFFIX)
        try:
            path.write_text(self.statement, newline="")
            beside.write_text(self.signature, newline="")
        except OSError as error:
            raise click.ClickException(f"cannot write {error.filename}: {(error.strerror or str(error)).lower()}") from None
        return beside

    @property
    def message(self) -> "Signature":
        """As the coordinator takes it."""
        return protos.resources.Signature(statement=self.statement.encode(), signature=self.signature.encode())


def sign(bundle: Bundle, terms: Terms, key: str, name: str) -> Signed:
    """Sign a bundle with the key of a file; `name` is what messages call the bundle."""
    statement = terms.of(sha256=bundle.sha256, size=bundle.size, appspec=appspec_of(bundle.file, name))
    secret = read_secret(key, lambda: _password(key))
    return Signed(statement=statement, signature=secret.sign(statement.encode(), f"hookline {terms.application} {terms.counter}"))


def open_bundle(path: str) -> Bundle:
    """A directory, packed as `push` packs it, or the bundle that a file is."""
    if os.path.isdir(path):
        return pack(path)
    try:
        file = open(path, "rb")
        return Bundle(file=file, size=os.fstat(file.fileno()).st_size, sha256=hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None


def read(path: str) -> Signed:
    """A signature and the statement beside it, which has the same name without the suffix."""
    if not path.endswith(SUFFIX):
        raise click.UsageError(f"cannot use {path}: name the signature, whose name ends with {SUFFIX}; its statement lies beside it")
    try:
        statement, signature = Path(path.removesuffix(SUFFIX)).read_bytes(), Path(path).read_bytes()
        return Signed(statement=statement.decode(), signature=signature.decode())
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"cannot read {getattr(error, 'filename', None) or path}: {error}") from None


def _password(key: str) -> str:
    said = os.environ.get(PASSWORD)
    return click.prompt(f"Password of {key}", hide_input=True, err=True, type=str) if said is None else said
