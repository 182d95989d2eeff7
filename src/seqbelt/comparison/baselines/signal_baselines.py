"""Baselines for numeric sequences: summary statistics, single steps, shuffled order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from seqbelt.comparison.baselines.baseline import Baseline, fit_predict
from seqbelt.comparison.variants import in_sentence
from seqbelt.data.cropped_sequences import average_window_probabilities, cut_windows
from seqbelt.data.joined_views import map_inputs
from seqbelt.data.labels.targets import UNLABELLED
from seqbelt.data.sequences import Sequences
from seqbelt.models.ensemble import Network
from seqbelt.texts import text
from seqbelt.training.scoring import predict_logits

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
NUM_BANDS = 8
SPANS = (9, 33, 129)
"""Steps around a step whose mean is taken: a third of a second to a few, as steps mostly are."""
MOST_STEPS = 50_000
"""Training steps that are fitted, drawn at random: more change little and take minutes."""


def predict_from(
    describe: Callable[[np.ndarray], np.ndarray], train: Sequences, test: Sequences
) -> np.ndarray:
    """Predictions ``(test rows,)`` of a logistic regression on standardised descriptors.

    ``describe`` maps the valid steps ``(steps, features)`` of a sequence to one vector.
    """
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    inputs, test_inputs = _describe_all(describe, train), _describe_all(describe, test)
    return fit_predict(classifier, inputs, train, test_inputs)


def _describe_all(describe: Callable[[np.ndarray], np.ndarray], sequences: Sequences) -> np.ndarray:
    """Descriptors, float32 ``(rows, features)``: there may be many rows; sums are in float64."""
    rows = (sequences[row].astype(np.float64) for row in range(len(sequences)))
    return np.stack([describe(steps).astype(np.float32) for steps in rows])


def statistics(steps: np.ndarray) -> np.ndarray:
    """Mean, deviation, extremes and quantiles of each feature: the same in any order."""
    parts = [steps.mean(0), steps.std(0), steps.min(0), steps.max(0)]
    return np.concatenate([*parts, *np.quantile(steps, QUANTILES, axis=0)])


def statistics_in_time(steps: np.ndarray) -> np.ndarray:
    """``statistics``, means of the three thirds, and the share of the variance in each band."""
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


def predict_steps(train: Sequences, test: Sequences, spans: Sequence[int]) -> np.ndarray:
    """Predictions ``(labelled test steps,)`` of a logistic regression on each step and the means of
    the steps around it."""
    inputs, labels = _labelled_steps(train, spans)
    kept = np.random.default_rng(0).permutation(len(labels))[:MOST_STEPS]
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    classifier.fit(inputs[kept], labels[kept])
    return classifier.predict(_labelled_steps(test, spans)[0])


def _labelled_steps(sequences: Sequences, spans: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Inputs ``(labelled steps, features)`` and labels ``(labelled steps,)``."""
    inputs = []
    for index in range(len(sequences)):
        steps = sequences[index]
        means = [uniform_filter1d(steps, span, axis=0, mode="nearest") for span in spans]
        is_labelled = sequences.step_labels(index) != UNLABELLED
        inputs.append(np.concatenate([steps, *means], axis=1)[is_labelled])
    return np.concatenate(inputs), sequences.store.target.labels(sequences)


def shuffled_order_baseline(cell: str) -> Baseline:
    """The baseline of a cell that reads the steps in random order."""
    name = in_sentence(cell)
    return Baseline(
        name=text("control_shuffled", name=name),
        key=f"shuffled-{cell}",
        description=text("reads_shuffled", name=name),
        implication=text("implies_statistics"),
        uses_order=False,
        cell=cell,
    )


@dataclass(frozen=True)
class ShuffledSequences(Sequences):
    """Sequences whose valid steps come in random order: the same for the same row and seed."""

    ordered: Sequences
    seed: int

    def __getitem__(self, index: int) -> np.ndarray:
        random = np.random.default_rng((self.seed, int(self.rows[index])))
        if (layout := self.store.layout) is not None:
            return map_inputs(layout, self.ordered[index], random.permutation)
        return random.permutation(self.ordered[index])


def predict_shuffled(network: Network, test: Sequences, seed: int) -> np.ndarray:
    """Predictions ``(test rows,)`` for shuffled sequences, each shuffled within the steps read."""
    read, sequence_index = cut_windows(test)
    shuffled = ShuffledSequences(read.store, read.rows, read.lengths, read.labels, read, seed)
    device = next(network.parameters()).device
    logits = predict_logits(network, shuffled, device)
    target = test.store.target
    return target.predict(average_window_probabilities(logits, sequence_index, target.is_several))
