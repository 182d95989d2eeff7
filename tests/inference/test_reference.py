"""What a bundle keeps of its training rows, and the summaries that inputs are compared by."""

import numpy as np
import pytest
from toys import toy_store

from seqbelt.data.in_memory import ArrayStore
from seqbelt.data.sequences import Sequences
from seqbelt.errors import SeqbeltError
from seqbelt.inference.reference import (
    MAX_BLOCKS,
    Reference,
    make_reference,
    short_hash,
    signal_names,
    summarize_signal,
)


def test_a_signals_summary_is_its_blocks_means_and_deviations():
    random = np.random.default_rng(0)
    steps = random.normal(3, 2, (50, 40)).astype(np.float32)
    found, names = summarize_signal(steps), signal_names(40)
    assert len(found) == len(names) == 2 * MAX_BLOCKS + 1
    by_name = dict(zip(names, found, strict=True))
    assert by_name["mean 1-2"] == pytest.approx(steps[:, :2].mean(), abs=1e-5)
    assert by_name["std 1-2"] == pytest.approx(steps[:, :2].std(0).mean(), abs=1e-5)
    assert by_name["num_steps"] == 50
    assert signal_names(2) == ("mean 1", "mean 2", "std 1", "std 2", "num_steps")


def test_a_reference_has_each_trained_content_and_survives_its_file(tmp_path):
    store = toy_store(tmp_path / "store")
    train, validation, test = (store.split(part) for part in ("train", "validation", "test"))
    made = make_reference(train, validation, np.full(len(validation), 0.9))
    found = Reference.from_bytes(made.to_bytes())
    assert found.names == made.names and found.summaries.shape == (len(train), 7)
    np.testing.assert_array_equal(found.summaries[3], summarize_signal(train[3]))
    for part, known in ((train, True), (validation, True), (test, False)):
        hashes = np.array([short_hash(one) for one in part.column("content_hash")], np.uint64)
        assert (found.are_known(hashes) == known).all()
    assert found.confidences.tolist() == pytest.approx([0.9] * len(validation))
    with pytest.raises(SeqbeltError, match="reference"):
        Reference.from_bytes(made.to_bytes()[:-30])


class Tokens(ArrayStore):
    """Token sequences of a vocabulary of 50."""

    num_features = 50

    def column(self, name, rows):
        return [f"{row:032x}" for row in rows]


def test_texts_of_rare_and_unknown_tokens_stand_out():
    random = np.random.default_rng(0)
    shares = np.arange(1, 51.0) / np.arange(1, 51.0).sum()
    texts = [random.choice(np.arange(50), 20, p=shares).astype(np.int32) for _ in range(300)]
    store = Tokens(texts, ("a", "b"), is_tokens=True)
    rows = Sequences(store, np.arange(300), np.full(300, 20), np.zeros(300, np.int64))
    reference = make_reference(rows, rows.take(np.arange(0)), np.zeros(0), unknown_id=1)
    assert reference.names == ("information", "unknown", "num_steps")
    new = random.choice(np.arange(50), 20, p=shares).astype(np.int32)
    rare = np.array([1, 1, 2, 3] * 5, np.int32)
    information = reference.summaries[:, 0]
    usual, unusual = reference.summarize(new), reference.summarize(rare)
    assert abs(usual[0] - information.mean()) < 4 * information.std()
    assert unusual[0] > information.max() and unusual[1] == 0.5
