"""Messy folders become models by two commands, or are refused with the reason that fits."""

import pytest
from init_folders import CASES, try_all


def test_ten_are_read_and_two_refused():
    assert [case.num_items > 0 for case in CASES].count(True) == 10 and len(CASES) == 12


@pytest.mark.slow
def test_no_folder_needs_an_edit(tmp_path, capsys):
    assert try_all(tmp_path) == 0, capsys.readouterr().out
