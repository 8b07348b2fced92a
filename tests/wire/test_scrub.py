"""The coordinator masks what the agent masks."""

import logging

import pytest

from coordinator.program import LogLines
from coordinator.wire.agents import _diagnostics
from coordinator.wire.scrub import scrubbed
from hookline.v1 import resources_pb2 as resources
from tests.secrets import HARMLESS, SECRETS, TOKEN


@pytest.mark.parametrize("text, masked", SECRETS)
def test_a_secret_is_masked(text: str, masked: str) -> None:
    assert scrubbed(text) == masked


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    assert scrubbed(text) == text


def test_the_coordinators_own_log_is_masked() -> None:
    record = logging.LogRecord("hookline", logging.INFO, "f", 1, "call failed %s", (f"hlo_{TOKEN}",), None)
    assert TOKEN not in LogLines("%(message)s").format(record)


def test_what_an_agent_forgot_to_mask_is_masked() -> None:
    said = resources.Diagnostics(message=f"hlo_{TOKEN}", script_name=f"https://u:{TOKEN}@h/", log_tail=f"x\n[stdout]ghp_{TOKEN}")
    found = _diagnostics(said)
    assert TOKEN not in repr(found)
