"""The report of a comparison for readers who did not run it: a self-contained page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from seqbelt.comparison.conclusion_page import Conclusion
from seqbelt.comparison.metrics import ACCURACY
from seqbelt.comparison.variants import label
from seqbelt.data.audit import Audit
from seqbelt.evaluation.proportions import proportion_interval
from seqbelt.features.base import Features
from seqbelt.plots import report_page
from seqbelt.plots.class_results import ClassResults, confusions_section, recall_section
from seqbelt.plots.item_view import ShownItem, show_item
from seqbelt.plots.report_page import (
    Words,
    bullets,
    cards,
    command,
    facts,
    heading,
    join,
    paragraph,
    table,
    tiles,
    track,
)
from seqbelt.texts import Language

LEAST_TRAINING_ROWS = 20
"""A class with fewer is named among the limits."""
MAX_NAMED = 12
"""Names that are listed."""


@dataclass(frozen=True)
class DataFacts:
    """What the data is."""

    source: str
    prepared_on: str
    classes: tuple[str, ...]
    counts: Mapping[str, np.ndarray]
    """Rows (labelled steps where steps are labelled) of each class, by part."""
    num_rows: Mapping[str, int]
    """Sequences by part."""
    lengths: tuple[float, float, float]
    """Smallest, median and largest number of training steps."""
    step_s: float | None
    num_groups: int
    num_folds: int
    quarantined: Mapping[str, int]
    audit: Audit
    kind: str
    """A kind of ``item_view``, or ``steps``."""


@dataclass(frozen=True)
class ChosenFacts:
    """The chosen model and its answers to the test examples."""

    cell: str
    reason: str
    """``validation``, ``mean_validation`` or ``mean_test``."""
    score: str
    """The score that decided: a field of ``Scores``."""
    num_models: int
    num_networks: int
    """Networks that are averaged; 1 without an ensemble."""
    labels: np.ndarray
    predictions: np.ndarray
    units: np.ndarray | None
    """The independent unit of each test example (``proportion_interval``)."""
    held_out_groups: tuple[str, ...]
    """Groups of the test that have no training rows."""
    crop: tuple[int, str] | None
    """Steps that are read at most, and which; None reads all."""
    model_uri: str | None
    can_reject: bool
    """Whether ``predict --coverage`` applies: the confidences of validation rows are known."""
    worst: Sequence[ShownItem] = field(default=())


def comparison_report(
    name: str,
    data: DataFacts,
    chosen: ChosenFacts,
    conclusion: Conclusion,
    features: Features,
    appendix: str,
    figures: Mapping[str, Figure],
    language: Language,
) -> str:
    """The whole page. ``appendix`` is Markdown, ``figures`` are by the last part of their text's
    key."""
    page = _Page(name, data, chosen, conclusion, features, Words(language))
    words = page.words
    statistics = join(
        [
            heading(words("statistics")),
            report_page.markdown(appendix),
            report_page.figures({words(f"figure_{key}"): image for key, image in figures.items()}),
        ]
    )
    blocks = [
        page.summary(), page.data_section(), page.choice(), page.errors(),
        recall_section(page.results, words, page.items), page.worst(), page.limits(), page.use(),
        statistics,
    ]  # fmt: skip
    title = words("comparison_title", name=name)
    return report_page.page(title, words.today(), language, blocks)


class _Page:
    def __init__(
        self,
        name: str,
        data: DataFacts,
        chosen: ChosenFacts,
        conclusion: Conclusion,
        features: Features,
        words: Words,
    ) -> None:
        self.name, self.data, self.chosen = name, data, chosen
        self.conclusion, self.features, self.words = conclusion, features, words
        self.items = words(f"items_{data.kind}")
        self.model = words.write(label(chosen.cell))
        self.results = ClassResults(data.classes, chosen.labels, chosen.predictions, chosen.units)

    def summary(self) -> Markup:
        words, chosen, data = self.words, self.chosen, self.data
        bounds = proportion_interval(self.results.correct, chosen.units)
        blocks = [
            heading(words("summary")),
            paragraph(
                words(
                    "good",
                    model=self.model,
                    items=self.items,
                    rate=100 * self.results.accuracy,
                    interval=words.interval(bounds),
                    count=len(self.results.correct),
                )
            ),
        ]
        if chosen.units is not None:
            count = len(set(chosen.units.tolist()))
            blocks.append(paragraph(words("by_units", count=count, items=self.items)))
        if len(chosen.held_out_groups) == 1:
            group = chosen.held_out_groups[0]
            blocks.append(paragraph(words("one_group", name=group, items=self.items), "warn"))
        if self.results.is_several:
            blocks.append(paragraph(words("several", items=self.items)))
        else:
            tested = self.results.num_tested
            frequent = int(data.counts["train"].argmax())
            share = tested[frequent] / max(1, tested.sum())
            majority = words("majority", name=data.classes[frequent], share=words.percent(share))
            blocks.append(paragraph(majority))
        blocks += map(paragraph, self._verdicts())
        ahead = self._controls_ahead()
        if ahead:
            blocks.append(Markup('<div class="warn">{}</div>').format(bullets(ahead)))
        pairs = [
            (words.percent(self.results.accuracy), words("tile_accuracy")),
            (str(len(data.classes)), words("tile_classes")),
            (f"{data.num_rows['train']:,}", words("tile_train", items=self._sequences)),
        ]
        known = [
            (recall[0], name) for recall, name in zip(self.results.recalls, data.classes) if recall
        ]
        if known:
            recall, name = min(known)
            pairs.append((words.percent(recall), words("tile_weakest", name=name)))
        return join([*blocks, tiles(pairs)])

    @property
    def _sequences(self) -> str:
        """What a row of the data is, where the examples are its steps."""
        return self.words("items_channels") if self.data.kind == "steps" else self.items

    def _verdicts(self) -> list[str]:
        texts = []
        for verdict in self.conclusion.verdicts:
            if verdict.metric != ACCURACY or np.isnan(verdict.low):
                continue
            texts.append(
                self.words(
                    f"verdict_{verdict.word}",
                    cell=label(verdict.cell),
                    other=label(verdict.other),
                    difference=f"{100 * abs(verdict.difference):.1f}"
                    if verdict.word in ("better", "worse")
                    else ACCURACY.signed(verdict.difference),
                    low=ACCURACY.signed(verdict.low),
                    high=ACCURACY.signed(verdict.high),
                    margin=f"{100 * verdict.margin:g}",
                )
            )
        return texts

    def _controls_ahead(self) -> list[str]:
        ahead = [
            (control.test_accuracy, self.words.write(control.baseline.name))
            for control in self.conclusion.controls
            if control.test_accuracy is not None and control.test_accuracy > self.results.accuracy
        ]
        return [
            self.words(
                "control_wins",
                name=name,
                accuracy=self.words.percent(accuracy),
                chosen_accuracy=self.words.percent(self.results.accuracy),
                items=self.items,
            )
            for accuracy, name in sorted(ahead, reverse=True)
        ]

    def _lengths(self) -> str:
        low, median, high = self.data.lengths
        if self.data.step_s is None:
            return self.words("steps", low=int(low), median=int(median), high=int(high))
        low, median, high = (value * self.data.step_s for value in (low, median, high))
        return self.words("seconds", low=low, median=median, high=high)

    def data_section(self) -> Markup:
        words, data = self.words, self.data
        parts = [part for part in ("train", "validation", "test") if data.counts[part].sum()]
        rows = {part: data.num_rows.get(part, 0) for part in ("train", "validation", "test")}
        counts = words("data_counts_value", **rows)
        if data.num_folds > 1:
            counts = words("data_folds", count=data.num_folds)
        pairs = [
            (words("data_name"), self.name),
            (words("data_source"), data.source),
            (words("data_date"), data.prepared_on),
            (words("data_counts"), counts),
            (words("data_lengths"), self._lengths()),
            (words("data_groups"), f"{data.num_groups:,}" if data.num_groups else ""),
        ]
        header = [words("class"), *(words(part) for part in parts), words("total")]
        body = [
            [name, *(f"{data.counts[part][index]:,}" for part in parts),
             f"{sum(int(data.counts[part][index]) for part in parts):,}"]
            for index, name in enumerate(data.classes)
        ]  # fmt: skip
        lost = sum(data.quarantined.values())
        quarantine = words("quarantine_none", items=self._sequences)
        if lost:
            quarantine = words(
                "quarantine",
                count=lost,
                total=lost + sum(data.num_rows.values()),
                items=self._sequences,
                reasons=", ".join(
                    f"{words.reason(why)} {count:,}" for why, count in data.quarantined.items()
                ),
            )
        return join(
            [
                heading(words("data")),
                facts(pairs),
                paragraph(quarantine),
                heading(words("audit"), 3),
                bullets(self._audit()) or paragraph(words("audit_ok")),
                table(header, body),
            ]
        )

    def _audit(self) -> list[str]:
        texts = []
        for finding in self.data.audit.problems:
            key = f"audit_{finding.check}"
            key = key if self.words.has(key) else "audit_other"
            values = {"count": finding.count, "items": self._sequences, "check": finding.check}
            texts.append(self.words(key, **values))
        return texts

    def choice(self) -> Markup:
        words, chosen = self.words, self.chosen
        reason = words(
            f"reason_{chosen.reason}",
            model=self.model,
            count=chosen.num_models,
            items=self._sequences,
            score=words(f"metric_{chosen.score}"),
        )
        cells = self.conclusion.cells()
        body = []
        for cell, summary in cells.items():
            scores = summary["test_accuracy"]
            interval = Markup("")
            if scores["low"] is not None:
                interval = track(scores["mean"], scores["low"], scores["high"], words)
            body.append(
                [words.write(label(cell)), words.percent(scores["mean"]), interval,
                 f"{summary['num_parameters']:,}", f"{summary['train_s']:.0f}"]
            )  # fmt: skip
        header = ["model", "mean_accuracy", "interval_column", "parameters", "train_s"]
        controls = [
            [words.write(control.baseline.name), words.percent(control.test_accuracy)]
            for control in self.conclusion.controls
            if control.test_accuracy is not None
        ]
        several = chosen.num_networks > 1
        return join(
            [
                heading(words("choice")),
                paragraph(reason),
                paragraph(words("ensemble", count=chosen.num_networks) if several else ""),
                heading(words("compared"), 3),
                table([words(key) for key in header], body),
                paragraph(words("controls", items=self.items)) if controls else "",
                table([words("model"), words("mean_accuracy")], controls) if controls else "",
            ]
        )

    def errors(self) -> Markup:
        if self.results.is_several:  # which label stands for which is not told by sets
            return Markup("")
        return confusions_section(self.results, self.words, self.items)

    def worst(self) -> Markup:
        if not self.chosen.worst:
            return Markup("")
        return join(
            [
                heading(self.words("worst")),
                paragraph(self.words("worst_about"), "soft"),
                cards(show_item(item, self.features, self.words) for item in self.chosen.worst),
            ]
        )

    def limits(self) -> Markup:
        words, data, chosen = self.words, self.data, self.chosen
        classes = data.classes
        named, tested = self.results.num_predicted, self.results.num_tested
        texts = [] if self.results.is_several else [words("limit_closed", count=len(classes))]
        if texts and chosen.can_reject:
            texts[0] += f" {words('limit_reject')}"
        never = [name for name, a, b in zip(classes, named, tested) if not a and b]
        untested = [name for name, b in zip(classes, tested) if not b]
        few = [n for n, c in zip(classes, data.counts["train"]) if c < LEAST_TRAINING_ROWS]
        weak = [
            n for n, recall in zip(classes, self.results.recalls) if recall and recall[1][0] < 0.5
        ]
        for key, names in (
            ("never", never), ("untested", untested), ("few", few), ("weak", weak),
        ):  # fmt: skip
            if names:
                values = {"names": self._listed(names), "least": LEAST_TRAINING_ROWS}
                texts.append(words(f"limit_{key}", items=self.items, **values))
        texts.append(words("limit_lengths", items=self._sequences, lengths=self._lengths()))
        if chosen.crop is not None:
            texts.append(words("limit_crop", steps=chosen.crop[0], crop=chosen.crop[1]))
        if data.num_groups and not chosen.held_out_groups:
            texts.append(words("limit_groups"))
        ahead = [
            words.write(control.baseline.name)
            for control in self.conclusion.controls
            if control.test_accuracy is not None and control.test_accuracy >= self.results.accuracy
        ]
        if ahead:
            texts.append(words("limit_control", names=self._listed(ahead)))
        return join([heading(words("limits")), bullets([*texts, words("limit_world")])])

    def _listed(self, names: Sequence[str]) -> str:
        shown = ", ".join(f"'{name}'" for name in names[:MAX_NAMED])
        more = len(names) - MAX_NAMED
        return f"{shown}, {self.words('more', count=more)}" if more > 0 else shown

    def use(self) -> Markup:
        words = self.words
        uri = self.chosen.model_uri
        if uri is None:
            return join([heading(words("use")), paragraph(words("not_registered"), "warn")])
        start = f"seqbelt predict {uri} FOLDER"
        more = {}
        if self.chosen.can_reject:
            more["use_sure"] = f"{start} --output predictions.csv --coverage 0.9"
        if self.data.kind != "steps":
            more["use_explain"] = f"seqbelt explain {uri} FILE"
        return join(
            [
                heading(words("use")),
                paragraph(words("use_predict")),
                command(
                    f"{start} --output predictions.xlsx"
                    + ("" if self.results.is_several else " --report predictions.html")
                ),
                *(paragraph(words(key)) + command(line) for key, line in more.items()),
                paragraph(words("use_python")),
                command(f'import seqbelt\npredictor = seqbelt.load("{uri}")'),
            ]
        )
