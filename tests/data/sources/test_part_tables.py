"""Folders with a manifest for each part: train.csv and test.csv."""

import pyarrow as pa
import pyarrow.parquet
import pytest

from seqbelt.commands.init import init
from seqbelt.data.sources.dataset import Data
from seqbelt.errors import SettingsError
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.text.text import Word


def write(folder, name, texts, labels=None, column="text"):
    labels = labels or [["no", "yes"][row % 2] for row in range(len(texts))]
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{text},{label}" for text, label in zip(texts, labels, strict=True)]
    (folder / name).write_text("\n".join([f"{column},label", *rows]) + "\n")


def listed(folder, **settings):
    return Data(source=str(folder), **settings).list_items(Word(kind="word"))


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (("train.csv", "test.csv"), ("train", "test")),
        (("reviews_train_v1.csv", "reviews_dev_v2.csv"), ("train", "validation")),
        (("학습.csv", "시험.csv"), ("train", "test")),
        (("Training-00000-of-00001.csv", "test-00003-of-00004.csv"), ("train", "test")),
    ],
)
def test_tables_named_like_parts_are_parts(tmp_path, names, parts):
    for name, texts in zip(names, ("ab", "c"), strict=True):
        write(tmp_path, name, texts)
    found = listed(tmp_path)
    splits = dict(zip(found.column("text"), found.column("split"), strict=True))
    assert splits == {"a": parts[0], "b": parts[0], "c": parts[1]}
    assert len(set(found.column("id"))) == 3
    assert all(name in found.notes[0] for name in names)


def test_a_table_without_labels_is_left_out_and_said(tmp_path):
    write(tmp_path, "train.csv", "ab")
    write(tmp_path, "test.csv", "cd", labels=["", ""])
    write(tmp_path, "sample_submission.csv", "ef")
    found = listed(tmp_path)
    assert found.column("text").tolist() == ["a", "b"]
    assert any("test.csv: no row has a label" in note for note in found.notes)
    assert any("not read: sample_submission.csv" in note for note in found.notes)


def test_the_columns_are_those_of_the_settings(tmp_path):
    write(tmp_path, "train.csv", "ab", column="comment")
    write(tmp_path, "test.csv", "c", column="comment")
    assert len(listed(tmp_path, text_column="comment")) == 3
    with pytest.raises(SettingsError, match=r"train|test.*data.text_column"):
        listed(tmp_path)


def test_class_folders_stay_classes_beside_tables_of_numbers(tmp_path):
    for name in ("train.csv", "test.csv", "more_train.csv", "more_test.csv"):
        write(tmp_path, name, "12", column="x")
    for label in "ab":
        write(tmp_path / label, "1.csv", "12", column="x")
    assert listed(tmp_path).column("label").tolist() == ["a", "b"]


def test_tables_that_list_the_files_go_before_folders(tmp_path):
    (tmp_path / "sounds").mkdir()
    for name, part in (("a", "train"), ("b", "train"), ("c", "test")):
        (tmp_path / "sounds" / f"{name}.wav").write_bytes(b"")
        with (tmp_path / f"{part}.csv").open("a") as file:
            header = "" if file.tell() else "path,label\n"
            file.write(f"{header}sounds/{name}.wav,x\n")
    found = Data(source=str(tmp_path)).list_items(LogMel(kind="log_mel"))
    splits = dict(zip(found.column("path"), found.column("split"), strict=True))
    assert splits == {"sounds/a.wav": "train", "sounds/b.wav": "train", "sounds/c.wav": "test"}
    assert all(path.is_file() for path in found.sources())


def test_the_bytes_of_several_parquet_files_are_read_in_order(tmp_path):
    def write_bytes(name, numbers):
        sounds = [{"bytes": bytes([n]), "path": f"{n}.wav"} for n in numbers]
        table = pa.table({"audio": sounds, "label": ["x"] * len(numbers)})
        pyarrow.parquet.write_table(table, tmp_path / name)

    write_bytes("train-00000-of-00002.parquet", [1, 2])
    write_bytes("train-00001-of-00002.parquet", [3])
    write_bytes("test-00000-of-00001.parquet", [4, 5])
    found = Data(source=str(tmp_path)).list_items(LogMel(kind="log_mel"))
    pairs = zip(found.sources(), found.column("split"), strict=True)
    assert sorted(pairs) == [
        (b"\1", "train"), (b"\2", "train"), (b"\3", "train"), (b"\4", "test"), (b"\5", "test"),
    ]  # fmt: skip
    assert [found.source(row) for row in (4, 0)] == [*found.sources([4, 0])]


def test_other_columns_and_several_sets_are_refused(tmp_path):
    write(tmp_path, "train.csv", "ab")
    (tmp_path / "test.csv").write_text("text,label,segments\nc,no,\n")
    with pytest.raises(SettingsError, match="has other columns than"):
        listed(tmp_path)
    for name in ("b_train.csv", "b_test.csv"):
        write(tmp_path, name, "ab")
    with pytest.raises(SettingsError, match="several sets of tables"):
        listed(tmp_path)


def test_init_proposes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = [f"the film number {row} was long" for row in range(40)]
    write(tmp_path / "reviews", "train.csv", texts, column="comment")
    write(tmp_path / "reviews", "test.csv", texts[:10], column="comment")
    result = init(tmp_path / "reviews", None, [], None, False, show=False).result
    assert result["num_items"] == 50
    assert "train.csv as train" in result["reasons"]["data.source"]
