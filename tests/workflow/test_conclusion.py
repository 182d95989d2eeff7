"""Which unit a comparison judges by: what was held out, whatever made the split."""

from dataclasses import dataclass

import numpy as np
import pytest

from seqbelt.workflow.conclusion import units_of_test


@dataclass
class FakeReport:
    """The part of a report that names units."""

    groups: list[str]
    units: list[str] | None = None

    @property
    def correct(self):
        return np.ones(len(self.groups), bool)


def partition(units):
    """Which examples share a unit, whatever it is called."""
    return None if units is None else np.unique(units, return_inverse=True)[1].tolist()


@pytest.mark.parametrize(
    ("groups", "trained_on", "expected"),
    [
        (["a", "a", "b", "b"], {"c"}, ("group", [0, 0, 1, 1])),
        (["a", "a", "b", "b"], {"a", "b"}, ("row", None)),
        (["", "", "", ""], {"", "c"}, ("row", None)),
        (["a", "b", "c", "d"], {"e"}, ("row", None)),  # as many groups as rows
    ],
)
def test_groups_that_are_not_trained_on_are_the_unit(groups, trained_on, expected):
    units, unit, scope = units_of_test([(FakeReport(groups), trained_on)])
    assert (unit, partition(units)) == expected and scope == ""


def test_folds_of_whole_groups_are_judged_by_group_and_folds_of_rows_by_row():
    by_group = [(FakeReport(["a", "a"]), {"b"}), (FakeReport(["b", "b"]), {"a"})]
    units, unit, _ = units_of_test(by_group)
    assert (unit, partition(units)) == ("group", [0, 0, 1, 1])
    by_row = [(FakeReport(["a", "b"]), {"a", "b"}), (FakeReport(["b", "a"]), {"a", "b"})]
    assert units_of_test(by_row) == (None, "row", "")


def test_one_held_out_group_is_said_to_be_all_that_the_verdict_is_about():
    units, unit, scope = units_of_test([(FakeReport(["nina"] * 3), {"theo"})])
    assert units is None and unit == "row"
    assert "All test examples belong to one group, 'nina'" in scope and "data.test_groups" in scope


def test_rows_of_groups_that_are_trained_on_count_singly_beside_held_out_groups():
    units, unit, scope = units_of_test([(FakeReport(["a", "a", "b", "b"]), {"b"})])
    assert (unit, len(set(units))) == ("group", 3) and scope.startswith("50 % of the test examples")


def test_steps_are_judged_by_recording_unless_their_groups_are_held_out():
    steps = FakeReport(["a", "a", "b", "b", "b"], ["1", "1", "2", "2", "3"])
    units, unit, _ = units_of_test([(steps, {"a", "b"})])
    assert (unit, partition(units)) == ("recording", [0, 0, 1, 1, 2])
    units, unit, _ = units_of_test([(steps, {"c"})])
    assert (unit, partition(units)) == ("group", [0, 0, 1, 1, 1])
