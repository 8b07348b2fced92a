"""How a time to come is typed."""

import datetime

import pytest

from coordinator.cli.clock import clock_time_typed

NOW = datetime.datetime(2027, 1, 15, 8, 30, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("+90s", NOW + datetime.timedelta(seconds=90)),
        ("+2h", NOW + datetime.timedelta(hours=2)),
        ("+3d", NOW + datetime.timedelta(days=3)),
        ("2027-01-31T22:30Z", datetime.datetime(2027, 1, 31, 22, 30, tzinfo=datetime.UTC)),
        ("2027-01-31T22:30+02:00", datetime.datetime(2027, 1, 31, 20, 30, tzinfo=datetime.UTC)),
        ("2027-01-31T22:30", datetime.datetime(2027, 1, 31, 22, 30).astimezone(datetime.UTC)),
    ],
)
def test_a_start_time_is_read_as_it_is_meant(typed: str, meant: datetime.datetime) -> None:
    assert clock_time_typed(typed, NOW) == meant


def test_a_time_of_day_is_the_next_one_of_its_name() -> None:
    local = NOW.astimezone()
    later, earlier = local + datetime.timedelta(minutes=1), local - datetime.timedelta(minutes=1)
    assert clock_time_typed(f"{later:%H:%M}", NOW) - NOW <= datetime.timedelta(minutes=1)
    assert datetime.timedelta(hours=22) < clock_time_typed(f"{earlier:%H:%M}", NOW) - NOW < datetime.timedelta(hours=25)


@pytest.mark.parametrize("typed", ["", "tomorrow", "25:00", "+2w", "2027-02-30T10:00", "+9999999d"])
def test_what_is_no_time_is_refused_with_what_to_type(typed: str) -> None:
    with pytest.raises(ValueError, match="is no time: write 22:30"):
        clock_time_typed(typed, NOW)
