"""What is an input of ``predict``, what it is called, and what is left out."""

import json
from pathlib import Path

import pytest

from seqbelt.data.sources.dataset import Data
from seqbelt.errors import SettingsError
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.text.text import Word
from seqbelt.inference.journal import Journal, Row
from seqbelt.inference.output import is_prediction_file, write_predictions
from seqbelt.workflow.inputs import list_items

WORD = Word(kind="word")
LOG_MEL = LogMel(kind="log_mel", sample_rate=8000)


def write(path, content="a good film"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def names(inputs, *settings, features=LOG_MEL, notes=None):
    return [item.name for item in list_items(inputs, features, settings, (), notes)[1]]


def test_inputs_of_several_folders_carry_their_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, two = write(tmp_path / "may/1.wav").parent, write(tmp_path / "june/1.wav").parent
    assert names([one]) == ["1.wav"]
    one, two = (path.relative_to(tmp_path) for path in (one, two))
    assert names([one, two, two / "1.wav"]) == ["may/1.wav", "june/1.wav", "june/1.wav"]


def test_labels_beside_recordings_are_no_inputs_of_a_model_that_labels_steps(tmp_path):
    for name in ("a.wav", "a.txt", "notes.txt"):
        (tmp_path / name).write_bytes(b"0")
    everything = ["a.txt", "a.wav", "notes.txt"]
    for labels_steps, expected in ((True, everything[1:]), (False, everything)):
        items = list_items([tmp_path], LOG_MEL, labels_steps=labels_steps).items
        assert [item.name for item in items] == expected


def test_a_class_is_known_by_a_folder_as_people_see_it(tmp_path):
    write(tmp_path / "in/긍정 /1.wav")
    (item,) = list_items([tmp_path / "in"], LOG_MEL, (), ("긍정", "부정"))[1]
    assert item.label == "긍정"


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.jsonl", "OUT.CSV"])
def test_files_of_earlier_predictions_are_no_inputs_and_that_is_said(tmp_path, name):
    write(tmp_path / "a.wav")
    write(tmp_path / "other.csv", "x,y\n1,2\n")
    write_predictions(
        tmp_path / name, [Row("a.wav", None, None, None, "gone")], "path", ("x",), "m"
    )
    Journal(tmp_path / f"{name}.journal", "m").close()
    notes = []
    assert names([tmp_path], notes=notes) == ["a.wav", "other.csv"]
    assert name in notes[-1] and "earlier" in notes[-1]
    (tmp_path / f"{name}.journal").unlink()
    assert is_prediction_file(tmp_path / name)
    assert not is_prediction_file(write(tmp_path / "my.journal", "dear diary"))
    Journal(tmp_path / "other.csv.journal", "m").close()
    assert is_prediction_file(tmp_path / "other.csv")


def test_texts_of_a_folder_are_read_by_an_encoding_for_predict_too(tmp_path):
    write(tmp_path / "1.txt", "좋은 영화".encode("cp949"))
    items = list_items([tmp_path], WORD, ["data.encoding=cp949"]).items
    assert [WORD.read(item.source) for item in items] == ["좋은 영화"]
    items = list_items([tmp_path / "1.txt"], WORD, ["data.encoding=cp949"]).items
    assert [WORD.read(item.source) for item in items] == ["좋은 영화"]
    with pytest.raises(SettingsError, match=r"data\.quoting"):
        names([tmp_path], "data.quoting=false", features=WORD)
    with pytest.raises(SettingsError, match=r"data\.encoding"):
        names([tmp_path], "data.encoding=cp949", features=LOG_MEL)


def test_a_manifest_with_transcripts_gives_recordings_to_audio(tmp_path):
    write(tmp_path / "소리.wav")
    table = write(tmp_path / "m.CSV", "path,text,label\n소리.wav,hello,x \n")
    key, items, _ = list_items([table], LOG_MEL)
    (item,) = items
    assert (key, item.source, item.label) == ("path", tmp_path / "소리.wav", "x")
    key, items, _ = list_items([table], WORD)
    assert (key, next(items).source) == ("id", "hello")


def test_a_manifests_columns_are_kept_row_by_row(tmp_path):
    table = write(tmp_path / "m.csv", "id,text,label,who\n7,good film,x,ann\n8,bad,,bob\n")
    key, items, kept = list_items([table], WORD, keep_columns=True)
    assert (key, kept) == ("id", ("text", "label", "who"))
    assert [item.kept for item in items] == [("good film", "x", "ann"), ("bad", "", "bob")]
    assert list_items([table], WORD).kept == ()


def test_a_folders_texts_and_known_classes_are_kept(tmp_path):
    write(tmp_path / "in/x/1.txt", "a good film")
    write(tmp_path / "in/2.txt", "")
    _, items, kept = list_items([tmp_path / "in"], WORD, (), ("x",), keep_columns=True)
    assert kept == ("label", "text")
    found = {item.name: item.kept for item in items}
    assert found == {"x/1.txt": ("x", "a good film"), "2.txt": ("", "")}


@pytest.mark.parametrize("kind", ["folder", "manifest"])
def test_paths_can_be_relative_to_the_output_or_absolute(tmp_path, kind):
    write(tmp_path / "in/x/1.wav")
    table = write(tmp_path / "in/m.csv", "path,label\nx/1.wav,x\n")
    source = tmp_path / "in/x" if kind == "folder" else table

    def name(relative_to=None):
        return next(list_items([source], LOG_MEL, relative_to=relative_to).items).name

    assert name() == ("1.wav" if kind == "folder" else "x/1.wav")
    assert name(tmp_path / "out") == "../in/x/1.wav"
    assert name(Path("/")) == str(tmp_path / "in/x/1.wav")


def test_a_table_is_read_as_the_training_data_where_that_applies(tmp_path):
    """``reading`` is what a bundle keeps of the ``data`` section; what is given replaces it."""
    reading = Data.parse(
        {"source": "a.csv", "text_column": "리뷰", "label_column": "감정", "delimiter": ";"}, "data"
    ).reading
    assert reading == {"text_column": "리뷰", "label_column": "감정", "delimiter": ";"}

    def read(content, *settings):
        source, notes = tmp_path / "new.csv", []
        source.write_text(content, "utf-8")
        items = list_items([source], WORD, settings, notes=notes, reading=reading)
        return [(item.source, item.label) for item in items.items], notes

    rows, notes = read("리뷰;감정;text\n좋아요;긍정;x\n")
    assert rows == [("좋아요", "긍정")]
    assert (
        "read as the training data, with data.text_column=리뷰, data.label_column=감정" in notes[0]
    )
    rows, notes = read("리뷰;text\n좋아요;x\n")
    assert rows == [("좋아요", None)] and "감정" not in notes[0]
    assert read("text,label\ngood,fine\n") == ([("good", "fine")], [])
    assert read("리뷰,x\n좋아요,1\n", "data.delimiter=,")[0] == [("좋아요", None)]
    with pytest.raises(SettingsError, match="no column 'path' or '리뷰'; found a, b"):
        read("a;b\n1;2\n")


def test_a_kept_list_is_written_as_json(tmp_path):
    table = tmp_path / "tags.jsonl"
    lines = [{"text": "so", "label": ["dog", "고양이"]}, {"text": "and so", "label": []}]
    table.write_text("\n".join(map(json.dumps, lines)))
    _, items, kept = list_items([table], WORD, keep_columns=True)
    assert [dict(zip(kept, item.kept, strict=True))["label"] for item in items] == [
        '["dog", "고양이"]', "[]",
    ]  # fmt: skip


def test_a_table_of_predictions_says_what_its_labels_are(tmp_path):
    table, notes = tmp_path / "earlier.csv", []
    table.write_text("text,label,confidence,error,content_hash,model\na,b,0.9,,0,m\n")
    list_items([table], WORD, notes=notes)
    assert "holds predictions; its labels are those" in notes[0]
