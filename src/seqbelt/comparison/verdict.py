"""The verdict in words: does one cell beat another on this data, and if not known, what would tell.

Why this test: with two to five seeds the plain bootstrap over seeds and examples claims a
difference that is not there in up to 30 cases of 100 (5 are allowed), since its percentiles know
nothing of how badly two seeds estimate a variance. Satterthwaite's degrees of freedom do, and with
seeds that vary no less than their noise makes them, and as they would where both cells are equally
good, 2 to 4 in 100 are claimed on average, 6 in the worst world at one look
(``benchmarks/verdict_simulation.py``), where one cell's seeds do not vary and the other's do: few
seeds seldom show the tail.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Annotated, Any, Literal

import numpy as np
import scipy
from pydantic import Field

from seqbelt.comparison.looks import Looks
from seqbelt.comparison.metrics import ACCURACY, Metric, Scored, Unit
from seqbelt.comparison.statistics import (
    Component,
    Difference,
    score_difference,
)
from seqbelt.comparison.variants import in_sentence
from seqbelt.errors import SeqbeltError
from seqbelt.evaluation.proportions import holm
from seqbelt.settings import Settings
from seqbelt.words import percent

VerdictWord = Literal["better", "worse", "equivalent", "undecided"]
MAX_MORE_SEEDS = 100
"""Past this, where looks are not counted, the advice is more test examples: nobody trains a hundred
more models."""


@dataclass(frozen=True)
class Verdict:
    """What the test examples say about ``cell`` against ``other``. Fractions, not per cent."""

    word: VerdictWord
    """What ``cell`` is, compared with ``other``."""
    cell: str
    other: str
    value: float
    """Mean of the metric over the seeds of ``cell``: its accuracy, unless ``metric`` is another."""
    other_value: float
    difference: float
    """Value of ``cell`` less that of ``other``."""
    low: float
    high: float
    """Interval of the difference at the level at which Holm tests this pair, so that it excludes
    zero exactly where the adjusted p value is small enough; nan where a cell has one seed."""
    confidence: float
    margin: float
    p_value: float
    """Of no difference, adjusted by Holm for all pairs."""
    p_equivalence: float
    """Of a difference of at least the margin, adjusted by Holm for all pairs."""
    level: float
    """With which the adjusted p values are compared: 0.05, say, or what this look may spend."""
    probabilities: tuple[float, float, float] | None
    """That ``cell`` is better than ``other`` by more than the margin, that both are within it, that
    it is worse by more; of this pair alone, as of one look. None where a cell has one seed."""
    num_pairs: int
    num_seeds: tuple[int, int]
    num_examples: int
    more_seeds: int | None = None
    """Undecided: further seeds for each cell that would decide if the difference stays."""
    min_examples: int | None = None
    """Undecided and seeds alone would not do: the fewest test examples that could decide; counted
    in units where those are recordings or groups."""
    unit: Unit = "row"
    num_units: int | None = None
    """Independent units among the test examples; null where each example is one."""
    metric: Metric = ACCURACY
    looks: Looks | None = None
    """This look at a comparison that may grow; null where it is judged once."""

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON-ready values; differences are fractions."""

        def known(bound: float) -> float | None:
            return None if math.isnan(bound) else bound

        return {
            "pair": [self.cell, self.other],
            "metric": self.metric.name,
            "word": self.word,
            "values": [self.value, self.other_value],
            "accuracies": [self.value, self.other_value] if self.metric == ACCURACY else None,
            "difference": self.difference,
            "low": known(self.low),
            "high": known(self.high),
            "confidence": self.confidence,
            "margin": self.margin,
            "p_adjusted": self.p_value,
            "p_equivalence_adjusted": self.p_equivalence,
            "num_pairs": self.num_pairs,
            "unit": self.unit,
            "num_units": self.num_examples if self.num_units is None else self.num_units,
            "num_examples": self.num_examples,
            "num_seeds": list(self.num_seeds),
            "level": self.level,
            "looks": self.looks and self.looks.number,
            "planned_looks": self.looks and self.looks.number + len(self.looks.coming),
            "probabilities": self.probabilities
            and dict(zip(("better", "equivalent", "worse"), self.probabilities, strict=True)),
            "more_seeds": self.more_seeds,
        }

    @property
    def short(self) -> str:
        """The verdict in one clause, e.g. "lstm better than gru (+4.0 points, ...)"."""
        cell, other = in_sentence(self.cell), in_sentence(self.other)
        claim = {
            "better": f"{cell} is better than {other}",
            "worse": f"{cell} is worse than {other}",
            "equivalent": f"{cell} and {other} are equivalent",
            "undecided": f"undecided between {cell} and {other}",
        }[self.word]
        if math.isnan(self.low):
            return f"{claim} ({self._difference}, no interval)"
        signed = self.metric.signed
        return f"{claim} ({self._difference}, {signed(self.low)} to {signed(self.high)})"

    @property
    def _difference(self) -> str:
        return f"{self.metric.signed(self.difference)} {self.metric.unit_of_difference}"

    @property
    def sentence(self) -> str:
        """The verdict for a person, with the evidence."""
        a = f"{in_sentence(self.cell)} ({self.metric.value(self.value)})"
        b = f"{in_sentence(self.other)} ({self.metric.value(self.other_value)})"
        claim = {
            "better": f"{a} is better than {b}",
            "worse": f"{a} is worse than {b}",
            "equivalent": f"{a} and {b} are equivalent within {self._margin}",
            "undecided": f"Undecided between {a} and {b}",
        }[self.word]
        by = "" if self.metric == ACCURACY else f" by {self.metric.label}"
        return f"{claim}{by}: {self._evidence()}.{self._chances()}{self._advice()}"

    @property
    def _margin(self) -> str:
        if not self.metric.is_fraction:
            return f"{self.margin:g} {self.metric.unit_of_difference}"
        return f"{100 * self.margin:g} point{'' if self.margin == 0.01 else 's'}"

    def _evidence(self) -> str:
        seeds = " and ".join(str(count) for count in sorted(set(self.num_seeds)))
        plural = "" if max(self.num_seeds) == 1 else "s"
        data = f"{seeds} seed{plural}, {self.num_examples:,} test examples"
        if self.num_units is not None:
            kind = {"group": "groups not trained on", "recording": "recordings", "row": "rows"}
            data = f"{data} of {self.num_units:,} {kind[self.unit]}"
        if math.isnan(self.low):
            return f"difference {self._difference}, no interval ({data})"
        p = self.p_equivalence if self.word == "equivalent" else self.p_value
        corrected = f", Holm over {self.num_pairs} pairs" if self.num_pairs > 1 else ""
        if self.looks is not None:
            corrected += f", {self.looks.words}"
            if self.level == 0:
                corrected += ", which adds no seeds to those judged before and may claim nothing"
        signed = self.metric.signed
        return (
            f"difference {self._difference}, {percent(self.confidence, 0)} interval"
            f" {signed(self.low)} to {signed(self.high)}"
            f" (p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}{corrected}; {data})"
        )

    def _chances(self) -> str:
        """The effect as probabilities."""
        if self.probabilities is None:
            return ""
        better, equivalent, worse = (percent(chance, 0) for chance in self.probabilities)
        return (
            f" Probability that {in_sentence(self.cell)} is better by more than {self._margin} "
            f"{better}, within it {equivalent}, worse {worse}."
        )

    def _advice(self) -> str:
        if self.more_seeds is not None and math.isnan(self.low):
            return " One seed cannot tell the cell from its luck; run at least three."
        if self.more_seeds is not None:
            at = ""
            if self.looks is not None:
                then = min(self.num_seeds) + self.more_seeds
                at = f" ({then} in all, {self.looks.number_of(then)})"
            return f" About {self.more_seeds} more seeds per cell{at} would decide, if it stays so."
        if self.min_examples is not None:
            units = {
                "group": "groups that are not trained on",
                "recording": "test recordings",
                "row": "test examples",
            }[self.unit]
            return (
                f" More seeds would not decide; at least {self.min_examples:,} {units} are needed."
            )
        return ""


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
            _check(scores.cells, scores.groups, seeds_paired)
        level = 1 - self.confidence if looks is None else looks.level(1 - self.confidence)
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
        own_p = np.maximum(
            [difference.p_value() for difference in differences], np.finfo(float).tiny
        )
        p_values = holm(own_p)
        equivalence = holm(
            np.array([difference.equivalence_p(self.margin) for difference in differences])
        )
        # How much stricter than alone Holm tests each pair: the interval is widened alike.
        strictness = np.clip(p_values / own_p, 1, len(tests))
        return tuple(
            self._verdict(*test, difference, float(p), float(p_equivalence), _Test(
                level, level / float(strict), len(tests), looks
            ))
            for test, difference, p, p_equivalence, strict in zip(
                tests, differences, p_values, equivalence, strictness, strict=True
            )
        )  # fmt: skip

    def _verdict(
        self,
        scored: Scored,
        pair: tuple[str, str],
        difference: Difference,
        p_value: float,
        p_equivalence: float,
        test: "_Test",
    ) -> Verdict:
        a, b = (scored.cells[cell] for cell in pair)
        word: VerdictWord = "undecided"
        if p_equivalence <= test.level:
            word = "equivalent"
        elif p_value <= test.level:
            word = "better" if (difference.value > 0) != scored.metric.lower_is_better else "worse"
        more_seeds, min_examples = None, None
        if word == "undecided":
            more_seeds = self._more_seeds(difference, test)
            if more_seeds is None:
                min_examples = self._min_examples(difference, test, scored.num_units)
        bound = 1.0 if scored.metric.is_fraction else np.inf
        error = (1 - self.confidence) / test.num_tests
        interval = difference.interval(1 - (test.own_level or error), bound)
        chances = difference.probabilities(self.margin)
        if chances is not None and scored.metric.lower_is_better:
            better, equivalent, worse = chances
            chances = worse, equivalent, better
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
            probabilities=chances,
            num_pairs=test.num_tests,
            num_seeds=(len(a), len(b)),
            num_examples=scored.num_examples,
            more_seeds=more_seeds,
            min_examples=min_examples,
            unit=scored.unit,
            num_units=None if scored.unit == "row" else scored.num_units,
            metric=scored.metric,
            looks=test.looks,
        )

    def _more_seeds(self, difference: Difference, test: "_Test") -> int | None:
        """Fewest further seeds per cell that decide, everything else staying as it is; where looks
        are counted, at one of those that are planned."""
        *cells, examples = difference.components
        fewest = min(cell.degrees + 1 for cell in cells)
        looks, error = test.looks, (1 - self.confidence) / test.num_tests
        if looks is None:
            if fewest == 1:
                return 2
            options = [(more, error) for more in range(1, MAX_MORE_SEEDS + 1)]
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
        different = difference.half_width(level) <= abs(difference.value)
        return different or difference.half_width(2 * level) <= self.margin - abs(difference.value)

    def _min_examples(self, difference: Difference, test: "_Test", num_units: int) -> int:
        """Test examples that would decide with as many seeds as there may be: a lower bound, as if
        all variance left then were of the examples, and normal."""
        *cells, examples = difference.components
        more = MAX_MORE_SEEDS
        if test.looks is not None:
            more = max(test.looks.max_seeds - test.looks.num_seeds, 0)
        seeds = sum(_with_more_seeds(cell, more).variance for cell in cells)
        variance = examples.variance + (seeds if np.isfinite(seeds) else 0.0)
        level = (1 - self.confidence) / test.num_tests
        options = [(abs(difference.value), level / 2), (self.margin - abs(difference.value), level)]
        needed = max(
            (room / scipy.special.ndtri(1 - tail)) ** 2 for room, tail in options if room > 0
        )
        return max(num_units + 1, math.ceil(num_units * variance / needed))


@dataclass(frozen=True)
class _Test:
    """What the p values of one judgement are held against."""

    level: float
    own_level: float
    """At which Holm tests this pair alone."""
    num_tests: int
    looks: Looks | None


def headline(verdicts: Sequence[Verdict]) -> Verdict:
    """The one to show first: LSTM against RNN, whose difference the project is about; where they do
    not both take part, the most accurate cell against the runner-up."""
    return in_order(verdicts)[0]


def in_order(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """LSTM against RNN first, then against the RNN with ReLU, then by the accuracy of the pair."""

    def rank(verdict: Verdict) -> tuple[int, list[float]]:
        pair = {verdict.cell, verdict.other}
        leads = [{"lstm", "rnn"}, {"lstm", "rnn_relu"}]
        place = leads.index(pair) if pair in leads else len(leads)
        return place, sorted([-verdict.value, -verdict.other_value])

    return sorted(verdicts, key=rank)


def _with_more_seeds(cell: Component, more: int) -> Component:
    num_seeds = cell.degrees + 1
    variance = cell.variance * num_seeds / (num_seeds + more)
    return Component(variance, cell.degrees + more)


def _check(
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
