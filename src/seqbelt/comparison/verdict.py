"""What test examples say about one cell against another, as values and as a sentence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from seqbelt.comparison.looks import Looks
from seqbelt.comparison.metrics import ACCURACY, Metric, Unit
from seqbelt.comparison.variants import in_sentence
from seqbelt.texts import Text, join, text
from seqbelt.words import percent

VerdictWord = Literal["better", "worse", "equivalent", "undecided"]


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
        return join([verdict, self._effect(), self._advice()])

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

    def _effect(self) -> str:
        """The probabilities that the difference matters."""
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
        """What would decide."""
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
