"""Several labels: how tables write them, what is refused, and what the store holds."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from toys import Ready

from seqbelt.data.labels.label_sets import pack_labels, rarest_labels, unpack_labels
from seqbelt.data.labels.labelling import SeveralLabelling
from seqbelt.data.sources.dataset import Data
from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.errors import SettingsError

SETS = [["b", "a"], ["c"], [], ["a"], ["c", "a", "c"], ["b"]]
READ = [("a", "b"), ("c",), (), ("a",), ("a", "c"), ("b",)]


def load(path, **settings):
    values = {"source": str(path), "labels": "several", "test_fraction": 0, **settings}
    return Data.parse(values).load()


def read(path, **settings):
    return [unpack_labels(text) for text in load(path, **settings).column("label")]


def write_lines(path, sets):
    rows = [json.dumps({"text": f"t{n}", "label": one}) for n, one in enumerate(sets)]
    path.write_text("\n".join(rows))
    return path


def test_lists_are_read_from_jsonl_and_parquet(tmp_path):
    assert read(write_lines(tmp_path / "m.jsonl", SETS)) == READ
    table = pa.table({"text": [f"t{n}" for n in range(6)], "label": SETS})
    pyarrow.parquet.write_table(table, tmp_path / "m.parquet")
    assert read(tmp_path / "m.parquet") == READ


def test_lists_are_read_as_programs_write_them_into_a_table(tmp_path):
    for written in (str, json.dumps, lambda one: str([*map(str, one)]).replace(", ", ",")):
        rows = [written(one).replace('"', '""') for one in SETS]
        text = "".join(f't{n},"{one}"\n' for n, one in enumerate(rows))
        (tmp_path / "m.csv").write_text(f"text,label\n{text}")
        assert read(tmp_path / "m.csv") == READ
    (tmp_path / "m.csv").write_text("text,label\na,\"['x']\"\nb,['x' 'y']\n")
    assert "holds a text, '['x' 'y']'" in load(tmp_path / "m.csv").problems[1]


def test_texts_need_a_separator(tmp_path):
    rows = "".join(f"t{n},{'; '.join(one)}\n" for n, one in enumerate(SETS))
    path = tmp_path / "m.csv"
    path.write_text(f"text,label\n{rows}")
    assert read(path, label_separator=";") == READ
    with pytest.raises(SettingsError, match=r"holds texts, such as 'b; a'; set data\.label_sep"):
        load(path)


def test_columns_of_0_and_1_are_labels(tmp_path):
    rows = "".join(
        f"t{n},{int('a' in one)},{'c' in one},{1.0 if 'b' in one else 0.0}\n"
        for n, one in enumerate(SETS)
    )
    path = tmp_path / "m.csv"
    path.write_text(f"text,a,c,b\n{rows}".replace("1.0", "1").replace("0.0", "0"))
    assert read(path, label_columns=["a", "b", "c"]) == READ
    assert read(path, label_columns=["a"]) == [tuple(set(one) & {"a"}) for one in READ]
    with pytest.raises(SettingsError, match=r"data\.label_columns: no column 'd'; nearest"):
        load(path, label_columns=["a", "d"])


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("a", "column 'label' holds a text, 'a'; expected a list"),
        ({"a": 1}, "expected a list of labels"),
        (["a", None], "holds a list with null; expected labels"),
        (["a", ["b"]], "holds a list with"),
    ],
)
def test_what_is_no_list_is_a_problem_of_its_row(tmp_path, value, why):
    manifest = load(write_lines(tmp_path / "m.jsonl", [["a"], value]))
    assert "line 2" in manifest.problems[1] and why in manifest.problems[1]
    problem = SeveralLabelling("negative").problem(manifest, 1)
    assert problem is not None and why in str(problem)


def test_a_column_that_holds_neither_0_nor_1_is_a_problem_of_its_row(tmp_path):
    (tmp_path / "m.csv").write_text("text,a,b\nx,1,0\ny,2,1\nz,,1\n")
    manifest = load(tmp_path / "m.csv", label_columns=["a", "b"])
    assert "column 'a' holds '2'; expected 0 or 1" in manifest.problems[1]
    assert "column 'a' holds nothing; expected 0 or 1" in manifest.problems[2]


def test_rows_without_a_label_are_quarantined_or_negatives(tmp_path):
    path = write_lines(tmp_path / "m.jsonl", SETS)
    manifest = load(path)
    problem = SeveralLabelling("quarantine").problem(manifest, 2)
    assert problem is not None and "data.unlabeled: negative" in str(problem)
    assert SeveralLabelling("negative").problem(manifest, 2) is None
    note = load(path, unlabeled="negative").notes[-1]
    assert note.endswith("1 of 6 rows have no label: read as none of the labels")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label_separator": "|"}, "label_separator is for labels: several"),
        ({"unlabeled": "negative"}, "unlabeled is for labels: several"),
        ({"labels": "several", "label_separator": "|", "label_columns": ["a"]}, "two ways"),
        ({"labels": "several", "label_columns": ["a", "a"]}, "names 'a' twice"),
        ({"labels": "several", "order": ["a", "b", "c"]}, "order is for labels: per_sequence"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        Data.parse({"source": "x", **values})


def test_a_folder_has_one_class_a_file(wav_folder):
    with pytest.raises(SettingsError, match="is a folder, whose files have one class each"):
        load(wav_folder)


def test_a_label_map_merges_and_leaves_out_labels_but_no_rows(tmp_path):
    path = write_lines(tmp_path / "m.jsonl", SETS)
    assert read(path, label_map={"c": "a", "b": None}) == [("a",), ("a",), (), ("a",), ("a",), ()]


def test_rows_are_parted_by_their_rarest_label():
    packed = [pack_labels(one) for one in (["a", "b"], ["a"], ["a", "c"], ["c"], [])]
    assert rarest_labels(packed) == ["b", "a", "c", "c", ""]


def test_the_store_has_the_sets_and_another_set_is_another_store(tmp_path):
    arrays = [np.full((2, 3), n, np.float32) for n in range(6)]

    def store(sets, name):
        manifest = make_manifest(
            label=[pack_labels(one) for one in sets], split=["train"] * 6, contents=arrays
        )
        labelling = SeveralLabelling("negative")
        return prepare(manifest, Ready(), tmp_path / name, {}, labelling=labelling).store

    found = store(SETS, "first")
    assert found.classes == ("a", "b", "c") and found.target.name == "several"
    assert found.class_counts == {"a": 3, "b": 2, "c": 2}
    expected = np.array([[name in one for name in "abc"] for one in READ])
    assert np.array_equal(found.split("train").label_sets(), expected)
    assert np.array_equal(found.target.labels(found.select([4, 0])), expected[[4, 0]])
    assert found.fingerprint != store([*SETS[:5], ["b", "c"]], "second").fingerprint
