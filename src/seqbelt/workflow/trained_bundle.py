"""The bundle of a trained network, with what its predictions are judged by."""

from collections.abc import Mapping

import numpy as np

from seqbelt.data.store.part_summary import data_record
from seqbelt.data.store.store import SequenceStore
from seqbelt.evaluation.report import Report
from seqbelt.experiment import Experiment
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.decision import choose_separator
from seqbelt.inference.reference import Reference
from seqbelt.inference.segment_smoothing import shortest_segment
from seqbelt.inference.training_reference import reference_of
from seqbelt.models.ensemble import Network


def make_bundle(
    experiment: Experiment,
    store: SequenceStore,
    network: Network,
    reports: Mapping[str, Report],
    run_id: str,
    min_steps: int,
) -> Bundle:
    """The bundle of a trained network on the CPU, with the temperature of its ``reports`` and, if
    it labels steps, ``min_steps`` of its shortest segment."""
    separator = None
    if store.target.is_several:
        separator = experiment.data.label_separator or choose_separator(store.classes)
    lengths = store.split("train").lengths
    return Bundle(
        name=experiment.name,
        features=experiment.features,
        learned=store.learned,
        model=experiment.model,
        classes=store.classes,
        num_features=store.num_features,
        weights=weights_of(network),
        about={
            "data_fingerprint": store.fingerprint,
            "data": data_record(store, experiment.data.source),
            "run_id": run_id,
            "scores": {part: report.to_dict() for part, report in reports.items()},
            **_above_chance(reports),
            "step_s": store.about["step_s"],
            "class_counts": _class_counts(store),
            "median_num_steps": int(np.median(lengths)),
            "max_num_steps": int(lengths.max()),
            **({"shortest_segment": min_steps} if network.labels_steps else {}),
            **({"label_separator": separator} if separator else {}),
            **({"reading": reading} if (reading := experiment.data.reading) else {}),
        },
        temperature=next(iter(reports.values())).temperature if reports else 1.0,
        confidences=_confidences(reports.get("validation")),
        reference=_reference(experiment, store, reports.get("validation")),
        target=store.target,
        thresholds=_thresholds(reports),
        layout=network.networks[0].layout,
    )


def _thresholds(reports: Mapping[str, Report]) -> tuple[float, ...]:
    """Of the labels; empty where a sequence has one class, or the thresholds are not chosen."""
    thresholds = next((report.thresholds for report in reports.values()), None)
    return () if thresholds is None else tuple(thresholds.tolist())


def _above_chance(reports: Mapping[str, Report]) -> dict[str, bool]:
    """Whether the model has learned anything, by its test rows or else its validation rows."""
    measured = reports.get("test") or reports.get("validation")
    return {} if measured is None else {"above_chance": measured.is_above_chance}


def _class_counts(store: SequenceStore) -> dict[str, int]:
    """Training rows (labelled steps where steps are labelled) of each class."""
    counts = store.target.class_counts(store.split("train"), len(store.classes))
    return dict(zip(store.classes, counts.tolist(), strict=True))


def _reference(
    experiment: Experiment, store: SequenceStore, validation: Report | None
) -> Reference:
    """What the training rows look like; without confidences where steps are labelled."""
    has_confidences = validation is not None and validation.units is None
    confidences = validation.confidences if validation and has_confidences else np.zeros(0)
    train, rest = store.split("train"), store.split("validation")
    return reference_of(experiment.features, store.learned, train, rest, confidences)


def shortest_predicted_segment(experiment: Experiment, store: SequenceStore) -> int:
    """The shortest segment, in steps, that a model of labels for steps predicts."""
    if not experiment.data.labels_steps:
        return 1
    return shortest_segment(store.split("train"))


def _confidences(report: Report | None) -> tuple[float, ...]:
    """Quantiles of the validation confidences at 0, 1, ..., 100 per cent."""
    if report is None or report.units is not None:  # the steps of a recording are not independent
        return ()
    return tuple(np.quantile(report.confidences, np.linspace(0, 1, 101)).tolist())
