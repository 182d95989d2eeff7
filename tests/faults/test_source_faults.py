"""Sources that people bring, one small case a kind: read as meant and said, or refused in words."""

import logging
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from seqbelt.data.store.preparation import Prepared
from seqbelt.errors import SeqbeltError
from seqbelt.experiment import Experiment
from seqbelt.workflow.console import log_to_stderr
from seqbelt.workflow.prepared_data import prepare_data

AUDIO = {"kind": "log_mel", "sample_rate": 8000}
TEXT = {"kind": "word", "min_count": 1}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepare(features: dict, **data) -> Prepared:
    return prepare_data(Experiment.parse({"name": "x", "data": data, "features": features}))


def write_reviews(path: Path, labels: list[str], head: str = "text,label") -> None:
    lines = [f"film {n} was {n % 5},{labels[n % len(labels)]}" for n in range(40)]
    path.write_text("\n".join([head, *lines, ""]), "utf-8")


@pytest.fixture(autouse=True)
def log_messages(caplog):
    caplog.set_level("INFO", logger="seqbelt")


def test_01_parts_beside_another_folder(project, write_wavs, caplog):
    write_wavs(project / "lay/Train", 12)
    write_wavs(project / "lay/Test", 8, first_seed=50)
    (project / "lay/docs").mkdir()
    (project / "lay/docs/readme.txt").write_text("notes")
    store = prepare(AUDIO, source="lay").store
    assert store.classes == ("high", "low") and store.about["splits"]["test"] == 8
    said = caplog.text
    assert "docs" in said and "high 10, low 10" in said


def test_06_labels_that_look_alike(project, caplog):
    nfd = unicodedata.normalize("NFD", "긍정")
    write_reviews(project / "a.csv", ["긍정", "부정", "긍정 ", "\u200b부정", nfd])
    assert prepare(TEXT, source="a.csv").store.classes == ("긍정", "부정")
    assert len(prepare(TEXT, source="a.csv", labels_as_written=True).store.classes) == 5
    write_reviews(project / "b.csv", ["pos", "neg", "POS"])
    caplog.clear()
    assert len(prepare(TEXT, source="b.csv").store.classes) == 3
    assert "'POS'" in caplog.text


def test_07_labels_that_are_missing(project):
    labels = ("1", "1.0", "0", "NaN", "null")
    lines = [f'{{"text": "good film", "label": {label}}}' for label in labels]
    (project / "a.jsonl").write_text("\n".join(lines * 10))
    prepared = prepare(TEXT, source="a.jsonl")
    assert prepared.store.classes == ("0", "1") and prepared.num_quarantined == 20


def test_13_a_transcript_beside_the_recording(project, write_wavs):
    paths = write_wavs(project, 12)
    rows = [f"{path.relative_to(project)},hello,{path.parent.name}" for path in paths]
    (project / "m.csv").write_text("path,text,label\n" + "\n".join(rows))
    assert prepare(AUDIO, source="m.csv").num_quarantined == 0


def test_16_a_linked_class_folder(project, write_wavs, caplog):
    write_wavs(project / "disk", 12)
    (project / "top").mkdir()
    (project / "disk/low").rename(project / "top/low")
    (project / "top/high").symlink_to("../disk/high")
    assert prepare(AUDIO, source="top").store.classes == ("high", "low")
    assert "high" in caplog.text


def test_20_texts_in_another_encoding(project):
    for label, text in (("긍정", "좋은 영화"), ("부정", "나쁜 영화")):
        (project / "ko" / label).mkdir(parents=True)
        for n in range(10):
            (project / "ko" / label / f"{n}.txt").write_text(f"{text} {n}", "cp949")
    assert prepare(TEXT, source="ko", encoding="cp949").num_quarantined == 0
    with pytest.raises(SeqbeltError, match=r"first reason: .*data\.encoding: cp949.*quarantine"):
        prepare(TEXT, source="ko", prepared="again")
    assert "data.encoding" in (project / "again/quarantine.csv").read_text("utf-8-sig")


def test_24_paths_that_lead_nowhere_name_what_was_tried(project, write_wavs):
    (path, *_) = write_wavs(project, 2)
    lines = [f"{path.relative_to(project)},a"] * 10 + ["https://example.org/b.wav,b"] * 10
    (project / "m.csv").write_text("path,label\n" + "\n".join(lines))
    prepared = prepare(AUDIO, source="m.csv")
    assert prepared.num_quarantined == 10
    assert "an address" in (prepared.store.folder / "quarantine.csv").read_text("utf-8-sig")


@pytest.mark.parametrize("head", ["text, label ", "sep=,\ntext,label", "\ufeffText,Label"])
def test_28_headers_of_spreadsheets(project, head):
    write_reviews(project / "m.csv", ["a", "b"], head)
    store = prepare(TEXT, source="m.csv").store
    assert store.class_counts == {"a": 20, "b": 20}


def test_what_a_link_out_of_the_folder_leads_to_is_not_quoted(project):
    for name in "ab":
        (project / "lay" / name).mkdir(parents=True)
        np.save(project / "lay" / name / "0.npy", np.full((5, 1), ord(name), np.float32))
    (project / "secret").write_text("root:x:0\ndaemon:x:1\n")
    (project / "lay/a/link.csv").symlink_to(project / "secret")
    (project / "lay/a/bad.csv").write_text("root:x:0\ndaemon:x:1\n")
    prepare({"kind": "channels"}, source="lay", validation_fraction=0, test_fraction=0)
    rows = (project / "data/prepared/x/quarantine.csv").read_text("utf-8-sig").splitlines()
    assert "daemon" in rows[1] and rows[1].startswith("a/bad.csv")
    assert rows[2].startswith("a/link.csv") and "is not quoted" in rows[2]
    assert "daemon" not in rows[2]


def test_control_characters_of_names_are_escaped_on_the_terminal(capsys):
    with log_to_stderr():
        logging.getLogger("seqbelt").info("2 classes: \x1b[31mred 1, \u202egood 2, 가 3")
    shown = capsys.readouterr().err
    assert shown == "2 classes: \\x1b[31mred 1, \\u202egood 2, 가 3\n"
