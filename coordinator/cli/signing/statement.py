"""The statement about a bundle that is signed: what is in it, and the one way to write it."""

import datetime
import hashlib
import io
import os
import re
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO

import click

from coordinator.cli.pack import APPSPEC_NAMES

_NAME = re.compile(r"[A-Za-z0-9._+=,@-]{1,100}")
_MOST_COUNTER = 10**18 - 1
_MOST_APPSPEC = 64 * 1024
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the signer says beyond the bundle itself. No groups: any of the application; not_after None: for ever."""

    application: str
    counter: int
    groups: Sequence[str]
    not_after: datetime.datetime | None

    def of(self, *, sha256: bytes, size: int, appspec: bytes) -> str:
        """The statement about a bundle with this AppSpec file."""
        return (
            "hookline-statement: 1\n"
            f"application: {self.application}\n"
            f"counter: {self.counter}\n"
            f"bundle-sha256: {sha256.hex()}\n"
            f"bundle-size: {size}\n"
            f"appspec-sha256: {hashlib.sha256(appspec).hexdigest()}\n"
            f"groups: {' '.join(sorted(set(self.groups))) or '*'}\n"
            f"not-after: {'never' if self.not_after is None else self.not_after.strftime('%Y-%m-%dT%H:%M:%SZ')}\n"
        )


def terms(application: str, counter: int, groups: Iterable[str], expires: str, now: datetime.datetime) -> Terms:
    """Terms as they are typed."""
    if not _NAME.fullmatch(application):
        raise click.UsageError(f"cannot sign for application {application!r}: that is no name of an application")
    if not 1 <= counter <= _MOST_COUNTER:
        raise click.UsageError(f"cannot use {counter} as the counter: it has to be 1 to {_MOST_COUNTER}")
    for group in groups:
        of, slash, name = group.partition("/")
        if not slash or of != application or not _NAME.fullmatch(name):
            raise click.UsageError(f"cannot sign for group {group!r}: write {application}/GROUP")
    return Terms(application=application, counter=counter, groups=tuple(groups), not_after=_time(expires, now) if expires else None)


def _time(typed: str, now: datetime.datetime) -> datetime.datetime:
    """The end of a statement: 90d, or a date, or a time in UTC."""
    span = re.fullmatch(r"(\d{1,5})([mhdw])", typed)
    if span is not None:
        return now.astimezone(datetime.UTC) + datetime.timedelta(**{_UNITS[span[2]]: int(span[1])})
    try:
        end = datetime.datetime.fromisoformat(typed)
    except ValueError:
        raise click.UsageError(f"cannot read --expires {typed}: write 90d, 2027-01-31 or 2027-01-31T12:00:00Z") from None
    end = end.replace(tzinfo=end.tzinfo or datetime.UTC).astimezone(datetime.UTC)
    if end <= now:
        raise click.UsageError(f"cannot sign until {typed}: that is past")
    return end


def appspec_of(bundle: IO[bytes], name: str) -> bytes:
    """The AppSpec file that agents will find in a bundle: appspec.yml, else appspec.yaml, where one top directory does not count."""
    bundle.seek(0)
    try:
        if zipfile.is_zipfile(bundle):
            with zipfile.ZipFile(bundle) as packed:
                found = _chosen(packed.namelist())
                content = None if found is None else packed.open(found)
                return _bounded(content, name)
        bundle.seek(0)
        with tarfile.open(fileobj=bundle, mode="r:*") as archive:
            found = _chosen(archive.getnames())
            return _bounded(None if found is None else archive.extractfile(found), name)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, KeyError, OSError) as error:
        raise click.ClickException(f"cannot sign {name}: it is no tar, tgz or zip archive that can be read ({error})") from None
    finally:
        bundle.seek(0)


def _chosen(names: Iterable[str]) -> str | None:
    by_path = {os.path.normpath(name): name for name in names}
    tops = {path.split("/")[0] for path in by_path} - {"."}
    roots = ["", f"{next(iter(tops))}/"] if len(tops) == 1 else [""]
    return next((by_path[root + each] for root in roots for each in APPSPEC_NAMES if root + each in by_path), None)


def _bounded(content: IO[bytes] | None, name: str) -> bytes:
    found = b"" if content is None else io.BytesIO(content.read(_MOST_APPSPEC + 1)).getvalue()
    if content is None:
        raise click.ClickException(f"cannot sign {name}: there is no appspec.yml (or appspec.yaml) in it")
    if len(found) > _MOST_APPSPEC:
        raise click.ClickException(f"cannot sign {name}: its AppSpec file has more than {_MOST_APPSPEC} bytes, which no agent reads")
    return found
