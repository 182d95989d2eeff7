"""A known set keeps its official protocol unless told otherwise; whole groups may be left out."""

from collections import Counter

import numpy as np
import pytest

from seqbelt.data.sources import catalogue
from seqbelt.data.sources.dataset import Data
from seqbelt.data.sources.known_sets import KNOWN_SETS, KnownSet
from seqbelt.errors import SettingsError


@pytest.fixture
def declare(tmp_path, monkeypatch):
    """Declare a known set of 40 rows: an official split or none, groups or none."""

    def make(official: bool, groups: str | None):
        columns = {"path": [f"{row}.wav" for row in range(40)], "label": [*"ab"] * 20}
        if official:
            columns["split"] = ["test" if row < 10 else "train" for row in range(40)]
        if groups:
            columns["group"] = [groups[row // 2 % len(groups)] for row in range(40)]
        lines = [",".join(columns), *map(",".join, zip(*columns.values()))]
        (tmp_path / "manifest.csv").write_text("\n".join(lines))
        known = KnownSet("toy", "", "", (), lambda folder: folder, protocol="the first ten test")
        monkeypatch.setitem(KNOWN_SETS, "toy", known)
        monkeypatch.setattr(catalogue, "find_known_set", lambda name: tmp_path / "manifest.csv")

    return make


@pytest.mark.parametrize(
    ("official", "groups", "settings", "refused"),
    [
        (True, None, {}, None),
        (True, None, {"test_fraction": 0.2}, "test_fraction"),
        (True, None, {"folds": 5}, "folds"),
        (True, "xyzuv", {"test_fraction": 0.2}, "test_fraction"),
        (True, "xyzuv", {"folds": 5, "whole_groups": False}, "folds"),
        (True, "xyzuv", {"folds": 5}, None),
        (True, "xyzuv", {"folds": "group"}, None),
        (True, "xyzuv", {"folds": "group", "whole_groups": False}, None),
        (True, "xyzuv", {"test_groups": ("x",)}, None),
        (True, "xyzuv", {"test_groups": ("x",), "test_fraction": 0.2}, None),
        (False, "xyzuv", {"folds": "group"}, None),
        (False, "xyzuv", {"test_fraction": 0.2}, None),
        (False, "xyzuv", {"whole_groups": False}, "whole_groups"),
    ],
)
def test_only_random_splits_are_refused(declare, official, groups, settings, refused):
    declare(official, groups)
    data = Data(source="toy", **settings)
    if refused is None:
        split = data.load().column("split")
        if not settings:
            assert np.flatnonzero(split == "test").tolist() == [*range(10)]
    else:
        message = rf"data\.{refused}: 'toy'.*the first ten test.*data\.force_split"
        with pytest.raises(SettingsError, match=message):
            data.load()
    assert not data.splits_by_force


def test_forced_a_known_set_is_split_like_any_other(declare):
    declare(official=True, groups="xyzuv")
    data = Data(source="toy", test_fraction=0.5, force_split=True)
    manifest = data.load()
    split, group = manifest.column("split"), manifest.column("group")
    assert data.splits_by_force
    assert Counter(split)["test"] == 20
    # The official split has groups on both sides, so this one may have them too.
    assert set(group[split == "test"]) & set(group[split == "train"])


def test_forced_folds_test_every_row_once(declare):
    declare(official=True, groups=None)
    folds = Data(source="toy", folds=4, force_split=True).each_fold()
    tested = sum((data.load().column("split") == "test").astype(int) for data in folds)
    assert (tested == 1).all()


def test_other_sources_have_no_protocol_to_force(tmp_path):
    lines = ["path,label,split", *(f"{n}.wav,{n % 2},train" for n in range(20))]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    data = Data(source=str(tmp_path / "m.csv"), test_fraction=0.3, force_split=True)
    assert not data.splits_by_force
    assert "test" in set(data.load().column("split"))


def test_every_known_set_names_its_protocol():
    assert all(known.protocol for known in KNOWN_SETS.values())
