"""``seqbelt compare``: cells × seeds under one protocol, and the verdict."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from seqbelt.comparison.advice_report import AdviceByCell
from seqbelt.comparison.conclusion_page import Conclusion
from seqbelt.comparison.diagnostics import Diagnostics
from seqbelt.comparison.looks import Looks
from seqbelt.comparison.metric_scores import class_index
from seqbelt.comparison.metrics import RECALL, Metric
from seqbelt.comparison.variants import label
from seqbelt.data.audit import Audit
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment
from seqbelt.plots.comparison_figures import comparison_figure, diagnostics_figure
from seqbelt.plots.comparison_report import comparison_report
from seqbelt.plots.fonts import figure_language
from seqbelt.plots.report_page import Words
from seqbelt.plots.run_figures import learning_curves
from seqbelt.texts import ENGLISH, Language, Text, in_language, join, text
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.history import History
from seqbelt.workflow.baselines import log_baselines, run_baselines
from seqbelt.workflow.chosen_model import Choice, choose, lost_to, refit, scores_text
from seqbelt.workflow.comparison_log import log_conclusion
from seqbelt.workflow.comparison_run import CompareJournal, Job
from seqbelt.workflow.conclusion import conclude, units_of_test
from seqbelt.workflow.console import ModelCount, echo
from seqbelt.workflow.data_audit import audit_first
from seqbelt.workflow.ensemble_run import EnsembleResult, average_networks
from seqbelt.workflow.measure_diagnostics import measure_diagnostics
from seqbelt.workflow.outcome import Outcome
from seqbelt.workflow.prepared_data import prepare_data
from seqbelt.workflow.publishing import register
from seqbelt.workflow.report_facts import chosen_facts, data_facts
from seqbelt.workflow.run_folders import split_tags
from seqbelt.workflow.training_run import Trained
from seqbelt.workflow.tuned_variants import build_variants
from seqbelt.workflow.wrong_labels import WrongLabels, keep_held_out


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
    conclusion, histories = conclude(experiment, trained, controls, advice, journal.looks)
    conclusion = replace(conclusion, leaks=data_audit.leaks)
    diagnostics = measure_diagnostics(experiment, trained)
    wrong_labels = keep_held_out(experiment, trained)
    if wrong_labels is not None:
        finding = wrong_labels.finding()
        data_audit = data_audit.with_finding(finding)
        echo(f"labels: {finding.sentence}")
    choice = choose(trained)
    chosen, ensemble = _train_chosen(
        experiment, choice.model, trained, entries, len(folds), journal
    )
    lost = "" if chosen.test is None else lost_to(chosen, trained, controls)
    page = [conclusion.leak_sentence, lost, f"Chosen: {choice.sentence}."]
    page.append(scores_text(chosen, trained, conclusion))
    model_uri = register(chosen, "\n\n".join(filter(None, page)))
    registered = _registered(choice, ensemble, model_uri)
    description = _described(conclusion, protocol, advice, diagnostics, registered)
    summary = _start_summary(experiment, compare_id, conclusion, data_audit, wrong_labels)
    figures = _figures(conclusion, diagnostics, histories, ENGLISH)
    log_conclusion(summary, conclusion, str(description), figures)
    language = figure_language(experiment.report.language)
    if language != ENGLISH:
        figures = _figures(conclusion, diagnostics, histories, language)
    report = _report(
        experiment, data_audit, chosen, trained, choice, model_uri, conclusion, description, figures
    )
    _write_report(experiment, summary, report)
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


def _train_chosen(
    experiment: Experiment,
    best: Trained,
    trained: Sequence[Trained],
    entries: Mapping[str, Experiment],
    num_folds: int,
    journal: CompareJournal,
) -> tuple[Trained, EnsembleResult | None]:
    """The model to register: the best one, the average of its cell's networks, or with folds one
    that is trained on the rows of all."""
    if experiment.comparison.ensemble:
        ensemble = average_networks(best, trained, journal)
        return ensemble.trained, ensemble
    if num_folds > 1:
        return refit(entries[best.cell].with_seed(best.seed), best.cell, journal), None
    return best, None


def _registered(choice: Choice, ensemble: EnsembleResult | None, model_uri: str | None) -> Text:
    """Which model is registered, and why."""
    best = choice.model
    name = text("ensemble_of", cell=label(best.cell)) if ensemble else best.name
    sentences = [ensemble.sentence if ensemble else ""]
    if model_uri:
        sentences.append(text("registered", uri=model_uri, name=name, choice=choice.sentence))
    return join(sentences)


def _start_summary(
    experiment: Experiment,
    compare_id: str,
    conclusion: Conclusion,
    data_audit: Audit,
    wrong_labels: WrongLabels | None,
) -> TrackedRun:
    """The MLflow run of the comparison as a whole, with its settings and audit."""
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
    return summary


def _write_report(experiment: Experiment, summary: TrackedRun, report: str) -> None:
    if figure_language(experiment.report.language) != experiment.report.language:
        echo(
            "report.language: the texts in figures stay English, since no installed font has "
            "Korean glyphs; pip install 'seqbelt[korean]', or install Noto Sans CJK"
        )
    summary.log_text(report, "report.html")
    path = experiment.output / experiment.name / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report, "utf-8")
    echo(f"{path}: the report of this comparison")


def _train_all(
    folds: list[Experiment], journal: CompareJournal
) -> tuple[list[Trained], Audit, Text, dict[str, Experiment]]:
    """Audit the first fold's data, then train every cell with every seed on every fold."""
    finished, data_audit, protocol, first_entries = [], None, join([]), {}
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
            protocol = text("first_fold", protocol=sentence) if len(folds) > 1 else sentence
            echo(text("protocol", protocol=protocol))
            protocol = text("protocol_before", protocol=protocol, shown=shown)
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


def _what_can_be_shown(folds: Sequence[Experiment], store: SequenceStore, looks: Looks) -> Text:
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


def _described(
    conclusion: Conclusion,
    protocol: Text,
    advice: AdviceByCell,
    reasons: Diagnostics,
    registered: Text,
) -> Text:
    """The description of a comparison in Markdown."""
    parts = [
        conclusion.markdown(),
        text("protocol", protocol=protocol),
        advice.markdown(),
        reasons.markdown() if reasons.models else "",
        registered,
    ]
    return join(parts, "\n\n")


def _figures(
    conclusion: Conclusion,
    reasons: Diagnostics,
    histories: dict[str, History],
    language: Language,
) -> dict[str, Any]:
    controls = [control.to_dict() for control in conclusion.controls]
    cells, confidence = conclusion.cells(), conclusion.confidence
    figures = {
        "comparison": comparison_figure(cells, confidence, controls, language),
        "reasons": diagnostics_figure(reasons.models, language) if reasons.models else None,
        "learning_curves": learning_curves(histories, language),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _report(
    experiment: Experiment,
    data_audit: Audit,
    chosen: Trained,
    trained: Sequence[Trained],
    choice: Choice,
    model_uri: str | None,
    conclusion: Conclusion,
    description: Text,
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
    units, _, _ = units_of_test(folds)
    new_groups = {group for report, known in folds for group in report.groups if group not in known}
    language = experiment.report.language
    facts = chosen_facts(
        chosen, tested, choice, len(trained), units, new_groups - {""}, model_uri,
        Words(language),
    )  # fmt: skip
    return comparison_report(
        experiment.name,
        data_facts(experiment, chosen.store, data_audit),
        facts,
        conclusion,
        experiment.features,
        in_language(description, language),
        figures,
        language,
    )
