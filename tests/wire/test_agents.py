"""What agents say is bounded where it is read: nothing of it can make the coordinator stumble later."""

import pytest

from coordinator.core.errors import Invalid
from coordinator.core.lifecycle import EventStatus, InstructionStatus, LifecycleErrorCode, LifecycleEvent
from coordinator.wire import agents as wire
from hookline.v1 import agent_pb2 as pb
from hookline.v1 import resources_pb2 as resources

INSTALL = resources.LIFECYCLE_EVENT_INSTALL
SUCCEEDED = resources.LIFECYCLE_EVENT_STATUS_SUCCEEDED


def hello(**said: object) -> pb.Hello:
    message = pb.Hello(host_id="0" * 32, name="web-1", journal_id="j", last_seq=3, acked_seq=2, agent_version="0.1.0")
    message.MergeFrom(pb.Hello(**said))  # type: ignore[arg-type]  # each case names a field of its own
    return message


def report(**said: object) -> pb.Reports:
    fields = {"instruction_id": "d-1/h/0/1", "lifecycle_event": INSTALL, "status": SUCCEEDED, **said}
    return pb.Reports(first_seq=1, reports=[pb.Report(**fields)])  # type: ignore[arg-type]  # as above


def epochs(count: int, *, epoch: int = 1) -> list[pb.TargetEpoch]:
    return [pb.TargetEpoch(deployment_group_id=f"g-{number}", target_epoch=epoch) for number in range(count)]


def test_what_an_honest_agent_says_is_read_whole() -> None:
    read = wire.hello(hello(target_epochs=epochs(1_000), tags={"role": "w" * 256}, facts={"os": "linux"}), stream=1, at=2, elapsed=3)
    assert (read.name, read.last_seq, len(read.fences)) == ("web-1", 3, 1_000)


@pytest.mark.parametrize(
    "said",
    [
        {"target_epochs": epochs(1_001)},
        {"holdings": [pb.Holding(deployment_group_id=f"g-{number}") for number in range(1_001)]},
        {"holdings": [pb.Holding(deployment_group_id="g", installed_revision_id="r" * 65)]},
        {"target_epochs": [pb.TargetEpoch(deployment_group_id="g" * 65, target_epoch=1)]},
        {"tags": {f"k{number}": "v" for number in range(65)}},
        {"tags": {"k" * 129: "v"}},
        {"tags": {"k": "v" * 257}},
        {"facts": {f"k{number}": "v" for number in range(65)}},
        {"facts": {"k": "v" * 1_000_000}},
        {"capabilities": ["c"] * 65},
        {"capabilities": ["c" * 257]},
        {"agent_version": "v" * 257},
        {"boot_id": "b" * 65},
        {"journal_id": "j" * 65},
        {"last_seq": 2**64 - 1},
        {"acked_seq": 2**63},
        {"target_epochs": epochs(1, epoch=2**64 - 1)},
    ],
)
def test_a_hello_that_could_not_be_stored_is_refused_in_a_short_sentence(said: dict[str, object]) -> None:
    with pytest.raises(Invalid, match="cannot accept host web-1") as refused:
        wire.hello(hello(**said), stream=1, at=2, elapsed=3)
    assert len(str(refused.value)) < 300


def test_a_name_without_end_is_refused_without_repeating_it() -> None:
    with pytest.raises(Invalid) as refused:
        wire.hello(hello(name="x" * 1_000_000), stream=1, at=2, elapsed=3)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("said, read", [(-(2**63), 0), (-1, 0), (0, 0), (5, 5), (2**63 - 1, wire.LATEST)])
def test_a_host_whose_clock_is_mad_is_given_a_time_that_can_be_written_down(said: int, read: int) -> None:
    (one,) = wire.reports(report(time_unix_ms=said))
    assert one.time == read


@pytest.mark.parametrize("field", ["lifecycle_event", "status", "instruction_status"])
@pytest.mark.parametrize("number", [-1, 99])
def test_a_number_that_nobody_knows_is_refused(field: str, number: int) -> None:
    with pytest.raises(Invalid, match="cannot read a report"):
        wire.reports(report(**{field: number}))


@pytest.mark.parametrize(
    "status",
    [
        resources.LIFECYCLE_EVENT_STATUS_UNSPECIFIED,
        resources.LIFECYCLE_EVENT_STATUS_PENDING,
        resources.LIFECYCLE_EVENT_STATUS_SKIPPED,
        resources.LIFECYCLE_EVENT_STATUS_UNKNOWN,
    ],
)
def test_an_event_can_only_be_reported_to_run_or_to_have_ended(status: int) -> None:
    with pytest.raises(Invalid, match="cannot read a report"):
        wire.reports(report(status=status))


def test_a_report_about_the_whole_instruction_needs_no_event() -> None:
    (one,) = wire.reports(report(lifecycle_event=0, status=0, instruction_status=pb.INSTRUCTION_STATUS_REFUSED))
    assert (one.event, one.status, one.instruction_status) == (None, EventStatus.Pending, InstructionStatus.Refused)


@pytest.mark.parametrize("first_seq", [0, 2**63, 2**64 - 1])
def test_reports_are_numbered_from_one_and_not_without_end(first_seq: int) -> None:
    with pytest.raises(Invalid, match="cannot read reports from number"):
        wire.reports(pb.Reports(first_seq=first_seq, reports=[pb.Report(instruction_id="d/h/0/1")]))


def test_diagnostics_are_cut_and_an_error_code_that_nobody_knows_is_an_unknown_error() -> None:
    said = resources.Diagnostics(
        script_name="s" * 9_999,
        message="m" * 99_999,
        log_tail="t" * 99_999 + "end",
    )
    said.error_code = -7  # type: ignore[assignment]  # as a newer agent could send it
    (one,) = wire.reports(report(status=resources.LIFECYCLE_EVENT_STATUS_FAILED, diagnostics=said))
    assert one.event is LifecycleEvent.Install
    assert one.diagnostics is not None
    assert one.diagnostics.error_code is LifecycleErrorCode.UnknownError
    assert (len(one.diagnostics.script_name), len(one.diagnostics.message), len(one.diagnostics.log_tail)) == (1024, 4096, 2048)
    assert one.diagnostics.log_tail.endswith("end")
