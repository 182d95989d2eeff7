"""Gather the facts of the prediction report while rows are written; write the report."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seqbelt.data.sources.names import shorten
from seqbelt.data.store.parts import write_atomically
from seqbelt.evaluation.drift import measure_drift
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.folder import Item, Summary
from seqbelt.inference.journal import Row
from seqbelt.inference.predictor import Predictor
from seqbelt.inference.reference import short_hash
from seqbelt.plots.item_view import ShownItem, kind_of
from seqbelt.plots.prediction_report import Group, PredictionFacts, prediction_report
from seqbelt.plots.report_page import Words
from seqbelt.plots.report_settings import ReportSettings
from seqbelt.workflow.console import echo

NUM_LEAST_SURE = 24
MAX_GROUPS = 50
MAX_TESTED = 20_000
"""Inputs whose summaries are compared with the training rows; of more, every k-th."""


@dataclass
class _Tally:
    count: int = 0
    num_labelled: int = 0
    num_correct: int = 0
    confidences: float = 0.0
    num_confidences: int = 0

    def add(self, row: Row, prediction: Sequence[str] | None, confidence: float | None) -> None:
        self.count += 1
        if row.label:
            self.num_labelled += 1
            self.num_correct += prediction is not None and [*prediction] == [row.label]
        if confidence is not None:
            self.confidences += confidence
            self.num_confidences += 1


@dataclass
class RowCollector:
    """Called with each row of the output and the class it was given."""

    predictor: Predictor
    group_at: int | None = None
    """Place of the group among the kept columns; None groups by sub-folder."""
    confidences: list[float] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    reasons: dict[str, tuple[int, str]] = field(default_factory=dict)
    groups: dict[str, _Tally] = field(default_factory=dict)
    """By column or by sub-folder; folders that name the class are left out."""
    class_folders: dict[str, _Tally] = field(default_factory=dict)
    """By sub-folder."""
    least_sure: list[tuple[float, int, str, str | None]] = field(default_factory=list)
    """A heap of (-confidence, position, class, true class)."""
    num_rows: int = 0

    def __call__(self, row: Row, prediction: Sequence[str] | None) -> None:
        position = self.num_rows
        self.num_rows += 1
        if row.content_hash:
            self.hashes.append(short_hash(row.content_hash))
        if row.error is not None:
            why = row.error.partition(":")[0]
            count, example = self.reasons.get(why, (0, row.name))
            self.reasons[why] = (count + 1, example)
        confidence = None
        if row.probabilities is not None and self.predictor.labels_inputs:
            bundle = self.predictor.bundle
            confidence = float(bundle.confidence(row.probabilities))
            self.confidences.append(confidence)
            names = ", ".join(bundle.predicted_names(row.probabilities)) or "–"
            entry = (-confidence, -position, names, row.label)
            if len(self.least_sure) < NUM_LEAST_SURE:
                heapq.heappush(self.least_sure, entry)
            elif entry[:2] > self.least_sure[0][:2]:
                heapq.heapreplace(self.least_sure, entry)
        self._count(row, prediction, confidence)

    def _count(self, row: Row, prediction: Sequence[str] | None, confidence: float | None) -> None:
        tallies = [(self.groups, row.kept[self.group_at])] if self.group_at is not None else []
        if self.group_at is None:
            parts = row.name.split("/")[:-1]
            tallies.append((self.class_folders, "/".join(parts)))
            tallies.append((self.groups, "/".join(part for part in parts if part != row.label)))
        for groups, name in tallies:
            groups.setdefault(name, _Tally()).add(row, prediction, confidence)


def write_report(
    path: Path,
    collector: RowCollector,
    summary: Summary,
    items: Iterable[Item],
    *,
    name: str,
    model: str,
    settings: ReportSettings,
) -> dict[str, Any]:
    """Write the report of a finished run; returns its part of the result for JSON.

    ``items`` are those of the run again, from which the least sure ones are shown.
    """
    words = Words(settings.language)
    facts = _facts(collector, summary, items, name, model, settings.group_by, words)
    page = prediction_report(facts, collector.predictor.bundle.features, settings.language)
    write_atomically(path, page.encode("utf-8", "backslashreplace"))
    if facts.drift is not None and facts.drift.alarms:
        names = [alarm.name for alarm in facts.drift.alarms]
        echo(f"the inputs differ from the training rows: {shorten(names)}; see {path}")
    return {"report": str(path), "drift": facts.drift and facts.drift.to_dict()}


def _facts(
    collector: RowCollector,
    summary: Summary,
    items: Iterable[Item],
    name: str,
    model: str,
    group_by: str | None,
    words: Words,
) -> PredictionFacts:
    predictor = collector.predictor
    bundle = predictor.bundle
    reference = bundle.reference
    # Predictors that do not summarize run where summaries are not gathered: on Ray.
    no_drift = "world_old" if predictor.summarizes else "world_engine"
    drift, num_known = None, 0
    if reference is not None:
        num_known = int(reference.are_known(np.array(collector.hashes, np.uint64)).sum())
        if predictor.summarizes:
            no_drift = "world_few"
            if summary.summaries:
                drift = measure_drift(reference, np.stack(summary.summaries), collector.confidences)
    confidences = collector.confidences
    return PredictionFacts(
        name=name,
        model=model,
        kind=kind_of(bundle.features),
        labels_inputs=predictor.labels_inputs,
        counts=Counter({name: summary.labels[name] for name in bundle.classes})
        if predictor.labels_inputs
        else {},
        is_several=bundle.target.is_several,
        training_share=_training_shares(bundle),
        num_predicted=summary.num_predicted,
        num_missing=summary.num_quarantined,
        reasons=collector.reasons,
        num_labelled=summary.num_labelled,
        num_correct=summary.num_correct,
        mean_confidence=float(np.mean(confidences)) if confidences else None,
        drift=drift,
        no_drift=no_drift if drift is None else "",
        num_known=num_known,
        groups=_groups(collector.groups if len(collector.groups) > 1 else collector.class_folders),
        group_by=group_by,
        least_sure=_shown(collector, items, words),
    )


def _training_shares(bundle: Bundle) -> dict[str, float]:
    """Fraction of the training rows with each class; empty if the bundle does not have it."""
    counts: Mapping[str, int] = bundle.about.get("class_counts", {})
    total = sum(counts.values())
    if bundle.target.is_several:  # a row may have several labels, or none
        total = bundle.about.get("data", {}).get("num_sequences", {}).get("train", 0)
    return {name: count / total for name, count in counts.items()} if total else {}


def _groups(tallies: Mapping[str, _Tally]) -> list[Group]:
    """The largest groups."""
    groups = [
        Group(
            name or "–",
            tally.count,
            tally.num_labelled,
            tally.num_correct,
            tally.confidences / tally.num_confidences if tally.num_confidences else None,
        )
        for name, tally in tallies.items()
    ]
    return sorted(groups, key=lambda group: -group.count)[:MAX_GROUPS]


def _shown(collector: RowCollector, items: Iterable[Item], words: Words) -> list[ShownItem]:
    """The least sure inputs, least sure first."""
    least_sure = sorted(collector.least_sure, reverse=True)
    positions = {-position for _, position, *_ in least_sure}
    items_by_position = {
        position: item for position, item in enumerate(items) if position in positions
    }
    shown = []
    for confidence, position, predicted, label in least_sure:
        item = items_by_position.get(-position)
        if item is None:
            continue
        lines = [f"{words('predicted')}: {predicted} ({words.percent(-confidence)})"]
        if label:
            lines.append(f"{words('true')}: {label}")
        read, layout = _reader(collector.predictor, item), collector.predictor.bundle.layout
        shown.append(ShownItem(item.name, item.source, read, tuple(lines), layout))
    return shown


def _reader(predictor: Predictor, item: Item) -> Callable[[], np.ndarray]:
    return lambda: predictor.encode(item.source)
