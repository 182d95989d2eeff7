"""Segments at least as long as the training rows suggest: shorter runs are absorbed."""

import heapq

import numpy as np

from seqbelt.data.labels.segments import find_runs
from seqbelt.data.sequences import Sequences
from seqbelt.probabilities import log_softmax

QUANTILE = 0.05
"""Quantile of the training segments' durations; half of it is the shortest predicted segment."""


def shortest_segment(train: Sequences) -> int:
    """Number of steps below which a predicted segment is absorbed, learned from the labels of the
    training rows; 1 absorbs nothing."""
    runs = [find_runs(train.step_labels(index)) for index in range(len(train))]
    lengths = np.concatenate([np.empty(0), *(run.stops - run.starts for run in runs)])
    return max(1, int(np.quantile(lengths, QUANTILE) / 2)) if len(lengths) else 1


def smooth_classes(logits: np.ndarray, min_steps: int) -> np.ndarray:
    """Class indices ``(steps,)`` from logits ``(steps, classes)`` in runs of at least
    ``min_steps``, if there are as many steps.

    The shortest run first becomes part of the neighbour whose class is likelier there.
    """
    classes = logits.argmax(1)
    if min_steps <= 1 or len(classes) <= min_steps:
        return classes
    run_classes, starts, stops = find_runs(classes)
    lengths, label = stops - starts, run_classes.copy()
    sums = np.add.reduceat(log_softmax(logits), starts, axis=0)
    before = np.arange(-1, len(run_classes) - 1)  # neighbours that are still there
    after = np.arange(1, len(run_classes) + 1)
    owner = np.arange(len(run_classes))
    is_run = np.ones(len(run_classes), bool)

    def join(run: int, into: int) -> None:
        """Add a run to its neighbour."""
        sums[into] += sums[run]
        lengths[into] += lengths[run]
        owner[run], is_run[run] = into, False
        if before[run] >= 0:
            after[before[run]] = after[run]
        if after[run] < len(run_classes):
            before[after[run]] = before[run]

    queue = [(int(lengths[run]), run) for run in np.flatnonzero(lengths < min_steps).tolist()]
    heapq.heapify(queue)
    while queue:
        length, run = heapq.heappop(queue)
        if not is_run[run] or length != lengths[run]:
            continue  # joined, or grown, since it was queued
        neighbours = [n for n in (int(before[run]), int(after[run])) if 0 <= n < len(run_classes)]
        if not neighbours:
            break
        into = max(neighbours, key=lambda n: sums[run, label[n]])
        join(run, into)
        other = next((n for n in neighbours if n != into), None)
        if other is not None and label[other] == label[into]:
            join(other, into)
        if lengths[into] < min_steps:
            heapq.heappush(queue, (int(lengths[into]), into))
    for run in range(len(run_classes)):
        root = run
        while owner[root] != root:
            root = owner[root]
        owner[run] = root
    return np.repeat(label[owner], stops - starts)
