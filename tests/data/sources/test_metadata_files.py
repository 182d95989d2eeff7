"""Folders with a metadata.csv beside the files."""

import json

import pytest

from seqbelt.data.sources.dataset import Data
from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment
from seqbelt.features.arrays.channels import Channels

CHANNELS = Channels(kind="channels")


def write(folder, names, label="dog", table="metadata.csv"):
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x\n1\n2\n")
        rows.append({"file_name": name, "label": label, "age": str(number)})
    if table.endswith("jsonl"):
        (folder / table).write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
        (folder / table).write_text("\n".join(lines) + "\n")


def test_a_table_beside_the_files_lists_them(tmp_path):
    write(tmp_path, ["train/a.csv", "train/b.csv", "test/c.csv"], table="metadata.jsonl")
    found = Data(source=str(tmp_path)).list_items(CHANNELS)
    assert found.column("label").tolist() == ["dog"] * 3
    assert found.column("split").tolist() == ["train", "train", "test"]
    assert all(path.is_file() for path in found.sources())
    assert "metadata.jsonl" in found.notes[0]


def test_files_that_the_table_leaves_out_are_named(tmp_path):
    write(tmp_path, ["a.csv", "sub/b.csv"])
    assert "not listed" not in " ".join(Data(source=str(tmp_path)).list_items(CHANNELS).notes)
    (tmp_path / "sub" / "c.CSV").write_text("x\n1\n2\n")
    (tmp_path / "sub" / "._a.csv").write_text("hidden\n")
    (tmp_path / "readme.txt").write_text("of these files\n")
    notes = Data(source=str(tmp_path)).list_items(CHANNELS).notes
    assert any("1 file of" in note and "not read: sub/c.CSV" in note for note in notes)


def test_each_part_may_have_its_own_table(tmp_path):
    write(tmp_path / "train", ["a.csv", "b.csv"])
    write(tmp_path / "test", ["c.csv"], label="cat")
    data = {"source": str(tmp_path)}
    found = Data(**data).list_items(CHANNELS)
    assert sorted(zip(found.column("path"), found.column("split"), found.column("label"))) == [
        ("test/c.csv", "test", "cat"), ("train/a.csv", "train", "dog"),
        ("train/b.csv", "train", "dog"),
    ]  # fmt: skip
    features = {"kind": "channels", "columns": ["age"]}
    joined = Experiment.parse({"name": "x", "data": data, "features": features}).features
    sources = [*Data(**data).list_items(joined).sources()]
    assert all(one.inputs[0].is_file() for one in sources)
    assert sorted(one.cells for one in sources) == [("0",), ("0",), ("1",)]


def test_two_tables_of_the_same_files_are_refused(tmp_path):
    write(tmp_path, ["a.csv"])
    write(tmp_path, ["a.csv"], table="metadata.jsonl")
    with pytest.raises(SettingsError, match="both list the files"):
        Data(source=str(tmp_path)).list_items(CHANNELS)


def test_a_table_without_file_names_is_no_list(tmp_path):
    write(tmp_path / "dog", ["a.csv", "b.csv"], table="other.csv")
    write(tmp_path / "cat", ["c.csv"], table="other.csv")
    (tmp_path / "metadata.csv").write_text("name,licence\nset,free\n")
    labels = Data(source=str(tmp_path)).list_items(CHANNELS).column("label")
    assert set(labels) == {"dog", "cat"}
