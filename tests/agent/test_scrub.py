"""Secrets are masked where they have a known shape, and nothing moves."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.local.parts import LogLines
from agent.scrub import LONGEST_KEY, Scrubber, hidden_parts, scrubbed
from tests.secrets import HARMLESS, KEY, SECRETS, TOKEN


@pytest.mark.parametrize("text, masked", SECRETS)
def test_a_secret_is_masked(text: str, masked: str) -> None:
    assert scrubbed(text) == masked


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    assert scrubbed(text) == text


def test_a_secret_that_is_told_is_masked_wherever_it_stands_also_where_it_overlaps_itself() -> None:
    told = set(hidden_parts(b"abcabcab\nshort\nsecond line\n"))
    assert told == {b"abcabcab", b"second line"}
    scrubber = Scrubber(told)
    assert scrubber.scrub(b"x=abcabcabcab, second line; short") == b"x=***********, ***********; short"
    told.add(b"short;")
    assert scrubber.scrub(b"short; short") == b"****** short"


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([text.encode() for text, _ in SECRETS])), max_size=8))
def test_no_byte_moves_and_lines_stay_lines(parts: list[bytes]) -> None:
    scrubber = Scrubber()
    for part in parts:
        masked = scrubber.scrub(part)
        assert len(masked) == len(part)
        assert [at for at, each in enumerate(masked) if each == 10] == [at for at, each in enumerate(part) if each == 10]


def test_a_private_key_is_masked_line_by_line_and_its_end_is_found() -> None:
    scrubber = Scrubber()
    lines = ["-----BEGIN PRIVATE KEY-----", *KEY.split("\n"), "-----END PRIVATE KEY-----", "next"]
    masked = [scrubber.scrub(line.encode()).decode() for line in lines]
    assert masked == ["-----BEGIN PRIVATE KEY-----", *["*" * 64] * 3, "-----END PRIVATE KEY-----", "next"]


def test_a_private_key_without_an_end_does_not_hide_everything() -> None:
    scrubber = Scrubber()
    scrubber.scrub(b"-----BEGIN PRIVATE KEY-----")
    for _ in range(LONGEST_KEY // 64):
        assert scrubber.scrub(b"x" * 64) == b"*" * 64
    assert scrubber.scrub(b"shown") == b"shown"


def test_the_agents_own_log_is_masked() -> None:
    record = logging.LogRecord("hookline.agent", logging.INFO, "f", 1, "cannot fetch %s", (f"https://me:{TOKEN}@example.org",), None)
    assert TOKEN not in LogLines("%(message)s").format(record)
