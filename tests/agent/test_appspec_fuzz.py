"""No AppSpec file, however mangled, does anything but be read or refused, in a few milliseconds of the processor's time.

The whole ten thousand run where slow tests do; the first of them everywhere.
"""

import time

import pytest

from agent.appspec import AppSpec, AppSpecError, parse
from agent.appspec.findings import RULES
from agent.appspec.rules import examine
from tests.agent.appspec_mutations import mutated

CPU_SECONDS = 0.05
FEW, ALL = range(300), range(300, 10_000)


def cpu_seconds(content: bytes) -> float:
    """What reading takes; the least of three, because a busy machine's caches are not the file's fault."""
    taken = []
    for _ in range(3):
        began = time.thread_time()
        examine(content)
        taken.append(time.thread_time() - began)
        if taken[-1] < CPU_SECONDS:
            break
    return min(taken)


def judge(seed: int) -> None:
    """Read one file and see that what comes of it is whole."""
    content = mutated(seed)
    found = examine(content)
    for finding in found.findings:
        assert finding.rule in RULES
        assert finding.line >= 1
        assert finding.column >= 1
        assert str(finding).isprintable()
    assert set(found.flaws) <= set(found.findings)
    if found.flaws:
        with pytest.raises(AppSpecError):
            parse(content, "appspec.yml")
    else:
        appspec = parse(content, "appspec.yml")
        assert AppSpec.from_json(appspec.to_json()) == appspec
    assert cpu_seconds(content) < CPU_SECONDS, f"seed {seed}"


def test_some_mutated_files_are_read_or_refused_in_time() -> None:
    for seed in FEW:
        judge(seed)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_mutated_files_are_read_or_refused_in_time() -> None:
    for seed in ALL:
        judge(seed)


def test_the_mutations_leave_some_files_usable_and_break_others() -> None:
    usable = sum(not examine(mutated(seed)).flaws for seed in FEW)
    assert len(FEW) // 10 < usable < len(FEW) * 9 // 10
