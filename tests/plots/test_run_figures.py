"""Pictures say what they show; every warning of the library is an error here."""

import numpy as np

from seqbelt.evaluation.calibration import reliability, softmax
from seqbelt.plots.run_figures import reliability_figure


def test_the_reliability_picture_names_both_errors():
    random = np.random.default_rng(0)
    logits, labels = 3 * random.normal(size=(200, 3)), random.integers(0, 3, 200)
    before, after = (reliability(softmax(logits, t), labels) for t in (1.0, 4.0))
    (axes,) = reliability_figure(before, after, 4.0).axes
    first, second = (text.get_text() for text in axes.get_legend().get_texts())
    assert first == f"before: expected calibration error {100 * before.expected_error:.1f} %"
    assert "temperature 4.00" in second and f"{100 * after.expected_error:.1f} %" in second
    assert "200 examples" in axes.get_title()
