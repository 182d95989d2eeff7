"""Measuring a control: it answers, or it says why not."""

import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import f1_score

from seqbelt.evaluation.controls.control import Control, ControlResult
from seqbelt.training.scoring import ZERO


def measure(
    control: Control, labels: np.ndarray, answer: Callable[[], np.ndarray]
) -> ControlResult:
    """Score what ``answer`` gives, class indices ``(seeds, examples)``, against ``labels``.

    Whatever it raises becomes the result's ``error``: a control never costs the comparison.
    """
    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            # A thousand iterations are enough of a care for a control.
            warnings.simplefilter("ignore", ConvergenceWarning)
            answers = answer()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return ControlResult(control, time.perf_counter() - began, error=reason[:300])
    seconds = time.perf_counter() - began
    macro_f1 = [f1_score(labels, row, average="macro", zero_division=ZERO) for row in answers]
    return ControlResult(control, seconds, answers == labels, float(np.mean(macro_f1)))
