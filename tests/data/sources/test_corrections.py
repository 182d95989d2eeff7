"""Corrected labels: which apply, which do not, and that no row changes its part."""

import json

import numpy as np
import pytest
from toys import Ready

from seqbelt.data.labels.targets import TARGETS
from seqbelt.data.sources.corrections import (
    Correction,
    CorrectionsWriter,
    correct_labels,
    read_corrections,
)
from seqbelt.data.sources.dataset import Data
from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.errors import SettingsError
from seqbelt.features.encoding import hash_content

TEXTS = ["meow", "purr", "woof", "growl"]


@pytest.fixture
def table(tmp_path):
    return tmp_path / "labels.corrections.csv"


def manifest():
    return make_manifest(label=["cat", "cat", "cat", "dog"], text=TEXTS, id=["a", "b", "c", "d"])


def correction(row, old, new):
    return Correction("abcd"[row], hash_content(TEXTS[row]), old, new)


def test_the_last_decision_on_an_item_counts(table):
    writer = CorrectionsWriter(table)
    writer.append([correction(2, "cat", "dog"), correction(3, "dog", "cat")])
    writer.append([correction(2, "cat", "cow"), correction(3, "dog", "")])
    found = [*read_corrections(table).values()]
    assert [(one.id, one.new_label, one.line) for one in found] == [("c", "cow", 4)]


def test_names_of_any_kind_survive_and_an_editor_s_last_line_is_ended(table):
    name = 'new\nline, "quoted" 고양이.wav'
    writer = CorrectionsWriter(table)
    writer.append([Correction(name, "0" * 32, "", "고양이")])
    table.write_bytes(table.read_bytes().rstrip(b"\n"))
    writer.append([Correction("b", "1" * 32, "cat", "cat")])
    first, second = read_corrections(table).values()
    assert (first.id, first.new_label) == (name, "고양이")
    assert (second.id, second.is_change) == ("b", False)


def test_what_still_matches_is_applied_and_the_rest_is_listed(table):
    changed = correction(1, "cat", "dog")._replace(content_hash="f" * 32)
    other_label = correction(3, "cow", "cat")
    gone = Correction("z", "f" * 32, "cat", "dog")
    CorrectionsWriter(table).append([correction(2, "cat", "dog"), changed, other_label, gone])
    corrected = correct_labels(manifest(), table)
    assert corrected.column("label").tolist() == ["cat", "cat", "dog", "dog"]
    applied, refused = corrected.notes
    assert "1 of 4 labels corrected" in applied
    assert "3 corrections not applied" in refused
    assert "line 3: 'b': its content has changed" in refused
    assert "line 4: 'd': its label is 'dog', not 'cow'" in refused
    assert "line 5: 'z': no such item" in refused


def test_what_the_source_has_already_is_no_fault(table):
    CorrectionsWriter(table).append([correction(3, "cat", "dog")])
    corrected = correct_labels(manifest(), table)
    assert corrected.column("label").tolist() == ["cat", "cat", "cat", "dog"]
    assert len(corrected.notes) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label\na,b\n", "expected the columns id, content_hash"),
        ("id,content_hash,old_label,new_label\na,b\n", "line 2: 2 values, expected 4"),
    ],
)
def test_another_table_is_refused(table, content, message):
    table.write_text(content)
    with pytest.raises(SettingsError, match=message):
        read_corrections(table)


def test_a_missing_table_is_refused_with_the_remedy(table):
    with pytest.raises(SettingsError, match="'seqbelt review' writes one"):
        read_corrections(table)


@pytest.fixture
def source(tmp_path):
    """A manifest of texts without parts; the first row has no label."""
    random = np.random.default_rng(0)
    words = ["".join(random.choice([*"abcdefgh"], 6)) for _ in range(60)]
    lines = [f"{word},{('x', 'y')[row % 2] if row else ''}" for row, word in enumerate(words)]
    path = tmp_path / "texts.csv"
    path.write_text("text,label\n" + "\n".join(lines) + "\n")
    return path, words


def test_no_row_changes_its_part_and_the_unlabelled_get_a_label(source, table):
    path, words = source
    data = Data(source=str(path))
    before = data.load()
    rows = [*range(1, 30, 2), 0]
    old = before.column("label")
    CorrectionsWriter(table).append(
        [Correction(str(row), hash_content(words[row]), old[row], "x") for row in rows]
    )
    after = data.replace(corrections=table).load()
    assert (after.column("split") == before.column("split")).all()
    changed = np.flatnonzero(after.column("label") != old)
    assert set(changed) == set(rows) and set(after.column("label")[rows]) == {"x"}


def test_only_labels_and_the_fingerprint_change_in_the_store(tmp_path, table):
    arrays = [np.full((3, 3), row, np.float32) for row in range(8)]
    given = make_manifest(label=["no", "yes"] * 4, split=["train", "test"] * 4, contents=arrays)
    first = prepare(given, Ready(), tmp_path / "store", {})
    CorrectionsWriter(table).append([Correction("2", hash_content(arrays[2]), "no", "yes")])
    again = prepare(correct_labels(given, table), Ready(), tmp_path / "store", {})
    assert again.num_encoded == 0 and not again.skipped
    assert again.store.fingerprint != first.store.fingerprint
    assert again.store.index["label"].to_pylist() == [0, 1, 1, 1, 0, 1, 0, 1]


def test_labels_for_steps_have_no_corrections(table):
    with pytest.raises(SettingsError, match="corrections are not for labels: per_step"):
        Data.parse({"source": "x", "labels": "per_step", "corrections": str(table)})


def correct_sets(
    table, *corrections, labels=('["cat"]', '["cat", "dog"]', "", '["dog"]'), **options
):
    CorrectionsWriter(table).append(corrections)
    given = make_manifest(label=labels, text=TEXTS, id=["a", "b", "c", "d"])
    return correct_labels(given, table, target=TARGETS["several"], **options)


def test_several_labels_are_lists_in_any_order_and_an_empty_list_is_none_of_them(table):
    corrected = correct_sets(
        table,
        correction(0, '["cat"]', '["dog", "cat", " dog "]'),
        correction(1, '["dog","cat"]', "[]"),
        correction(2, "", "[]"),
    )
    assert corrected.column("label").tolist() == ['["cat", "dog"]', "[]", "[]", '["dog"]']
    assert "3 of 4 labels corrected" in corrected.notes[0] and len(corrected.notes) == 1


def test_what_is_no_list_of_labels_is_refused_with_its_line(table):
    corrected = correct_sets(table, correction(0, '["cat"]', "cat;dog"), correction(3, "x", "[]"))
    assert corrected.column("label")[0] == '["cat"]'
    assert "line 2: 'a': expected a list of labels" in corrected.notes[1]
    assert "found cat;dog" in corrected.notes[1] and "found x" in corrected.notes[1]


def test_a_label_that_the_map_leaves_out_is_left_out_of_a_set_and_alone_refused(table):
    corrected = correct_sets(
        table,
        correction(0, '["cat"]', '["kitten", "noise"]'),
        correction(3, '["hound"]', '["noise"]'),
        labels=['["cat"]', "", "", '["dog"]'],
        label_map={"kitten": "cat", "noise": None, "hound": "dog"},
    )
    assert corrected.column("label").tolist() == ['["cat"]', "", "", '["dog"]']
    assert "line 3: 'd': data.label_map leaves out 'noise'" in corrected.notes[1]


@pytest.mark.parametrize("unlabeled", ["negative", "quarantine"])
def test_rows_without_several_labels_are_corrected_as_they_are_read(tmp_path, table, unlabeled):
    random = np.random.default_rng(0)
    words = ["".join(random.choice([*"abcdefgh"], 6)) for _ in range(40)]
    sets = [[], ["x"], ["y"], ["x", "y"]]
    path = tmp_path / "texts.jsonl"
    rows = [{"text": word, "label": sets[row % 4]} for row, word in enumerate(words)]
    path.write_text("\n".join(map(json.dumps, rows)))
    data = Data(source=str(path), labels="several", unlabeled=unlabeled)
    before = data.load()
    none = data.item_labels(before)[0]
    assert none == {"negative": "[]", "quarantine": ""}[unlabeled]
    CorrectionsWriter(table).append(
        [
            Correction("0", hash_content(words[0]), none, '["y"]'),
            Correction("4", hash_content(words[4]), none, "[]"),
            Correction("1", hash_content(words[1]), '["x"]', "[]"),
        ]
    )
    corrected = data.replace(corrections=table)
    after = corrected.load()
    assert (after.column("split") == before.column("split")).all()
    labelling = corrected.labelling(Ready())
    usable = [labelling.problem(after, row) is None for row in range(40)]
    assert usable == [unlabeled == "negative" or row % 4 > 0 or row in (0, 4) for row in range(40)]
    assert labelling.read(after, [0, 1, 3, 4], []) == [("y",), (), ("x", "y"), ()]
    notes = " ".join(after.notes)
    assert ("10 of 40 rows have no label" in notes) == (unlabeled == "negative")
