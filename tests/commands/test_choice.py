"""Which model of a comparison is registered."""

from types import SimpleNamespace

import numpy as np

from seqbelt.commands.compare import _choose


def trained(name, cell, test, validation=None):
    scores = SimpleNamespace(accuracy=validation, loss=1.0)
    return SimpleNamespace(
        name=name,
        cell=cell,
        test=SimpleNamespace(correct=np.array(test)),
        validation=None if validation is None else SimpleNamespace(scores=scores),
    )


def test_validation_rows_choose_whatever_the_test_rows_say():
    models = [trained("a", "lstm", [1, 1], 0.6), trained("b", "rnn", [0, 0], 0.7)]
    best, words = _choose(models)
    assert best.name == "b" and words == "the best by validation"


def test_without_validation_rows_the_test_chooses_the_cell_and_never_the_seed():
    models = [
        trained("a", "lstm", [1, 0, 0, 0]),
        trained("b", "rnn", [0, 1, 0, 0]),
        trained("c", "lstm", [1, 1, 0, 0]),
        trained("d", "rnn", [1, 1, 1, 1]),
    ]
    best, words = _choose(models)
    assert best.name == "b" and "without validation rows" in words
