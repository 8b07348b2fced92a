"""What a listener shows: gRPC is told what has changed and nothing else, for it dies of being told the same at many handshakes at once."""

import datetime
import os
from pathlib import Path

import grpc
import pytest

from coordinator.adapters.authority import Authority, Lifetimes
from coordinator.adapters.clock import SystemClock
from coordinator.gateway.listeners.tls import PairFile, Shown


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    Authority.open(tmp_path / "pki", SystemClock(), names=("localhost",)).renew()
    return tmp_path / "pki"


def renew(pki: Path) -> None:
    """Replace what the server shows, and make sure that the file's time tells."""
    short = Lifetimes(server=datetime.timedelta(days=7))
    before = (pki / "server.pem").stat().st_mtime_ns
    Authority.open(pki, SystemClock(), names=("localhost", "127.0.0.1"), lifetimes=short).renew()
    os.utime(pki / "server.pem", ns=(before + 1, before + 1))


def test_a_listener_is_told_nothing_while_nothing_has_changed(pki: Path) -> None:
    shown = Shown(PairFile(pki))
    assert isinstance(shown.first, grpc.ServerCertificateConfiguration)
    assert [shown.changed() for _ in range(3)] == [None, None, None]


def test_every_listener_is_told_once_of_a_new_certificate(pki: Path) -> None:
    pairs = PairFile(pki)
    agents, operators = Shown(pairs), Shown(pairs)
    renew(pki)
    new = agents.changed()
    assert new is not None
    assert new is not agents.first
    assert (agents.changed(), operators.changed(), operators.changed()) == (None, new, None)


def test_what_is_new_is_given_only_after_those_who_were_answered_before_have_taken_what_they_need(pki: Path) -> None:
    waits = 0

    def settle() -> None:
        nonlocal waits
        waits += 1

    shown = Shown(PairFile(pki), settle)
    assert (shown.changed(), waits) == (None, 0)
    renew(pki)
    assert shown.changed() is not None
    assert waits == 1
    assert (shown.changed(), waits) == (None, 1)
