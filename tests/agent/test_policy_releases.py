"""Which releases a host still takes, and what it remembers of those that it has verified and run."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from agent.appspec import AppSpec
from agent.bundle import PayloadError
from agent.errors import AgentError
from agent.facts import Begin
from agent.model import DeploymentId, Installed, LifecycleEvent, RevisionId
from agent.policy import Memory
from tests.agent.admission import admitted, event_run, install_request, refusal
from tests.agent.instructions import SEVEN
from tests.agent.releases import (
    KEY,
    NOON,
    Host,
    Release,
    begin,
    bundle,
    ordered,
    release,
    unsigned,
)

HOUR = 3_600_000


@pytest.mark.parametrize(
    "counter, lowest, highest, ran", list(itertools.product([1, 5, 9], [None, 1, 5, 9], [None, 1, 5, 9], [False, True]))
)
def test_a_release_is_new_enough_or_ran_here_before(
    tmp_path: Path, counter: int, lowest: int | None, highest: int | None, ran: bool
) -> None:
    host = Host.at(tmp_path, f"lowest_counter.shop = {lowest}\n" if lowest else "")
    wanted, memory = release(counter), host.memory
    if ran:
        memory.succeeded("shop", counter, wanted.sha256)
    if highest is not None:
        memory.succeeded("shop", highest, release(highest, content=bundle("another")).sha256)
    floor = max(lowest or 0, highest or 0, counter if ran else 0)
    assert admitted(host, ordered(wanted)) == (counter >= floor or ran)


def test_a_host_goes_back_only_to_what_it_ran(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.deploy(release(40), deployment="d-1")
    host.deploy(release(42), deployment="d-2")
    assert admitted(host, ordered(release(40)))
    why = refusal(lambda: host.guard().admit(begin(ordered(release(41)))))
    assert "its counter is 41, and 42 is the lowest here for what has not run on this host before" in why
    assert admitted(host, ordered(release(43)))


def test_a_release_that_failed_here_raises_nothing(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.deploy(release(42), succeeds=False)
    assert admitted(host, ordered(release(41)))


def test_only_a_deployment_with_an_install_makes_a_release_one_that_ran(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    alone = ordered(release(42), events=[LifecycleEvent.DOWNLOAD_BUNDLE])
    host.guard().succeeded(begin(alone))
    assert host.memory.highest("shop") == 0


def test_an_application_with_a_lowest_counter_is_signed_even_where_others_need_not_be(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.rule(f'signing_keys = ["{KEY.public}"]\nlowest_counter.shop = 5\n')
    assert "it is not signed, and so has no counter" in refusal(lambda: host.guard().admit(begin(ordered(unsigned(release())))))


def test_a_denied_bundle_is_refused_even_when_it_ran_before(tmp_path: Path) -> None:
    host, bad = Host.at(tmp_path), release(40)
    host.deploy(bad)
    host.rule(f'signing_keys = ["{KEY.public}"]\nrequire_signature = true\ndenied_bundles = ["{bad.sha256}"]\n')
    assert f"its bundle {bad.sha256} is denied" in refusal(lambda: host.guard().admit(begin(ordered(bad))))


def test_a_statement_ends(tmp_path: Path) -> None:
    host, wanted = Host.at(tmp_path), release(not_after=NOON + HOUR)
    assert admitted(host, ordered(wanted))
    host.clock.ms = NOON + HOUR
    assert admitted(host, ordered(wanted))
    host.clock.ms = NOON + HOUR + 1000
    why = refusal(lambda: host.guard().admit(begin(ordered(wanted))))
    assert "good until 2026-11-23T13:00:00Z, and this host's clock says 2026-11-23T13:00:01Z; set the clock, or sign it again" in why


def test_a_clock_that_is_set_back_does_not_give_an_ended_statement_its_life_back(tmp_path: Path) -> None:
    host, short = Host.at(tmp_path), release(1, not_after=NOON + HOUR)
    host.clock.ms = NOON + 2 * HOUR
    host.deploy(release(1, content=bundle("long")))
    host.clock.ms = 0
    why = refusal(lambda: host.guard().admit(begin(ordered(short))))
    assert "but it was 2026-11-23T14:00:00Z here once: the clock was set back, or was wrong then" in why
    assert admitted(host, ordered(release(2)))


def test_what_was_begun_in_time_may_be_finished(tmp_path: Path) -> None:
    host, instruction = Host.at(tmp_path), ordered(release(not_after=NOON))
    host.clock.ms = NOON + HOUR
    guard = host.guard()
    for event in (LifecycleEvent.APPLICATION_STOP, LifecycleEvent.DOWNLOAD_BUNDLE):
        with pytest.raises(PayloadError):
            guard.admit(begin(instruction, event))
    assert guard.admit(begin(instruction, LifecycleEvent.AFTER_INSTALL)).event is LifecycleEvent.AFTER_INSTALL


def test_only_what_was_found_good_is_installed_and_run(tmp_path: Path) -> None:
    host, instruction = Host.at(tmp_path), ordered(release(), events=SEVEN[2:])
    host.unpack(instruction)
    guard = host.guard()
    unpacked = "what deployment d-1 has unpacked here was never found to be signed"
    assert unpacked in refusal(lambda: guard.install(instruction, install_request(instruction)))
    assert unpacked in refusal(lambda: guard.scripts(begin(instruction, LifecycleEvent.AFTER_INSTALL), event_run()))
    host.deploy(release(), succeeds=False)
    host.guard().install(instruction, install_request(instruction))
    host.guard().scripts(begin(instruction, LifecycleEvent.AFTER_INSTALL), event_run())


def test_another_release_than_the_unpacked_one_vouches_for_nothing(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.deploy(release(42), succeeds=False)
    other = ordered(release(43), events=SEVEN[2:])
    assert "deployment d-1 has unpacked another release here" in refusal(lambda: host.guard().install(other, install_request(other)))


def restart(wanted: Release) -> Begin:
    """The order to start what d-1 has installed again, in the name of a release."""
    events = (LifecycleEvent.APPLICATION_STOP, LifecycleEvent.APPLICATION_START)
    instruction = replace(ordered(wanted, deployment="d-2", events=events), restart=True)
    return replace(begin(instruction), serving=Installed(revision_id=RevisionId("r-42"), deployment_id=DeploymentId("d-1")))


def test_a_restart_runs_what_is_installed_in_its_own_name_alone(tmp_path: Path) -> None:
    host, bad = Host.at(tmp_path), release(42)
    host.deploy(bad)
    host.guard().scripts(restart(bad), event_run())
    other = host.guard().admit(restart(release(43)))
    assert "deployment d-1 has unpacked another release here" in refusal(lambda: host.guard().scripts(other, event_run()))
    host.rule(f'signing_keys = ["{KEY.public}"]\nrequire_signature = true\ndenied_bundles = ["{bad.sha256}"]\n')
    assert "is denied" in refusal(lambda: host.guard().admit(restart(bad)))


def test_a_restart_of_what_was_never_found_good_is_refused(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.unpack(ordered(unsigned(release(42))))
    assert "what deployment d-1 has unpacked here was never found to be signed; deploy it signed" in refusal(
        lambda: host.guard().scripts(restart(release(42)), event_run())
    )


def test_what_is_about_to_be_replaced_is_good_for_nothing(tmp_path: Path) -> None:
    host, instruction = Host.at(tmp_path), ordered(release())
    host.deploy(release(), succeeds=False)
    host.guard().replaces(instruction)
    assert "never found to be signed" in refusal(lambda: host.guard().install(instruction, install_request(instruction)))


def test_a_normal_form_that_has_changed_is_not_followed(tmp_path: Path) -> None:
    host, instruction = Host.at(tmp_path), ordered(release())
    host.deploy(release(), succeeds=False)
    host.unpack(instruction, AppSpec(env=(("A", "b"),)).to_json())
    assert "has changed since it was found good" in refusal(lambda: host.guard().install(instruction, install_request(instruction)))


def test_the_scripts_of_an_old_revision_that_was_never_signed_do_not_run(tmp_path: Path) -> None:
    host, new = Host.at(tmp_path), ordered(release(), deployment="d-2")
    old = Installed(revision_id=new.revision_id, deployment_id=ordered(release()).deployment_id)
    host.unpack(ordered(release()))
    order = replace(begin(new), serving=old)
    why = refusal(lambda: host.guard().scripts(order, event_run()))
    assert "what deployment d-1 has unpacked here was never found to be signed; deploy it signed once before signatures are required" in why
    host.deploy(release())
    host.guard().scripts(order, event_run())


def test_deployments_that_are_gone_from_the_disk_are_forgotten(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.deploy(release(1), deployment="d-1")
    (tmp_path / "root").rename(tmp_path / "elsewhere")
    host.deploy(release(2), deployment="d-2")
    assert host.memory.verified("g-production/d-1") is None
    assert host.memory.verified("g-production/d-2") is not None


def test_what_ran_is_known_after_a_restart(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.deploy(release(7))
    assert (host.memory.highest("shop"), host.memory.ran("shop", release(7).sha256)) == (7, True)
    assert host.memory.highest("bank") == 0


def test_the_highest_counter_never_goes_down(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "releases.json")
    for counter in (5, 9, 7):
        memory.succeeded("shop", counter, f"{counter:064x}")
    assert Memory(tmp_path / "releases.json").highest("shop") == 9


def test_a_writing_that_a_crash_cut_off_changes_nothing(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "releases.json")
    memory.succeeded("shop", 5, "a" * 64)
    (tmp_path / ".releases.json.new").write_text('{"format": 1, "lat')
    again = Memory(tmp_path / "releases.json")
    assert again.highest("shop") == 5
    again.succeeded("shop", 6, "b" * 64)
    assert Memory(tmp_path / "releases.json").highest("shop") == 6


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "latest": 0, "applications": 1, "verified": {}}'])
def test_a_damaged_memory_keeps_the_agent_from_starting(tmp_path: Path, content: str) -> None:
    (tmp_path / "releases.json").write_text(content)
    with pytest.raises(AgentError, match="it is damaged"):
        Memory(tmp_path / "releases.json")
