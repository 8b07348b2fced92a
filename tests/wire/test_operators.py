"""What goes through the wire comes out as it was."""

from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.core import lifecycle, model, tags
from coordinator.core.errors import Invalid
from coordinator.core.model import (
    Alarm,
    AlarmConfiguration,
    AlarmStatus,
    AlertmanagerAlert,
    AutoRollbackEvent,
    BundleType,
    Comparison,
    CoordinatorLocation,
    Expression,
    FileLocation,
    GitHubLocation,
    HttpLocation,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    Place,
    PrometheusAlert,
    Revision,
    RevisionId,
    S3Location,
    SeveralSeries,
)
from coordinator.core.tags import TagFilter, TagFilterType
from coordinator.wire import alarms
from coordinator.wire import operators as wire
from hookline.v1 import alarms_pb2 as alarms_pb
from hookline.v1 import resources_pb2 as pb

INT32 = st.integers(-(2**31), 2**31 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
PLACES: st.SearchStrategy[Place] = st.one_of(
    st.builds(CoordinatorLocation, size=st.integers(0, 2**63 - 1)),
    st.builds(S3Location, bucket=TEXT, key=TEXT, version=TEXT, e_tag=TEXT),
    st.builds(GitHubLocation, repository=TEXT, commit_id=TEXT),
    st.builds(HttpLocation, url=TEXT),
    st.builds(FileLocation, path=TEXT),
)

MILLISECONDS = st.integers(0, 2**40)
LABELS = st.dictionaries(TEXT, TEXT, max_size=3)
ALARM_NAMES = st.lists(TEXT, max_size=3).map(tuple)
EXPRESSIONS = st.builds(
    Expression,
    expression=TEXT,
    comparison=st.sampled_from(Comparison),
    threshold=st.floats(allow_nan=False),
    hold=MILLISECONDS,
    several=st.sampled_from(SeveralSeries),
)
ALARMS = st.builds(
    Alarm,
    name=TEXT,
    source=EXPRESSIONS | st.builds(PrometheusAlert, alert_name=TEXT, labels=LABELS) | st.builds(AlertmanagerAlert, labels=LABELS),
    interval=MILLISECONDS,
    no_data=st.sampled_from(AlarmStatus),
    on_error=st.sampled_from(AlarmStatus),
)


@given(st.builds(MinimumHealthyHosts, type=st.sampled_from(MinimumHealthyHostsType), value=INT32))
def test_minimum_healthy_hosts(value: MinimumHealthyHosts) -> None:
    message = pb.MinimumHealthyHosts.FromString(wire.minimum_healthy_hosts(value).SerializeToString())
    assert wire.read_minimum_healthy_hosts(message, field="x") == value


@given(st.frozensets(st.sampled_from(AutoRollbackEvent)))
def test_auto_rollback(events: frozenset[AutoRollbackEvent]) -> None:
    assert wire.read_auto_rollback(wire.auto_rollback(events), field="x") == events


def test_auto_rollback_that_is_not_enabled_rolls_nothing_back() -> None:
    message = pb.AutoRollbackConfiguration(events=[pb.AUTO_ROLLBACK_EVENT_DEPLOYMENT_FAILURE])
    assert wire.read_auto_rollback(message, field="x") == frozenset()


@given(st.lists(st.builds(TagFilter, key=TEXT, value=TEXT, type=st.sampled_from(TagFilterType))))
def test_tag_filters(filters: list[TagFilter]) -> None:
    assert wire.read_tag_filters([wire.tag_filter(one) for one in filters], field="x") == tuple(filters)


@given(PLACES, st.sampled_from(BundleType), st.binary(max_size=32))
def test_locations(place: Place, bundle_type: BundleType, sha256: bytes) -> None:
    revision = Revision(revision_id=RevisionId("r-1"), place=place, bundle_type=bundle_type, sha256=sha256)
    message = pb.RevisionLocation.FromString(wire.location(revision).SerializeToString())
    assert wire.read_place(message, field="x") == place
    assert wire.read_bundle_type(message.bundle_type, field="x") is bundle_type
    assert message.sha256 == sha256


@given(ALARMS)
def test_alarms(alarm: Alarm) -> None:
    message = alarms_pb.Alarm.FromString(alarms.alarm(alarm).SerializeToString())
    assert alarms.read_alarm(message, field="alarm") == alarm


@given(
    st.builds(
        AlarmConfiguration,
        enabled=st.booleans(),
        ignore_poll_alarm_failure=st.booleans(),
        alarms=ALARM_NAMES,
        bake_time=MILLISECONDS,
        watch_after_success=MILLISECONDS,
    )
)
def test_alarm_configurations(configuration: AlarmConfiguration) -> None:
    message = pb.AlarmConfiguration.FromString(wire.alarm_configuration(configuration).SerializeToString())
    assert wire.read_alarm_configuration(message) == configuration


@given(st.integers(0, 253_402_300_799_999))
def test_times(milliseconds: int) -> None:
    time = wire.time(milliseconds)
    assert time is not None
    assert time.ToMilliseconds() == milliseconds


@pytest.mark.parametrize(
    "enum, message",
    [
        (lifecycle.LifecycleEvent, pb.LifecycleEvent),
        (lifecycle.EventStatus, pb.LifecycleEventStatus),
        (lifecycle.TargetStatus, pb.TargetStatus),
        (lifecycle.DeploymentStatus, pb.DeploymentStatus),
        (lifecycle.LifecycleErrorCode, pb.LifecycleErrorCode),
        (lifecycle.DeploymentErrorCode, pb.DeploymentErrorCode),
        (model.FileExistsBehavior, pb.FileExistsBehavior),
        (model.BundleType, pb.BundleType),
        (model.Creator, pb.DeploymentCreator),
        (model.InstanceHealth, pb.InstanceHealth),
        (model.RevisionHealth, pb.RevisionHealth),
        (model.OfflineAction, pb.OfflineAction),
        (model.OutdatedInstancesStrategy, pb.OutdatedInstancesStrategy),
        (model.HostStatus, pb.HostStatus),
        (model.AlarmStatus, alarms_pb.AlarmStatus),
        (model.SeveralSeries, alarms_pb.SeveralSeries),
        (tags.TagFilterType, pb.TagFilterType),
    ],
)
def test_an_enum_of_the_core_has_the_protos_numbers_and_names(enum: type[IntEnum], message: Any) -> None:
    prefix = message.DESCRIPTOR.values_by_number[0].name.removesuffix("UNSPECIFIED")
    said = {value.name.removeprefix(prefix).replace("_", "").lower(): value.number for value in message.DESCRIPTOR.values}
    own = {member.name.replace("_", "").lower(): member.value for member in enum}
    assert own == {name: number for name, number in said.items() if number or name in own}


@pytest.mark.parametrize(
    "table, message",
    [(wire.MINIMUM_HEALTHY_HOSTS_TYPES, pb.MinimumHealthyHostsType), (wire.AUTO_ROLLBACK_EVENTS, pb.AutoRollbackEvent)],
)
def test_a_table_knows_every_value_that_is_accepted(table: dict[Any, int], message: Any) -> None:
    assert set(table) == {member for one in table for member in type(one)}
    assert set(table.values()) == set(message.DESCRIPTOR.values_by_number) - {0}
    for member, number in table.items():
        assert message.Name(number).endswith(member.value)


def test_what_the_core_has_no_word_for_is_refused_naming_the_field() -> None:
    with pytest.raises(Invalid) as no:
        wire.read_target_statuses([99], field="statuses")
    assert no.value.field == "statuses"
