"""When one cell is better than another, when both are equivalent, and what else would decide it.

Why Satterthwaite's degrees of freedom: with two to five seeds the bootstrap over seeds and examples
claims a difference between equal cells in up to 30 comparisons of 100 (5 are allowed), since its
percentiles do not know how badly two seeds estimate a variance. With these degrees of freedom, and
with seeds that vary no less than their noise makes them and than they would if both cells were
equally good, 2 to 4 in 100 are claimed on average. At one look it is 6 in the worst simulated world
(``benchmarks/verdict_simulation.py``), where only one cell's seeds vary: few seeds seldom show the
tail.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Annotated

import numpy as np
import scipy
from pydantic import Field

from seqbelt.comparison.looks import Looks
from seqbelt.comparison.metrics import ACCURACY, Metric, Scored, Unit
from seqbelt.comparison.statistics import Component, Difference, score_difference
from seqbelt.comparison.verdict import Verdict, VerdictWord
from seqbelt.errors import SeqbeltError
from seqbelt.evaluation.proportions import holm
from seqbelt.settings import Settings

MAX_MORE_SEEDS = 100
"""Past this, where looks are not counted, the advice is more test examples: a hundred more
models are too many to train."""


@dataclass(frozen=True)
class _Test:
    """What the p values of one judgement are held against."""

    level: float
    """Of all tests together, by the p values that Holm adjusted."""
    pair_level: float
    """At which Holm tests this pair alone; 0 where this look may spend nothing."""
    single_look_level: float
    """Of one test by Bonferroni, as if this were the only look."""
    num_tests: int
    looks: Looks | None


class VerdictRule(Settings):
    """When a difference between cells counts, and when the lack of one does."""

    margin: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Smallest difference in accuracy that matters, as a fraction; smaller ones are equivalent."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """Level of the intervals; one less it is the chance of any false claim among all pairs."""

    def judge(
        self,
        correct: Mapping[str, np.ndarray],
        groups: np.ndarray | None = None,
        seeds_paired: bool = False,
        unit: Unit = "group",
        looks: Looks | None = None,
    ) -> tuple[Verdict, ...]:
        """Judge every pair of cells by accuracy, in the order of ``correct``.

        ``correct``: cell -> bool ``(seeds, examples)``, the same examples in the same order for
        all, as many seeds as each has. ``groups`` ``(examples,)`` names the independent unit of
        each example, a speaker, say; the claim is then about new ones, and ``unit`` names what
        they are. ``seeds_paired``: seed k of all cells shares a data split or the like, not only
        its number. ``looks``: which look at a growing comparison this is. A reliable difference
        within the margin is called equivalent. Raises SeqbeltError if the arrays do not fit.
        """
        if any(rights.dtype != bool for rights in correct.values()):
            raise SeqbeltError("correctness must be given as booleans")
        scored = Scored(ACCURACY, correct, groups, "row" if groups is None else unit)
        return self.judge_scores([scored], seeds_paired, looks)

    def judge_scores(
        self, scored: Sequence[Scored], seeds_paired: bool = False, looks: Looks | None = None
    ) -> tuple[Verdict, ...]:
        """Judge every pair of cells by every metric of ``scored``; metric by metric, the pairs in
        the order of its cells.

        Holm's correction is over all pairs and metrics. Raises SeqbeltError if the arrays do not
        fit.
        """
        for scores in scored:
            _check_scores(scores.cells, scores.groups, seeds_paired)
        tests = [(scores, pair) for scores in scored for pair in combinations(scores.cells, 2)]
        differences = [
            score_difference(
                scores.cells[a],
                scores.cells[b],
                scores.groups,
                seeds_paired,
                scores.metric.is_fraction,
            )
            for scores, (a, b) in tests
        ]
        raw = np.array([difference.p_value() for difference in differences])
        raw = np.maximum(raw, np.finfo(float).tiny)
        p_values = holm(raw)
        equivalence = holm(
            np.array([difference.equivalence_p(self.margin) for difference in differences])
        )
        # How much stricter than alone Holm tests each pair: the interval is widened alike.
        strictness = np.clip(p_values / raw, 1, len(tests))
        error = 1 - self.confidence
        level = error if looks is None else looks.level(error)
        verdicts: list[Verdict] = []
        for index, (scores, pair) in enumerate(tests):
            pair_level = level / float(strictness[index])
            test = _Test(level, pair_level, error / len(tests), len(tests), looks)
            p, p_equivalence = float(p_values[index]), float(equivalence[index])
            verdicts.append(
                self._judge_pair(scores, pair, differences[index], p, p_equivalence, test)
            )
        return tuple(verdicts)

    def _judge_pair(
        self,
        scored: Scored,
        pair: tuple[str, str],
        difference: Difference,
        p_value: float,
        p_equivalence: float,
        test: _Test,
    ) -> Verdict:
        a, b = (scored.cells[cell] for cell in pair)
        metric = scored.metric
        word = _word(difference, p_value, p_equivalence, test.level, metric)
        more_seeds, min_examples = None, None
        if word == "undecided":
            more_seeds = self._more_seeds(difference, test)
            if more_seeds is None:
                min_examples = self._min_examples(difference, test, scored.num_units)
        bound = 1.0 if metric.is_fraction else np.inf
        level = test.pair_level or test.single_look_level
        interval = difference.interval(1 - level, bound)
        probabilities = difference.probabilities(self.margin)
        if probabilities is not None and metric.lower_is_better:
            above, within, below = probabilities
            probabilities = below, within, above
        return Verdict(
            word=word,
            cell=pair[0],
            other=pair[1],
            value=float(a.mean()),
            other_value=float(b.mean()),
            difference=interval.value,
            low=interval.low,
            high=interval.high,
            confidence=self.confidence,
            margin=self.margin,
            p_value=p_value,
            p_equivalence=p_equivalence,
            level=test.level,
            probabilities=probabilities,
            num_pairs=test.num_tests,
            num_seeds=(len(a), len(b)),
            num_examples=scored.num_examples,
            more_seeds=more_seeds,
            min_examples=min_examples,
            unit=scored.unit,
            num_units=None if scored.unit == "row" else scored.num_units,
            metric=metric,
            looks=test.looks,
        )

    def _more_seeds(self, difference: Difference, test: _Test) -> int | None:
        """Fewest further seeds per cell that decide, everything else staying as it is; where looks
        are counted, at one of those that are planned."""
        *cells, examples = difference.components
        fewest = min(cell.degrees + 1 for cell in cells)
        looks = test.looks
        if looks is None:
            if fewest == 1:
                return 2
            options = [(more, test.single_look_level) for more in range(1, MAX_MORE_SEEDS + 1)]
        elif fewest == 1:
            return looks.coming[0] - fewest if looks.coming else None
        else:
            options = [
                (count - fewest, looks.then(count).level(1 - self.confidence) / test.num_tests)
                for count in looks.coming
                if count > fewest
            ]
        for more, level in options:
            then = [_with_more_seeds(cell, more) for cell in cells]
            if self._decides(replace(difference, components=(*then, examples)), level):
                return more
        return None

    def _decides(self, difference: Difference, level: float) -> bool:
        """Whether the interval excludes zero, or is within the margin."""
        size = abs(difference.value)
        is_different = difference.half_width(level) <= size
        return is_different or difference.half_width(2 * level) <= self.margin - size

    def _min_examples(self, difference: Difference, test: _Test, num_units: int) -> int:
        """Test examples that would decide with as many seeds as there may be: a lower bound, as if
        all variance left then were of the examples, and normal."""
        *cells, examples = difference.components
        more = MAX_MORE_SEEDS
        if test.looks is not None:
            more = max(test.looks.max_seeds - test.looks.num_seeds, 0)
        seeds = sum(_with_more_seeds(cell, more).variance for cell in cells)
        variance = examples.variance + (seeds if np.isfinite(seeds) else 0.0)
        level, size = test.single_look_level, abs(difference.value)
        # A difference is claimed by a two-sided test, equivalence by two one-sided ones.
        options = [(size, level / 2), (self.margin - size, level)]
        needed = max(
            (room / scipy.special.ndtri(1 - tail)) ** 2 for room, tail in options if room > 0
        )
        return max(num_units + 1, math.ceil(num_units * variance / needed))


def _word(
    difference: Difference, p_value: float, p_equivalence: float, level: float, metric: Metric
) -> VerdictWord:
    if p_equivalence <= level:
        return "equivalent"
    if p_value > level:
        return "undecided"
    return "better" if (difference.value > 0) != metric.lower_is_better else "worse"


def _with_more_seeds(cell: Component, more: int) -> Component:
    num_seeds = cell.degrees + 1
    variance = cell.variance * num_seeds / (num_seeds + more)
    return Component(variance, cell.degrees + more)


def _check_scores(
    correct: Mapping[str, np.ndarray], groups: np.ndarray | None, seeds_paired: bool
) -> None:
    shapes = {cell: np.shape(rights) for cell, rights in correct.items()}
    shown = f"found (seeds, examples) {shapes}"
    if len(correct) < 2:
        raise SeqbeltError(f"a verdict needs at least two cells; {shown}")
    if any(len(shape) != 2 or shape[0] < 1 or shape[1] < 2 for shape in shapes.values()):
        raise SeqbeltError(f"a verdict needs at least 1 seed and 2 test examples; {shown}")
    if len({shape[1] for shape in shapes.values()}) > 1:
        raise SeqbeltError(f"all cells must answer the same test examples; {shown}")
    if seeds_paired and len({shape[0] for shape in shapes.values()}) > 1:
        raise SeqbeltError(f"paired seeds must be as many for each cell; {shown}")
    if groups is not None and len(groups) != next(iter(shapes.values()))[1]:
        raise SeqbeltError(f"{len(groups)} groups; one per test example is needed; {shown}")
    if groups is not None and len(set(groups)) < 2:
        raise SeqbeltError("all test examples are of one group: nothing is known about others")
