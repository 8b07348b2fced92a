"""What is to outlive a power cut is written whole, and the wait for it ends with everything there."""

import os
from pathlib import Path

import pytest

from agent.workspace import disk


def test_several_files_are_replaced_in_several_directories(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_text("old and longer")
    disk.replace_whole({tmp_path / "a": "new", tmp_path / "sub/b": "\udcff"})
    assert (tmp_path / "a").read_text() == "new"
    assert (tmp_path / "sub/b").read_bytes() == b"\xff"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "sub"]


def test_when_one_of_several_files_cannot_be_written_none_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        disk.replace_whole({tmp_path / "a": "new", tmp_path / "missing/b": "new"})
    assert (tmp_path / "a").read_text() == "old"
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_new_file_replaces_a_piece_of_one_and_follows_no_symlink(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a piece that is longer")
    disk.write_new(tmp_path / "a", "whole")
    assert (tmp_path / "a").read_text() == "whole"
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        disk.write_new(tmp_path / "link", "through it")


def test_files_directories_and_a_file_system_are_settled(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    descriptors = [os.open(path, os.O_RDONLY) for path in (tmp_path / "a", tmp_path)]
    disk.settle(descriptors)
    disk.settle_file_system(descriptors[1])
    for each in descriptors:
        os.close(each)
    with pytest.raises(OSError, match="Bad file descriptor"):
        disk.settle(descriptors)
