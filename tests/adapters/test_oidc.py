"""Tokens of an identity provider: only the ones that it has signed, for this coordinator, and that have not ended; and whom they let in."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from coordinator.adapters.ids import RandomIds
from coordinator.adapters.oidc import Provider, Unreadable
from coordinator.core.errors import Limit, Unauthenticated
from coordinator.core.identity.access import Grant, Role
from coordinator.service.access.attempts import FAILURES_AT_MOST
from coordinator.service.access.callers import Callers
from coordinator.service.access.operators import AccessService
from coordinator.store.sqlite import SqliteStore
from tests.store.seeds import opened
from tests.store.things import FixedClock, key

NOW = 1_790_000_000
ISSUER, AUDIENCE = "https://id.example", "hookline"
RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())


def published(**keys: Any) -> str:
    """A JWKS."""
    shown = []
    for kid, one in keys.items():
        algorithm: Any = jwt.algorithms.RSAAlgorithm if isinstance(one, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        shown.append({**json.loads(algorithm.to_jwk(one.public_key())), "kid": kid, "use": "sig"})
    return json.dumps({"keys": shown})


def signed(by: Any = P256, kid: str = "p256", algorithm: str = "ES256", **other: Any) -> str:
    said = {"iss": ISSUER, "aud": AUDIENCE, "iat": NOW - 60, "exp": NOW + 600, "email": "anna@example.com", "email_verified": True, **other}
    return jwt.encode({name: value for name, value in said.items() if value is not None}, by, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(at=NOW * 1000)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "keys.json").write_text(published(rsa=RSA, p256=P256))
    made = tmp_path / "oidc.toml"
    made.write_text(f'issuer = "{ISSUER}"\naudience = "{AUDIENCE}"\nkeys = "keys.json"\n')
    return made


@pytest.mark.parametrize("token", [signed(), signed(RSA, "rsa", "RS256"), signed(aud=["other", AUDIENCE])])
def test_who_brings_a_token_of_the_provider_is_known(file: Path, clock: FixedClock, token: str) -> None:
    voucher = Provider(file, clock).verify(token)
    assert (voucher.name, voucher.expires_at) == ("anna@example.com", (NOW + 600) * 1000)


@pytest.mark.parametrize(
    "token, why",
    [
        (signed(STRANGER), "Signature verification failed"),
        (signed(STRANGER, kid="other"), "not among those of the identity provider"),
        (signed(iss="https://evil.example"), "issuer"),
        (signed(aud="another"), "Audience"),
        (signed(aud=None), "aud"),
        (signed(exp=None), "exp"),
        (signed(exp=NOW), "it has ended"),
        (signed(iat=NOW + 120), "it begins later"),
        (signed(nbf=NOW + 120), "it begins later"),
        (signed(exp=NOW + 90_000), "longer than 24 h"),
        (signed(email=None), "its claim email is missing"),
        (signed(email=["anna@example.com"]), "its claim email is missing"),
        (signed(email_verified=False), "not verified its email"),
        (signed(email_verified=None), "not verified its email"),
        (signed(email_verified="true"), "not verified its email"),
        (signed(exp="soon"), ""),
        ("a.b.c", ""),
        ("", ""),
        ("hlo_nothing", ""),
        (jwt.encode({"iss": ISSUER}, "", algorithm="none", headers={"kid": "p256"}), ""),
        (signed("0123456789abcdef" * 4, "rsa", "HS256"), ""),
        (signed(by=P256, kid="rsa"), ""),
    ],
)
def test_what_is_not_the_providers_word_for_this_coordinator_lets_nobody_in(file: Path, clock: FixedClock, token: str, why: str) -> None:
    with pytest.raises(Unauthenticated, match=f"cannot let you in with this token.*{why}"):
        Provider(file, clock).verify(token)


def test_keys_are_read_again_when_their_file_has_changed(file: Path, clock: FixedClock) -> None:
    provider, token = Provider(file, clock), signed(STRANGER, kid="new")
    with pytest.raises(Unauthenticated):
        provider.verify(token)
    (file.parent / "keys.json").write_text(published(rsa=RSA, p256=P256, new=STRANGER))
    assert provider.verify(token).name == "anna@example.com"
    (file.parent / "keys.json").write_text(published(rsa=RSA))
    with pytest.raises(Unauthenticated, match="not among those"):
        provider.verify(signed())
    (file.parent / "keys.json").unlink()
    with pytest.raises(Unauthenticated, match="the keys of the identity provider"):
        provider.verify(signed(RSA, "rsa", "RS256"))


@pytest.mark.parametrize(
    "said",
    [
        "",
        "issuer = 1",
        f'issuer = "{ISSUER}"\naudience = ""\nkeys = "keys.json"',
        "issuer",
        'issuer="a"\naudience="b"\nkeys="keys.json"\nx="y"',
    ],
)
def test_a_file_that_does_not_say_everything_keeps_the_coordinator_from_starting(file: Path, clock: FixedClock, said: str) -> None:
    file.write_text(said)
    with pytest.raises(Unreadable):
        Provider(file, clock)


def test_the_claim_that_names_an_operator_is_chosen(file: Path, clock: FixedClock) -> None:
    file.write_text(f'{file.read_text()}claim = "preferred_username"\n')
    assert Provider(file, clock).verify(signed(preferred_username="anna", email_verified=False)).name == "anna"


# ---------------------------------------------------------------------------------------------------------------- who is let in


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = await opened(tmp_path / "hookline.db")
    yield made
    made.close()


async def test_an_operator_whom_the_provider_vouches_for_may_do_what_was_granted_here(
    file: Path, clock: FixedClock, store: SqliteStore
) -> None:
    callers = Callers(store.operators, store.certificates, clock=clock, provider=Provider(file, clock))
    access = AccessService(store.operators, callers, secrets=RandomIds(), clock=clock)
    with pytest.raises(Unauthenticated, match="there is no operator of that name here"):
        await callers.who(signed(), "192.0.2.7")
    await access.create("anna@example.com", (Grant(Role.Viewer),), key(""))
    anna = await callers.who(signed(), "192.0.2.7")
    assert (str(anna), anna.grants, anna.barred) == ("operator:anna@example.com", (Grant(Role.Viewer),), "")
    assert anna.expires_at == (NOW + 600) * 1000
    await access.suspend("anna@example.com", "", key(""))
    assert "suspended" in (await callers.who(signed(), "192.0.2.7")).barred
    await access.resume("anna@example.com", key(""))
    clock.at = (NOW + 600) * 1000
    with pytest.raises(Unauthenticated, match="it has ended"):
        await callers.who(signed(), "192.0.2.7")


async def test_own_tokens_work_beside_the_providers_and_guesses_are_counted(file: Path, clock: FixedClock, store: SqliteStore) -> None:
    callers = Callers(store.operators, store.certificates, clock=clock, provider=Provider(file, clock))
    for _ in range(FAILURES_AT_MOST):
        with pytest.raises(Unauthenticated):
            await callers.who(signed(STRANGER), "192.0.2.7")
    with pytest.raises(Limit):
        await callers.who(signed(STRANGER), "192.0.2.7")
    with pytest.raises(Unauthenticated, match="unknown here"):
        await callers.who("hlo_unknown", "192.0.2.8")
    without = Callers(store.operators, store.certificates, clock=clock)
    with pytest.raises(Unauthenticated, match="unknown here"):
        await without.who(signed(), "192.0.2.8")
