"""The arithmetic of an honest comparison: pure functions of arrays, distributions by SciPy.

``correct`` is always a boolean array ``(seeds, examples)``: whether the model trained with that
seed got that test example right. Accuracies and their differences are fractions, not per cent.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special


@dataclass(frozen=True)
class Estimate:
    """A value with the interval that its uncertainty leaves open."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Component:
    """One independent source of a difference's variance, and what is known about its size."""

    variance: float
    degrees: int
    """Degrees of freedom of the estimate; 0 says that nothing is known (one seed)."""


def mean_interval(values: np.ndarray, confidence: float) -> Estimate:
    """Mean of one value per seed ``(seeds,)`` with Student's t interval.

    One seed says nothing about other seeds: its bounds are nan.
    """
    values = np.asarray(values, dtype=float)
    half = np.nan
    if len(values) > 1:
        quantile = special.stdtrit(len(values) - 1, (1 + confidence) / 2)
        half = quantile * values.std(ddof=1) / np.sqrt(len(values))
    mean = values.mean()
    return Estimate(float(mean), float(mean - half), float(mean + half))


def wilson_interval(num_correct: int, num_examples: int, confidence: float) -> Estimate:
    """Accuracy of one trained model with Wilson's score interval (doi:10.2307/2276774)."""
    from scipy.stats import binomtest

    interval = binomtest(num_correct, num_examples).proportion_ci(confidence, "wilson")
    return Estimate(num_correct / num_examples, float(interval.low), float(interval.high))


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Exact McNemar test of two trained models on the same examples ``(examples,)`` each.

    Two-sided p value, from the examples that only one of them gets right. It speaks of these two
    models, not of their cells: another seed is another model.
    """
    only_a = int(np.sum(correct_a & ~correct_b))
    only_b = int(np.sum(correct_b & ~correct_a))
    tail = special.bdtr(min(only_a, only_b), only_a + only_b, 0.5)
    return min(1.0, 2 * float(tail))


def holm(p_values: np.ndarray) -> np.ndarray:
    """p values adjusted for testing all of them (Holm 1979): claims stay below the level together.

    Takes and returns ``(tests,)``; each result is compared with the level as it is.
    """
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values)
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


def bootstrap_difference(
    correct_a: np.ndarray,
    correct_b: np.ndarray,
    *,
    confidence: float,
    num_resamples: int,
    seed: int,
    groups: np.ndarray | None = None,
    seeds_paired: bool = False,
) -> Estimate:
    """Accuracy of a less that of b with the percentile interval of the paired bootstrap.

    Examples (``groups`` ``(examples,)`` given: whole groups) are resampled for both cells at once,
    seeds for each cell by itself unless ``seeds_paired``. One seed fewer than there are is drawn,
    which makes the variance between seeds right instead of (n-1)/n too small (Rao & Wu 1988,
    doi:10.1080/01621459.1988.10478591). The percentiles of two to five seeds are still too narrow
    (``benchmarks/verdict_simulation.py``): for a decision use ``Difference``.
    """
    rng = np.random.default_rng(seed)
    num_a, num_b = len(correct_a), len(correct_b)
    totals, sizes = _group_totals(np.concatenate([correct_a, correct_b]), groups)
    # Drawing rows with replacement is drawing how often each distinct row occurs, and 50,000
    # examples of 10 models have at most 1,024 distinct rows.
    rows, counts = np.unique(np.vstack([totals, sizes]).T, axis=0, return_counts=True)
    rows = rows.astype(float)  # a product of integers would not go through BLAS
    per_model = np.concatenate(
        [
            drawn[:, :-1] / drawn[:, -1:]
            for size in _chunks(num_resamples, len(rows))
            for drawn in [rng.multinomial(counts.sum(), counts / counts.sum(), size) @ rows]
        ]
    )
    weights_a = _seed_weights(rng, num_a, num_resamples)
    weights_b = weights_a if seeds_paired else _seed_weights(rng, num_b, num_resamples)
    accuracy_a = (per_model[:, :num_a] * weights_a).sum(axis=1)
    accuracy_b = (per_model[:, num_a:] * weights_b).sum(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(accuracy_a - accuracy_b, [tail, 1 - tail])
    return Estimate(float(correct_a.mean() - correct_b.mean()), float(low), float(high))


@dataclass(frozen=True)
class Difference:
    """A difference of two cells' accuracies and the sources of its variance.

    The half width of an interval is ``sqrt(sum of t_k**2 * variance_k)``, each component with the
    Student quantile of its own degrees of freedom. For independent normal components it covers at
    least at its nominal rate whatever the ratio of the variances (Banerjee 1960, Sankhya 22,
    345-358), where Welch and Satterthwaite trust a variance that two seeds understate.
    """

    value: float
    components: tuple[Component, ...]

    def half_width(self, level: float) -> float:
        """Half the width of the interval that misses with probability ``level``."""
        if any(part.degrees == 0 for part in self.components):
            return np.inf
        quantiles = special.stdtrit(self._degrees, 1 - level / 2)
        return float(np.sqrt(np.sum(quantiles**2 * self._variances)))

    def interval(self, confidence: float) -> Estimate:
        """The difference with its interval, within -1 to 1 as accuracies are.

        The bounds are nan where a cell has one seed.
        """
        half = self.half_width(1 - confidence)
        half = half if np.isfinite(half) else np.nan
        low, high = np.clip([self.value - half, self.value + half], -1, 1)
        return Estimate(self.value, float(low), float(high))

    def p_value(self) -> float:
        """Two-sided p value of no difference."""
        return self._level_reaching(abs(self.value))

    def equivalence_p(self, margin: float) -> float:
        """p value of the two one-sided tests (Schuirmann 1987, doi:10.1007/BF01068419).

        Small values show that the true difference lies within ``margin`` of zero. Below 0.05 says
        the same as a 90 % interval that lies inside the margin.
        """
        room = margin - abs(self.value)
        level = self._level_reaching(abs(room)) / 2
        return level if room > 0 else 1 - level

    def _level_reaching(self, distance: float) -> float:
        """The level whose half width is ``distance``."""
        from scipy.optimize import brentq

        def surplus(log_level: float) -> float:
            return self.half_width(np.exp(log_level)) - distance

        lowest, highest = np.log(1e-12), -1e-9
        if surplus(highest) >= 0:
            return 1.0
        if surplus(lowest) <= 0:
            return float(np.exp(lowest))
        return float(np.exp(brentq(surplus, lowest, highest)))  # type: ignore[arg-type]

    @cached_property
    def _degrees(self) -> np.ndarray:
        return np.array([part.degrees for part in self.components])

    @cached_property
    def _variances(self) -> np.ndarray:
        return np.array([part.variance for part in self.components])


def accuracy_difference(
    correct_a: np.ndarray,
    correct_b: np.ndarray,
    groups: np.ndarray | None = None,
    seeds_paired: bool = False,
) -> Difference:
    """Accuracy of cell a less that of cell b, as it would be over new seeds and new examples.

    Seeds and examples are crossed: every model of a cell answers the same examples. The variance
    is that between a cell's seeds (for each cell; of their differences if ``seeds_paired``: seed k
    of both shares more than its number) plus that of the examples' mean differences, less the part
    of the latter that comes from the seeds and is counted with them already. ``groups``
    ``(examples,)`` makes whole groups the unit instead of examples. The last component is that of
    the examples.
    """
    num_examples = correct_a.shape[1]
    signed = [correct_a.astype(float), -correct_b.astype(float)]
    if seeds_paired:
        signed = [signed[0] + signed[1]]
    components = []
    between, from_seeds = 0.0, 0.0
    for scores in signed:
        per_seed = scores.mean(axis=1)
        num_seeds = len(per_seed)
        variance = per_seed.var(ddof=1) / num_seeds if num_seeds > 1 else np.nan
        components.append(Component(float(variance), num_seeds - 1))
        deviations, _ = _group_totals(scores - per_seed[:, None], groups)
        between = between + deviations.mean(axis=0)
        if num_seeds > 1:
            from_seeds += deviations.var(axis=0, ddof=1).sum() / num_seeds
    num_units = np.size(between)
    if num_units < 2:
        raise ValueError(f"{num_units} test example or group: at least 2 are needed")
    crossed = np.sum(between**2) * num_units / (num_units - 1) - from_seeds
    # One more example that only a gets right and one that only b does (Bonett & Price 2012,
    # doi:10.3102/1076998611411915): no disagreement among few examples is not certainty.
    variance = max(crossed, 0.0) / num_examples**2 + 2 / (num_examples + 2) ** 2
    components.append(Component(float(variance), num_units - 1))
    return Difference(float(correct_a.mean() - correct_b.mean()), tuple(components))


def _group_totals(scores: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Sums ``(models, groups)`` over each group's examples, and the groups' sizes ``(groups,)``."""
    if groups is None:
        return scores, np.ones(scores.shape[1], dtype=int)
    members = np.unique(groups, return_inverse=True)[1]
    return np.stack([np.bincount(members, row) for row in scores]), np.bincount(members)


def _seed_weights(rng: np.random.Generator, num_seeds: int, num_resamples: int) -> np.ndarray:
    """How much each seed counts in each resample: ``(num_resamples, num_seeds)``, sums of 1."""
    drawn = max(num_seeds - 1, 1)
    return rng.multinomial(drawn, np.full(num_seeds, 1 / num_seeds), num_resamples) / drawn


def _chunks(num_resamples: int, num_rows: int) -> list[int]:
    """Resamples at a time, so that their counts take tens of megabytes."""
    size = max(1, 4_000_000 // num_rows)
    return [min(size, num_resamples - start) for start in range(0, num_resamples, size)]
