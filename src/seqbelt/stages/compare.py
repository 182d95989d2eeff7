"""``seqbelt compare``: cells × seeds under one protocol, and the verdict."""

import uuid
from typing import Any

from seqbelt.data.store import SequenceStore
from seqbelt.errors import SettingsError
from seqbelt.evaluation.comparison import Conclusion, RunResult
from seqbelt.evaluation.pictures import comparison_picture, learning_picture
from seqbelt.experiment import Experiment
from seqbelt.stages.prepare import prepare_data
from seqbelt.stages.progress import say
from seqbelt.stages.train import Trained, register, train_model
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.loop import History


def compare(experiment: Experiment) -> dict[str, Any]:
    """The stage: train every cell with every seed, judge, and write it all to MLflow."""
    store = prepare_data(experiment).store
    if not len(store.split("test")):
        raise SettingsError(
            "comparison: the data has no test part; set data.test_fraction above 0"
        )
    compare_id = uuid.uuid4().hex[:8]
    conclusion, histories, (best_experiment, best) = _train_all(experiment, store, compare_id)
    model_uri = register(best_experiment, store, best)
    # The runs are siblings joined by a tag: MLflow's page folds children away. The summary is
    # made last, so that it stands on top of the page's list.
    summary = TrackedRun.start(
        experiment.name, conclusion.headline, {"compare.id": compare_id, "compare.summary": "true"}
    )
    summary.log_settings(experiment.flat())
    _log_conclusion(summary, experiment, conclusion, histories, model_uri)
    summary.finish()
    say(conclusion.sentence)
    return {
        "parent_run_id": summary.run_id,
        "model_uri": model_uri,
        "verdict": conclusion.sentence,
        "cells": conclusion.cells(),
    }


def _train_all(
    experiment: Experiment, store: SequenceStore, compare_id: str
) -> tuple[Conclusion, dict[str, History], tuple[Experiment, Trained]]:
    """Train every cell with every seed; returns also the best by validation."""
    runs: dict[str, list[RunResult]] = {cell: [] for cell in experiment.comparison.cells}
    histories: dict[str, History] = {}
    best: tuple[Experiment, Trained] | None = None
    for seed in experiment.comparison.seeds:
        for cell in experiment.comparison.cells:
            one = experiment.with_cell(cell, seed)
            trained = train_model(one, store, tags={"compare.id": compare_id})
            if trained.history.interrupted:
                trained.run.finish("KILLED")
                raise KeyboardInterrupt
            trained.run.finish()
            runs[cell].append(_result(trained, seed))
            histories[one.run_name] = trained.history
            if best is None or _validation_rank(trained) > _validation_rank(best[1]):
                best = one, trained
    assert best is not None
    return experiment.comparison.conclude(runs), histories, best


def _result(trained: Trained, seed: int) -> RunResult:
    assert trained.test is not None
    return RunResult(
        run_id=trained.run.run_id,
        model=str(trained.bundle_folder),
        seed=seed,
        correct=trained.test.correct,
        test=trained.test.scores.plain(),
        validation=trained.validation and trained.validation.scores.plain(),
        num_parameters=trained.bundle.network.num_parameters,
        epochs=len(trained.history.epochs),
        train_s=trained.history.train_s,
    )


def _validation_rank(trained: Trained) -> tuple[float, float]:
    """Accuracy, then loss; without a validation part the first run is as good as any."""
    if trained.validation is None:
        return (0.0, 0.0)
    return trained.validation.scores.accuracy, -trained.validation.scores.loss


def _log_conclusion(
    summary: TrackedRun,
    experiment: Experiment,
    conclusion: Conclusion,
    histories: dict[str, History],
    model_uri: str,
) -> None:
    """The summary run: its name says who won, its description shows how."""
    cells = conclusion.cells()
    summary.log_figure(comparison_picture(cells, conclusion.confidence), "pictures/comparison.png")
    summary.log_figure(learning_picture(histories), "pictures/learning_curves.png")
    description = f"{conclusion.markdown()}\n\nBest by validation: `{model_uri}`"
    summary.describe(description)
    summary.log_text(description, "comparison.md")
    summary.client.set_experiment_tag(
        summary.client.get_run(summary.run_id).info.experiment_id,
        "mlflow.note.content",
        description,  # its first line, the verdict, is what the page shows unopened
    )
    for cell, found in cells.items():
        bounds = {key: value for key, value in found["test_accuracy"].items() if value is not None}
        summary.log_metrics({f"{cell}/test_accuracy_{key}": value for key, value in bounds.items()})
