"""Pictures say what they show; every warning of the library is an error here."""

import numpy as np
from scipy.special import softmax
from toys import toy_store

from seqbelt.evaluation.calibration import reliability
from seqbelt.evaluation.report import Report
from seqbelt.plots.comparison_figures import comparison_figure
from seqbelt.plots.run_figures import confusion_figure, learning_curves, reliability_figure
from seqbelt.training.history import Epoch, History
from seqbelt.training.scoring import Scores


def reliability_of(probabilities, labels, *more, **named):
    """Of the likeliest classes."""
    return reliability(probabilities.max(1), probabilities.argmax(1) == labels, *more, **named)


def test_the_reliability_picture_names_both_errors():
    random = np.random.default_rng(0)
    logits, labels = 3 * random.normal(size=(200, 3)), random.integers(0, 3, 200)
    before, after = (reliability_of(softmax(logits / t, axis=1), labels) for t in (1.0, 4.0))
    (axes,) = reliability_figure(before, after, 4.0).axes
    first, second = (text.get_text() for text in axes.get_legend().get_texts())
    assert first == f"before: expected calibration error {100 * before.expected_error:.1f} %"
    assert "temperature 4.00" in second and f"{100 * after.expected_error:.1f} %" in second
    assert "200 examples" in axes.get_title()


def test_an_interval_that_begins_at_zero_is_drawn():
    result = {
        "accuracies": [0.0, 0.1],
        "test_accuracy": {"mean": 0.05, "low": 0.0, "high": 0.2},
    }
    (axes,) = comparison_figure({"lstm": result}, 0.95).axes
    (bars,) = [one for one in axes.containers if one.has_xerr]
    (segment,) = bars.lines[2][0].get_segments()
    np.testing.assert_allclose(segment[:, 0], [0, 20])


def test_the_confusion_has_counts_and_fractions_of_the_true_class(tmp_path):
    sequences = toy_store(tmp_path, count=40).split("test")
    logits = np.eye(2, dtype=np.float32)[np.zeros(len(sequences), int)]
    (axes,) = confusion_figure(Report(sequences, logits)).axes
    counts = np.bincount(sequences.labels, minlength=2)
    assert [text.get_text() for text in axes.texts] == [f"{count}\n100 %" for count in counts]


def test_many_learning_curves_still_say_which_line_is_which():
    def history():
        scores = Scores(accuracy=0.5, macro_f1=0.5, loss=0.7)
        epochs = [Epoch(n, 0.7, 0.1, 1.0, 0.0, 1.0, scores) for n in (1, 2)]
        return History(epochs, best_epoch=2)

    losses, _ = learning_curves({f"lstm-s{seed}": history() for seed in range(6)}).axes
    assert [one.get_text() for one in losses.get_legend().get_texts()] == ["training", "validation"]


def test_curves_without_validation_rows_have_no_empty_panel():
    history = History([Epoch(n, 0.7, 0.1, 1.0, 0.0, 1.0, None) for n in (1, 2)], best_epoch=2)
    (losses,) = learning_curves({"lstm-s0": history}).axes
    assert losses.get_ylabel().startswith("cross-entropy")
    losses.figure.draw_without_rendering()
    marks = [tick.get_text() for tick in losses.get_yticklabels(which="both")]
    assert "0.7" in marks and not any("10^" in mark for mark in marks)
