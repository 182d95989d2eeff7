"""The verdict in words: does one cell beat another on this data, and if not known, what would tell.

Why this interval and not the bootstrap's: with two to five seeds the plain bootstrap over seeds
and examples claims a difference that is not there in up to 30 cases of 100 (5 are allowed), since
its percentiles know nothing of how badly two seeds estimate a variance; Satterthwaite's degrees of
freedom give up to 13. ``statistics.Difference`` stays at 5. It gives way, to 9 in 100 at
five seeds, where one cell's seeds do not vary and the other's vary a lot and are skewed (most near
0.95, some at 0.8): five seeds then seldom show the tail. The price is paid at two seeds, where the
verdict is mostly ``undecided``. ``benchmarks/verdict_simulation.py`` measures this.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from scipy import special

from seqbelt.comparison.statistics import Component, Difference, accuracy_difference, holm, mcnemar
from seqbelt.errors import SeqbeltError
from seqbelt.settings import Settings

Word = Literal["better", "worse", "equivalent", "undecided"]
Unit = Literal["row", "recording", "group"]
"""What is independent of the rest of its kind: a test row, a recording whose steps are scored, or a
group (speaker, subject, machine) that no training row is of."""
MAX_MORE_SEEDS = 100
"""Past this the advice is more test examples: nobody trains a hundred more models."""


@dataclass(frozen=True)
class Verdict:
    """What the test examples say about ``cell`` against ``other``. Fractions, not per cent."""

    word: Word
    """What ``cell`` is, compared with ``other``."""
    cell: str
    other: str
    accuracy: float
    other_accuracy: float
    difference: float
    """Accuracy of ``cell`` less that of ``other``."""
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
    mcnemar_p: tuple[float, ...]
    """Exact McNemar for the k-th seeds of both: about those models, not about the cells."""
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

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON-ready values; differences are fractions."""

        def known(bound: float) -> float | None:
            return None if math.isnan(bound) else bound

        return {
            "pair": [self.cell, self.other],
            "metric": "accuracy",
            "word": self.word,
            "accuracies": [self.accuracy, self.other_accuracy],
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
            "looks": None,  # repeated looks at growing seed lists are not counted
            "more_seeds": self.more_seeds,
        }

    @property
    def short(self) -> str:
        """The verdict in one clause, e.g. "lstm better than gru (+4.0 points, ...)"."""
        claim = {
            "better": f"{self.cell} is better than {self.other}",
            "worse": f"{self.cell} is worse than {self.other}",
            "equivalent": f"{self.cell} and {self.other} are equivalent",
            "undecided": f"undecided between {self.cell} and {self.other}",
        }[self.word]
        if math.isnan(self.low):
            return f"{claim} ({_signed(self.difference)} points, no interval)"
        return (
            f"{claim} ({_signed(self.difference)} points, "
            f"{_signed(self.low)} to {_signed(self.high)})"
        )

    @property
    def sentence(self) -> str:
        """The verdict for a person, with the evidence."""
        a = f"{self.cell} ({_percent(self.accuracy)})"
        b = f"{self.other} ({_percent(self.other_accuracy)})"
        claim = {
            "better": f"{a} is better than {b}",
            "worse": f"{a} is worse than {b}",
            "equivalent": f"{a} and {b} are equivalent within {_points(self.margin)}",
            "undecided": f"Undecided between {a} and {b}",
        }[self.word]
        return f"{claim}: {self._evidence()}.{self._advice()}"

    def _evidence(self) -> str:
        seeds = " and ".join(str(count) for count in sorted(set(self.num_seeds)))
        plural = "" if max(self.num_seeds) == 1 else "s"
        data = f"{seeds} seed{plural}, {self.num_examples:,} test examples"
        if self.num_units is not None:
            kind = {"group": "groups not trained on", "recording": "recordings", "row": "rows"}
            data = f"{data} of {self.num_units:,} {kind[self.unit]}"
        if math.isnan(self.low):
            return f"difference {_signed(self.difference)} points, no interval ({data})"
        p = self.p_equivalence if self.word == "equivalent" else self.p_value
        corrected = f", Holm over {self.num_pairs} pairs" if self.num_pairs > 1 else ""
        return (
            f"difference {_signed(self.difference)} points, {self.confidence:.0%} interval"
            f" {_signed(self.low)} to {_signed(self.high)}"
            f" (p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}{corrected}; {data})"
        )

    def _advice(self) -> str:
        if self.more_seeds is not None and math.isnan(self.low):
            return " One seed cannot tell the cell from its luck; run at least three."
        if self.more_seeds is not None:
            return f" About {self.more_seeds} more seeds per cell would decide, if it stays so."
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
    ) -> tuple[Verdict, ...]:
        """Judge every pair of cells, in the order of ``correct``.

        ``correct``: cell -> bool ``(seeds, examples)``, the same examples in the same order for
        all, as many seeds as each has. ``groups`` ``(examples,)`` names the independent unit of
        each example, a speaker, say; the claim is then about new ones, and ``unit`` names what
        they are. ``seeds_paired``: seed k of all cells shares a data split or the like, not only
        its number. A reliable difference within the margin is called equivalent. Raises
        SeqbeltError if the arrays do not fit.
        """
        _check(correct, groups, seeds_paired)
        num_units = None if groups is None else len(np.unique(groups))
        pairs = list(combinations(correct, 2))
        found = [
            accuracy_difference(correct[a], correct[b], groups, seeds_paired) for a, b in pairs
        ]
        own_p = np.array([one.p_value() for one in found])
        p_values = holm(own_p)
        # How much stricter than alone Holm tests each pair: the interval is widened alike.
        strictness = np.clip(p_values / own_p, 1, len(pairs))
        equivalence = holm(np.array([one.equivalence_p(self.margin) for one in found]))
        return tuple(
            replace(
                self._verdict(
                    correct, pair, one, p_value, p_equivalence, len(pairs), strict, num_units
                ),
                unit="row" if groups is None else unit,
                num_units=num_units,
            )
            for pair, one, p_value, p_equivalence, strict in zip(
                pairs, found, p_values, equivalence, strictness
            )
        )

    def _verdict(
        self,
        correct: Mapping[str, np.ndarray],
        pair: tuple[str, str],
        found: Difference,
        p_value: float,
        p_equivalence: float,
        num_pairs: int,
        strictness: float,
        num_units: int | None,
    ) -> Verdict:
        a, b = (correct[cell] for cell in pair)
        level = 1 - self.confidence
        word: Word = "undecided"
        if p_equivalence <= level:
            word = "equivalent"
        elif p_value <= level:
            word = "better" if found.value > 0 else "worse"
        more_seeds, min_examples = None, None
        if word == "undecided":
            more_seeds = self._more_seeds(found, level / num_pairs)
            if more_seeds is None:
                min_examples = self._min_examples(found, level / num_pairs, num_units or a.shape[1])
        interval = found.interval(1 - level / strictness)
        return Verdict(
            word=word,
            cell=pair[0],
            other=pair[1],
            accuracy=float(a.mean()),
            other_accuracy=float(b.mean()),
            difference=interval.value,
            low=interval.low,
            high=interval.high,
            confidence=self.confidence,
            margin=self.margin,
            p_value=float(p_value),
            p_equivalence=float(p_equivalence),
            mcnemar_p=tuple(mcnemar(one, other) for one, other in zip(a, b)),
            num_pairs=num_pairs,
            num_seeds=(len(a), len(b)),
            num_examples=a.shape[1],
            more_seeds=more_seeds,
            min_examples=min_examples,
        )

    def _more_seeds(self, found: Difference, level: float) -> int | None:
        """Fewest further seeds per cell that decide, everything else staying as it is."""
        *cells, examples = found.components
        fewest = min(cell.degrees + 1 for cell in cells)
        if fewest == 1:
            return 2

        def decides(more: int) -> bool:
            then = [_with_more_seeds(cell, more) for cell in cells]
            return self._decides(replace(found, components=(*then, examples)), level)

        more = 1 + bisect_left(range(1, MAX_MORE_SEEDS + 1), True, key=decides)
        return more if more <= MAX_MORE_SEEDS else None

    def _decides(self, found: Difference, level: float) -> bool:
        different = found.half_width(level) <= abs(found.value)
        return different or found.half_width(2 * level) <= self.margin - abs(found.value)

    def _min_examples(self, found: Difference, level: float, num_examples: int) -> int:
        """Test examples that would decide with seeds without number: a lower bound."""
        variance = found.components[-1].variance
        options = [(abs(found.value), level / 2), (self.margin - abs(found.value), level)]
        needed = max((room / special.ndtri(1 - tail)) ** 2 for room, tail in options if room > 0)
        return max(num_examples + 1, math.ceil(num_examples * variance / needed))


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
        return place, sorted([-verdict.accuracy, -verdict.other_accuracy])

    return sorted(verdicts, key=rank)


def _with_more_seeds(cell: Component, more: int) -> Component:
    num_seeds = cell.degrees + 1
    variance = cell.variance * num_seeds / (num_seeds + more)
    return Component(variance, cell.degrees + more)


def _check(
    correct: Mapping[str, np.ndarray], groups: np.ndarray | None, seeds_paired: bool
) -> None:
    shapes = {cell: np.shape(one) for cell, one in correct.items()}
    found = f"found (seeds, examples) {shapes}"
    if len(correct) < 2:
        raise SeqbeltError(f"a verdict needs at least two cells; {found}")
    if any(len(shape) != 2 or shape[0] < 1 or shape[1] < 2 for shape in shapes.values()):
        raise SeqbeltError(f"a verdict needs at least 1 seed and 2 test examples; {found}")
    if len({shape[1] for shape in shapes.values()}) > 1:
        raise SeqbeltError(f"all cells must answer the same test examples; {found}")
    if seeds_paired and len({shape[0] for shape in shapes.values()}) > 1:
        raise SeqbeltError(f"paired seeds must be as many for each cell; {found}")
    if any(one.dtype != bool for one in correct.values()):
        raise SeqbeltError("correctness must be given as booleans")
    if groups is not None and len(groups) != next(iter(shapes.values()))[1]:
        raise SeqbeltError(f"{len(groups)} groups; one per test example is needed; {found}")
    if groups is not None and len(set(groups)) < 2:
        raise SeqbeltError("all test examples are of one group: nothing is known about others")


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.1f}"


def _points(fraction: float) -> str:
    return f"{100 * fraction:g} point{'' if fraction == 0.01 else 's'}"
