"""The test predictions of a comparison's models, and the conclusion from them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seqbelt.comparison.advice_report import AdviceByCell
from seqbelt.comparison.baselines.baseline import BaselineResult
from seqbelt.comparison.conclusion_page import Conclusion, RunResult
from seqbelt.comparison.looks import Looks
from seqbelt.comparison.metrics import (
    AVERAGE_PRECISION,
    ERROR,
    KAPPA,
    MICRO_F1,
    SEGMENT_OVERLAP,
    Metric,
    RunPredictions,
    Unit,
)
from seqbelt.data.labels.targets import Target
from seqbelt.evaluation.report import Report
from seqbelt.evaluation.step_report import StepReport
from seqbelt.experiment import Experiment
from seqbelt.texts import text
from seqbelt.training.history import History
from seqbelt.words import percent
from seqbelt.workflow.training_run import Trained


def conclude(
    experiment: Experiment,
    trained: list[Trained],
    controls: Sequence[BaselineResult],
    advice: AdviceByCell,
    looks: Looks,
) -> tuple[Conclusion, dict[str, History]]:
    """Join the folds of each cell and seed, and conclude."""
    runs: dict[str, list[RunResult]] = {cell: [] for cell in experiment.comparison.cells}
    histories = {}
    reports = list[Report]()
    for cell in experiment.comparison.cells:
        for seed in experiment.comparison.seeds:
            models = [model for model in trained if (model.cell, model.seed) == (cell, seed)]
            reports = [model.test for model in models if model.test is not None]
            runs[cell].append(_join(models, reports, seed))
            histories |= {f"{model.name}-f{k}" if len(models) > 1 else model.name: model.history
                          for k, model in enumerate(models)}  # fmt: skip
    units, unit, scope = units_of_test([
        (report, set(model.store.split("train").column("group")))
        for model, report in zip(models, reports, strict=True)
    ])  # fmt: skip
    remedies = {cell: advice.remedy(cell) for cell in runs}
    conclusion = experiment.comparison.conclude(
        runs, trained[0].store.classes, units, controls, remedies, unit, scope, looks,
        _metrics_beside(trained[0].store.target),
    )  # fmt: skip
    return conclusion, histories


def _join(models: list[Trained], reports: list[Report], seed: int) -> RunResult:
    return RunResult(
        run_ids=tuple(model.run.run_id for model in models),
        seed=seed,
        predictions=RunPredictions.joined([_predictions(report) for report in reports]),
        test=reports[0].merged_dict(reports),
        num_parameters=models[0].bundle.network.num_parameters,
        epochs=float(np.mean([len(model.history.epochs) for model in models])),
        train_s=sum(model.history.train_s for model in models),
    )


def _predictions(report: Report) -> RunPredictions:
    predictions = RunPredictions(report.labels, report.predictions, report.losses)
    if report.target.is_several:
        return replace(predictions, scores=report.logits)
    if not isinstance(report, StepReport):
        return predictions
    segments = [
        (scores.hits[SEGMENT_OVERLAP], scores.num_predicted, scores.num_true)
        for scores in report.segments_of_recordings
    ]
    return replace(predictions, recordings=report.sequence_index, segments=np.array(segments))


def _metrics_beside(target: Target) -> tuple[Metric, ...]:
    """The metrics that the labels have besides accuracy and macro-F1."""
    if target.is_several:
        return AVERAGE_PRECISION, MICRO_F1
    return (ERROR, KAPPA) if target.is_ordered else ()


def units_of_test(folds: Sequence[tuple[Report, set[str]]]) -> tuple[np.ndarray | None, Unit, str]:
    """The independent unit of each test example, the kind of unit, and a sentence on the limits.
    ``folds`` has the report and the groups of the training rows of each fold.

    Test rows of a group without training rows are correlated, and the result is about new groups,
    however the split was made (the data set's split, ``test_groups``, folds). Rows of other groups
    are independent, or belong to their recording with labels for steps. Returns None as units where
    every example is one.
    """
    names, held_out, num_rows, num_held_out = list[str](), set[str](), 0, 0
    has_recordings = False
    for fold, (report, trained_on) in enumerate(folds):
        units = report.units
        has_recordings |= units is not None
        units = units or [str(row) for row in range(len(report.correct))]
        for group, name in zip(report.groups, units, strict=True):
            is_held_out = bool(group) and group not in trained_on
            num_held_out += is_held_out
            num_rows += 1
            if is_held_out:
                held_out.add(group)
            names.append(f"group {group}" if is_held_out else f"{fold} {name}")
    if num_held_out and len(set(names)) > 1:
        if len(set(names)) == num_rows:  # one row per group
            return None, "row", ""
        fraction = num_held_out / num_rows
        scope = (
            ""
            if num_held_out == num_rows
            else text("scope_some_groups", share=percent(fraction, 0))
        )
        return np.array(names), "group", scope
    scope = ""
    if num_held_out:
        scope = text("scope_one_group", name=min(held_out))
    if not has_recordings:
        return None, "row", scope
    units = [
        f"{fold} {name}" for fold, (report, _) in enumerate(folds) for name in report.units or ()
    ]
    return np.array(units), "recording", scope
