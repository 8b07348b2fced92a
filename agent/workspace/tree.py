"""A directory tree in which no step ever follows a symlink: every path is opened part by part below a directory descriptor.

Paths are relative to the root and separated by slashes; the empty path is the root. Errors name the full path.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.payload import PayloadError, PayloadErrorCode
from agent.workspace import disk

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIRECTORIES = 48  # Kept open at a time; trees are walked in order, so few are ever opened twice.
_ONE_BY_ONE = 32  # Up to so many files are flushed singly; more at once by flushing the whole file system.
_SYMLINKS = 40  # As many as the kernel follows.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def split(path: str) -> tuple[str, str]:
    """The parent and the name of a path."""
    parent, _, name = path.rpartition("/")
    return parent, name


def ancestors(path: str) -> Iterator[str]:
    """Every directory above a path, the nearest first, without the root."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


class Tree:
    """Reads and changes what lies below one directory; use as a context manager, which closes its descriptors."""

    def __init__(self, root: Path) -> None:
        self.root = os.path.realpath(root)  # The root itself may be reached through symlinks; nothing below it may.
        self._root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._forget()
        os.close(self._root)

    def full(self, path: str) -> str:
        """The absolute form of a path, for messages and lists."""
        return os.path.join(self.root, path) if path else self.root

    def inside(self, absolute: str) -> str | None:
        """The relative form of an absolute path, None when it lies elsewhere."""
        if absolute == self.root:
            return ""
        root = self.root.rstrip("/") + "/"
        return absolute[len(root) :] if absolute.startswith(root) else None

    def stat(self, path: str) -> os.stat_result | None:
        """What is at a path, a symlink itself and not its target; None when nothing is, or when a parent is no directory."""
        try:
            if path == "":
                return os.fstat(self._root)
            parent, name = split(path)
            return os.stat(name, dir_fd=self._directory(parent), follow_symlinks=False)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise _named(error, self.full(path)) from error

    def is_directory(self, path: str) -> bool:
        """Whether a directory is at a path; a symlink to one is none."""
        found = self.stat(path)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def names(self, path: str) -> list[str]:
        """The names in a directory, sorted."""
        with self._naming(path):
            again = os.open(".", _DIRECTORY, dir_fd=self._directory(path))
            try:
                return sorted(os.listdir(again))
            finally:
                os.close(again)

    def target(self, path: str) -> str:
        """What a symlink points to."""
        with self._naming(path):
            parent, name = split(path)
            return os.readlink(name, dir_fd=self._directory(parent))

    def make_directory(self, path: str) -> None:
        """Create a directory of mode 0755 whose parent exists."""
        with self._naming(path):
            parent, name = split(path)
            os.mkdir(name, 0o755, dir_fd=self._directory(parent))

    def make_directories(self, path: str) -> None:
        """Create a directory and what is missing above it."""
        for each in [*reversed(list(ancestors(path))), path]:
            if each and self.stat(each) is None:
                self.make_directory(each)

    def make_symlink(self, path: str, target: str) -> None:
        """Create a symlink."""
        with self._naming(path):
            parent, name = split(path)
            os.symlink(target, name, dir_fd=self._directory(parent))

    def make_link(self, path: str, existing: str) -> None:
        """Create a second name of a file."""
        with self._naming(path):
            (from_parent, from_name), (parent, name) = split(existing), split(path)
            source = os.dup(self._directory(from_parent))  # The second look-up may close the first descriptor.
            try:
                os.link(from_name, name, src_dir_fd=source, dst_dir_fd=self._directory(parent), follow_symlinks=False)
            finally:
                os.close(source)

    def create(self, path: str) -> int:
        """Create a file that nobody else can read yet, and open it for writing; the caller closes it."""
        with self._naming(path):
            parent, name = split(path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(name, flags, 0o600, dir_fd=self._directory(parent))

    def open(self, path: str) -> int:
        """Open a file, never a symlink, for reading; the caller closes it."""
        with self._naming(path):
            parent, name = split(path)
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._directory(parent))

    def rename(self, path: str, name: str) -> None:
        """Give a file or directory another name in its directory, replacing what has it."""
        with self._naming(path):
            parent, old = split(path)
            directory = self._directory(parent)
            os.rename(old, name, src_dir_fd=directory, dst_dir_fd=directory)
            self._forget_below(path)

    def remove(self, path: str) -> None:
        """Remove a file, a symlink or an empty directory; a directory that is not empty stays, what is absent is fine."""
        found = self.stat(path)
        if found is None or path == "":
            return
        with self._naming(path):
            parent, name = split(path)
            if not stat.S_ISDIR(found.st_mode):
                os.unlink(name, dir_fd=self._directory(parent))
                return
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=self._directory(parent))
            self._forget_below(path)

    def remove_all(self, path: str) -> None:
        """Remove whatever is at a path, with everything below it."""
        found = self.stat(path)
        if found is None:
            return
        if not stat.S_ISDIR(found.st_mode):
            self.remove(path)
            return
        with self._naming(path):
            parent, name = split(path)
            shutil.rmtree(name, dir_fd=self._directory(parent))
            self._forget_below(path)

    def set_owner_of_symlink(self, path: str, *, uid: int, gid: int) -> None:
        """Change the owner of a symlink itself; -1 leaves one as it is."""
        with self._naming(path):
            parent, name = split(path)
            os.chown(name, uid, gid, dir_fd=self._directory(parent), follow_symlinks=False)

    def reach(self, path: str) -> int:
        """Open a file or directory, never a symlink, to change its attributes or to flush it; the caller closes it."""
        try:
            return self.open(path)
        except PermissionError:  # A file that its owner may not read can still be reached for writing.
            with self._naming(path):
                parent, name = split(path)
                return os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._directory(parent))

    def free_bytes(self, path: str) -> int:
        """Bytes that this user may still write to the file system of a directory."""
        with self._naming(path):
            found = os.fstatvfs(self._directory(path))
            return found.f_bavail * found.f_frsize

    def settle(self, paths: Iterable[str], also: Sequence[int] = ()) -> None:
        """Return when files and directories are on the disk, and what is open elsewhere; symlinks come with their directory."""
        wanted = list(paths)
        whole: dict[int, str] = {}
        if len(wanted) > _ONE_BY_ONE:
            for path in {split(each)[0] for each in wanted}:
                found = self.stat(path)
                if found is not None:
                    whole.setdefault(found.st_dev, path)
        opened: list[int] = []
        try:
            for path in whole.values() if whole else wanted:
                with self._naming(path):
                    opened.append(os.dup(self._directory(path)) if whole or path == "" else self.reach(path))
            if not whole:
                disk.settle([*opened, *also])
                return
            for fd in {os.fstat(fd).st_dev: fd for fd in (*also, *opened)}.values():
                disk.settle_file_system(fd)
        finally:
            for fd in opened:
                os.close(fd)

    def resolve(self, path: str) -> str:
        """The path with the symlinks among its existing parts resolved; refused when somebody else than root or we made one.

        What an administrator has linked (/lib to /usr/lib) is meant; a link that the application's user has planted is a trap.
        """
        done: list[str] = []
        todo = path.split("/")[::-1]
        followed = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del done[-1:]
                continue
            found = self.stat("/".join([*done, part]))
            if found is None or not stat.S_ISLNK(found.st_mode):
                done.append(part)
                continue
            followed += 1
            target = self._trusted_target("/".join([*done, part]), found.st_uid, followed)
            if target.startswith("/"):
                done.clear()
                target = self._below(target)
            todo.extend(target.split("/")[::-1])
        return "/".join(done)

    def _trusted_target(self, path: str, uid: int, followed: int) -> str:
        if uid not in (0, os.geteuid()):
            why = f"it is a symlink that belongs to uid {uid}, neither to root nor to the agent"
            raise PayloadError(PayloadErrorCode.NOT_PERMITTED, f"cannot write through {self.full(path)}: {why}")
        if followed > _SYMLINKS:
            raise PayloadError(PayloadErrorCode.BAD_FILES, f"cannot write to {self.full(path)}: too many symlinks")
        return self.target(path)

    def _below(self, target: str) -> str:
        relative = self.inside(os.path.normpath(target))
        if relative is None:
            raise PayloadError(PayloadErrorCode.NOT_PERMITTED, f"cannot write to {target}: a symlink leads out of {self.root}")
        return relative

    def _directory(self, path: str) -> int:
        """A descriptor that the tree owns; good until the next call."""
        if path == "":
            return self._root
        fd = self._open.get(path)
        if fd is None:
            parent, name = split(path)
            fd = os.open(name, _DIRECTORY, dir_fd=self._directory(parent))
            if len(self._open) >= _OPEN_DIRECTORIES:
                os.close(self._open.pop(next(iter(self._open))))
            self._open[path] = fd
        return fd

    def _forget_below(self, path: str) -> None:
        """Close what is kept open at and below a path that is no more."""
        for each in [each for each in self._open if each == path or each.startswith(f"{path}/")]:
            os.close(self._open.pop(each))

    def _forget(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    @contextlib.contextmanager
    def _naming(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _named(error, self.full(path)) from error


def write_all(fd: int, content: bytes) -> None:
    """Write every byte."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def _named(error: OSError, path: str) -> OSError:
    if isinstance(error.filename, str) and error.filename.startswith("/"):
        return error
    return OSError(error.errno, error.strerror, path)
