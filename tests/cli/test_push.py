"""Packing a directory and pushing it."""

import hashlib
import io
import os
import socket
import tarfile
from pathlib import Path

import click
import grpc
import pytest

from coordinator.cli.pack import pack
from tests.cli.conftest import Operator
from tests.cli.coordinator import FakeCoordinator, Refused


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A small application."""
    root = tmp_path / "app"
    (root / "scripts").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / ".hidden").write_text("kept")
    (root / "appspec.yml").write_text("version: 0.0\nos: linux\n")
    (root / "scripts" / "start.sh").write_text("#!/bin/sh\n")
    (root / "scripts" / "start.sh").chmod(0o755)
    (root / "current").symlink_to("scripts/start.sh")
    (root / "dangling").symlink_to("/nowhere")
    return root


def packed(directory: Path) -> bytes:
    """The bytes of a packed directory."""
    bundle = pack(str(directory))
    with bundle.file:
        content = b"".join(bundle.chunks(1000, lambda _read: None))
    assert len(content) == bundle.size
    assert hashlib.sha256(content).digest() == bundle.sha256
    return content


def test_everything_in_the_directory_is_packed_as_it_is(directory: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(directory))) as archive:
        entries = {entry.name: entry for entry in archive}
    assert list(entries) == [".hidden", "appspec.yml", "current", "dangling", "empty", "scripts", "scripts/start.sh"]
    assert entries["scripts/start.sh"].mode == 0o755
    assert (entries["current"].issym(), entries["current"].linkname) == (True, "scripts/start.sh")
    assert entries["dangling"].linkname == "/nowhere"
    assert entries["empty"].isdir()
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in entries.values()} == {(0, 0, 0, "")}


def test_the_same_directory_is_always_the_same_bundle(directory: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "scripts").mkdir(parents=True)
    (other / "scripts" / "start.sh").write_text("#!/bin/sh\n")
    (other / "scripts" / "start.sh").chmod(0o755)
    (other / "dangling").symlink_to("/nowhere")
    (other / "current").symlink_to("scripts/start.sh")
    (other / "appspec.yml").write_text("version: 0.0\nos: linux\n")
    (other / ".hidden").write_text("kept")
    (other / "empty").mkdir()
    os.utime(other / "appspec.yml", (1, 1))
    assert packed(directory) == packed(other)
    (other / "scripts" / "start.sh").chmod(0o644)
    assert packed(directory) != packed(other)


def test_what_is_neither_file_nor_directory_nor_link_is_refused(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(directory / "control"))
        with pytest.raises(click.ClickException, match="control: it is neither a file"):
            pack(str(directory))


def test_push_prints_the_revision_alone(operator: Operator, coordinator: FakeCoordinator, directory: Path) -> None:
    first = operator.types("push", "shop", str(directory), "--description", "one")
    assert first.exit_code == 0
    assert first.stdout == f"r-{hashlib.sha256(packed(directory)).hexdigest()[:16]}\n"
    assert first.stderr.startswith("Next: hookline deploy shop GROUP --revision r-")
    assert operator.types("push", "shop", str(directory)).stdout == first.stdout
    assert "coordinator, " in operator.types("revisions", "shop").stdout


def test_a_large_bundle_goes_up_in_pieces_and_again_after_a_disconnect(
    operator: Operator, coordinator: FakeCoordinator, directory: Path
) -> None:
    (directory / "big").write_bytes(os.urandom(3_500_000))
    coordinator.faults = [Refused(grpc.StatusCode.UNAVAILABLE, "restarting")]
    assert operator.types("push", "shop", str(directory)).exit_code == 0
    assert coordinator.bundles == [packed(directory)]


@pytest.mark.parametrize("name", ["appspec.yml", "appspec.yaml"])
def test_both_names_of_an_appspec_will_do(operator: Operator, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("version: 0.0\n")
    assert operator.types("push", "shop", str(tmp_path)).exit_code == 0


def test_a_directory_without_an_appspec_is_refused_before_anything_is_sent(
    operator: Operator, coordinator: FakeCoordinator, tmp_path: Path
) -> None:
    (tmp_path / "appspec.yml").mkdir()
    for place, why in ((tmp_path, "there is no appspec.yml"), (tmp_path / "missing", "it is not there")):
        shown = operator.types("push", "shop", str(place))
        assert shown.exit_code == 2
        assert why in shown.stderr
    assert coordinator.calls == []
