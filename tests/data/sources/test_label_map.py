"""``data.label_map``: which labels are merged and left out, and what is refused."""

import numpy as np
import pytest

from seqbelt.data.sources.corrections import Correction, CorrectionsWriter
from seqbelt.data.sources.dataset import Data
from seqbelt.data.sources.manifest import make_manifest
from seqbelt.errors import SettingsError
from seqbelt.features.encoding import hash_content

LABELS = ["1", "2", "3", "4", "5", "unsure", "1", "2"]


@pytest.fixture
def source(tmp_path):
    rows = "".join(f"text {n},{label},g{n}\n" for n, label in enumerate(LABELS))
    (tmp_path / "stars.csv").write_text(f"text,label,group\n{rows}")
    return str(tmp_path / "stars.csv")


def load(source, label_map, **settings):
    values = {"source": source, "label_map": label_map, "test_fraction": 0, **settings}
    return Data.parse(values).load()


def test_labels_are_merged_and_rows_left_out_with_their_counts(source):
    manifest = load(source, {1: "bad", 2: "bad", "unsure": None})
    assert manifest.column("label").tolist() == ["bad", "bad", "3", "4", "5", "bad", "bad"]
    assert manifest.column("text").tolist()[5] == "text 6"
    merged, left_out = manifest.notes
    assert merged.endswith("reads '1' (2), '2' (2) as 'bad' (rows)")
    assert left_out.endswith("leaves out 1 rows: 'unsure' (1)")


def test_a_new_name_is_not_looked_up_again(source):
    found = load(source, {"1": "2", "2": "1"}).column("label")
    assert found.tolist() == ["2", "1", "3", "4", "5", "unsure", "2", "1"]


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        ({"unsur": None}, "no label 'unsur' .nearest: unsure"),
        ({"x": "y"}, "no label 'x' .labels: 1, 2, 3, 4, 5 and 1 more"),
        (dict.fromkeys(set(LABELS)), "leaves out all 8 rows"),
        ({"1": "a", "1\u200b": "b"}, "two entries for '1'"),
        ({"1": ""}, "at least 1 item"),
        ({"1": True}, "valid string; found true; write it in quotes"),
    ],
)
def test_what_cannot_be_meant_is_refused(source, label_map, message):
    with pytest.raises(SettingsError, match=message):
        load(source, label_map)


def test_entries_and_labels_meet_in_one_spelling(tmp_path):
    (tmp_path / "m.csv").write_text("text,label\na,caf\u0065\u0301\nb,tea\n", "utf-8")
    manifest = load(str(tmp_path / "m.csv"), {"caf\u00e9 ": "coffee"})
    assert manifest.column("label").tolist() == ["coffee", "tea"]


def test_labels_of_steps_are_refused():
    with pytest.raises(SettingsError, match="label_map is not for labels: per_step"):
        Data.parse({"source": "x", "labels": "per_step", "label_map": {"a": "b"}})


def test_what_belongs_to_a_row_moves_with_it():
    arrays = [np.full((2, 1), n) for n in range(3)]
    manifest = make_manifest(label=["a", "b", "c"], contents=arrays, problems={0: "p", 2: "q"})
    taken = manifest.take(np.array([2, 1]))
    assert taken.problems == {0: "q"}
    assert [int(one[0, 0]) for one in taken.sources()] == [2, 1]


def test_corrections_made_before_the_map_apply_by_its_names(source, tmp_path):
    table = tmp_path / "corrections.csv"
    change = [(0, "1", "2"), (2, "3", "unsure"), (3, "4", "1")]
    CorrectionsWriter(table).append(
        [Correction(str(row), hash_content(f"text {row}"), old, new) for row, old, new in change]
    )
    manifest = load(source, {"1": "bad", "2": "bad", "unsure": None}, corrections=str(table))
    assert manifest.column("label").tolist() == ["bad", "bad", "3", "bad", "5", "bad", "bad"]
    assert "leaves out 'unsure'" in manifest.notes[-1]
