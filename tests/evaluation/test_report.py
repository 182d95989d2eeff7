"""The report on one model's predictions."""

import numpy as np
import pytest

from seqbelt.data.in_memory import in_memory
from seqbelt.evaluation.report import Report


@pytest.mark.parametrize(("num_right", "is_above"), [(0, False), (63, False), (80, True)])
def test_above_chance_means_above_the_most_frequent_class(num_right, is_above):
    """Of 100 rows, 60 of one class: 63 right are chance, 80 are not."""
    labels = np.repeat([0, 1], [60, 40])
    predicted = np.where(np.arange(100) < num_right, labels, 1 - labels)
    rows = in_memory([np.zeros((1, 1), np.float32)] * 100, labels, ("a", "b"))
    assert Report(rows, np.eye(2, dtype=np.float32)[predicted]).is_above_chance is is_above
