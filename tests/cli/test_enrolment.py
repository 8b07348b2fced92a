"""Join tokens, and who is let in: what the commands ask of the coordinator, and what they show."""

import json

from hookline.v1 import fleet_pb2 as fleet
from tests.cli.conftest import Operator
from tests.cli.coordinator import FakeCoordinator, at

KEY = "0123456789abcdef" * 4


def waits(coordinator: FakeCoordinator, name: str) -> None:
    coordinator.enrolments[name] = fleet.Enrolment(
        host_id="1" * 32,
        name=name,
        status=fleet.ENROLMENT_STATUS_PENDING,
        key_fingerprint=KEY,
        request_time=at(0),
        address="10.0.0.9",
    )


def test_a_token_is_one_command_to_paste(operator: Operator, coordinator: FakeCoordinator) -> None:
    made = operator.types("token", "create", "--group", "shop/production", "--ttl", "1h", "--uses", "3", "--name", "web-*", "--tag", "a=b")
    assert made.stdout == f"hookline-agent join 10.0.0.1:8446 --token hlj_secret --ca {'ab' * 32}\n"
    assert "hookline hosts approve NAME" in made.stderr
    (request,) = coordinator.requests("CreateJoinToken")
    assert (request.application_name, request.deployment_group_name) == ("shop", "production")
    assert (request.ttl.seconds, request.uses, request.name_pattern, dict(request.tags)) == (3600, 3, "web-*", {"a": "b"})
    assert not request.auto_approve
    assert request.request_id


def test_the_command_names_the_coordinator_as_it_was_reached_when_it_listens_everywhere(
    operator: Operator, coordinator: FakeCoordinator
) -> None:
    coordinator.enrol_address = "0.0.0.0:8446"
    assert operator.types("token", "create").stdout.startswith("hookline-agent join 127.0.0.1:8446 --token ")


def test_a_length_of_time_and_a_group_that_cannot_be_read_are_refused_before_anything_is_asked(
    operator: Operator, coordinator: FakeCoordinator
) -> None:
    for words in (("--ttl", "soon"), ("--ttl", "0m"), ("--group", "production"), ("--tag", "web"), ("--uses", "0")):
        assert operator.types("token", "create", *words).exit_code == 2
    assert not coordinator.calls


def test_tokens_are_listed_and_revoked(operator: Operator, coordinator: FakeCoordinator) -> None:
    listed = operator.types("token", "list").stdout
    assert "4f0c9a1be2d7" in listed
    assert "role=web" in listed
    assert operator.types("token", "revoke", "4f0c9a1be2d7").stdout == "join token 4f0c9a1be2d7 is revoked\n"
    assert coordinator.requests("RevokeJoinToken")[0].join_token_id == "4f0c9a1be2d7"


def test_who_waits_is_shown_below_the_hosts_with_its_key(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.hosts["web-1"] = fleet.Host(name="web-1")
    waits(coordinator, "web-2")
    shown = operator.types("hosts").stdout
    assert shown.index("web-1") < shown.index("hookline hosts approve") < shown.index("web-2")
    assert "0123456789abcdef 0123456789abcdef" in shown
    assert [host["name"] for host in json.loads(operator.types("hosts", "list", "--output", "json").stdout)] == ["web-1"]


def test_a_host_that_was_away_for_too_long_waits_too(operator: Operator, coordinator: FakeCoordinator) -> None:
    waits(coordinator, "web-2")
    coordinator.enrolments["web-2"].status = fleet.ENROLMENT_STATUS_AWAY
    assert "Away" in operator.types("hosts").stdout


def test_a_host_is_approved_renamed_and_revoked(operator: Operator, coordinator: FakeCoordinator) -> None:
    waits(coordinator, "web-2")
    approved = operator.types("hosts", "approve", "web-2")
    assert approved.stdout == "host web-2 may come in\n"
    assert "0123456789abcdef 0123456789abcdef" in approved.stderr
    assert operator.types("hosts", "rename", "web-2", "web-3").stdout == "host web-3 was web-2\n"
    revoked = operator.types("hosts", "revoke", "web-2", "--reason", "stolen", "--output", "json")
    assert json.loads(revoked.stdout)["status"] == "Revoked"
    assert coordinator.requests("RevokeHost")[0].reason == "stolen"


def test_a_machine_that_wants_a_name_that_is_had_is_adopted(operator: Operator, coordinator: FakeCoordinator) -> None:
    waits(coordinator, "web-2")
    coordinator.enrolments["web-2"].name_of_host_id = "2" * 32
    shown = operator.types("hosts")
    assert "hookline hosts adopt web-2" in shown.stderr
    assert f"hookline hosts rename {'1' * 32} NAME" in shown.stderr
    adopted = operator.types("hosts", "adopt", "web-2", "1" * 32, "--reason", "new disk")
    assert adopted.stdout == "host web-2 has a new machine, which may come in\n"
    (request,) = coordinator.requests("AdoptHost")
    assert (request.host, request.machine, request.reason) == ("web-2", "1" * 32, "new disk")


def test_a_word_that_is_no_command_of_hosts_names_a_host(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.hosts["web-1"] = fleet.Host(name="web-1", host_id="ab")
    assert "web-1" in operator.types("hosts", "web-1").stdout
    assert operator.types("hosts", "--help").exit_code == 0


def test_what_a_host_may_read_is_said_as_a_whole(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.hosts["web-1"] = fleet.Host(name="web-1", host_id="ab")
    said = operator.types("host", "profile", "web-1", "--source", "coordinator", "--source", "s3://b/*")
    assert said.stdout == "host web-1 may read coordinator, s3://b/*\n"
    assert "coordinator, s3://b/*" in operator.types("hosts", "web-1").stdout
    assert operator.types("host", "profile", "web-1", "--anything").stdout == "host web-1 may read anything\n"
    assert [list(one.sources) for one in coordinator.requests("SetInstanceProfile")] == [["coordinator", "s3://b/*"], []]
    for words in ((), ("--anything", "--source", "coordinator")):
        assert operator.types("host", "profile", "web-1", *words).exit_code == 2
