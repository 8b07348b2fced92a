"""HTTP/2 conversations with a gRPC server, frame by frame, and what chance makes of them."""

import random
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _PRIORITY, _RESET, _SETTINGS, _PUSH, _PING, _GOAWAY, _WINDOW, _CONTINUATION = range(10)
_END_STREAM, _END_HEADERS = 1, 4
_WHOLE = 4_096
"""Bytes of one frame after its mutation, at most."""

Connect = Callable[[], socket.socket]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def call(stream: int, path: str, messages: Sequence[bytes], token: str = "") -> list[bytes]:
    """A gRPC call: its headers, written out, and each of its messages."""
    headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "h", "content-type": "application/grpc", "te": "trailers"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers.items())
    said = [frame(_DATA, 0, stream, b"\x00" + len(message).to_bytes(4, "big") + message) for message in messages]
    return [frame(_HEADERS, _END_HEADERS, stream, block), *said, frame(_DATA, _END_STREAM, stream, b"")]


def conversation(path: str, messages: Sequence[bytes], token: str = "") -> list[bytes]:
    """What a client says: settings, a call, and the frames that keep a connection going."""
    return [
        frame(_SETTINGS, 0, 0, b"\x00\x03\x00\x00\x00\x64\x00\x04\x00\x01\x00\x00"),
        frame(_SETTINGS, 1, 0, b""),
        *call(1, path, messages, token),
        frame(_WINDOW, 0, 0, b"\x00\x00\xff\xff"),
        frame(_PING, 0, 0, bytes(8)),
        frame(_PRIORITY, 0, 1, b"\x00\x00\x00\x00\x10"),
        *call(3, path, messages, token),
        frame(_RESET, 0, 3, b"\x00\x00\x00\x08"),
        frame(_CONTINUATION, _END_HEADERS, 5, b""),
        frame(_PUSH, 0, 1, bytes(8)),
        frame(_GOAWAY, 0, 0, bytes(8)),
    ]


def mutated(chance: random.Random, octets: bytes) -> bytes:
    """Bytes of which a few are changed, repeated, added or gone."""
    made = bytearray(octets)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(made) + 1)
        match chance.randrange(5):
            case 0:
                made[at : at + 1] = bytes([chance.randrange(256)])
            case 1 if at < len(made):
                made[at] ^= 1 << chance.randrange(8)
            case 2:
                made[at:at] = chance.randbytes(chance.randint(1, 16))
            case 3:
                del made[at : at + chance.randint(1, 8)]
            case _:
                made[at:at] = made[at : at + chance.randint(1, 64)]
    return bytes(made[:_WHOLE])


def fuzz(chance: random.Random, connect: Connect, spoken: Sequence[Sequence[bytes]], count: int, *, begin: bytes = PREFACE) -> None:
    """Send so many mutated frames, over as many connections as that takes; the frames before them in a connection are whole."""
    sent = 0
    while sent < count:
        frames = chance.choice(spoken)
        whole = chance.randrange(len(frames))
        rest = [mutated(chance, each) if chance.random() < 0.8 else each for each in frames[whole:]]
        with suppress(OSError), connect() as connection:
            connection.sendall(begin + b"".join(frames[:whole]))
            for each in rest:
                connection.sendall(each)
                sent += 1
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(0.05)
            while connection.recv(65_536):
                pass


def tcp(address: str) -> Connect:
    """How to connect to HOST:PORT."""
    host, _, port = address.rpartition(":")
    return lambda: socket.create_connection((host, int(port)), timeout=10)


def unix(path: str) -> Connect:
    """How to connect to a socket in the file system."""

    def connect() -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.connect(path)
        return made

    return connect


def tls(address: str, pair: tuple[Path, Path] | None = None) -> Connect:
    """How to connect to HOST:PORT with TLS, whatever certificate is shown there; `pair` are the client's chain and key, if it has any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if pair:
        context.load_cert_chain(*pair)
    plain = tcp(address)
    return lambda: context.wrap_socket(plain())


def _text(text: str) -> bytes:
    """A literal of HPACK, shorter than 127 bytes."""
    octets = text.encode()
    return bytes([len(octets)]) + octets
