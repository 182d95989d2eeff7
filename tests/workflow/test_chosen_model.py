"""Which model of a comparison is registered."""

from types import SimpleNamespace

import numpy as np

from seqbelt.comparison.statistics import accuracy_after_selection
from seqbelt.training.scoring import Scores
from seqbelt.workflow.chosen_model import choose


def report(accuracy, loss=1.0, **more):
    return SimpleNamespace(scores=Scores(accuracy=accuracy, macro_f1=0.0, loss=loss, **more))


def trained(name, cell, test, validation=None, fold=0, loss=1.0, **more):
    return SimpleNamespace(
        name=name,
        cell=cell,
        test=report(np.mean(test)),
        validation=None if validation is None else report(validation, loss, **more),
        experiment=SimpleNamespace(data=SimpleNamespace(fold=fold)),
    )


def test_validation_rows_choose_whatever_the_test_rows_say():
    models = [trained("a", "lstm", [1, 1], 0.6), trained("b", "rnn", [0, 0], 0.7)]
    best, words, key, _ = choose(models)
    assert best.name == "b" and words == "the best by validation" and key == "validation"


def test_of_equally_accurate_models_the_lower_loss_is_chosen():
    models = [trained(name, "lstm", [1, 1], 0.6, loss=loss) for name, loss in zip("abc", (3, 1, 2))]
    assert choose(models)[0].name == "b"


def test_without_validation_rows_the_test_chooses_the_cell_and_never_the_seed():
    models = [
        trained("a", "lstm", [1, 0, 0, 0]),
        trained("b", "rnn", [0, 1, 0, 0]),
        trained("c", "lstm", [1, 1, 0, 0]),
        trained("d", "rnn", [1, 1, 1, 1]),
    ]
    best, words, key, _ = choose(models)
    assert best.name == "b" and "without validation rows" in words and key == "mean_test"


def test_with_folds_the_mean_chooses_and_not_the_easiest_validation_rows():
    models = [
        trained("a", "lstm", [1], 1.0, fold=0),  # an easy validation speaker
        trained("b", "rnn", [1], 0.9, fold=0),
        trained("c", "lstm", [1], 0.4, fold=1),
        trained("d", "rnn", [1], 0.8, fold=1),
    ]
    best, words, key, _ = choose(models)
    assert key == "mean_validation"
    assert best.cell == "rnn" and "mean validation accuracy over all seeds and folds" in words
    assert "refitted" in words


def test_the_best_of_ten_equal_models_is_worth_their_mean():
    """Coin flips: the best score of ten is luck, and the correction takes most of it away."""
    correct = np.random.default_rng(0).random((10, 100)) < 0.8
    best = correct.mean(axis=1).max()
    expected = accuracy_after_selection(correct)
    assert best > 0.84
    assert abs(expected - 0.8) < 0.5 * (best - 0.8)


def test_ordered_classes_choose_by_the_mean_error_in_folds_too():
    models = [
        trained("a", "lstm", [1], 0.9, fold=0, mean_absolute_error=0.4),  # right, or far off
        trained("b", "rnn", [1], 0.8, fold=0, mean_absolute_error=0.2),
        trained("c", "lstm", [1], 0.9, fold=1, mean_absolute_error=0.4),
        trained("d", "rnn", [1], 0.8, fold=1, mean_absolute_error=0.2),
    ]
    best, sentence, _, score = choose(models)
    assert best.cell == "rnn" and score == "mean_absolute_error"
    assert "best mean validation mean absolute error" in sentence
    assert choose(models[:2]).model.name == "b"
