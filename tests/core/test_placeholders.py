"""How an expression speaks of cohorts."""

import pytest

from coordinator.core.evidence.placeholders import filled, has_any, strange


@pytest.mark.parametrize(
    "expression, becomes",
    [
        ("up{{{cohort}}}", 'up{application="shop", deployment_group="web", cohort="canary"}'),
        ('up{job="a", {{ cohort }}}', 'up{job="a", application="shop", deployment_group="web", cohort="canary"}'),
        ("up{{{control}},a=~'x{1}'}", """up{application="shop", deployment_group="web", cohort="control",a=~'x{1}'}"""),
        ('up{job="a"}', 'up{job="a"}'),
    ],
)
def test_placeholders_become_the_labels_of_a_groups_cohorts(expression: str, becomes: str) -> None:
    assert filled(expression, application_name="shop", group_name="web") == becomes
    assert has_any(expression) is (expression != becomes)


def test_without_a_group_they_stand_for_those_of_all_groups() -> None:
    assert filled("up{{{cohort}}} / up{{{control}}}") == 'up{cohort="canary"} / up{cohort="control"}'


@pytest.mark.parametrize(
    "expression, first", [("up{{{cohort}}}", None), ("up{{{canary}}}", "canary"), ("up{{{}}}", ""), ("up{a='b'}", None)]
)
def test_what_is_no_placeholder_is_found(expression: str, first: str | None) -> None:
    assert strange(expression) == first
