"""The report on one model's predictions."""

import numpy as np
import pytest

from seqbelt.data.in_memory import in_memory
from seqbelt.evaluation.report import Report
from seqbelt.evaluation.report_markdown import report_markdown


@pytest.mark.parametrize(("num_right", "is_above"), [(0, False), (63, False), (80, True)])
def test_above_chance_means_above_the_most_frequent_class(num_right, is_above):
    """Of 100 rows, 60 of one class: 63 right are chance, 80 are not."""
    labels = np.repeat([0, 1], [60, 40])
    predicted = np.where(np.arange(100) < num_right, labels, 1 - labels)
    rows = in_memory([np.zeros((1, 1), np.float32)] * 100, labels, ("a", "b"))
    assert Report(rows, np.eye(2, dtype=np.float32)[predicted]).is_above_chance is is_above


def test_a_page_has_scores_with_their_interval_classes_and_confusion():
    labels = np.array([0, 0, 0, 1])
    rows = in_memory([np.zeros((1, 1), np.float32)] * 4, labels, ("a|b", "c"))
    page = report_markdown(Report(rows, np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]), "test")
    scores, classes, confusion = page.split("\n\n")
    assert scores == (
        "Test accuracy 75.0 % (95 % interval 30.1 to 95.4 %, 4 examples), macro-F1 73.3 %."
    )
    assert "| a\\|b | 3 | 100.0 % | 66.7 % |" in classes.splitlines()
    assert confusion.splitlines()[2:] == ["| a\\|b | 2 | 1 |", "| c | 0 | 1 |"]
