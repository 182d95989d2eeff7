"""Controls for numeric sequences: what a few numbers of a whole sequence tell."""

from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from seqbelt.data.store import Sequences

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
NUM_BANDS = 8


def answer_from(
    describe: Callable[[np.ndarray], np.ndarray], train: Sequences, test: Sequences
) -> np.ndarray:
    """Answers ``(test rows,)`` of a logistic regression on standardised descriptions.

    ``describe`` makes one vector of the valid steps ``(steps, features)`` of a sequence.
    """
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(_describe_all(describe, train), train.labels)
    return classifier.predict(_describe_all(describe, test))


def _describe_all(describe: Callable[[np.ndarray], np.ndarray], of: Sequences) -> np.ndarray:
    # In float32, for there may be many rows; a sum over many steps needs more.
    return np.stack(
        [describe(of[row].astype(np.float64)).astype(np.float32) for row in range(len(of))]
    )


def statistics(steps: np.ndarray) -> np.ndarray:
    """Mean, deviation, extremes and quantiles of each feature: the same in any order."""
    parts = [steps.mean(0), steps.std(0), steps.min(0), steps.max(0)]
    return np.concatenate([*parts, *np.quantile(steps, QUANTILES, axis=0)])


def statistics_in_time(steps: np.ndarray) -> np.ndarray:
    """The same, the means of the three thirds, and the shares of the variance by frequency."""
    thirds = np.array_split(np.repeat(steps, 3, axis=0) if len(steps) < 3 else steps, 3)
    return np.concatenate(
        [statistics(steps), *(third.mean(0) for third in thirds), _log_bands(steps)]
    )


def _log_bands(steps: np.ndarray) -> np.ndarray:
    """Log of each feature's share of variance in bands of equal width, 0 to 1/2 cycle a step."""
    num_steps = max(len(steps), 4 * NUM_BANDS)  # zeros after the end: two bins in a band at least
    power = np.abs(np.fft.rfft(steps - steps.mean(0), num_steps, axis=0))[1:] ** 2
    bands = np.stack([band.sum(0) for band in np.array_split(power, NUM_BANDS)])
    total = bands.sum(0)
    shares = np.divide(bands, total, out=np.zeros_like(bands), where=total > 0)
    return np.log(shares + 1e-4).ravel()  # a share of a ten-thousandth is none
