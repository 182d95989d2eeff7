"""Gather the facts of the comparison report: the data and the chosen model."""

from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime

import numpy as np

from seqbelt.data.audit import Audit
from seqbelt.data.store.store import SequenceStore
from seqbelt.evaluation.report import Report
from seqbelt.evaluation.step_report import StepReport
from seqbelt.experiment import Experiment
from seqbelt.features.base import Source
from seqbelt.features.encoding import hash_if_readable
from seqbelt.plots.comparison_report import ChosenFacts, DataFacts
from seqbelt.plots.item_view import ShownItem, kind_of
from seqbelt.plots.report_page import Words
from seqbelt.workflow.chosen_model import Choice
from seqbelt.workflow.training_run import Trained

MAX_WORST = 12
PARTS = ("train", "validation", "test")


def data_facts(experiment: Experiment, store: SequenceStore, audit: Audit) -> DataFacts:
    """What the prepared data is."""
    num_classes = len(store.classes)
    splits = {part: store.split(part) for part in PARTS}
    counts = {
        part: store.target.class_counts(rows, num_classes)
        if len(rows)
        else np.zeros(num_classes, np.int64)
        for part, rows in splits.items()
    }
    lengths = splits["train"].lengths
    prepared = datetime.fromtimestamp((store.folder / "store.json").stat().st_mtime)
    groups = {group for rows in splits.values() for group in rows.column("group")} - {""}
    return DataFacts(
        source=experiment.data.source,
        prepared_on=prepared.strftime("%Y-%m-%d"),
        classes=store.classes,
        counts=counts,
        num_rows={part: len(rows) for part, rows in splits.items()},
        lengths=(float(lengths.min()), float(np.median(lengths)), float(lengths.max())),
        step_s=store.step_s,
        num_groups=len(groups),
        num_folds=len(experiment.data.each_fold()),
        quarantined=store.about["quarantined"],
        audit=audit,
        kind="steps" if store.target.labels_steps else kind_of(experiment.features),
    )


def chosen_facts(
    chosen: Trained,
    tested: Sequence[Trained],
    choice: Choice,
    num_models: int,
    units: np.ndarray | None,
    held_out_groups: Set[str],
    model_uri: str | None,
    words: Words,
) -> ChosenFacts:
    """The chosen model, and the predictions of the ``tested`` models (one for each fold)."""
    reports = [model.test for model in tested if model.test is not None]
    model = chosen.bundle.model
    return ChosenFacts(
        cell=chosen.cell,
        reason=choice.reason,
        score=choice.score,
        num_models=num_models,
        num_networks=len(chosen.bundle.network.networks),
        labels=np.concatenate([report.labels for report in reports]),
        predictions=np.concatenate([report.predictions for report in reports]),
        units=units,
        held_out_groups=tuple(sorted(held_out_groups)),
        crop=None if model.max_steps is None else (model.max_steps, str(model.crop)),
        model_uri=model_uri,
        can_reject=bool(chosen.bundle.confidences),
        worst=_worst(chosen.experiment, reports, words),
    )


def _worst(
    experiment: Experiment, reports: Sequence[Report], words: Words
) -> tuple[ShownItem, ...]:
    """The most confident errors of all reports; none of labelled steps."""
    errors: list[tuple[float, Report, int]] = []
    for report in reports:
        if isinstance(report, StepReport):
            return ()
        wrong = np.flatnonzero(~report.correct)
        order = np.argsort(-report.confidences[wrong])[:MAX_WORST]
        errors += [(float(report.confidences[row]), report, int(row)) for row in wrong[order]]
    errors = sorted(errors, key=lambda error: -error[0])[:MAX_WORST]
    ids = [report.sequences.column("id")[row] for _, report, row in errors]
    hashes = [report.sequences.column("content_hash")[row] for _, report, row in errors]
    sources = _sources(experiment, dict(zip(hashes, ids, strict=True)))
    items = []
    for (confidence, report, row), name, content in zip(errors, ids, hashes, strict=True):
        true, predicted = (_named(report.classes, of[row])
                           for of in (report.labels, report.predictions))  # fmt: skip
        lines = (
            f"{words('true')}: {true}",
            f"{words('predicted')}: {predicted} ({words.percent(confidence)})",
        )
        sequence = _reader(report, row)
        layout = report.sequences.store.layout
        items.append(ShownItem(name, sources.get(content), sequence, lines, layout))
    return tuple(items)


def _named(classes: Sequence[str], label: np.ndarray) -> str:
    """A class index by its name, or several labels, bool ``(classes,)``, by theirs."""
    indices = np.flatnonzero(label) if np.ndim(label) else [int(label)]
    return ", ".join(classes[int(index)] for index in indices) or "–"


def _reader(report: Report, row: int) -> Callable[[], np.ndarray]:
    return lambda: np.asarray(report.sequences[row])


def _sources(experiment: Experiment, wanted: Mapping[str, str]) -> dict[str, Source]:
    """The sources of rows by their content hash (hash -> id); without those that have changed."""
    if not wanted:
        return {}
    ids = set(wanted.values())
    manifest = experiment.data.list_items(experiment.features)
    rows = [row for row, name in enumerate(manifest.column("id")) if name in ids]
    sources: dict[str, Source] = {}
    for source in manifest.sources(rows):
        content = hash_if_readable(source)
        if content is not None and content in wanted:
            sources[content] = source
    return sources
