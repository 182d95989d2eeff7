"""Copies of numeric sequences: shifted, scaled, cut, encoded again, overlapping, mirrored.

Candidates are rows with a similar window (mean-free segment means, by inner product). Their
distance is that of the best alignment: ``sqrt(2 (1 - r))`` with the correlation ``r`` over the
overlapping steps, the largest over all lags, so that neither level, scale nor shift matters. How
near a copy must be is learned from the set itself: by the ratio of the distances to the nearest
and to the k-th nearest row (Lowe 2004, doi:10.1023/B:VISI.0000029664.99615.94), whose distribution
without copies follows from the set's intrinsic dimension (Facco et al. 2017,
doi:10.1038/s41598-017-11873-y), estimated from training rows. Rows are no independent draws, so
the p values of that distribution are calibrated by those of the training rows.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import scipy

from seqbelt.data.audit.duplicates import DuplicatePairs, FindDuplicates
from seqbelt.data.audit.findings import MAX_EXAMPLES, Finding
from seqbelt.data.audit.rows import Rows, codes_of
from seqbelt.data.joined_views import InputView
from seqbelt.data.store.store import SequenceStore
from seqbelt.features.base import Features

SEGMENTS, MAX_DIMENSIONS = 8, 48
"""A window is described by the means of so many segments of equal length, less their own mean,
reduced to at most ``MAX_DIMENSIONS`` principal components."""
MAX_WINDOW_STEPS = 64
MAX_WINDOWS = 200_000
"""Of all rows together; with more, windows begin farther from each other."""
MAX_FEATURES, MAX_WINDOW_FEATURES = 48, 16
"""Wider steps are projected on random directions, which keeps distances (Johnson &
Lindenstrauss)."""
MAX_STEPS = 256
"""Longer sequences are aligned at a lower resolution first."""
NUM_QUERIES, NUM_CANDIDATES = 10, 5
"""Windows of a row, of which all but quiet ones are searched for, and rows with the most similar
window to each, whose best alignment is computed."""
MAX_CANDIDATES = 24
"""Rows whose best alignment with a row is computed, the most similar first."""
QUIET = 0.25
"""Windows of less than this fraction of a row's median norm are not searched for."""
NEIGHBOUR, NUM_NEIGHBOURS = 5, 10
"""Which nearest row the distance to the nearest is compared with, and from how many the intrinsic
dimension is estimated."""
NUM_NULL = 200
"""Training rows from which the distribution of the ratio is estimated, drawn at random."""
FALSE_ALARMS, SIGNIFICANCE = 5e-3, 0.01
"""Fraction of rows without a copy that may be taken for one, by the estimated distribution; and
probability of a finding in a set without any. So single rows must be nearer than many rows."""
PRIOR_WEIGHT = 1.5
"""Weight of the whole set's intrinsic dimension against that of a row's own neighbours: rows of
periodic motion lie closer together than others."""
CALIBRATION = (0.5, 0.75, 0.9)
"""Quantiles of the training rows' p values by which these are calibrated; the rest may be of
copies."""
MIN_OVERLAP = 0.45
MIN_OVERLAP_OF_LONGER, MIN_OVERLAP_STEPS = 0.4, 4
"""Least overlap of two sequences as fractions of the shorter and the longer one, and in steps."""
BUFFER_VALUES = 8_000_000
CACHE_BYTES = 200_000_000
SAMPLE = 300
"""Rows from which scales are estimated."""
UNCORRELATED = 2**0.5
"""Distance of sequences whose correlation is 0."""
UNRELATED = 2.0
"""The largest distance: of sequences that cannot be aligned."""


def similar_signals(
    store: SequenceStore | InputView, features: Features | None = None
) -> tuple[FindDuplicates, np.ndarray]:
    """A function that finds rows with copies, and bool ``(rows,)``: whether each row's sequence is
    constant. ``features`` made the store's sequences; without them these are compared as they
    are."""
    num_rows = store.index.num_rows
    constant = np.zeros(num_rows, bool)
    for row in range(num_rows):
        sequence = store.sequence(row)
        constant[row] = len(sequence) > 1 and bool((sequence == sequence[0]).all())
    search = _Search(store, features or Features())
    content, _ = codes_of(store.index, "content_hash")

    def find(held: np.ndarray, before: np.ndarray) -> DuplicatePairs:
        held = held[~constant[held]]
        before = before[~constant[before]]
        _, first = np.unique(content[before], return_index=True)
        before = before[np.sort(first)]
        if len(before) < 3 or not len(held):
            return held[:0], held[:0]
        index = search.index(before)
        drawn = np.random.default_rng(0).permutation(len(before))[:NUM_NULL]
        null = [index.nearest(row, excluded=row) for row in before[drawn]]
        limit = _Limit(np.stack([distances for distances, _ in null]))
        pairs, certain = [], []
        for row in held.tolist():
            distances, rows = index.nearest(row)
            if search.mirror is not None and not limit.is_copy(distances):
                distances, rows = index.nearest(row, mirrored=True)
            if limit.is_copy(distances):
                pairs.append((row, rows[0]))
                if limit.is_copy(distances, SIGNIFICANCE / len(held)):
                    certain.append(pairs[-1])
        if len(pairs) < least_count(len(held)):
            pairs = certain
        indices = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return indices[:, 0], indices[:, 1]

    return find, constant


def least_count(num_rows: int) -> int:
    """The least number of findings among so many rows that false alarms hardly explain."""
    count = 1
    while scipy.special.pdtrc(count - 1, num_rows * FALSE_ALARMS) > SIGNIFICANCE:
        count += 1
    return count


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


class _Limit:
    """How much nearer than its neighbours a copy is, from the distances of rows to their nearest
    rows ``(rows, neighbours)``, rising."""

    def __init__(self, null: np.ndarray) -> None:
        self.last = min(NEIGHBOUR, null.shape[1]) - 1
        self.typical = max(float(np.median([_inverse_dimension(sample) for sample in null])), 1e-3)
        self.least_reference = float(np.quantile(null[:, self.last], 0.01))
        # The logarithm of a p value is exponentially distributed. Its scale, and two standard
        # errors more, but 1 where most of the rows have copies:
        found = -np.array([self._log_p(sample) for sample in null])
        scales = [np.quantile(found, fraction) / -np.log1p(-fraction) for fraction in CALIBRATION]
        self.scale = min(1.0, float(max(scales)) * (1 + 2 / np.sqrt(len(null))))

    def is_copy(self, distances: np.ndarray, false_alarms: float = FALSE_ALARMS) -> bool:
        """Whether the nearest row is a copy, from the distances to the nearest rows."""
        least = np.log(min(false_alarms, FALSE_ALARMS)) * self.scale
        return bool(distances[0] < 1 and self._log_p(distances) < least)

    def _log_p(self, distances: np.ndarray) -> float:
        """Logarithm of the probability that the nearest of unrelated rows is as near."""
        reference = max(float(distances[self.last]), self.least_reference, 1e-6)
        own = (_inverse_dimension(distances) + PRIOR_WEIGHT * self.typical) / (1 + PRIOR_WEIGHT)
        nearer = min(float(distances[0]) / reference, 1.0) ** (1 / max(own, self.typical))
        if nearer >= 1:
            return 0.0
        return float(np.log(max(-np.expm1(self.last * np.log1p(-nearer)), np.finfo(float).tiny)))


def _inverse_dimension(distances: np.ndarray) -> float:
    """An estimate of the inverse of the intrinsic dimension at a row, from the ratios of the
    distances to its neighbours (Levina & Bickel 2005), without the nearest two, since those may be
    copies."""
    known = np.clip(distances, 1e-6, UNCORRELATED)
    ranks = np.arange(max(1, min(3, len(known) - 1)), len(known))
    if not len(ranks):
        return 0.1
    return float(np.mean(ranks * np.log(known[ranks] / known[ranks - 1])))


class _Search:
    """The store's sequences, comparable, and the windows in them."""

    def __init__(self, store: SequenceStore | InputView, features: Features) -> None:
        self.store, self.features = store, features
        self.mirror = features.mirrored
        random = np.random.default_rng(0)
        lengths = store.index["num_steps"].to_numpy()
        drawn = random.permutation(store.index.num_rows)[:SAMPLE]
        sample = [features.comparable(store.sequence(row)) for row in drawn]
        steps = np.concatenate([sequence[:: max(1, len(sequence) // 100)] for sequence in sample])
        scale = steps.std(0)
        if features.has_one_unit:
            scale = np.full_like(scale, scale.mean())
        width = len(scale)
        self.projection = np.diag(1 / np.maximum(scale, 1e-6 * scale.max() + 1e-12))
        if width > MAX_FEATURES:
            self.projection = self.projection @ random.normal(size=(width, MAX_FEATURES))
        self.projection = self.projection.astype(np.float32)
        width = min(width, MAX_FEATURES)
        self.mixing = np.eye(width, dtype=np.float32)
        if width > MAX_WINDOW_FEATURES:
            self.mixing = random.normal(size=(width, MAX_WINDOW_FEATURES)).astype(np.float32)
        self.steps = int(np.clip(np.quantile(lengths, 0.25) / 2, 2, MAX_WINDOW_STEPS))
        hop = max(1, self.steps // 8)
        num_windows = int(np.maximum(lengths - self.steps, 0).sum()) // hop + len(lengths)
        self.hop = hop * max(1, -(-num_windows // MAX_WINDOWS))
        num_bytes = 4 * width * max(1.0, float(lengths.mean()))
        self.sequence = lru_cache(max(64, int(CACHE_BYTES / num_bytes)))(self._sequence)

    def _sequence(self, row: int) -> np.ndarray:
        return self.features.comparable(self.store.sequence(row)) @ self.projection

    def mirrored(self, row: int) -> np.ndarray:
        """The sequence of a row as if the clip was mirrored."""
        sequence = self.features.comparable(self.store.sequence(row)[:, self.mirror])
        return sequence @ self.projection

    def windows(self, sequence: np.ndarray, starts: np.ndarray | None = None) -> np.ndarray:
        """Windows ``(windows, segments * features)`` of a sequence, at all starts if none are
        given."""
        if len(sequence) < self.steps:
            padding = np.repeat(sequence[-1:], self.steps - len(sequence), 0)
            sequence = np.concatenate([sequence, padding])
        last = len(sequence) - self.steps
        if starts is None:
            starts = np.unique(np.append(np.arange(0, last + 1, self.hop), last))
        starts = np.minimum(starts, last)
        mixed = sequence @ self.mixing
        sums = np.concatenate([np.zeros_like(mixed[:1]), mixed.cumsum(0, dtype=np.float64)])
        num_segments = min(SEGMENTS, self.steps)
        bounds = np.arange(num_segments + 1) * self.steps // num_segments
        at_bounds = sums[starts[:, None] + bounds]
        means = (at_bounds[:, 1:] - at_bounds[:, :-1]) / np.diff(bounds)[:, None]
        means -= means.mean(1, keepdims=True)
        return means.reshape(len(starts), -1).astype(np.float32)

    @cached_property
    def _all_windows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Unit vectors of the windows of all rows, where each row's begin, the axes, and the norm
        below which a window is nothing but noise."""
        rows = range(self.store.index.num_rows)
        counts, some = np.zeros(len(rows) + 1, np.int64), []
        for row in np.random.default_rng(1).permutation(len(rows))[:SAMPLE]:
            some.append(self.windows(self.sequence(int(row))))
        sample = np.concatenate(some)
        floor = 0.1 * float(np.median(np.linalg.norm(sample, axis=1))) + 1e-12
        sample = sample / np.maximum(np.linalg.norm(sample, axis=1), floor)[:, None]
        moments = sample.T.astype(np.float64) @ sample
        axes = np.linalg.eigh(moments)[1][:, ::-1][:, :MAX_DIMENSIONS].astype(np.float32)
        parts = []
        for row in rows:
            windows = self.windows(self.sequence(row))
            counts[row + 1] = len(windows)
            parts.append(self.unit(windows, axes, floor))
        return np.concatenate(parts), counts.cumsum(), axes, floor

    @staticmethod
    def unit(windows: np.ndarray, axes: np.ndarray, floor: float) -> np.ndarray:
        """Windows of norm 1 (less for those below ``floor``) by their principal components."""
        return (windows / np.maximum(np.linalg.norm(windows, axis=1), floor)[:, None]) @ axes

    def index(self, rows: np.ndarray) -> "_Index":
        """The windows of some rows, to search in."""
        vectors, begins, axes, floor = self._all_windows
        taken = np.concatenate([np.arange(int(begins[row]), int(begins[row + 1])) for row in rows])
        firsts = np.append(0, np.diff(begins)[rows].cumsum()[:-1])
        return _Index(self, rows, vectors[taken], firsts, axes, floor)


@dataclass(frozen=True)
class _Index:
    search: _Search
    rows: np.ndarray
    vectors: np.ndarray
    firsts: np.ndarray
    """Index of each row's first window."""
    axes: np.ndarray
    floor: float

    @cached_property
    def squares(self) -> np.ndarray:
        """Squared norms of the vectors."""
        return np.square(self.vectors).sum(1)

    def nearest(
        self, row: int, excluded: int | None = None, mirrored: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distances to the nearest rows, rising, ``(min(NUM_NEIGHBOURS, rows - 1),)``, and the
        rows."""
        search = self.search
        sequence = search.mirrored(row) if mirrored else search.sequence(int(row))
        last = max(0, len(sequence) - search.steps)
        starts = np.unique(np.linspace(0, last, NUM_QUERIES).round().astype(np.int64))
        windows = search.windows(sequence, starts)
        loudness = np.linalg.norm(windows, axis=1)
        windows = windows[loudness >= QUIET * np.median(loudness)]
        asked = search.unit(windows, self.axes, self.floor)
        count = min(NUM_CANDIDATES, len(self.rows) - (excluded is not None))
        chosen, most_similar = [], np.full(len(self.rows), -np.inf, np.float32)
        at_once = max(1, BUFFER_VALUES // len(self.vectors))
        for start in range(0, len(asked), at_once):
            some = asked[start : start + at_once]
            # Less the squared distance: vectors of quiet windows are shorter than others.
            similarity = 2 * (some @ self.vectors.T) - self.squares
            similarity -= np.square(some).sum(1, keepdims=True)
            best = np.maximum.reduceat(similarity, self.firsts, axis=1)
            if excluded is not None:
                best[:, self.rows == excluded] = -np.inf
            chosen.append(np.argpartition(-best, count - 1, axis=1)[:, :count].ravel())
            most_similar = np.maximum(most_similar, best.max(0))
        pairs = np.unique(np.concatenate(chosen))
        candidates = self.rows[pairs[np.argsort(-most_similar[pairs])[:MAX_CANDIDATES]]]
        distances = np.array(
            [align(sequence, search.sequence(int(other))) for other in candidates], np.float32
        )
        count = min(NUM_NEIGHBOURS, len(self.rows) - 1)
        order = np.argsort(distances, kind="stable")[:count]
        missing = count - len(order)  # of few candidates the farthest stands for the others
        order = np.append(order, np.repeat(order[-1:], missing))
        return distances[order], candidates[order]


def align(a: np.ndarray, b: np.ndarray) -> float:
    """Distance of two sequences ``(steps, features)`` at their best alignment: 0 for copies,
    ``sqrt(2)`` for unrelated ones."""
    factor = -(-max(len(a), len(b)) // MAX_STEPS)
    if factor == 1:
        # A copy that begins between two steps is nearer to the steps' means.
        between = (b[1:] + b[:-1]) / 2
        return min(float(_distances(a, c, _lags(a, c)).min()) for c in (b, between) if len(c))
    lags = _lags(coarse_a := _pool(a, factor), coarse_b := _pool(b, factor))
    nearest = lags[np.argsort(_distances(coarse_a, coarse_b, lags))[:3]] * factor
    fine = np.unique(nearest[:, None] + np.arange(-factor, factor + 1)).clip(1 - len(a), len(b) - 1)
    return min(_distance(a, b, int(lag)) for lag in fine)


def _lags(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.arange(1 - len(a), len(b))


def _pool(sequence: np.ndarray, factor: int) -> np.ndarray:
    count = len(sequence) // factor
    return sequence[: count * factor].reshape(count, factor, -1).mean(1)


def _least_overlap(a: np.ndarray, b: np.ndarray) -> int:
    shorter, longer = sorted((len(a), len(b)))
    least = max(MIN_OVERLAP * shorter, MIN_OVERLAP_OF_LONGER * longer, MIN_OVERLAP_STEPS)
    return int(np.ceil(least))


def _distance(a: np.ndarray, b: np.ndarray, lag: int) -> float:
    """Distance where step ``i`` of ``a`` is step ``i + lag`` of ``b``."""
    start, stop = max(0, -lag), min(len(a), len(b) - lag)
    if stop - start < _least_overlap(a, b):
        return UNRELATED
    p, q = a[start:stop], b[start + lag : stop + lag]
    p, q = p - p.mean(0), q - q.mean(0)
    energy = float(np.sqrt(np.vdot(p, p) * np.vdot(q, q)))
    return float(np.sqrt(max(0.0, 2 - 2 * float(np.vdot(p, q)) / energy))) if energy else UNRELATED


def _distances(a: np.ndarray, b: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """The distance at every lag at once: ``lags`` are all of ``_lags``."""
    a, b = a - a.mean(0), b - b.mean(0)
    starts, stops = np.maximum(0, -lags), np.minimum(len(a), len(b) - lags)
    count = (stops - starts)[:, None]
    products = _diagonal_sums(a @ b.T)
    sum_a, square_a = _range_sums(a, starts, stops)
    sum_b, square_b = _range_sums(b, starts + lags, stops + lags)
    inner = products - (sum_a * sum_b / count).sum(1)
    energy_a = square_a - (sum_a**2 / count).sum(1)
    energy_b = square_b - (sum_b**2 / count).sum(1)
    total = np.vdot(a, a) + np.vdot(b, b)
    energy = np.sqrt(np.maximum(energy_a, 0) * np.maximum(energy_b, 0))
    is_flat = energy <= 1e-6 * total
    correlation = inner / np.where(is_flat, 1, energy)
    distances = np.sqrt(np.maximum(0, 2 - 2 * correlation))
    distances[is_flat | (count[:, 0] < _least_overlap(a, b))] = UNRELATED
    return distances


def _diagonal_sums(products: np.ndarray) -> np.ndarray:
    """Sums of ``products[i, i + lag]`` for all lags from ``1 - rows`` to ``columns - 1``."""
    rows, columns = products.shape
    skewed = np.zeros((rows, rows + columns), products.dtype)
    skewed[:, :columns] = products[::-1]
    return skewed.ravel()[: rows * (rows + columns - 1)].reshape(rows, -1).sum(0)


def _range_sums(
    sequence: np.ndarray, starts: np.ndarray, stops: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sums ``(ranges, features)`` and sums of squares ``(ranges,)`` of ranges of steps."""
    sums = np.zeros((len(sequence) + 1, sequence.shape[1]))
    np.cumsum(sequence, axis=0, out=sums[1:])
    squares = np.append(0, np.square(sequence, dtype=np.float64).sum(1).cumsum())
    return sums[stops] - sums[starts], squares[stops] - squares[starts]
