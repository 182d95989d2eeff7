"""Corrected labels: which apply, which do not, and that no row changes its part."""

import numpy as np
import pytest
from toys import Ready

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
    with pytest.raises(SettingsError, match="corrections are for labels: per_sequence"):
        Data.parse({"source": "x", "labels": "per_step", "corrections": str(table)})
