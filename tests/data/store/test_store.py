import json

import numpy as np
import pytest

from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store import store as store_module
from seqbelt.data.store.preparation import prepare
from seqbelt.data.store.readings import describe_readings
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SeqbeltError
from seqbelt.features.audio.audio import Waveform

FEATURES = Waveform(kind="waveform", sample_rate=8000, window_ms=1.0, hop_ms=1.0)
LABELS = ["10", "9", "b", "a", "9", "10"]
SPLITS = ["train", "test", "train", "validation", "train", "test"]


@pytest.fixture(scope="module")
def arrays(noise):
    return [noise(100 + 30 * n, n) for n in range(6)]


@pytest.fixture(scope="module")
def store(tmp_path_factory, arrays):
    manifest = make_manifest(label=LABELS, split=SPLITS, group=list("xxyyzz"), contents=arrays)
    folder = tmp_path_factory.mktemp("store")
    return prepare(manifest, FEATURES, folder, {"data": {"source": "here"}}).store


def test_sequences_are_what_the_features_encode(store, arrays):
    rows = store.select(range(6))
    for index, array in enumerate(arrays):
        (oracle,) = FEATURES.encode([FEATURES.read(array)])
        np.testing.assert_array_equal(rows[index], oracle)
        assert rows.lengths[index] == len(oracle)
        assert rows[index].dtype == np.float32
    np.testing.assert_array_equal(rows.flat(), np.concatenate([rows[n] for n in range(6)]))


def test_classes_are_in_natural_order_and_labels_index_them(store):
    assert store.classes == ("9", "10", "a", "b")
    labels = store.select(range(6)).labels
    assert [store.classes[label] for label in labels] == LABELS


def test_splits_select_their_rows_and_nothing_else(store):
    for name in ("train", "validation", "test"):
        rows = store.split(name)
        expected = [str(n) for n, split in enumerate(SPLITS) if split == name]
        assert rows.column("id") == expected
        assert set(rows.column("split")) == {name}
    assert len(store.split("nothing")) == 0


def test_a_selection_of_a_selection_keeps_rows_together(store, arrays):
    rows = store.split("train").take(np.array([2, 0]))
    assert rows.column("id") == ["4", "0"]
    assert rows.column("group") == ["z", "x"]
    assert [store.classes[label] for label in rows.labels] == ["9", "10"]
    np.testing.assert_array_equal(rows[1], FEATURES.encode([FEATURES.read(arrays[0])])[0])


def test_a_store_explains_itself(store):
    again = SequenceStore(store.folder)
    assert again.about["settings"] == {"data": {"source": "here"}}
    assert again.num_features == 8
    assert not again.is_tokens
    assert again.about["step_s"] == 0.001
    assert again.about["splits"] == {"train": 3, "validation": 1, "test": 2}
    assert again.about["num_steps"] == again.select(range(6)).lengths.sum()
    assert again.fingerprint == store.fingerprint


def test_opening_reads_no_sequences(store, monkeypatch):
    def forbidden(path):
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(store_module, "open_part", forbidden)
    rows = SequenceStore(store.folder).split("train")
    assert (len(rows), len(rows.labels), rows.lengths.min()) == (3, 3, 13)
    with pytest.raises(AssertionError, match="was read"):
        rows[0]


def test_a_sequence_is_a_view_of_the_file(store):
    sequence = store.sequence(0)
    assert not sequence.flags.owndata
    assert not sequence.flags.writeable


def test_a_folder_without_a_store_says_what_to_run(tmp_path):
    with pytest.raises(SeqbeltError, match="seqbelt prepare"):
        SequenceStore(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "{}", '{"format": 999}'])
def test_a_store_that_cannot_be_read_is_refused_by_name(tmp_path, store, content):
    (tmp_path / "store.json").write_text(content)
    (tmp_path / "index.arrow").write_bytes((store.folder / "index.arrow").read_bytes())
    with pytest.raises(SeqbeltError, match=tmp_path.name):
        SequenceStore(tmp_path)


def test_a_store_with_a_damaged_index_is_refused_by_name(tmp_path, store):
    (tmp_path / "store.json").write_text(json.dumps(store.about))
    for content in (b"", b"short", (store.folder / "index.arrow").read_bytes()[:-100]):
        (tmp_path / "index.arrow").write_bytes(content)
        with pytest.raises(SeqbeltError, match=tmp_path.name):
            SequenceStore(tmp_path)


def test_a_remark_counts_the_items_that_it_is_about():
    assert describe_readings({"decimal commas": 1}) == ["read: decimal commas (1 item)"]
