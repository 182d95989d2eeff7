"""Controls know what they say they know, learn from training rows only, and never raise."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from comparison_toys import rights
from torch import nn
from toys import PLAIN, UNCHANGED, Ready, toy_store

from seqbelt.comparison.baselines.baseline import Baseline, BaselineResult, no_recurrence_baseline
from seqbelt.comparison.baselines.fitted import Fold, fitted_baselines, measure
from seqbelt.comparison.baselines.remarks import remarks
from seqbelt.comparison.baselines.signal_baselines import (
    ShuffledSequences,
    predict_shuffled,
    shuffled_order_baseline,
    statistics,
    statistics_in_time,
)
from seqbelt.comparison.comparison import Comparison
from seqbelt.comparison.conclusion_page import RunResult
from seqbelt.comparison.metrics import RunPredictions
from seqbelt.cropping import Cropping
from seqbelt.data.batches import pad
from seqbelt.data.cropped_sequences import crop_sequences
from seqbelt.data.in_memory import ArrayStore
from seqbelt.data.sequences import Sequences
from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.features.text.text import Word
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.plots.comparison_figures import comparison_figure
from seqbelt.training.hyperparameters import Training
from seqbelt.training.scoring import predict_logits

MODEL = Model(
    **PLAIN | {"hidden_size": 4, "embedding_size": 6, "bidirectional": True, "pooling": "last"}
)
TRAINING = Training(num_epochs=15, batch_size=8, learning_rate=0.02, device="cpu", **UNCHANGED)
CONTROL = Baseline("some control", "some", "It knows something.", "this may not matter", True)


def fold_of(store) -> Fold:
    def build():
        return build_network(MODEL, store.num_features, len(store.classes), store.is_tokens)

    return Fold(*(store.split(part) for part in ("train", "validation", "test")), build)


def token_fold(folder, texts, labels) -> Fold:
    """Half of the rows train, the others validate and test."""
    split = [("train", "train", "validation", "test")[row % 4] for row in range(len(texts))]
    manifest = make_manifest(text=texts, label=labels, split=split)
    features = Word(kind="word", min_count=1)
    return fold_of(prepare(manifest, features, folder, {}).store)


def array_fold(folder, arrays, labels) -> Fold:
    split = [("train", "train", "validation", "test")[row % 4] for row in range(len(arrays))]
    manifest = make_manifest(label=labels, split=split, contents=arrays)
    return fold_of(prepare(manifest, Ready(width=arrays[0].shape[1]), folder, {}).store)


@pytest.fixture(scope="module")
def by_word(tmp_path_factory):
    """The class is whether 'good' or 'bad' occurs, anywhere among three other words."""
    random = np.random.default_rng(0)
    texts, labels = [], []
    for row in range(96):
        word = ("bad", "good")[row // 4 % 2]
        words = [word, *random.choice(["a", "film", "by", "them"], 3)]
        texts.append(" ".join(random.permutation(words)))
        labels.append(word)
    return token_fold(tmp_path_factory.mktemp("words"), texts, labels)


@pytest.fixture(scope="module")
def by_order(tmp_path_factory):
    """The class is whether a burst comes first or last; nothing else tells."""
    random = np.random.default_rng(1)
    arrays, labels = [], []
    for row in range(160):
        steps = 0.1 * random.normal(size=(random.integers(9, 14), 1)).astype(np.float32)
        is_late = row // 4 % 2
        steps[-1 if is_late else 0] += 3
        arrays.append(steps)
        labels.append(("early", "late")[is_late])
    return array_fold(tmp_path_factory.mktemp("order"), arrays, labels)


@pytest.fixture(scope="module")
def by_length(tmp_path_factory):
    """Noise of 5 or 8 steps, classes three to one; the length is the class."""
    random = np.random.default_rng(2)
    labels = ["short" if row // 4 % 4 else "long" for row in range(160)]
    arrays = [
        random.normal(size=(5 if label == "short" else 8, 2)).astype(np.float32) for label in labels
    ]
    return array_fold(tmp_path_factory.mktemp("length"), arrays, labels)


def accuracies(fold: Fold) -> dict[str, float]:
    controls = fitted_baselines(fold.train.store, MODEL, TRAINING)
    results = [control.run([fold]) for control in controls]
    assert [result.error for result in results] == [None] * len(results)
    return {result.baseline.key: result.test_accuracy for result in results}


def test_each_section_of_the_features_is_tried_alone():
    """The class is the sign of the third feature, which is the second section."""
    random = np.random.default_rng(3)
    labels = np.arange(120) % 2
    arrays = [
        np.append(random.normal(size=(5, 2)), np.full((5, 1), 2 * label - 1), axis=1)
        for label in labels
    ]
    arrays = [array.astype(np.float32) for array in arrays]
    store = ArrayStore(arrays, ("minus", "plus"), sections=(("log_mel", 2), ("encoder", 1)))
    lengths = np.full(120, 5)
    train, test = (
        Sequences(store, rows, lengths[rows], labels[rows])
        for rows in (np.arange(80), np.arange(80, 120))
    )
    controls = fitted_baselines(store, MODEL, TRAINING)[-2:]
    assert [control.name for control in controls] == ["features[0] alone", "features[1] alone"]
    assert "section 1 (encoder) alone" in controls[1].description
    results = [one.run([Fold(train, test, test, lambda: None)]) for one in controls]
    assert results[0].test_accuracy < 0.8
    assert results[1].test_accuracy == 1


def test_words_are_known_to_the_controls_for_texts_and_not_to_length(by_word):
    found = accuracies(by_word)
    assert found["bag-of-words"] == found["embeddings"] == 1
    assert found["length"] == found["majority"] == 0.5


def test_order_is_known_to_the_thirds_and_not_to_the_statistics(by_order):
    found = accuracies(by_order)
    assert found["spectrum"] == 1
    assert found["statistics"] < 0.8


def test_length_is_known_to_length_alone_and_the_majority_is_its_share(by_length):
    found = accuracies(by_length)
    assert found["length"] == 1
    assert found["majority"] == np.mean(by_length.test.labels == 1) == 0.75


def test_statistics_are_the_same_in_any_order_and_those_in_time_are_not():
    steps = np.random.default_rng(0).normal(size=(17, 3))
    mixed = np.random.default_rng(1).permutation(steps)
    np.testing.assert_allclose(statistics(steps), statistics(mixed))
    assert not np.allclose(statistics_in_time(steps), statistics_in_time(mixed))


@pytest.mark.parametrize("num_steps", [1, 2, 3, 7, 500])
@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e8])
def test_any_length_and_scale_has_as_many_finite_numbers(num_steps, scale):
    steps = scale * np.random.default_rng(0).normal(size=(num_steps, 2))
    for describe in (statistics, statistics_in_time):
        vector = describe(steps)
        assert len(vector) == len(describe(np.ones((40, 2)))) and np.isfinite(vector).all()


@pytest.mark.parametrize("num_steps", [12, 64, 65])
def test_the_spectrum_tells_slow_from_fast_at_any_length(num_steps):
    times = np.arange(num_steps)[:, None]
    slow, fast = (
        statistics_in_time(np.sin(2 * np.pi * f * times))[-8:].argmax() for f in (0.04, 0.45)
    )
    assert slow <= 1 and fast == 7


@pytest.mark.parametrize("name", ["by_word", "by_order", "by_length"])
def test_test_rows_teach_nothing(name, request):
    """Other labels, and fewer rows, in the test part change no answer."""
    fold = request.getfixturevalue(name)
    few = fold.test.take(np.arange(5))
    unlike = replace(few, labels=1 - few.labels)
    for control in fitted_baselines(fold.train.store, MODEL, TRAINING):
        answers = control.predict(fold)
        assert np.array_equal(control.predict(replace(fold, test=unlike)), answers[:5])


def test_folds_are_joined_in_their_order(by_length):
    few = replace(by_length, test=by_length.test.take(np.arange(7)))
    control = fitted_baselines(by_length.test.store, MODEL, TRAINING)[1]
    assert control.key == "length"
    one, other = control.run([few]), control.run([by_length])
    both = control.run([few, by_length])
    assert np.array_equal(both.correct, np.concatenate([one.correct, other.correct], axis=1))


def test_the_mean_of_embeddings_sees_neither_order_nor_padding():
    torch.manual_seed(0)
    network = build_network(MODEL.replace(cell="none", pooling="mean"), 9, 2, is_tokens=True).eval()
    texts = [np.array([1, 2, 3], np.int32), np.array([3, 1, 2], np.int32), np.arange(8)]
    together = network(*pad(texts))
    torch.testing.assert_close(together[0], together[1])
    torch.testing.assert_close(together[:1], network(*pad(texts[:1])))
    assert not torch.allclose(together[0], together[2])


class FirstStep(nn.Module):
    """Predictions from the sign of the first step's first feature."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, inputs, lengths):
        first = self.scale * inputs[:, 0, :1]
        return torch.cat([-first, first], dim=1)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("toy"), count=200).split("test")


def test_shuffling_keeps_the_valid_steps_and_is_the_same_each_time(toy):
    shuffled = ShuffledSequences(toy.store, toy.rows, toy.lengths, toy.labels, toy, 0)
    moved = 0
    for index in range(len(toy)):
        assert np.array_equal(np.sort(shuffled[index], axis=0), np.sort(toy[index], axis=0))
        assert len({tuple(step) for step in shuffled[index]} ^ {tuple(s) for s in toy[index]}) == 0
        assert np.array_equal(shuffled[index], shuffled[index])
        moved += not np.array_equal(shuffled[index], toy[index])
    assert moved > len(toy) / 2


def test_shuffled_order_costs_what_the_order_told(toy):
    ordered = np.array([toy[index][0, 0] > 0 for index in range(len(toy))]) == toy.labels
    shuffled = predict_shuffled(FirstStep(), toy, 0) == toy.labels
    assert ordered.mean() > 0.95 > 0.8 > shuffled.mean()


def test_a_shuffled_answer_depends_on_its_own_row_and_the_seed_alone(toy):
    answers = predict_shuffled(FirstStep(), toy, 0)
    some = np.arange(len(toy))[::-3]
    assert np.array_equal(predict_shuffled(FirstStep(), toy.take(some), 0), answers[some])
    assert not np.array_equal(predict_shuffled(FirstStep(), toy, 1), answers)


@pytest.mark.parametrize("crop", ["head", "tail", "windows"])
def test_no_step_that_is_not_read_is_shuffled_in(toy, crop):
    """Where one step is read at a time there is nothing to shuffle."""
    cropped = crop_sequences(toy, Cropping(1, crop))
    ordered = predict_logits(FirstStep(), cropped, torch.device("cpu")).argmax(1)
    assert np.array_equal(predict_shuffled(FirstStep(), cropped, 0), ordered)


def test_a_control_that_raises_is_a_row_with_the_reason(tmp_path):
    words = ("".join(letters) for letters in itertools.product("abcdefg", repeat=3))
    texts = [next(words) for _ in range(16)]  # no word twice: a bag of words has nothing to learn
    fold = token_fold(tmp_path, texts, ["x", "y"] * 8)
    found = {one.key: one.run([fold]) for one in fitted_baselines(fold.test.store, MODEL, TRAINING)}
    failed = found.pop("bag-of-words")
    assert failed.test_accuracy is None and "ValueError" in failed.error
    assert failed.to_dict()["test_accuracy"] is None and failed.to_dict()["error"] == failed.error
    assert all(other.error is None for other in found.values())


def test_ctrl_c_is_no_reason():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(CONTROL, np.zeros(3), interrupted)


def test_scores_are_means_over_seeds():
    labels = np.array([0, 0, 1, 1])
    found = measure(CONTROL, labels, lambda: np.array([[0, 0, 1, 1], [0, 0, 0, 0]]))
    assert found.test_accuracy == 0.75
    assert found.macro_f1 == pytest.approx((1 + (2 / 3 + 0) / 2) / 2)


def result_of(correct, name="some control", uses_order=True) -> BaselineResult:
    control = replace(CONTROL, name=name, uses_order=uses_order)
    return BaselineResult(control, 0.1, np.atleast_2d(correct), macro_f1=0.5)


@pytest.mark.parametrize(
    ("cell", "control", "claim"),
    [
        (0.8, 0.8, "cannot be told apart"),
        (0.8, 0.9, "does better"),
        (0.8, 0.81, "cannot be told apart"),
        (0.8, 0.82, "does as well"),
        (0.8, 0.79, "cannot be told apart"),
        (0.9, 0.8, None),
    ],
)
def test_the_caveat_claims_what_the_interval_allows(cell, control, claim):
    cells = np.stack([rights(cell, seed=seed) for seed in (0, 1, 2)])
    found = remarks(
        Comparison(), "lstm", cells, [result_of(rights(control, seed=3))], remedy="Try this."
    )
    said = found.caveat
    assert found.warning == ""
    if claim is None:
        assert said == ""
    else:
        assert f"'some control' {claim} ({100 * control:.1f} %" in said and "one seed" not in said
        # Of the data nothing is claimed where another model learns more of it.
        assert said.endswith("this may not matter.") == (claim == "does as well")
        assert said.endswith("Try this.") == (claim == "does better")


def test_the_caveat_names_the_best_control_and_skips_those_without_answers():
    controls = [
        result_of(rights(0.85, seed=1), "good"),
        result_of(rights(0.95, seed=2), "best"),
        BaselineResult(CONTROL, 0.1, error="no reason"),
    ]
    said = remarks(Comparison(), "rnn", rights(0.8)[None], controls).caveat
    assert "'best'" in said and "rnn with one seed" in said
    assert remarks(Comparison(), "rnn", rights(0.8)[None], controls[2:]).caveat == ""


def test_the_caveat_is_about_new_groups_where_groups_are_given():
    """A lead that one group of two gives is no reliable lead."""
    groups = np.repeat(["a", "b"], 500)
    cell = np.stack([np.where(groups == "a", True, rights(0.5, seed=seed)) for seed in (0, 1)])
    control = [result_of(rights(0.5, seed=2))]
    assert remarks(Comparison(), "lstm", cell, control).caveat == ""
    assert "cannot be told apart" in remarks(Comparison(), "lstm", cell, control, groups).caveat


def said_of(share, *controls):
    """What is said of an LSTM with this share of right answers."""
    cells = np.stack([rights(share, seed=seed) for seed in (0, 1, 2)])
    return remarks(Comparison(), "lstm", cells, controls, remedy="Try this.")


def free(share, name="bag of words") -> BaselineResult:
    return result_of(rights(share, seed=3), name, uses_order=False)


def test_first_of_all_a_cell_that_loses_to_a_control_without_order_has_not_learned():
    found = said_of(0.536, free(0.6, "length only"), free(0.821))
    assert found.warning.startswith(
        "This LSTM has not learned the task: the control 'bag of words', which does not use order, "
        "reaches 82.1 % against 53.6 % of lstm (difference +28.5 points, 95 % interval "
    )
    assert found.warning.endswith(" Try this.")
    assert found.caveat == "Also better than lstm: 'length only' (60.0 %)."


@pytest.mark.parametrize(("control", "is_tried"), [(0.81, True), (0.79, False)])
def test_a_cell_that_cannot_be_told_from_such_a_control_is_not_shown_to_have_learned(
    control, is_tried
):
    found = said_of(0.8, free(control))
    assert found.warning.startswith("It is not shown that this LSTM has learned the task: the")
    assert found.warning.endswith("Try this.") == is_tried and found.caveat == ""


def test_the_data_is_spoken_of_only_where_the_cell_is_not_behind_any_control_without_order():
    short = result_of(rights(0.82, seed=4), "short patterns")
    assert said_of(0.8, short, free(0.7)).caveat.endswith("this may not matter.")
    losing = said_of(0.8, short, free(0.9))
    assert "has not learned" in losing.warning and "may not matter" not in str(losing)
    # Equal within the margin: no order is needed, and that is a claim about the data.
    same = np.stack([rights(0.8)] * 3)
    equal = [BaselineResult(replace(CONTROL, uses_order=False), 0.1, same)]
    found = remarks(Comparison(margin=0.05), "lstm", same, equal)
    assert found.warning == "" and "does as well" in found.caveat
    assert found.caveat.endswith("this may not matter.")


def test_beside_the_warning_a_control_that_is_ahead_is_named_without_a_lesson():
    found = said_of(0.3, free(0.5), result_of(rights(0.9, seed=4), "random convolutions"))
    assert "'bag of words'" in found.warning
    assert found.caveat.startswith("The control 'random convolutions' does better (90.0 %")
    assert "matter" not in found.caveat


def test_a_cell_on_shuffled_steps_is_no_rival_to_itself_but_to_another_cell():
    for cell in ("lstm", "rnn"):
        found = said_of(
            0.8, BaselineResult(shuffled_order_baseline(cell), 0.1, rights(0.82, seed=3)[None])
        )
        assert bool(found.warning) == (cell == "rnn")
        assert found.caveat.endswith("order may not matter here.") == (cell == "lstm")


@pytest.mark.parametrize(
    ("share", "claim"),
    [
        (0.7, "Recurrence gains 10.0 points here"),
        (0.9, "Recurrence costs 10.0 points here"),
        (0.79, "It is not shown that recurrence gains anything here"),
    ],
)
def test_the_control_without_recurrence_is_named_first(share, claim):
    without = BaselineResult(
        no_recurrence_baseline(uses_order=True), 1.0, rights(share, seed=3)[None]
    )
    best = result_of(rights(0.95, seed=4), "random convolutions")
    found = said_of(0.8, best, without)
    assert found.warning == ""
    assert found.caveat.startswith(
        f"{claim}: the control 'no recurrence', the same network without it, trained once, "
        f"reaches {100 * share:.1f} % against 80.0 % of lstm"
    )
    assert found.caveat.index("'no recurrence'") < found.caveat.index("'random convolutions'")


def test_without_a_stem_the_control_without_recurrence_knows_no_order():
    without = BaselineResult(
        no_recurrence_baseline(uses_order=False), 1.0, rights(0.9, seed=3)[None]
    )
    found = said_of(0.8, without)
    assert found.warning.startswith("This LSTM has not learned the task: the control 'no recurre")
    assert found.caveat == ""


def test_controls_that_know_no_order_answer_a_reversed_sequence_alike(by_order, by_word):
    """Of two neighbours a bag of words knows which comes first: it is asked without its pairs."""
    for fold, keys in ((by_order, {"statistics", "spectrum", "convolutions"}),
                       (by_word, {"embeddings"})):  # fmt: skip
        test = fold.test
        backwards = ReversedSequences(test.store, test.rows, test.lengths, test.labels)
        for control in fitted_baselines(test.store, MODEL, TRAINING):
            if control.key in keys:
                answers = [control.predict(replace(fold, test=of)) for of in (test, backwards)]
                assert np.array_equal(*answers) != control.uses_order, control.name


class ReversedSequences(Sequences):
    def __getitem__(self, index):
        return super().__getitem__(index)[::-1]


def conclusion(controls):
    runs = {}
    for cell, share in (("lstm", 0.7), ("rnn", 0.8)):
        correct = rights(share)
        test = {"accuracy": float(correct.mean()), "macro_f1": 0.5}
        labels = np.arange(len(correct)) % 2
        answers = RunPredictions(labels, np.where(correct, labels, 1 - labels))
        runs[cell] = [RunResult(("id",), 0, answers, test, 10, 1.0, 1.0)]
    return Comparison(cells=("lstm", "rnn")).conclude(runs, ("a", "b"), controls=controls)


def test_the_conclusion_holds_the_caveat_against_the_best_cell_and_every_control():
    controls = [result_of(rights(0.8)), BaselineResult(CONTROL, 0.1, error="a | b")]
    found = conclusion(controls)
    assert found.sentence.startswith("Undecided between lstm") and "of rnn" in found.sentence
    rows = found.markdown().splitlines()
    assert "| some control | 80.00 % | 50.00 % | 0.1 | known | It knows something. |" in rows
    assert "| some control | not computed |  | 0.1 | known | a \\| b |" in rows
    assert conclusion([]).sentence == conclusion([result_of(rights(0.1))]).sentence


def test_the_picture_has_a_row_for_every_control():
    controls = [result_of(rights(0.8), "one"), BaselineResult(CONTROL, 0.1, error="none")]
    found = conclusion(controls)
    figure = comparison_figure(found.cells(), 0.95, [one.to_dict() for one in controls])
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["LSTM", "RNN", "one", "some control"]
    texts = [text.get_text() for text in axes.texts]
    assert texts[-2:] == ["80.0", "not computed"]
    low, high = sorted(axes.get_ylim())
    assert all(low < tick < high for tick in axes.get_yticks())
