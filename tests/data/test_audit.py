"""The audit finds what was planted, and nothing where nothing was."""

import numpy as np
import pytest
from toys import Ready, toy_store

from seqbelt.data.audit import audit_store
from seqbelt.data.audit import signals as signals_module
from seqbelt.data.audit.balance import check_balance, check_classes, check_lengths
from seqbelt.data.audit.duplicates import check_groups, check_labels
from seqbelt.data.audit.rows import Rows
from seqbelt.data.audit.signals import least_count
from seqbelt.data.audit.texts import SIMILARITY, similar_texts
from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.features.audio.audio import LogMel, Mfcc, Waveform
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.features.text.text import Word
from seqbelt.features.video.video import FrameDifferences

ENCODINGS = {"log_mel": LogMel, "mfcc": Mfcc, "waveform": Waveform}

PARTS = ("train", "train", "validation", "test")


def signals(count=40, seed=0):
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
    return prepare(make_manifest(contents=arrays, **columns), Ready(), folder, {}).store


def findings(store, texts=None):
    return {one.check: one for one in audit_store(store, texts).findings}


def test_clean_data_has_no_finding(tmp_path):
    found = audit_store(store_of(tmp_path, signals()))
    assert not found.problems
    assert found.headline == "ok"
    assert {one.check for one in found.findings} == {
        "duplicates", "near-duplicates", "constant", "groups", "labels", "classes", "balance",
        "lengths", "channels", "short", "quarantined",
    }  # fmt: skip


def test_a_channel_that_holds_the_label_is_a_leak(tmp_path):
    arrays = signals()
    for row, array in enumerate(arrays):
        array[:, 1] = row // 4 % 2
    found = findings(store_of(tmp_path, arrays))["channels"]
    assert (found.severity, found.count) == ("leak", 1)
    assert "channel '1'" in found.sentence
    assert "features.ignore" in found.sentence


def test_a_channel_that_holds_another_constant_is_none(tmp_path):
    arrays = signals()
    for row, array in enumerate(arrays):
        array[:, 1] = row % 7
    assert findings(store_of(tmp_path, arrays))["channels"].severity == "ok"


def test_a_channel_that_changes_in_one_sequence_is_a_signal(tmp_path):
    arrays = signals()
    for row, array in enumerate(arrays):
        array[:, 1] = row // 4 % 2
    arrays[5][-1, 1] = 3
    assert findings(store_of(tmp_path, arrays))["channels"].severity == "ok"


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
    assert "2 of 10 test rows" in found["duplicates"].sentence
    assert found["near-duplicates"].count == 0  # each row once


def test_a_nearly_equal_signal_is_found_and_a_merely_similar_one_is_not(tmp_path):
    arrays, random = signals(), np.random.default_rng(1)

    def copy(row, noise):
        return (arrays[row] + noise * random.normal(size=arrays[row].shape)).astype(np.float32)

    arrays[3] = copy(0, 0.05)
    arrays[7] = arrays[1][:-1]  # the end is cut
    arrays[11] = copy(4, 5.0)
    found = findings(store_of(tmp_path, arrays))["near-duplicates"]
    assert found.severity == "leak"
    assert set(found.examples) == {"test 3 = train 0", "test 7 = train 1"}


def test_quiet_signals_are_no_duplicates_because_they_are_quiet(tmp_path):
    """Rest beside running: what little rest there is is near zero, but each its own noise."""
    random = np.random.default_rng(0)
    arrays = [
        (random.normal(size=(50, 3)) * (0.01 if row < 4 else 5)).astype(np.float32)
        for row in range(40)
    ]
    arrays[7] = arrays[0] * np.float32(1.01)
    found = findings(store_of(tmp_path, arrays))["near-duplicates"]
    assert found.examples == ("test 7 = train 0",)


@pytest.mark.parametrize("width", [1, 40])
def test_any_width_of_step_will_do(tmp_path, width):
    random = np.random.default_rng(0)
    mixing = random.normal(size=(3, width))  # of few sources, so that some rows are near others
    arrays = [(one @ mixing).astype(np.float32) for one in signals()]
    arrays[3] = arrays[0] + np.float32(0.001)
    store = prepare(
        make_manifest(label=["a", "b"] * 20, split=[*PARTS] * 10, contents=arrays),
        Ready(width=width), tmp_path, {},
    ).store  # fmt: skip
    assert findings(store)["near-duplicates"].examples == ("test 3 = train 0",)


@pytest.mark.parametrize("change", ["shifted", "scaled", "cut", "overlapping", "between"])
def test_changed_copies_are_found_and_nothing_else(tmp_path, change):
    arrays = signals(80)
    x = arrays[0]
    half = len(x) // 2
    arrays[3] = {
        "shifted": np.concatenate([arrays[5][:7], x[:-7]]),
        "scaled": -3 + x * np.float32(0.2),
        "cut": x[4:-3],
        "overlapping": np.concatenate([x[half:], arrays[43][:half]]),
        "between": (x[1:] + x[:-1]) / 2,
    }[change]
    assert findings(store_of(tmp_path, arrays))["near-duplicates"].examples == ("test 3 = train 0",)


def test_copies_of_copies_do_not_hide_each_other(tmp_path):
    """Every training row stands there three times, shifted: what is near is judged by others."""
    random, arrays = np.random.default_rng(0), signals()
    for row in range(0, 40, 4):
        x = arrays[row]
        arrays[row + 1] = np.concatenate([random.normal(size=(3, 3)), x[:-3]]).astype(np.float32)
        arrays[row + 3] = x[2:]
    found = findings(store_of(tmp_path, arrays))["near-duplicates"]
    assert "10 of 10 test rows" in found.sentence


def test_rows_of_one_shape_are_no_copies(tmp_path):
    """All are the same movement with noise: near each other, none nearer than the rest."""
    random, shape = np.random.default_rng(0), np.sin(np.arange(30)[:, None] / [2, 3, 5])
    arrays = [(shape + 0.2 * random.normal(size=(30, 3))).astype(np.float32) for _ in range(40)]
    arrays[3] = arrays[0] * np.float32(1.01)
    found = findings(store_of(tmp_path, arrays))["near-duplicates"]
    assert found.examples == ("test 3 = train 0",)


def test_few_false_alarms_are_no_finding():
    assert [least_count(n) for n in (1, 20, 1000)] == [1, 2, 12]


def test_distances_at_all_lags_equal_those_one_by_one():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(13, 3)), np.zeros((7, 3))
    b[:7] = a[4:11] * 2 + 1
    lags = np.arange(-12, 7)
    one_by_one = [signals_module._distance(a, b, int(lag)) for lag in lags]
    np.testing.assert_allclose(signals_module._distances(a, b, lags), one_by_one, atol=1e-6)
    assert lags[np.argmin(one_by_one)] == -4
    assert signals_module.align(a, b) < 1e-5
    long = np.repeat(random.normal(size=(400, 2)), 2, 0).cumsum(0)
    assert signals_module.align(long, long[77:]) < 1e-5


@pytest.mark.parametrize(
    ("lengths", "least"),
    [
        ((40, 40), 18),  # 0.45 of the shorter
        ((20, 40), 16),  # 0.4 of the longer
        ((6, 6), 4),  # steps
        ((1200, 1200), 540),  # longer than what is aligned step by step
    ],
)
def test_sequences_that_share_less_than_the_least_overlap_are_no_copies(lengths, least):
    random = np.random.default_rng(0)
    a, b = (random.normal(size=(count, 3)).cumsum(0) for count in lengths)
    enough, too_few = b.copy(), b.copy()
    enough[:least], too_few[: least - 1] = a[-least:], a[1 - least :]
    assert signals_module.align(a, enough) < 1e-5
    assert signals_module.align(a, too_few) > 0.01


def test_a_copy_need_only_be_nearer_than_rows_without_one_vary():
    """Rows that are all about as far vary less than their dimension lets expect."""
    null = np.sort(1 + 0.3 * np.random.default_rng(0).random((200, 10)), axis=1)
    limit = signals_module._Limit(null)
    usual = null.mean(axis=0)
    assert not limit.is_copy(np.append(0.95 * usual[0], usual[1:]))
    assert limit.is_copy(np.append(0.6 * usual[0], usual[1:]))


def test_rows_with_copies_do_not_widen_the_limit():
    """Where most rows have a copy, their distances are no measure of rows without one."""
    random = np.random.default_rng(0)
    null = np.sort(0.5 + random.random((200, 10)), axis=1)
    null[:120, 0] = 0.01 * random.random(120)
    assert signals_module._Limit(null).is_copy(np.append(0.01, null[150, 1:]))


def test_a_row_among_many_copies_is_one():
    """All its neighbours are as near as the nearest: that is near by the distances of others."""
    null = np.sort(0.5 + np.random.default_rng(0).random((200, 10)), axis=1)
    assert signals_module._Limit(null).is_copy(np.linspace(0.02, 0.03, 10))


def test_a_mirrored_and_a_quieter_copy_are_found_by_their_features(tmp_path):
    """What is alike in the other's features is found only with those features."""
    random = np.random.default_rng(0)
    clips = FrameDifferences(kind="frame_differences", rows=2, columns=2, num_orientations=2)
    arrays = [random.gamma(1, 1, size=(20, 8)).astype(np.float32) for _ in range(80)]
    arrays[3] = arrays[0].reshape(20, 2, 2, 2)[:, :, ::-1, ::-1].reshape(20, 8)
    manifest = make_manifest(label=["a", "b"] * 40, split=[*PARTS] * 20, contents=arrays)
    store = prepare(manifest, Ready(width=8), tmp_path / "clips", {}).store
    found, _ = signals_module.similar_signals(store, clips)
    assert [*zip(*found(np.array([3, 7]), np.arange(0, 80, 4)))] == [(3, 0)]
    found, _ = signals_module.similar_signals(store)
    assert found(np.array([3, 7]), np.arange(0, 80, 4))[0].size == 0


@pytest.mark.parametrize("kind", ["log_mel", "mfcc", "waveform"])
def test_sounds_are_compared_by_their_bands(kind):
    """The quiet part of a spectrum is what compression changes."""
    features = ENCODINGS[kind](kind=kind, sample_rate=8000)
    samples = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    faint = samples + np.random.default_rng(1).normal(size=4000).astype(np.float32) * 1e-3
    silent = np.append(samples, np.zeros(2000, np.float32))
    noisy = np.append(faint, np.full(2000, 1e-5, np.float32))
    raws = [Audio(one, 8000) for one in (silent, noisy)]
    one, other = map(features.comparable, features.encoder({}).encode(raws))
    assert one.shape == other.shape and np.abs(one - other).max() < 1.0


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
    texts[8], texts[11] = "what a great movie", "what a great film"  # a word of a short text
    texts[24], texts[27] = "movie", "film"  # nothing in common
    texts[12], texts[15] = REVIEW[:40], REVIEW[20:]
    texts[16], texts[19] = "the same", "the same"
    texts[20], texts[23] = "ha" * 15, "ha" * 20
    found = text_findings(tmp_path, texts)
    assert set(found["near-duplicates"].examples) == {
        "test 3 = train 0", "test 7 = train 4", "test 11 = train 8", "test 23 = train 20",
    }  # fmt: skip
    assert found["near-duplicates"].severity == "warning"
    assert found["duplicates"].examples == ("test 19 = train 16",)


def test_texts_of_one_form_are_no_duplicates():
    """Whatever is asked, the words around it are the same."""
    things = [text.replace(" ", "") for text in random_texts(80)]
    texts = [f"what is the price of {thing[:6]}" for thing in things]
    texts[79] = texts[3].replace("what is the", "tell me the old")
    found = similar_texts(texts)(np.arange(60, 80), np.arange(60))
    assert found[0].size == 0
    others = [*random_texts(60, seed=1), f"please {things[0]} {things[1]} {things[2]}"]
    held = ["kindly" + others[60][6:], others[60] + " now", others[60].partition(" ")[2]]
    held_rows, of = similar_texts([*others, *held])(np.arange(61, 64), np.arange(61))
    assert held_rows.tolist() == [61, 62, 63] and of.tolist() == [60] * 3


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
    found = check_labels(Rows(store_of(tmp_path, arrays)))
    assert (found.severity, found.count) == ("warning", 1)
    assert "wrong in 1 of 40 rows" in found.sentence
    assert found.examples[0].startswith("train 0 is 'no', train 4 is 'yes'")


@pytest.mark.parametrize(
    ("test_groups", "severity", "count"),
    [("xy", "ok", 0), ("ax", "leak", 1), ("ab", "warning", 2)],
)
def test_groups_on_both_sides(tmp_path, test_groups, severity, count):
    group = [
        test_groups[row // 4 % 2] if PARTS[row % 4] == "test" else "ab"[row // 4 % 2]
        for row in range(40)
    ]
    found = check_groups(Rows(store_of(tmp_path, signals(), group=group)))
    assert (found.severity, found.count) == (severity, count)


def test_a_class_that_a_part_lacks_and_a_rare_one_are_named(tmp_path):
    label = ["rare" if row in (0, 2) else "often" for row in range(40)]
    rows = Rows(store_of(tmp_path, signals(), label=label))
    assert check_classes(rows).examples == ("test has no 'rare'",)
    balance = check_balance(rows)
    assert balance.severity == "warning"
    assert balance.examples == ("rare: 1",)
    assert "95.0 %" in balance.sentence


def test_lengths_that_tell_the_class_are_a_warning(tmp_path):
    arrays = [one[: 20 if row // 4 % 2 else None] for row, one in enumerate(signals())]
    found = check_lengths(Rows(store_of(tmp_path, arrays)))
    assert found.severity == "warning"
    assert "accuracy of 100.0 %" in found.sentence


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


@pytest.mark.parametrize(
    "split", [["train", "train"], ["train", "train", "test", "test"]], ids=["one part", "two parts"]
)
def test_two_rows_of_a_part_are_enough(tmp_path, split):
    label = ["a", "b"] * (len(split) // 2)
    store = store_of(tmp_path, signals(len(split)), label=label, split=split)
    assert {one.severity for one in audit_store(store).findings} == {"ok"}


def test_the_toy_store_is_clean_but_for_its_lengths(tmp_path):
    """Rows of 2 to 12 steps: their lengths are drawn apart from the labels."""
    assert not audit_store(toy_store(tmp_path)).problems
