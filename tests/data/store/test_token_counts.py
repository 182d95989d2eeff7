"""What the limit and the vocabulary cost is counted, whatever was encoded before."""

from pathlib import Path

import pytest

from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import Prepared, prepare
from seqbelt.features.text.encoder import TextCounts
from seqbelt.features.text.text import Word

FEATURES = Word(kind="word", min_count=1, max_length=3)
TRAIN = ["a b", "a b a", "b a b a b", "a"]
TEST = ["a c", "c c c c", "\u200b", "a c"]
EXPECTED = {
    "train": TextCounts(4, num_cut=1, num_tokens=11, num_truncated_tokens=2, num_unknown=0),
    # The empty text has no sequence; the repeated one counts each time.
    "test": TextCounts(3, num_cut=1, num_tokens=8, num_truncated_tokens=1, num_unknown=5),
}


def prepare_texts(folder: Path, texts: list[str], splits: list[str]) -> Prepared:
    manifest = make_manifest(
        label=["no", "yes"] * (len(texts) // 2),
        split=splits,
        text=texts,
    )
    return prepare(manifest, FEATURES, folder, {})


def counts(prepared: Prepared) -> dict[str, TextCounts]:
    about = prepared.store.about["tokens"]
    return {split: TextCounts.from_stored(values) for split, values in about.items()}


def test_counts_are_exact_for_each_split(tmp_path):
    prepared = prepare_texts(tmp_path, TRAIN + TEST, ["train"] * 4 + ["test"] * 4)
    assert counts(prepared) == EXPECTED
    assert prepared.store.about["tokens"]["train"] == {
        "num_texts": 4, "num_cut": 1, "num_tokens": 11, "num_lost": 2, "num_unknown": 0
    }  # fmt: skip


def test_what_was_encoded_before_is_counted_too(tmp_path):
    splits = ["train"] * 4 + ["test"] * 2
    prepare_texts(tmp_path, TRAIN + TEST[:2], splits)
    again = prepare_texts(tmp_path, TRAIN + TEST, [*splits, "test", "test"])
    assert again.num_encoded == 0 and counts(again) == EXPECTED


def test_the_store_agrees_with_the_counts(tmp_path):
    prepared = prepare_texts(tmp_path, TRAIN + TEST, ["train"] * 4 + ["test"] * 4)
    kept = sum(count.num_tokens - count.num_truncated_tokens for count in counts(prepared).values())
    assert kept == prepared.store.about["num_steps"]


@pytest.mark.parametrize("count", [130, 300])
def test_many_cut_texts_are_all_counted(tmp_path, count):
    prepared = prepare_texts(tmp_path, [f"a b a b {n}" for n in range(count)], ["train"] * count)
    (train,) = counts(prepared).values()
    assert (train.num_cut, train.lost_share) == (count, 0.4)
