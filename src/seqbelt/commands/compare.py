"""``seqbelt compare``: cells × seeds under one protocol, and the verdict."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seqbelt.comparison.advice_report import AdviceByCell
from seqbelt.comparison.baselines.baseline import BaselineResult
from seqbelt.comparison.comparison import Conclusion, RunResult
from seqbelt.comparison.diagnostics import Diagnostics
from seqbelt.comparison.looks import Looks
from seqbelt.comparison.metrics import (
    ACCURACY,
    AVERAGE_PRECISION,
    ERROR,
    KAPPA,
    MICRO_F1,
    RECALL,
    SEGMENT_OVERLAP,
    Answers,
    Metric,
    Unit,
    class_index,
)
from seqbelt.comparison.statistics import accuracy_after_selection
from seqbelt.comparison.variants import label
from seqbelt.data.audit import Audit
from seqbelt.data.labels.targets import Target
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SettingsError
from seqbelt.evaluation.report import Report
from seqbelt.evaluation.step_report import StepReport
from seqbelt.experiment import Experiment
from seqbelt.plots.comparison_figures import comparison_figure, diagnostics_figure
from seqbelt.plots.comparison_report import comparison_report
from seqbelt.plots.report_page import Words
from seqbelt.plots.run_figures import learning_curves
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.history import History
from seqbelt.workflow.baselines import log_baselines, run_baselines
from seqbelt.workflow.comparison_log import log_conclusion
from seqbelt.workflow.comparison_run import CompareJournal, Job
from seqbelt.workflow.console import ModelCount, echo
from seqbelt.workflow.data_audit import audit_first
from seqbelt.workflow.ensemble_run import average_networks
from seqbelt.workflow.measure_diagnostics import measure_diagnostics
from seqbelt.workflow.outcome import Outcome
from seqbelt.workflow.prepared_data import prepare_data
from seqbelt.workflow.publishing import register
from seqbelt.workflow.report_facts import chosen_facts, data_facts
from seqbelt.workflow.training_run import Trained, split_tags
from seqbelt.workflow.tuned_variants import build_variants
from seqbelt.workflow.wrong_labels import keep_held_out


def compare(experiment: Experiment) -> Outcome:
    """Train every cell with every seed on every fold, compare them, log all to MLflow."""
    folds = [experiment.with_data(data) for data in experiment.data.each_fold()]
    journal = CompareJournal(experiment)
    compare_id = journal.compare_id
    trained, data_audit, protocol, entries = _train_all(folds, journal)
    controls = run_baselines(experiment, trained)
    log_baselines(experiment, controls, compare_id)
    advice = _advice(experiment, trained)
    for sentence in advice.sentences():
        echo(sentence)
    conclusion, histories = _conclude(experiment, trained, controls, advice, journal.looks)
    conclusion = replace(conclusion, leaks=data_audit.leaks)
    diagnostics = measure_diagnostics(experiment, trained)
    wrong_labels = keep_held_out(experiment, trained)
    if wrong_labels is not None:
        finding = wrong_labels.finding()
        data_audit = data_audit.with_finding(finding)
        echo(f"labels: {finding.sentence}")
    best, chosen_by, reason = _choose(trained)
    ensemble, chosen, name = None, best, best.name
    if experiment.comparison.ensemble:
        ensemble = average_networks(best, trained, journal)
        chosen, name = ensemble.trained, f"the ensemble of {label(best.cell)}"
    elif len(folds) > 1:
        chosen = _refit(entries[best.cell].with_seed(best.seed), best.cell, journal)
    lost = "" if chosen.test is None else _lost_to(chosen, trained, controls)
    page = [conclusion.leak_sentence, lost, f"Chosen: {chosen_by}."]
    page.append(_scores(chosen, trained, conclusion))
    model_uri = register(chosen, "\n\n".join(filter(None, page)))
    # Runs are joined by a tag, since MLflow's page hides child runs. The summary is created last,
    # so that it is first in the page's list.
    tags = {
        "compare.id": compare_id,
        "compare.summary": "true",
        "audit.findings": data_audit.headline,
        "mlflow.runColor": "#333333",  # not used by any cell
    }
    summary = TrackedRun.start(
        experiment.name, conclusion.headline, tags | split_tags(experiment.data)
    )
    summary.log_settings(experiment.flat())
    summary.log_text(data_audit.markdown(), "audit.md")
    if wrong_labels is not None:
        summary.log_artifact("wrong_labels.csv", wrong_labels.to_csv())
        summary.log_text(json.dumps(wrong_labels.to_dict(), indent=1), "wrong_labels.json")
    registered = f"Registered: `{model_uri}`, {name}: {chosen_by}." if model_uri else ""
    if ensemble is not None:
        registered = f"{ensemble.sentence} {registered}".strip()
    description, figures = _described(
        conclusion, protocol, advice, diagnostics, histories, registered
    )
    log_conclusion(summary, conclusion, description, figures)
    report = _report(
        experiment, data_audit, chosen, trained, reason, model_uri, conclusion, description, figures
    )
    summary.log_text(report, "report.html")
    path = experiment.output / experiment.name / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report, "utf-8")
    echo(f"{path}: the report of this comparison")
    summary.finish()
    if model_uri is None:
        echo("no model registered, the tracking server is unavailable; run the command again later")
    else:
        journal.close()
    result = {
        "parent_run_id": summary.run_id,
        "model_uri": model_uri,
        "verdict": conclusion.sentence,
        "verdicts": conclusion.verdicts_as_dicts(),
        "protocol": protocol,
        "cells": conclusion.cells(),
        "controls": [control.to_dict() for control in controls],
        "reasons": diagnostics.to_dict(),
        "ensemble": ensemble and ensemble.to_dict(),
        "wrong_labels": wrong_labels and wrong_labels.to_dict(),
    }
    return Outcome(result)


def _train_all(
    folds: list[Experiment], journal: CompareJournal
) -> tuple[list[Trained], Audit, str, dict[str, Experiment]]:
    """Audit the first fold's data, then train every cell with every seed on every fold."""
    finished, data_audit, protocol, shown, first_entries = [], None, "", "", {}
    count = None
    for fold, experiment in enumerate(folds):
        store = prepare_data(experiment).store
        if not len(store.split("test")):
            raise SettingsError(
                "comparison: the data has no test part; set data.test_fraction above 0"
            )
        if store.target.labels_steps and len(folds) == 1 and len(store.split("test")) < 2:
            raise SettingsError(
                "comparison: the test part has one recording, whose steps are not independent; "
                "use at least two test recordings, or set data.folds"
            )
        if fold == 0:
            journal.check_data(store.fingerprint)
            shown = _what_can_be_shown(folds, store, journal.looks)
            echo(shown)
        data_audit = data_audit or audit_first(experiment, store)
        entries, sentence = build_variants(experiment, store)
        if fold == 0:
            protocol = sentence + (" Of the first fold." if len(folds) > 1 else "")
            echo(f"Protocol: {protocol}")
            protocol = f"{protocol} Before training: {shown}"
            first_entries = entries
        tags = {"compare.id": journal.compare_id} | ({"fold": str(fold)} if len(folds) > 1 else {})
        jobs = [
            Job(name, entry.with_seed(seed))
            for seed in experiment.comparison.seeds
            for name, entry in entries.items()
        ]
        count = count or ModelCount(len(folds) * len(jobs))
        finished += journal.train(jobs, store, tags, experiment.comparison.num_workers, count)
    assert data_audit is not None
    return finished, data_audit, protocol, first_entries


def _what_can_be_shown(folds: Sequence[Experiment], store: SequenceStore, looks: Looks) -> str:
    """The least difference that this comparison can show, before anything is trained."""
    comparison = folds[0].comparison
    if comparison.metric.startswith(RECALL):
        class_index(Metric(comparison.metric), store.classes)  # refuses another label
    names = ("train", "validation", "test") if len(folds) > 1 else ("test",)
    tested = [store.split(name) for name in names]  # with folds each row is tested once
    groups = {group for part in tested for group in part.column("group")}
    new = set(store.split("test").column("group")) - {""}
    if not new or new & set(store.split("train").column("group")):
        groups = set[str]()
    num_rows = sum(map(len, tested))
    if store.target.labels_steps and not groups:
        groups = {f"{name} {row}" for name, part in zip(names, tested) for row in range(len(part))}
    if store.target.labels_steps:
        num_rows = sum(len(store.target.labels(part)) for part in tested if len(part))
    return comparison.detectable(looks, num_rows, len(groups) or None)


def _advice(experiment: Experiment, trained: Sequence[Trained]) -> AdviceByCell:
    """The advice from the models of each cell."""
    models = {
        cell: [model.advice for model in trained if model.cell == cell]
        for cell in experiment.comparison.cells
    }
    return AdviceByCell(models, trained[0].store.is_tokens)


def _lost_to(best: Trained, trained: Sequence[Trained], controls: Sequence[BaselineResult]) -> str:
    """A sentence for the model's page on controls that are more accurate on the same test rows;
    empty if there is none."""
    folds = {model.experiment.data.fold: model.test for model in trained}
    assert best.test is not None  # a comparison has a test part
    masks = [np.full(len(test.correct), fold == best.experiment.data.fold)
           for fold, test in folds.items() if test is not None]  # fmt: skip
    rows = np.concatenate(masks)
    accuracies = [(control.correct[:, rows].mean(), control.baseline.name)
             for control in controls if control.correct is not None]  # fmt: skip
    accuracy = best.test.correct.mean()
    better = sorted([pair for pair in accuracies if pair[0] > accuracy], reverse=True)
    if not better:
        return ""
    (best_accuracy, name), *more = better
    also = ", ".join(f"'{other}' ({100 * value:.1f} %)" for value, other in more)
    return (
        f"A control is more accurate: '{name}' reaches {100 * best_accuracy:.1f} % on the same "
        f"{rows.sum():,} test rows, this model {100 * accuracy:.1f} %."
        + (f" Also more accurate: {also}." if also else "")
    )


def _conclude(
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
    units, unit, scope = _test_units([
        (report, set(model.store.split("train").column("group")))
        for model, report in zip(models, reports, strict=True)
    ])  # fmt: skip
    remedies = {cell: advice.remedy(cell) for cell in runs}
    conclusion = experiment.comparison.conclude(
        runs, trained[0].store.classes, units, controls, remedies, unit, scope, looks,
        _metrics_beside(trained[0].store.target),
    )  # fmt: skip
    return conclusion, histories


def _metrics_beside(target: Target) -> tuple[Metric, ...]:
    """The metrics that the labels have besides accuracy and macro-F1."""
    if target.is_several:
        return AVERAGE_PRECISION, MICRO_F1
    return (ERROR, KAPPA) if target.is_ordered else ()


def _test_units(folds: Sequence[tuple[Report, set[str]]]) -> tuple[np.ndarray | None, Unit, str]:
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
            else f"{fraction:.0%} of the test examples belong to groups without training rows; "
            "the other examples count as independent."
        )
        return np.array(names), "group", scope
    scope = ""
    if num_held_out:
        scope = (
            f"All test examples belong to one group, '{min(held_out)}': the verdict holds for "
            "that group, not for new groups; test on several (data.test_groups, data.folds: "
            "group)."
        )
    if not has_recordings:
        return None, "row", scope
    units = [
        f"{fold} {name}" for fold, (report, _) in enumerate(folds) for name in report.units or ()
    ]
    return np.array(units), "recording", scope


def _join(models: list[Trained], reports: list[Report], seed: int) -> RunResult:
    return RunResult(
        run_ids=tuple(model.run.run_id for model in models),
        seed=seed,
        answers=Answers.joined([_answers(report) for report in reports]),
        test=reports[0].merged_dict(reports),
        num_parameters=models[0].bundle.network.num_parameters,
        epochs=float(np.mean([len(model.history.epochs) for model in models])),
        train_s=sum(model.history.train_s for model in models),
    )


def _answers(report: Report) -> Answers:
    answers = Answers(report.labels, report.predictions, report.losses)
    if report.target.is_several:
        return replace(answers, scores=report.logits)
    if not isinstance(report, StepReport):
        return answers
    segments = [
        (scores.hits[SEGMENT_OVERLAP], scores.num_predicted, scores.num_true)
        for scores in report.segments_of_recordings
    ]
    return replace(answers, recordings=report.sequence_index, segments=np.array(segments))


def _choose(trained: Sequence[Trained]) -> tuple[Trained, str, str]:
    """The model to register, and the reason as text and as the report's key; with folds, a model of
    the settings to refit.

    Validation rows choose the model. With folds they choose the cell, by its mean over all folds
    and seeds: the best single model would be the one with the easiest validation rows. Without
    validation rows the test rows choose the cell by its mean, but never the seed.
    """
    has_validation = all(model.validation is not None for model in trained)
    num_folds = len({model.experiment.data.fold for model in trained})
    if has_validation and num_folds == 1:
        return max(trained, key=_validation_rank), "the best by validation", "validation"
    accuracies: dict[str, list[float]] = {}
    for model in trained:
        report = model.validation if has_validation else model.test
        assert report is not None  # a comparison has a test part
        accuracies.setdefault(model.cell, []).append(float(report.correct.mean()))
    cell = max(accuracies, key=lambda name: np.mean(accuracies[name]))
    first = next(model for model in trained if model.cell == cell)
    part = "validation" if has_validation else "test"
    over = f"the highest mean {part} accuracy over all seeds"
    optimism = "" if has_validation else ", which makes that mean a little optimistic"
    if num_folds > 1:
        text = f"the cell with {over} and folds{optimism}, refitted on the rows of all folds"
        return first, text, f"mean_{part}"
    text = f"without validation rows, the first model of the cell with {over}{optimism}"
    return first, text, f"mean_{part}"


def _refit(experiment: Experiment, cell: str, journal: CompareJournal) -> Trained:
    """One model of a cell's settings, trained on the rows of all folds; it has no test rows."""
    experiment = experiment.with_data(experiment.data.replace(fold=None))
    store = prepare_data(experiment).store
    tags = {"compare.id": journal.compare_id, "fold": "all"}
    jobs = [Job(cell, experiment)]
    (refitted,) = journal.train(jobs, store, tags, num_workers=1, count=ModelCount(1))
    return refitted


def _scores(chosen: Trained, trained: Sequence[Trained], conclusion: Conclusion) -> str:
    """Sentences for the model's page: what it and its cell score, how much of its validation score
    is the luck of being chosen, and how the controls do."""
    parts = list[str]()
    if chosen.test is not None:
        parts.append(f"Test accuracy of this model: {100 * chosen.test.scores.accuracy:.1f} %.")
    of_cell = conclusion.estimates[ACCURACY][chosen.cell]
    mean = (
        f"Mean test accuracy of {label(chosen.cell)} over all models: {100 * of_cell.value:.1f} %"
    )
    if not np.isnan(of_cell.low):
        mean += (
            f" ({conclusion.confidence:.0%} interval for new seeds and new test examples "
            f"{100 * of_cell.low:.1f} to {100 * of_cell.high:.1f} %)"
        )
    parts.append(f"{mean}.")
    candidates = [model.validation for model in trained if model.validation is not None]
    is_chosen_by_validation = (
        any(model is chosen for model in trained) and chosen.validation is not None
    )
    if is_chosen_by_validation and len(candidates) == len(trained) > 1:
        assert chosen.validation is not None
        expected = accuracy_after_selection(np.stack([report.correct for report in candidates]))
        own = 100 * chosen.validation.scores.accuracy
        parts.append(
            f"Its validation accuracy, {own:.1f} %, is the best of {len(candidates)} and "
            f"optimistic; corrected for the choice it is {100 * expected:.1f} %."
        )
    return " ".join(
        [*parts, *filter(None, [conclusion.remarks.warning, conclusion.remarks.caveat])]
    )


def _validation_rank(trained: Trained) -> tuple[float, float]:
    """Accuracy, of ordered classes the mean absolute error or of several labels the mean average
    precision, then loss."""
    assert trained.validation is not None
    scores = trained.validation.scores
    first = scores.accuracy
    if scores.mean_absolute_error is not None:
        first = -scores.mean_absolute_error
    if scores.mean_average_precision is not None:
        first = scores.mean_average_precision
    return first, -scores.loss


def _described(
    conclusion: Conclusion,
    protocol: str,
    advice: AdviceByCell,
    reasons: Diagnostics,
    histories: dict[str, History],
    registered: str,
) -> tuple[str, dict[str, Any]]:
    """The description of a comparison in Markdown, and its figures."""
    controls = [control.to_dict() for control in conclusion.controls]
    figures = {
        "comparison": comparison_figure(conclusion.cells(), conclusion.confidence, controls),
        **({"reasons": diagnostics_figure(reasons.models)} if reasons.models else {}),
        "learning_curves": learning_curves(histories),
    }
    parts = [
        conclusion.markdown(),
        f"Protocol: {protocol}",
        advice.markdown(),
        reasons.markdown() if reasons.models else "",
        registered,
    ]
    return "\n\n".join(filter(None, parts)), figures


def _report(
    experiment: Experiment,
    data_audit: Audit,
    chosen: Trained,
    trained: Sequence[Trained],
    reason: str,
    model_uri: str | None,
    conclusion: Conclusion,
    description: str,
    figures: Mapping[str, Any],
) -> str:
    """The report for readers, of the chosen model's answers, or of its folds' models."""
    tested = [chosen]
    if chosen.test is None:
        tested = [
            model for model in trained if (model.cell, model.seed) == (chosen.cell, chosen.seed)
        ]
    folds = [
        (model.test, set(model.store.split("train").column("group")))
        for model in tested
        if model.test is not None
    ]
    units, _, _ = _test_units(folds)
    has_new = any({*report.groups} - known - {""} for report, known in folds)
    language = experiment.report.language
    facts = chosen_facts(
        chosen, tested, reason, len(trained), units, has_new, model_uri,
        Words(language),
    )  # fmt: skip
    return comparison_report(
        experiment.name,
        data_facts(experiment, chosen.store, data_audit),
        facts,
        conclusion,
        experiment.features,
        description,
        figures,
        language,
    )
