"""Near-duplicates of numeric sequences: candidates by a summary, confirmed on the sequences."""

import numpy as np
from scipy.spatial import KDTree

from seqbelt.data.audit.duplicates import DuplicatePairs, FindDuplicates
from seqbelt.data.audit.findings import MAX_EXAMPLES, Finding
from seqbelt.data.audit.rows import Rows
from seqbelt.data.store.store import SequenceStore

SEGMENTS, MAX_FEATURES, MAX_DIMENSIONS = 16, 16, 16
"""A summary is the means over ``SEGMENTS`` time segments of at most ``MAX_FEATURES`` features,
reduced to at most ``MAX_DIMENSIONS`` principal components."""
SAMPLE = 1000
"""Sequences from which scales are estimated, drawn at random."""
DISTANCE = 0.1
"""Near-duplicates differ by less than this times their own variation in time (root mean square,
features standardised), so that two quiet recordings are not duplicates."""
LENGTH_TOLERANCE = 0.1
"""And in length by less than this fraction."""
NUM_CANDIDATES, REACH = 3, 0.3
"""Number of nearest summaries whose sequences are compared, if they are closer than ``REACH`` times
the distance between two random summaries."""


def similar_signals(store: SequenceStore) -> tuple[FindDuplicates, np.ndarray]:
    """A function that finds rows with similar sequences, and bool ``(rows,)``: whether each row's
    sequence is constant."""
    num_rows = store.index.num_rows
    sample = np.random.default_rng(0).permutation(num_rows)[:SAMPLE]
    steps = np.concatenate([store.sequence(row)[:: _stride(store, row)] for row in sample])
    scale = _Scale(steps.mean(0), np.maximum(steps.std(0), 1e-6))
    summaries = np.empty((num_rows, SEGMENTS * scale.num_features), np.float32)
    constant = np.zeros(num_rows, bool)
    for row in range(num_rows):
        sequence = store.sequence(row)
        summaries[row] = scale.summarise(sequence)
        constant[row] = len(sequence) > 1 and bool((sequence == sequence[0]).all())
    points, radius = _reduce(summaries, sample)

    def find(held: np.ndarray, before: np.ndarray) -> DuplicatePairs:
        if not len(before) or not len(held):
            return held[:0], held[:0]
        near, index = KDTree(points[before]).query(
            points[held], NUM_CANDIDATES, distance_upper_bound=radius
        )
        a, nth = np.nonzero(np.isfinite(near))
        index = np.asarray(index)
        pairs = [
            (row, other)
            for row, other in zip(held[a].tolist(), before[index[a, nth]].tolist())
            if scale.distance(store.sequence(row), store.sequence(other)) <= DISTANCE
        ]
        nearest = dict(reversed(pairs))  # keeps the nearest
        rows_found = sorted(nearest)
        return np.array(rows_found, dtype=int), np.array(
            [nearest[row] for row in rows_found], dtype=int
        )

    return find, constant


def check_constant(rows: Rows, constant: np.ndarray) -> Finding:
    """Sequences whose steps are all equal: a dead sensor, digital silence."""
    constant_rows = np.flatnonzero(constant)
    if not len(constant_rows):
        return Finding("constant", "ok", 0, "no sequence is constant")
    sentence = f"{len(constant_rows):,} sequences have the same values in every step"
    return Finding(
        "constant",
        "warning",
        len(constant_rows),
        sentence,
        tuple(map(rows.name, constant_rows[:MAX_EXAMPLES])),
    )


class _Scale:
    """The scale of each feature, for comparing sequences."""

    def __init__(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        self.mean, self.deviation = mean, deviation
        self.num_features = min(len(mean), MAX_FEATURES)
        mixing = np.eye(len(mean))
        if len(mean) > MAX_FEATURES:  # random directions keep distances (Johnson & Lindenstrauss)
            mixing = np.random.default_rng(0).normal(size=(len(mean), MAX_FEATURES))
        self.mixing = (mixing / deviation[:, None]).astype(np.float32)

    def summarise(self, sequence: np.ndarray) -> np.ndarray:
        """Means over ``SEGMENTS`` segments of equal length, flat."""
        bounds = np.arange(SEGMENTS + 1) * len(sequence) // SEGMENTS
        sums = np.add.reduceat((sequence - self.mean) @ self.mixing, bounds[:-1], axis=0)
        return (sums / np.maximum(np.diff(bounds), 1)[:, None]).reshape(-1)

    def distance(self, a: np.ndarray, b: np.ndarray) -> float:
        """Root mean square difference, about 1 for unrelated sequences; of the longer one the start
        or the end is compared, whichever is nearer."""
        if abs(len(a) - len(b)) > LENGTH_TOLERANCE * max(len(a), len(b)):
            return np.inf
        a, b = a / self.deviation, b / self.deviation
        count = min(len(a), len(b))
        squares = [np.mean((a[:count] - b[:count]) ** 2), np.mean((a[-count:] - b[-count:]) ** 2)]
        return float(np.sqrt(min(squares) / max(a.var(0).mean() + b.var(0).mean(), 1e-12)))


def _stride(store: SequenceStore, row: int) -> int:
    """Every step of a short sequence, a hundred or two of a long one."""
    return max(1, len(store.sequence(row)) // 100)


def _reduce(summaries: np.ndarray, sample: np.ndarray) -> tuple[np.ndarray, float]:
    """Principal components of the summaries, and the largest distance of a candidate pair.

    A projection only reduces distances, so no pair is missed.
    """
    drawn = summaries[sample] - summaries[sample].mean(0)
    _, _, axes = np.linalg.svd(drawn, full_matrices=False)
    points = summaries @ axes[:MAX_DIMENSIONS].T
    radius = REACH * float(np.sqrt(2 * drawn.var(0).sum()))
    return points, max(radius, 1e-6)
