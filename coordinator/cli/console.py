"""The operator's end: what was set on the command line, the way to the coordinator, and where answers go.

Answers go to stdout, as text or JSON; remarks about them (what to type next) to stderr, and only with text.
"""

import functools
import itertools
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from coordinator.cli.access import kept
from coordinator.cli.clock import Clock, SystemClock
from coordinator.cli.connection import UNIX, Connection, found_here
from coordinator.cli.wording.spelling import JsonValue, to_json
from coordinator.cli.wording.text import STATUS_STYLES, Columns, Row, aligned

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console as RichConsole

AMessage = TypeVar("AMessage", bound="Message")

DEFAULT_COORDINATOR = "127.0.0.1:8445"
DEFAULT_INSECURE = "127.0.0.1:8443"
DEFAULT_TIMEOUT = 30.0
TEXT, JSON = "text", "json"


class Console:
    """What a command gets."""

    def __init__(self, context: click.Context) -> None:
        settings = context.meta
        self.json = settings.get("hookline.output", TEXT) == JSON
        self.timeout = float(settings.get("hookline.timeout") or DEFAULT_TIMEOUT)
        self.insecure = bool(settings.get("hookline.insecure"))
        self.ca = str(settings.get("hookline.ca") or "")
        self._named = str(settings.get("hookline.coordinator") or "")
        self._cut = ""
        self.quiet = False
        """Nobody reads what is said beside the answer."""
        self.clock: Clock = settings.get("hookline.clock") or SystemClock()

    @functools.cached_property
    def coordinator(self) -> str:
        """Where it is: as named, as logged in, or on this machine."""
        if self.insecure or self._named:
            return self._named or DEFAULT_INSECURE
        login = kept.read()
        return login.coordinator if login else found_here() or DEFAULT_COORDINATOR

    @functools.cached_property
    def trust(self) -> str:
        """The root certificate below which it has to stand, PEM; empty when nobody has said."""
        if self.ca:
            return kept.read_trust(self.ca)
        login = self._login
        return login.trust if login else ""

    @functools.cached_property
    def connection(self) -> Connection:
        """The way to the coordinator."""
        if self.insecure or self.coordinator.startswith(UNIX):
            return Connection(self.coordinator, insecure=self.insecure, timeout=self.timeout, clock=self.clock)
        login, pair = self._login, b""
        token = os.environ.get("HOOKLINE_TOKEN", "") or (login.token if login else "")
        if login and login.certificate:
            from coordinator.cli.access import own

            pair, token = own.current(login, login.certificate, self.clock, None if self.quiet else self.remark), ""
        return Connection(
            self.coordinator, insecure=False, timeout=self.timeout, clock=self.clock, trust=self.trust, token=token, pair=pair
        )

    @property
    def certificate(self) -> kept.Certificate | None:
        """This operator's own; None for whoever calls with something else."""
        login = None if self.insecure else self._login
        return login.certificate if login else None

    @property
    def _login(self) -> kept.Login | None:
        """What is kept for this coordinator: a token is never sent to another, nor a certificate shown."""
        login = kept.read()
        return login if login and login.coordinator == self.coordinator else None

    def close(self) -> None:
        """Close the way to the coordinator if it was opened."""
        if "connection" in self.__dict__:
            self.connection.close()

    def line(self, text: str = "") -> None:
        """A line of the answer."""
        click.echo(text)

    def remark(self, text: str) -> None:
        """A line beside the answer: nothing for scripts."""
        if not self.json:
            click.echo(text, err=True)

    def json_value(self, value: JsonValue) -> None:
        """The whole answer as JSON: indented for a terminal, on one line otherwise. Nothing in it can move a terminal."""
        click.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None))

    def rows(self, messages: Iterable[Row], columns: Columns[Row], empty: str, title: str = "") -> None:
        """A list: a table for people, or `empty` as a remark when there is nothing."""
        rows = [[column.cell(message) for column in columns] for message in messages]
        if not rows:
            self.remark(empty)
        elif sys.stdout.isatty():
            self._table(columns, rows, title)
        else:
            if title:
                self.line(title)
            for text in aligned([column.title for column in columns], rows):
                self.line(text)

    def listing(self, messages: Sequence[AMessage], columns: Columns[AMessage], empty: str) -> None:
        """A list in the form that was asked for: an array of the messages, or a table."""
        if self.json:
            self.json_value([to_json(message) for message in messages])
        else:
            self.rows(messages, columns, empty)
        if self._cut:
            self.remark(self._cut)

    def limited(self, messages: Iterable[AMessage], limit: int) -> "list[AMessage]":
        """The first `limit` messages (0: all); when there are more, the listing ends with a remark."""
        found = list(itertools.islice(messages, limit + 1 if limit else None))
        if limit and len(found) > limit:
            self._cut = f"Only the newest {limit} are shown; for all of them say --limit 0."
            return found[:limit]
        return found

    def details(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Names and values, one a line; those without a value are left out."""
        shown = [(name, value) for name, value in pairs if value]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            first, *rest = value.split("\n")
            self.line(f"{name.ljust(width)}  {click.style(first, fg=_colour(first)) if first in STATUS_STYLES else first}")
            for text in rest:
                self.line(f"{'':{width}}  {text}")

    def _table(self, columns: Columns[Row], rows: Sequence[Sequence[str]], title: str) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(
            box=None,
            pad_edge=False,
            padding=(0, 2, 0, 0),
            header_style="bold",
            title=title or None,
            title_justify="left",
            title_style="bold",
        )
        for index, column in enumerate(columns):
            width = max(len(column.title), *(len(row[index]) for row in rows))
            table.add_column(column.title, no_wrap=column.whole, min_width=width if column.whole else None, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell or "-", style=STATUS_STYLES.get(cell, "") if cell else "dim") for cell in row))
        rich_console().print(table)


def rich_console(*, stderr: bool = False) -> "RichConsole":
    """A console of rich that takes every text as it is."""
    from rich.console import Console as RichConsole

    return RichConsole(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)


def _colour(status: str) -> str | None:
    style = STATUS_STYLES.get(status, "").removeprefix("bold ")
    return style if style != "dim" else None
