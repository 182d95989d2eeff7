"""The report of a prediction for readers: counts, doubts, errors, and whether inputs changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup

from seqbelt.evaluation.drift import LEAST_INPUTS, Drift, Quantity
from seqbelt.evaluation.proportions import holm, two_proportions_p, wilson
from seqbelt.features.base import Features
from seqbelt.inference.row_quantities import QuantityName
from seqbelt.plots import report_page
from seqbelt.plots.item_view import ShownItem, show_item
from seqbelt.plots.report_page import (
    Words,
    bar,
    bullets,
    cards,
    heading,
    join,
    paragraph,
    table,
    tiles,
    track,
)
from seqbelt.texts import Language

LEVEL = 0.05
MAX_CHANGES = 6
"""Changes in words; the table has all."""
KNOWN_FRACTION = 0.5
"""From this fraction of inputs that were trained on the page warns."""


@dataclass(frozen=True)
class Group:
    """The inputs of one sub-folder, or of one value of a column."""

    name: str
    count: int
    num_labelled: int
    num_correct: int
    mean_confidence: float | None


@dataclass(frozen=True)
class PredictionFacts:
    """What one prediction run gave."""

    name: str
    model: str
    kind: str
    """A kind of ``item_view``."""
    labels_inputs: bool
    """Whether an input has a label, or several, instead of segments."""
    counts: Mapping[str, int]
    """Inputs predicted as each class."""
    training_share: Mapping[str, float]
    """Fraction of each class among the training rows; empty where unknown."""
    num_predicted: int
    num_missing: int
    reasons: Mapping[str, tuple[int, str]]
    """Of the inputs without a prediction: reason -> count and an example."""
    num_labelled: int
    num_correct: int
    mean_confidence: float | None
    drift: Drift | None
    no_drift: str
    """Key of the text why there is no drift; empty where there is."""
    num_known: int
    """Inputs that were trained on."""
    is_several: bool = False
    """Whether an input may have several labels."""
    groups: Sequence[Group] = ()
    group_by: str | None = None
    """The column of the groups; None for sub-folders."""
    least_sure: Sequence[ShownItem] = field(default=())

    @property
    def num_inputs(self) -> int:
        return self.num_predicted + self.num_missing


def compare_groups(groups: Sequence[Group]) -> list[float]:
    """p values that each group is as accurate as the rest, adjusted by Holm; 1 where unknown."""
    labelled = sum(group.num_labelled for group in groups)
    correct = sum(group.num_correct for group in groups)
    p_values = np.ones(len(groups))
    tested = [index for index, group in enumerate(groups) if 0 < group.num_labelled < labelled]
    if tested:
        p_raw = [
            two_proportions_p(
                (groups[index].num_correct, correct - groups[index].num_correct),
                (groups[index].num_labelled, labelled - groups[index].num_labelled),
            )
            for index in tested
        ]
        p_values[tested] = holm(np.array(p_raw))
    return p_values.tolist()


def prediction_report(facts: PredictionFacts, features: Features, language: Language) -> str:
    """The whole page."""
    page = _Page(facts, features, Words(language))
    words = page.words
    subtitle = f"{words('predicted_by', model=facts.model)}. {words.today()}"
    blocks = [
        page.summary(), page.world(), page.counts(), page.groups(), page.reasons(),
        page.least_sure(),
    ]  # fmt: skip
    title = words("prediction_title", name=facts.name)
    return report_page.page(title, subtitle, language, blocks)


class _Page:
    def __init__(self, facts: PredictionFacts, features: Features, words: Words) -> None:
        self.facts, self.features, self.words = facts, features, words
        self.items = words(f"items_{facts.kind}")

    def summary(self) -> Markup:
        facts, words = self.facts, self.words
        counted = words(
            "counts_sentence" if facts.num_missing else "counts_sentence_all",
            predicted=facts.num_predicted,
            total=facts.num_inputs,
            missing=facts.num_missing,
            items=self.items,
        )
        blocks = [heading(words("summary")), paragraph(counted)]
        if not facts.labels_inputs:
            blocks.append(paragraph(words("segments_only"), "soft"))
        if facts.num_labelled:
            accuracy = facts.num_correct / facts.num_labelled
            interval = words.interval(wilson(facts.num_correct, facts.num_labelled))
            blocks.append(
                paragraph(
                    words(
                        "accuracy_sentence",
                        count=facts.num_labelled,
                        accuracy=words.percent(accuracy),
                        interval=interval,
                    )
                )
            )
        if facts.mean_confidence is not None:
            confidence = words.percent(facts.mean_confidence)
            blocks.append(paragraph(words("sure_sentence", confidence=confidence)))
        if facts.num_inputs and facts.num_known >= KNOWN_FRACTION * facts.num_inputs:
            share = words.percent(facts.num_known / facts.num_inputs)
            text = words("in_training", share=share, count=facts.num_known, items=self.items)
            blocks.append(paragraph(text, "warn"))
        pairs = [
            (f"{facts.num_predicted:,}", words("predicted")),
            (f"{facts.num_missing:,}", words("missing")),
        ]
        if facts.num_labelled:
            accuracy = words.percent(facts.num_correct / facts.num_labelled)
            pairs.append((accuracy, words("tile_accuracy")))
        if facts.mean_confidence is not None:
            pairs.append((words.percent(facts.mean_confidence), words("mean_confidence")))
        return join([*blocks, tiles(pairs)])

    def world(self) -> Markup:
        facts, words, drift = self.facts, self.words, self.facts.drift
        blocks = [heading(words("world"))]
        if drift is None:
            text = words(facts.no_drift, least=LEAST_INPUTS, items=self.items)
            return join([*blocks, paragraph(text)])
        count = len(drift.quantities)
        if not drift.alarms:
            blocks.append(paragraph(words("world_same", count=count, items=self.items)))
        else:
            text = words("world_changed", changed=len(drift.alarms), count=count)
            blocks += [
                paragraph(text, "warn"),
                bullets(map(self._change, drift.alarms[:MAX_CHANGES])),
            ]
        body = [
            [self._name(quantity), *self._middles(quantity),
             bar(quantity.distance), f"{quantity.p_adjusted:.3f}"]
            for quantity in drift.quantities
        ]  # fmt: skip
        header = [words(key) for key in ("quantity", "before", "now", "distance", "p_value")]
        summary = Markup("<details><summary>{}</summary>{}</details>").format(
            words("world_table"), table(header, body)
        )
        return join([*blocks, summary])

    def _name(self, quantity: Quantity) -> str:
        owner, kind, which = QuantityName.of(quantity.name)
        if kind in ("mean", "std"):
            which = which.replace("-", "–")
        name = self.words(f"quantity_{kind}", which=which)
        return f"{owner}: {name}" if owner else name

    def _middles(self, quantity: Quantity) -> tuple[str, str]:
        """The quantity in training and here."""
        is_fraction = QuantityName.of(quantity.name).is_fraction
        number = self.words.percent if is_fraction else _number
        return number(quantity.reference_median), number(quantity.median)

    def _change(self, quantity: Quantity) -> str:
        before, now = self._middles(quantity)
        key = "change_spread"
        if before != now:
            is_higher = quantity.median > quantity.reference_median
            key = "change_higher" if is_higher else "change_lower"
        return self.words(key, quantity=self._name(quantity), before=before, now=now)

    def counts(self) -> Markup:
        facts, words = self.facts, self.words
        total = facts.num_predicted if facts.is_several else sum(facts.counts.values())
        if not total:
            return Markup("")
        has_training = bool(facts.training_share)
        body = []
        for name, count in sorted(facts.counts.items(), key=lambda pair: -pair[1]):
            share = count / total
            row = [name, f"{count:,}", words.percent(share), bar(share)]
            if has_training:
                row.append(words.percent(facts.training_share.get(name, 0.0)))
            body.append(row)
        header = [words("class"), words("count"), words("share"), ""]
        header += [words("training_share")] if has_training else []
        about = paragraph(words("counts_several"), "soft") if facts.is_several else ""
        return join([heading(words("counts")), about, table(header, body)])

    def groups(self) -> Markup:
        facts, words = self.facts, self.words
        if len(facts.groups) < 2:
            return Markup("")
        labelled = sum(group.num_labelled for group in facts.groups)
        correct = sum(group.num_correct for group in facts.groups)
        # All intervals hold together with the usual confidence.
        confidence = 1 - LEVEL / len(facts.groups)
        body = []
        for group, p in zip(facts.groups, compare_groups(facts.groups), strict=True):
            accuracy = Markup("–")
            remark = ""
            if group.num_labelled:
                share = group.num_correct / group.num_labelled
                low, high = wilson(group.num_correct, group.num_labelled, confidence)
                accuracy = join(
                    [Markup("{}").format(words.percent(share)), track(share, low, high, words)]
                )
                if p < LEVEL:
                    rest = (correct - group.num_correct) / (labelled - group.num_labelled)
                    remark = words("differs_lower" if share < rest else "differs_higher")
            sure = "–" if group.mean_confidence is None else words.percent(group.mean_confidence)
            row = [group.name, f"{group.count:,}", sure]
            if labelled:
                row += [accuracy, f"{p:.3f}", Markup("{}").format(remark)]
            body.append(row)
        header = ["group", "count", "mean_confidence"]
        header += ["accuracy", "p_value"] if labelled else []
        titles = [words(key) for key in header] + ([""] if labelled else [])
        title = words("by_folder")
        if facts.group_by is not None:
            title = words("by_column", name=facts.group_by)
        about = paragraph(words("groups_about"), "soft") if labelled else ""
        return join([heading(title), about, table(titles, body)])

    def reasons(self) -> Markup:
        facts, words = self.facts, self.words
        if not facts.reasons:
            return Markup("")
        reasons = sorted(facts.reasons.items(), key=lambda reason: -reason[1][0])
        body = [
            [words.reason(why), f"{count:,}", Markup("{}").format(example)]
            for why, (count, example) in reasons
        ]
        header = [words(key) for key in ("reason", "count", "example")]
        return join([heading(words("reasons")), table(header, body)])

    def least_sure(self) -> Markup:
        facts, words = self.facts, self.words
        if not facts.least_sure:
            return Markup("")
        about = words("least_sure_about", count=len(facts.least_sure))
        shown = cards(show_item(item, self.features, words) for item in facts.least_sure)
        return join([heading(words("least_sure")), paragraph(about, "soft"), shown])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
