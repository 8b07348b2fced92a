"""Whom a machine trusts that trusts nobody yet: who stands below the root with the right fingerprint, under the right name."""

import asyncio
import datetime
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509

from agent.errors import AgentError
from agent.identity.handshake import Unreachable, root_of, why_not
from coordinator.adapters.authority import certificates

BEGAN = datetime.datetime.now(datetime.UTC)  # OpenSSL verifies by the machine's own clock
DAY = datetime.timedelta(days=1)
Signer = tuple[certificates.Key, x509.Certificate]


def authority() -> tuple[Signer, Signer]:
    """A root, and what issues below it."""
    root_key, key = certificates.new_key(), certificates.new_key()
    root = certificates.root(root_key, "test", BEGAN, 10 * DAY)
    return (root_key, root), (key, certificates.issuing(certificates.issuing_request(key, "test"), (root_key, root), BEGAN, 10 * DAY))


def shown(issuing: Signer, *above: x509.Certificate, name: str = "127.0.0.1", begins: datetime.datetime = BEGAN) -> bytes:
    """What a server has in its file: its key, its certificate, and what it shows above that."""
    key = certificates.new_key()
    made = certificates.leaf(key.public_key(), issuing, uri="spiffe://test/coordinator/test", names=[name], begins=begins, lifetime=DAY)
    return certificates.key_to_pem(key) + certificates.to_pem(made, *above)


@asynccontextmanager
async def served(directory: Path, pem: bytes, *, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> AsyncIterator[str]:
    """A server that shakes hands and says one byte."""
    file = directory / "server.pem"
    file.write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.maximum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with suppress(OSError), connection, context.wrap_socket(connection, server_side=True) as speaking:
                        speaking.send(b"x")
                        speaking.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    await asyncio.to_thread(thread.join, 10)  # the client's end is closed by the loop


async def test_the_root_with_the_fingerprint_is_trusted_when_the_server_stands_below_it(tmp_path: Path) -> None:
    root, issuing = authority()
    async with served(tmp_path, shown(issuing, issuing[1], root[1])) as address:
        spelt = certificates.fingerprint(root[1]).upper()
        colons = ":".join(spelt[at : at + 2] for at in range(0, 64, 2))
        assert await root_of(address, colons) == certificates.to_pem(root[1])


async def test_another_root_is_not_trusted_and_both_fingerprints_are_told(tmp_path: Path) -> None:
    (root, issuing), (other, _) = authority(), authority()
    async with served(tmp_path, shown(issuing, issuing[1], root[1])) as address:
        with pytest.raises(AgentError) as refused:
            await root_of(address, certificates.fingerprint(other[1]))
    assert certificates.fingerprint(root[1]) in str(refused.value)
    assert "Nothing was sent" in str(refused.value)


async def test_whoever_shows_a_root_that_is_not_above_him_is_not_trusted(tmp_path: Path) -> None:
    (root, _), (_, strangers) = authority(), authority()
    async with served(tmp_path, shown(strangers, strangers[1], root[1])) as address:
        with pytest.raises(AgentError, match="its certificate is not good here"):
            await root_of(address, certificates.fingerprint(root[1]))


async def test_what_is_not_a_root_is_not_trusted_as_one(tmp_path: Path) -> None:
    root, issuing = authority()
    async with served(tmp_path, shown(issuing, issuing[1], root[1])) as address:
        with pytest.raises(AgentError, match="its certificate is not good here"):
            await root_of(address, certificates.fingerprint(issuing[1]))


@pytest.mark.parametrize(
    "name,begins,why",
    [
        ("10.0.0.1", BEGAN, "ip address mismatch"),
        ("127.0.0.1", BEGAN - 3 * DAY, "is this host's clock right"),
        ("127.0.0.1", BEGAN + DAY, "is this host's clock right"),
    ],
)
async def test_a_server_with_another_name_or_at_another_time_is_not_trusted(
    tmp_path: Path, name: str, begins: datetime.datetime, why: str
) -> None:
    root, issuing = authority()
    async with served(tmp_path, shown(issuing, issuing[1], root[1], name=name, begins=begins)) as address:
        with pytest.raises(AgentError, match=why):
            await root_of(address, certificates.fingerprint(root[1]))


async def test_a_server_that_speaks_an_older_tls_is_not_spoken_to(tmp_path: Path) -> None:
    root, issuing = authority()
    async with served(tmp_path, shown(issuing, issuing[1], root[1]), version=ssl.TLSVersion.TLSv1_2) as address:
        assert "does not speak TLS 1.3" in str(await why_not(address, certificates.to_pem(root[1])))


async def test_what_cannot_be_a_fingerprint_or_an_address_is_refused_at_once() -> None:
    for fingerprint in ("", "ab", "g" * 64):
        with pytest.raises(AgentError, match="as --ca"):
            await root_of("127.0.0.1:1", fingerprint)
    for address in ("127.0.0.1", ":1", "host:http", "host:0"):
        with pytest.raises(AgentError, match="it has to be HOST:PORT"):
            await root_of(address, "ab" * 32)


async def test_a_server_that_is_not_there_is_told_so() -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable, match="connection refused"):
            await root_of(f"127.0.0.1:{nobody_listens.getsockname()[1]}", "ab" * 32)
