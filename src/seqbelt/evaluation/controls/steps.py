"""Controls for labelled steps: what a step tells without a memory of those before it."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import uniform_filter1d
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from seqbelt.data.store import Sequences
from seqbelt.data.targets import UNLABELLED

SPANS = (9, 33, 129)
"""Steps around a step whose mean is taken: a third of a second to a few, as steps mostly are."""
MOST_STEPS = 50_000
"""Training steps that are fitted, drawn at random: more change little and take minutes."""


def answer_steps(train: Sequences, test: Sequences, spans: Sequence[int]) -> np.ndarray:
    """Answers ``(labelled test steps,)`` of a logistic regression on each step and the means of
    the steps around it."""
    inputs, labels = _labelled(train, spans)
    kept = np.random.default_rng(0).permutation(len(labels))[:MOST_STEPS]
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    classifier.fit(inputs[kept], labels[kept])
    return classifier.predict(_labelled(test, spans)[0])


def _labelled(sequences: Sequences, spans: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    inputs = []
    for index in range(len(sequences)):
        steps = sequences[index]
        means = [uniform_filter1d(steps, span, axis=0, mode="nearest") for span in spans]
        own = sequences.step_labels(index) != UNLABELLED
        inputs.append(np.concatenate([steps, *means], axis=1)[own])
    return np.concatenate(inputs), sequences.store.target.labels(sequences)
