"""The arithmetic of an honest comparison: pure functions of arrays, distributions by SciPy.

``scores`` is always an array ``(seeds, examples)``: how good the answer of the model trained with
that seed to that test example is. For accuracy it is whether the answer is right, and a mean of
scores is an accuracy; ``comparison.metrics`` makes scores of other metrics. Differences are
fractions, not per cent.

Seeds and examples are crossed: every model of a cell answers the same examples, so their scores
are a two-way table, and the variance of its mean has a part of the seeds, a part of the examples
and a part of both. It is estimated by the analysis of variance, as it is for the readers and
cases of radiology (Hillis 2007, doi:10.1002/sim.2532).
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy

from seqbelt.evaluation.proportions import share_interval

NEARBY = 2.0
"""Standard errors of a difference: how far from its mean a cell's true value is looked for."""


@dataclass(frozen=True)
class Estimate:
    """A value with the interval that its uncertainty leaves open."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Component:
    """One independent source of a mean's variance, and what is known about its size."""

    variance: float
    degrees: int
    """Degrees of freedom of the estimate; 0 says that nothing is known (one seed)."""


def mean_interval(values: np.ndarray, confidence: float) -> Estimate:
    """Mean of one value per seed ``(seeds,)`` with Student's t interval: over seeds on the same
    test examples, and not over examples (``score_interval`` is over both).

    One seed says nothing about other seeds: its bounds are nan.
    """
    values = np.asarray(values, dtype=float)
    half = np.nan
    if len(values) > 1:
        quantile = scipy.special.stdtrit(len(values) - 1, (1 + confidence) / 2)
        half = quantile * values.std(ddof=1) / np.sqrt(len(values))
    mean = values.mean()
    return Estimate(float(mean), float(mean - half), float(mean + half))


def score_interval(
    scores: np.ndarray,
    confidence: float,
    groups: np.ndarray | None = None,
    is_fraction: bool = True,
) -> Estimate:
    """Mean score of a cell, with its interval over new seeds and new examples (or new groups).

    A fraction has Wilson's score interval (doi:10.2307/2276774) for as many independent answers
    as would have the variance found, and Student's quantile for the normal one: the interval of a
    proportion in a clustered survey (Dean & Pagano 2015, doi:10.1093/jssam/smv024). So "20 of 20"
    leaves 82 to 100 %. Other scores have Student's interval. One seed says nothing about other
    seeds: its bounds are nan.
    """
    units = unit_scores(scores, groups)
    mean = float(units.mean())
    if len(units) < 2 or units.shape[1] < 2:
        return Estimate(mean, np.nan, np.nan)
    seeds, noise = _seed_components(units)
    between = max(float(units.mean(axis=0).var(ddof=1)) / units.shape[1] - noise.variance, 0.0)
    estimate = Difference(mean, (seeds, Component(between, units.shape[1] - 1)))
    variance = estimate.standard_error**2
    degrees = estimate.degrees if variance > 0 else units.shape[1] - 1
    quantile = scipy.special.stdtrit(degrees, (1 + confidence) / 2)
    if not is_fraction:
        half = quantile * estimate.standard_error
        return Estimate(mean, mean - half, mean + half)
    share = min(max(mean, 0.0), 1.0)
    spread = share * (1 - share)
    count = spread / variance if variance > 0 and spread > 0 else units.shape[1]
    return Estimate(mean, *share_interval(share, count, quantile))


@dataclass(frozen=True)
class Difference:
    """A difference of two cells' mean scores and the sources of its variance.

    Tests and intervals are Student's, with the degrees of freedom of Satterthwaite 1946
    (doi:10.2307/3002019): between those of the seeds and those of the examples, nearer to those
    of what varies more.
    """

    value: float
    components: tuple[Component, ...]

    @property
    def is_known(self) -> bool:
        """Whether every component was estimated: two seeds or more."""
        return all(part.degrees > 0 for part in self.components)

    @property
    def standard_error(self) -> float:
        return float(np.sqrt(sum(part.variance for part in self.components)))

    @property
    def degrees(self) -> float:
        """Satterthwaite's degrees of freedom."""
        total = sum(part.variance for part in self.components)
        parts = sum(part.variance**2 / part.degrees for part in self.components)
        return total**2 / parts if parts > 0 else np.inf

    def half_width(self, level: float) -> float:
        """Half the width of the interval that misses with probability ``level``."""
        if not self.is_known:
            return np.inf
        return float(scipy.special.stdtrit(self.degrees, 1 - level / 2) * self.standard_error)

    def interval(self, confidence: float, bound: float = 1.0) -> Estimate:
        """The difference with its interval, within ``bound`` of zero: 1 as accuracies are.

        The bounds are nan where a cell has one seed.
        """
        half = self.half_width(1 - confidence)
        half = half if np.isfinite(half) else np.nan
        low, high = np.clip([self.value - half, self.value + half], -bound, bound)
        return Estimate(self.value, float(low), float(high))

    def p_value(self) -> float:
        """Two-sided p value of no difference."""
        return min(1.0, 2 * self._tail(-abs(self.value)))

    def equivalence_p(self, margin: float) -> float:
        """p value of the two one-sided tests (Schuirmann 1987, doi:10.1007/BF01068419).

        Small values show that the true difference lies within ``margin`` of zero. Below 0.05 says
        the same as a 90 % interval that lies inside the margin.
        """
        return self._tail(abs(self.value) - margin)

    def probabilities(self, margin: float) -> tuple[float, float, float] | None:
        """Probabilities that a is better by more than the margin, that both are within it, that a
        is worse by more; they add up to one. None where a cell has one seed.

        Of the true difference given the data, before which all differences were equally likely:
        Student's t around the one found, as in the Bayesian correlated t test with a region of
        practical equivalence (Benavoli et al. 2017, JMLR 18(77)).
        """
        if not self.is_known:
            return None
        better, worse = self._tail(self.value - margin), self._tail(-self.value - margin)
        return better, 1 - better - worse, worse

    def _tail(self, distance: float) -> float:
        """Probability that Student's t lies below ``distance``, in units of the difference."""
        if not self.is_known:
            return 1.0
        if self.standard_error == 0:
            return 0.0 if distance < 0 else 1.0
        return float(scipy.special.stdtr(self.degrees, distance / self.standard_error))


def score_difference(
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    groups: np.ndarray | None = None,
    seeds_paired: bool = False,
    is_fraction: bool = True,
) -> Difference:
    """Mean score of cell a less that of cell b, as it would be over new seeds and new examples.

    The variance is that between a cell's seeds (for each cell; of their differences if
    ``seeds_paired``: seed k of both shares more than its number) plus that of the examples' mean
    differences, less the part of the latter that comes from the seeds and is counted with them
    already. A cell's seeds are taken to vary by no less than what is particular to seed and
    example makes them: two or three of them may agree by chance (Hillis 2007 bounds the variance
    likewise); those of a fraction (``is_fraction``) to vary as where both cells are equally good.
    ``groups`` ``(examples,)`` makes whole groups the unit instead of examples. The last component
    is that of the examples.
    """
    signed = [unit_scores(scores_a, groups), -unit_scores(scores_b, groups)]
    if seeds_paired:
        signed = [signed[0] + signed[1]]
    num_units = signed[0].shape[1]
    if num_units < 2:
        raise ValueError(f"{num_units} test example or group: at least 2 are needed")
    components, noise = list[Component](), 0.0
    for scores in signed:
        seeds, interaction = _seed_components(scores)
        noise += interaction.variance
        components.append(Component(max(seeds.variance, interaction.variance), seeds.degrees))
    between = np.sum([scores.mean(axis=0) for scores in signed], axis=0)
    variance = max(float(between.var(ddof=1)) / num_units - noise, 0.0)
    # One more example in which a does better and one in which b does, by as much as where they do
    # differ: no disagreement among few examples is not certainty (Bonett & Price 2012,
    # doi:10.3102/1076998611411915).
    differing = between[between != 0]
    size = np.mean(differing**2) if len(differing) else (num_units / scores_a.shape[1]) ** 2
    variance += 2 * float(size) / (num_units + 2) ** 2
    means = [float(np.mean(scores)) for scores in (scores_a, scores_b)]
    if is_fraction and len(components) == 2:
        components = _at_shared_value(means, components, variance, scores_a.shape[1])
    components.append(Component(variance, num_units - 1))
    return Difference(means[0] - means[1], tuple(components))


def detectable_difference(
    num_seeds: int,
    num_examples: int,
    num_groups: int | None = None,
    *,
    level: float,
    power: float,
    disagreement: float,
    seed_spread: float,
    group_correlation: float,
) -> float:
    """The least difference of two cells' accuracies that is found with probability ``power``.

    A statement before the data, on assumptions: ``disagreement`` is the fraction of examples that
    only one of two cells gets right, ``seed_spread`` the standard deviation of accuracy between
    seeds, ``group_correlation`` that of correctness within a group, which widens by Kish's design
    effect (Kish 1965). nan with one seed.
    """
    size = num_examples / num_groups if num_groups else 1.0
    examples = disagreement / num_examples * (1 + (size - 1) * group_correlation)
    seeds = Component(seed_spread**2 / num_seeds, num_seeds - 1)
    design = Difference(0.0, (seeds, seeds, Component(examples, (num_groups or num_examples) - 1)))
    if not design.is_known:
        return np.nan
    quantiles = scipy.special.stdtrit(design.degrees, [1 - level / 2, power])
    return float(np.sum(quantiles) * design.standard_error)


def accuracy_after_selection(correct: np.ndarray, num_resamples: int = 200) -> float:
    """Accuracy to expect of the best of several models, which the best score overstates.

    ``correct`` ``(models, examples)``. The best on resampled examples is scored on those that were
    not drawn: the bootstrap bias correction of Tsamardinos, Greasidou & Borboudakis 2018
    (doi:10.1007/s10994-018-5714-4).
    """
    rng = np.random.default_rng(0)
    num_examples = correct.shape[1]
    accuracies = []
    for _ in range(num_resamples):
        counts = np.bincount(rng.integers(0, num_examples, num_examples), minlength=num_examples)
        if (left_out := counts == 0).any():
            accuracies.append(correct[np.argmax(correct @ counts), left_out].mean())
    return float(np.mean(accuracies)) if accuracies else float(correct.mean())


def unit_scores(scores: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Scores of independent units ``(seeds, units)`` whose mean is that of the examples.

    Without groups the examples are the units. A group's score is its sum less what as many
    average examples would have, scaled to the mean size of a group: the linearised ratio of sums
    to sizes (Woodruff 1971, doi:10.1080/01621459.1971.10482279).
    """
    scores = np.asarray(scores, dtype=float)
    if groups is None:
        return scores
    members = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(members)
    per_seed = scores.mean(axis=1, keepdims=True)
    totals = np.stack([np.bincount(members, row) for row in scores])
    return per_seed + (totals - per_seed * sizes) / sizes.mean()


def _at_shared_value(
    means: list[float], cells: list[Component], of_examples: float, num_examples: int
) -> list[Component]:
    """Components of the seeds of two cells, as they would be where both had the same true value.

    The luck of seeds is about normal in logits, so the variance of a fraction p goes with the
    square of p (1 - p): the seeds of a cell that did well by luck vary less than others would, and
    few of them seldom show how badly one may fail. The shared value is the mean of both, weighted
    by their precision where that raises the variance. A lower one is less sure, since it may be
    one failed seed that pulls the cell down: there it is the plain mean, and the variance goes with
    p (1 - p). Cells that are far apart are not moved to each other, only by ``NEARBY`` standard
    errors.
    """
    cell_means = np.array(means)
    variances = np.array([cell.variance for cell in cells])
    precision = 1 / (variances + of_examples / 2)
    reach = NEARBY * np.sqrt(variances.sum() + of_examples)

    def ratio(shared: float) -> np.ndarray:
        moved = cell_means + np.clip(shared - cell_means, -reach, reach)
        counts = num_examples * np.stack([moved, cell_means])
        fractions = (counts.clip(0, num_examples) + 1) / (num_examples + 2)
        at_shared, at_means = fractions * (1 - fractions)
        return at_shared / at_means

    raised = ratio(float(np.average(cell_means, weights=precision)))
    lowered = np.minimum(ratio(float(cell_means.mean())), 1)
    factors = np.where(raised > 1, raised**2, lowered)
    return [replace(cell, variance=float(cell.variance * factor))
            for cell, factor in zip(cells, factors, strict=True)]  # fmt: skip


def _seed_components(units: np.ndarray) -> tuple[Component, Component]:
    """Variance of the mean of ``(seeds, units)`` that lies between the seeds, and how much of it
    the interaction of seeds and units (with noise) makes by itself."""
    num_seeds, num_units = units.shape
    if num_seeds < 2:
        return Component(np.nan, 0), Component(0.0, 0)
    per_seed = units.mean(axis=1)
    residuals = units - per_seed[:, None] - units.mean(axis=0) + units.mean()
    degrees = (num_seeds - 1) * (num_units - 1)
    noise = float(np.sum(residuals**2)) / degrees / units.size
    between = float(per_seed.var(ddof=1)) / num_seeds
    return Component(between, num_seeds - 1), Component(noise, degrees)
