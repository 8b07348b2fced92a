"""Masks what looks like a secret, byte for byte, in what is kept or told: no length and no offset changes. Pure.

Knows shapes, and the secrets that it is told of: what is neither, such as a password on a line of its own, stays. Written without `re`,
which would double what a supervisor loads. The coordinator masks the same shapes (coordinator/wire/scrub.py).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    Span = tuple[int, int]

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = b"0123456789"
_WORD = frozenset(_LETTERS + _DIGITS + b"_-")
_VALUE = frozenset(_LETTERS + _DIGITS + b"_-.~+/=%:")
_PREFIXES = (
    *((prefix, 20) for prefix in (b"hlj_", b"hlo_", b"hlc_", b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_", b"glpat-")),
    *((prefix, 16) for prefix in (b"AKIA", b"ASIA", b"xoxb-", b"xoxp-", b"npm_")),
)
_NAMES = (
    *((name, 8) for name in (b"bearer ", b"authorization: basic ", b"authorization: token ")),
    *((name, 8) for name in (b"x-amz-signature=", b"x-amz-security-token=", b"?token=", b"&token=")),
    *((name, 16) for name in (b"secret_access_key", b"secretaccesskey", b"session_token", b"sessiontoken")),
    *((name, 16) for name in (b"access_token", b"accesstoken", b"client_secret", b"clientsecret")),
)
_BETWEEN = b" \t\"'=:"
_URL_ENDS = frozenset(b" \t\r\n\"'<>/?#`\\|)]},;")
_KEY_BEGINS, _KEY_ENDS, _DASHES = b"-----BEGIN ", b"-----END ", b"-----"
LONGEST_KEY = 16 * 1024
SHORTEST = 6
"""A told secret that is shorter is not masked: it would be found in words that mean nothing."""

_MASK = bytes(each if each in b"\r\n" else ord("*") for each in range(256))


class Scrubber:
    """Masks the parts of one stream, in which a private key may take several."""

    def __init__(self, secrets: Collection[bytes] = ()) -> None:
        """`secrets` are masked too; the owner of the collection may add to it (see `hidden_parts`)."""
        self._secrets = secrets
        self._key_left = 0  # bytes that a key which has begun may still have

    def scrub(self, octets: bytes) -> bytes:
        """The next part, masked."""
        spans = [*_tokens(octets), *_values(octets), *_passwords(octets), *self._keys(octets), *_told(octets, self._secrets)]
        if not spans:
            return octets
        masked = bytearray(octets)
        for begin, end in spans:
            masked[begin:end] = octets[begin:end].translate(_MASK)
        return bytes(masked)

    def _keys(self, octets: bytes) -> Iterator[Span]:
        at = 0
        while True:
            if not self._key_left:
                begin = octets.find(_KEY_BEGINS, at)
                at = octets.find(_DASHES, begin + len(_KEY_BEGINS)) + len(_DASHES)
                if begin < 0 or at < len(_DASHES):
                    return
                if b"PRIVATE KEY" not in octets[begin:at]:
                    continue
                self._key_left = LONGEST_KEY
            end = octets.find(_KEY_ENDS, at, at + self._key_left)
            yield at, end if end >= 0 else min(at + self._key_left, len(octets))
            if end < 0:
                self._key_left = max(self._key_left - (len(octets) - at), 0)
                return
            self._key_left, at = 0, end


def hidden_parts(secret: bytes) -> list[bytes]:
    """What to mask of a secret: its lines, since what is printed is looked at line by line."""
    return [line for line in secret.splitlines() if len(line) >= SHORTEST]


def scrubbed(text: str) -> str:
    """A text of its own, masked."""
    return Scrubber().scrub(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")


def _told(octets: bytes, secrets: Collection[bytes]) -> Iterator[Span]:
    for secret in secrets:
        at = octets.find(secret)
        while at >= 0:
            yield at, at + len(secret)
            at = octets.find(secret, at + 1)


def _tokens(octets: bytes) -> Iterator[Span]:
    """What begins as tokens of a known kind do, without that beginning."""
    for prefix, least in _PREFIXES:
        at = octets.find(prefix)
        while at >= 0:
            begin = at + len(prefix)
            end = _end(octets, begin, _WORD)
            if end - begin >= least and not (at and octets[at - 1] in _WORD):
                yield begin, end
            at = octets.find(prefix, max(end, begin))


def _values(octets: bytes) -> Iterator[Span]:
    """What stands behind a word that announces a secret."""
    small = octets.lower()
    for name, least in _NAMES:
        at = small.find(name)
        while at >= 0:
            begin = at + len(name)
            while begin < len(octets) and octets[begin] in _BETWEEN:
                begin += 1
            end = _end(octets, begin, _VALUE)
            if end - begin >= least:
                yield begin, end
            at = small.find(name, max(end, begin))


def _passwords(octets: bytes) -> Iterator[Span]:
    """What stands between a scheme and the last @ of a URL's authority, but for the user's name before a password."""
    at = octets.find(b"://")
    while at >= 0:
        begin = at + 3
        end = begin
        while end < len(octets) and octets[end] not in _URL_ENDS:
            end += 1
        user = octets.rfind(b"@", begin, end)
        if user > begin:
            colon = octets.find(b":", begin, user)
            yield (colon + 1 if colon >= 0 else begin), user
        at = octets.find(b"://", end)


def _end(octets: bytes, begin: int, known: frozenset[int]) -> int:
    while begin < len(octets) and octets[begin] in known:
        begin += 1
    return begin
