"""The verdict in words: does one cell beat another on this data, or what would decide it.

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
from seqbelt.texts import Text, join, text
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
    def short(self) -> Text:
        """The verdict in one clause, e.g. "lstm is better than gru (+4.0 points, ...)"."""
        a, b = in_sentence(self.cell), in_sentence(self.other)
        clause = "claim" if self.word in ("better", "worse") else "short"
        signed = self.metric.signed
        evidence = text(
            f"difference_{'without' if math.isnan(self.low) else 'with'}_interval",
            difference=self.metric.difference(self.difference),
            low=signed(self.low),
            high=signed(self.high),
        )
        return text("short", claim=text(f"{clause}_{self.word}", a=a, b=b), evidence=evidence)

    @property
    def sentence(self) -> Text:
        """The verdict for a person, with the evidence."""
        a, b = (
            text("value_of", cell=in_sentence(cell), value=self.metric.value(value))
            for cell, value in ((self.cell, self.value), (self.other, self.other_value))
        )
        claim = text(f"claim_{self.word}", a=a, b=b, margin=self.metric.margin(self.margin))
        if self.metric != ACCURACY:
            claim = text("claim_by", claim=claim, metric=self.metric.label)
        verdict = text("verdict_sentence", claim=claim, evidence=self._evidence())
        return join([verdict, self._chances(), self._advice()])

    def _evidence(self) -> Text:
        difference = self.metric.difference(self.difference)
        if math.isnan(self.low):
            return text("evidence_without_interval", difference=difference, tested=self._tested())
        p = self.p_equivalence if self.word == "equivalent" else self.p_value
        corrections = [f"p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"]
        if self.num_pairs > 1:
            corrections.append(text("holm", count=self.num_pairs))
        if self.looks is not None:
            corrections.append(self.looks.words)
            if self.level == 0:
                corrections.append(text("no_new_seeds"))
        return text(
            "evidence",
            difference=difference,
            confidence=percent(self.confidence, 0),
            low=self.metric.signed(self.low),
            high=self.metric.signed(self.high),
            p=join(corrections, ", "),
            tested=self._tested(),
        )

    def _tested(self) -> Text:
        """The seeds and the test examples."""
        key, seeds = "tested_one_seed" if max(self.num_seeds) == 1 else "tested", self.num_seeds[0]
        if len(set(self.num_seeds)) > 1:
            first, second = sorted(self.num_seeds)
            key, seeds = "tested_uneven", text("two_counts", first=first, second=second)
        tested = text(key, seeds=seeds, examples=self.num_examples)
        if self.num_units is None:
            return tested
        return text(f"tested_of_{self.unit}", tested=tested, count=self.num_units)

    def _chances(self) -> str:
        """The effect as probabilities."""
        if self.probabilities is None:
            return ""
        better, equivalent, worse = (percent(chance, 0) for chance in self.probabilities)
        return text(
            "chances",
            cell=in_sentence(self.cell),
            margin=self.metric.margin(self.margin),
            better=better,
            equivalent=equivalent,
            worse=worse,
        )

    def _advice(self) -> str:
        if self.more_seeds is not None and math.isnan(self.low):
            return text("advice_one_seed")
        if self.more_seeds is not None and self.looks is not None:
            total = min(self.num_seeds) + self.more_seeds
            look = self.looks.number_of(total)
            return text("advice_seeds_at", more=self.more_seeds, total=total, look=look)
        if self.more_seeds is not None:
            return text("advice_seeds", more=self.more_seeds)
        if self.min_examples is not None:
            units = text(f"units_{self.unit}")
            return text("advice_examples", count=self.min_examples, units=units)
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
        position = leads.index(pair) if pair in leads else len(leads)
        return position, sorted([-verdict.value, -verdict.other_value])

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
