"""The audit finds what was planted, and nothing where nothing was."""

import numpy as np
import pytest
from toys import Ready, toy_store

from seqbelt.data.audit import audit_store
from seqbelt.data.audit.texts import SIMILARITY, similar_texts
from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.features.text.text import Word

PARTS = ("train", "train", "validation", "test")


def signals(count=80, seed=0):
    """Smooth random sequences of 30 to 39 steps, 3 features; no two alike."""
    random = np.random.default_rng(seed)
    return [
        np.cumsum(random.normal(size=(30 + row % 10, 3)), axis=0).astype(np.float32)
        for row in range(count)
    ]


def store_of(folder, arrays, **columns):
    count = len(arrays)
    columns = {
        "label": [("no", "yes")[row // 4 % 2] for row in range(count)],
        "split": [PARTS[row % 4] for row in range(count)],
    } | columns
    return prepare(make_manifest(arrays=arrays, **columns), Ready(), folder, {}).store


def findings(store, texts=None):
    return {one.check: one for one in audit_store(store, texts).findings}


def test_clean_data_has_no_finding(tmp_path):
    found = audit_store(store_of(tmp_path, signals()))
    assert not found.problems
    assert found.headline == "ok"
    assert len(found.findings) == 10


def test_a_test_row_that_is_a_training_row_is_a_leak(tmp_path):
    arrays = signals()
    arrays[3], arrays[7] = arrays[0].copy(), arrays[2].copy()  # test = train, test = validation
    arrays[10] = arrays[9].copy()  # validation = train
    arrays[5] = arrays[4].copy()  # train = train: no leak
    found = findings(store_of(tmp_path, arrays))
    assert found["duplicates"].severity == "leak"
    assert found["duplicates"].count == 3
    assert set(found["duplicates"].examples) == {
        "test 3 = train 0", "test 7 = validation 2", "validation 10 = train 9",
    }  # fmt: skip
    assert "2 of 20 test rows" in found["duplicates"].sentence
    assert found["near-duplicates"].count == 0  # each row once


def test_a_nearly_equal_signal_is_found_and_a_merely_similar_one_is_not(tmp_path):
    arrays, random = signals(), np.random.default_rng(1)

    def copy(row, noise):
        return (arrays[row] + noise * random.normal(size=arrays[row].shape)).astype(np.float32)

    arrays[3] = copy(0, 0.05)
    arrays[7] = arrays[1][:-1]  # the end is cut
    arrays[11] = copy(4, 1.0)
    found = findings(store_of(tmp_path, arrays))["near-duplicates"]
    assert found.severity == "leak"
    assert set(found.examples) == {"test 3 = train 0", "test 7 = train 1"}


def test_quiet_signals_are_no_duplicates_because_they_are_quiet(tmp_path):
    """Rest beside running: all rest is near zero, but each is its own noise."""
    random = np.random.default_rng(0)
    arrays = [
        (random.normal(size=(50, 3)) * (0.01 if row % 8 < 4 else 5)).astype(np.float32)
        for row in range(80)
    ]
    assert findings(store_of(tmp_path, arrays))["near-duplicates"].count == 0


@pytest.mark.parametrize("width", [1, 40])
def test_any_width_of_step_will_do(tmp_path, width):
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(25, width)).astype(np.float32) for _ in range(40)]
    arrays[3] = arrays[0] + np.float32(0.001)
    store = prepare(
        make_manifest(label=["a", "b"] * 20, split=[*PARTS] * 10, arrays=arrays),
        Ready(width=width), tmp_path, {},
    ).store  # fmt: skip
    assert findings(store)["near-duplicates"].examples == ("test 3 = train 0",)


REVIEW = "the plot of this film was thin but the actors saved it more than once"


def text_findings(folder, texts):
    count = len(texts)
    manifest = make_manifest(
        text=texts,
        label=[("no", "yes")[row // 4 % 2] for row in range(count)],
        split=[PARTS[row % 4] for row in range(count)],
    )
    store = prepare(manifest, Word(kind="word", min_count=1), folder, {}).store
    return findings(store, texts)


def random_texts(count=80, seed=0):
    random = np.random.default_rng(seed)
    letters = np.array([*"abcdefghijklmnopqrstuvwxyz    "])
    return ["".join(random.choice(letters, 60)).strip() for _ in range(count)]


def test_nearly_equal_texts_are_found(tmp_path):
    texts = random_texts()
    texts[0], texts[3] = REVIEW, REVIEW.replace("once", "twice")
    texts[4], texts[7] = "So GOOD", "so  good"  # short, but equal once plain
    texts[8], texts[11] = "what a great movie", "what a great movie!"  # short and only alike
    texts[12], texts[15] = REVIEW[:40], REVIEW[20:]
    texts[16], texts[19] = "the same", "the same"
    texts[20], texts[23] = "ha" * 15, "ha" * 20
    found = text_findings(tmp_path, texts)
    assert set(found["near-duplicates"].examples) == {
        "test 3 = train 0", "test 7 = train 4", "test 23 = train 20",
    }  # fmt: skip
    assert found["near-duplicates"].severity == "warning"
    assert found["duplicates"].examples == ("test 19 = train 16",)


def test_every_pair_above_the_similarity_is_found_and_no_other():
    """Against the definition, computed pair by pair."""
    random = np.random.default_rng(0)
    texts = [" and ".join(random_texts(1 + row % 4, seed=row)) for row in range(60)]
    for row in range(60):  # variants with more and more changed letters
        letters = [*texts[row]]
        for place in random.integers(0, len(letters), row % 11):
            letters[place] = "#"
        texts.append("".join(letters))

    def shingles(text):
        text = " ".join(text.split())
        return {text[start : start + 5] for start in range(len(text) - 4)}

    held, before = np.arange(60, 120), np.arange(60)
    expected = set()
    for a in held:
        for b in before:
            one, other = shingles(texts[a]), shingles(texts[b])
            if len(one & other) >= SIMILARITY * len(one | other):
                expected.add((a, b))
    assert 10 < len(expected) < 60
    assert {*zip(*similar_texts(texts)(held, before))} == expected


def test_one_content_under_two_labels_is_named(tmp_path):
    arrays = signals()
    arrays[4] = arrays[1] = arrays[0]
    found = findings(store_of(tmp_path, arrays))["labels"]
    assert (found.severity, found.count) == ("warning", 1)
    assert "wrong in 1 of 80 rows" in found.sentence
    assert found.examples[0].startswith("train 0 is 'no', train 4 is 'yes'")


@pytest.mark.parametrize(
    ("test_groups", "severity", "count"),
    [("xy", "ok", 0), ("ax", "leak", 1), ("ab", "warning", 2)],
)
def test_groups_on_both_sides(tmp_path, test_groups, severity, count):
    group = [
        test_groups[row // 4 % 2] if PARTS[row % 4] == "test" else "ab"[row // 4 % 2]
        for row in range(80)
    ]
    found = findings(store_of(tmp_path, signals(), group=group))["groups"]
    assert (found.severity, found.count) == (severity, count)


def test_a_class_that_a_part_lacks_and_a_rare_one_are_named(tmp_path):
    label = ["rare" if row in (0, 2) else "often" for row in range(80)]
    found = findings(store_of(tmp_path, signals(), label=label))
    assert found["classes"].examples == ("test has no 'rare'",)
    assert found["balance"].severity == "warning"
    assert found["balance"].examples == ("rare: 1",)
    assert "97.5%" in found["balance"].sentence


def test_lengths_that_tell_the_class_are_a_warning(tmp_path):
    arrays = [one[: 20 if row // 4 % 2 else None] for row, one in enumerate(signals())]
    found = findings(store_of(tmp_path, arrays))["lengths"]
    assert found.severity == "warning"
    assert "accuracy of 100.0%" in found.sentence


def test_constant_and_short_sequences_are_named(tmp_path):
    arrays = signals()
    arrays[5] = np.full((33, 3), 2.5, np.float32)
    arrays[6] = arrays[6][:1]
    found = findings(store_of(tmp_path, arrays))
    assert found["constant"].examples == ("train 5",)
    assert (found["short"].severity, found["short"].examples) == ("warning", ("validation 6",))


def test_a_page_and_a_program_are_told_the_same(tmp_path):
    arrays = signals()
    arrays[3] = arrays[0]
    found = audit_store(store_of(tmp_path, arrays))
    assert found.headline == "1 leak"
    assert found.findings[0].check == "duplicates"
    assert "| leak | duplicates | 1 |" in found.markdown()
    assert "- test 3 = train 0" in found.markdown()
    assert found.to_dict()["duplicates"]["severity"] == "leak"


def test_two_rows_and_one_part_are_enough(tmp_path):
    store = store_of(tmp_path, signals(2), label=["a", "b"], split=["train", "train"])
    assert {one.severity for one in audit_store(store).findings} == {"ok"}


def test_the_toy_store_is_clean_but_for_its_lengths(tmp_path):
    """Rows of 2 to 12 steps: their lengths are drawn apart from the labels."""
    assert not audit_store(toy_store(tmp_path)).problems
