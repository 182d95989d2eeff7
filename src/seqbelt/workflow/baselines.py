"""Fit and score a comparison's baselines ("controls") on the same rows as its cells."""

from collections.abc import Sequence

import numpy as np

from seqbelt.comparison.baselines.baseline import (
    Baseline,
    BaselineResult,
    input_baseline,
    no_recurrence_baseline,
)
from seqbelt.comparison.baselines.fitted import Fold, example_labels, fitted_baselines, measure
from seqbelt.comparison.baselines.signal_baselines import predict_shuffled, shuffled_order_baseline
from seqbelt.data.cropped_sequences import crop_sequences
from seqbelt.data.joined_views import view_input
from seqbelt.data.sequences import Sequences
from seqbelt.data.store.store import SequenceStore
from seqbelt.experiment import Experiment
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.scoring import predict_logits
from seqbelt.training.several_networks import train_networks
from seqbelt.words import percent
from seqbelt.workflow.console import echo
from seqbelt.workflow.networks import input_builder, network_builder
from seqbelt.workflow.run_folders import read_part
from seqbelt.workflow.training_run import Trained


def run_baselines(experiment: Experiment, trained: Sequence[Trained]) -> list[BaselineResult]:
    """Fit and score the baselines; empty with ``comparison.controls: false``.

    Their test rows are in the order of the concatenated folds, as for the cells.
    """
    if not experiment.comparison.controls:
        return []
    results = []
    # One model per fold, in the order of the folds.
    fold_models = list({model.experiment.data.fold: model for model in trained}.values())
    folds = [_fold(model) for model in fold_models]
    store = trained[0].store
    results.append(_without_recurrence(experiment, fold_models))
    _report(results[-1])
    for index, size in enumerate(() if store.layout is None else store.layout.inputs):
        results.append(_one_input(experiment, fold_models, size.name, index))
        _report(results[-1])
    for baseline in fitted_baselines(store, experiment.model, experiment.training):
        results.append(baseline.run(folds))
        _report(results[-1])
    # Shuffling labelled steps removes their context as well as their order.
    cells = experiment.comparison.cells if not store.target.labels_steps else ()
    for cell in cells:
        results.append(_shuffled(experiment, cell, trained))
        _report(results[-1])
    return results


def log_baselines(
    experiment: Experiment, results: Sequence[BaselineResult], compare_id: str
) -> None:
    """Log one run for each baseline."""
    for result in results:
        baseline = result.baseline
        run = TrackedRun.start(
            experiment.name,
            baseline.run_name,
            {"compare.id": compare_id, "control": baseline.name, "mlflow.runColor": "#999999"},
        )
        run.describe(baseline.description)
        run.log_metrics({"train/control_s": result.seconds})
        if result.test_accuracy is None or result.macro_f1 is None:
            run.describe(f"{baseline.description}\n\nNo predictions: {result.error}")
            run.finish("FAILED")
            continue
        run.log_metrics({"test/accuracy": result.test_accuracy, "test/macro_f1": result.macro_f1})
        run.finish()


def _fold(trained: Trained) -> Fold:
    train, validation, test = (_read(trained, part) for part in ("train", "validation", "test"))
    return Fold(
        train,
        validation,
        test,
        lambda: network_builder(trained.experiment, trained.store, train, trained.run)(),
    )


def _read(trained: Trained, part: str) -> Sequences:
    """The steps that the cells read of a part; all steps if they read windows."""
    model = trained.experiment.model
    reads_all = model.crop == "windows" or model.labels_steps
    rows = trained.store.split(part)
    return rows if reads_all else crop_sequences(rows, model.cropping)


def _without_recurrence(experiment: Experiment, fold_models: Sequence[Trained]) -> BaselineResult:
    """The cells' network without its recurrent layer."""
    uses_order = fold_models[0].bundle.network.main.stem is not None
    model, seed = experiment.model.replace(cell="none"), experiment.comparison.seeds[0]
    folds = [
        (trained.experiment.with_model(model).with_seed(seed), trained.store)
        for trained in fold_models
    ]
    return _train_anew(no_recurrence_baseline(uses_order), folds)


def _one_input(
    experiment: Experiment, fold_models: Sequence[Trained], name: str, index: int
) -> BaselineResult:
    """The cells' network on one of several inputs."""
    seed = experiment.comparison.seeds[0]
    folds = [(trained.experiment.with_seed(seed), trained.store) for trained in fold_models]
    return _train_anew(input_baseline(name), folds, index)


def _train_anew(
    baseline: Baseline, folds: Sequence[tuple[Experiment, SequenceStore]], index: int | None = None
) -> BaselineResult:
    """Train each fold's experiment as the cells are trained, on the same batches, and score it on
    the same test rows; ``index`` is the input that it reads if it reads one of several only."""

    def predict(experiment: Experiment, store: SequenceStore) -> np.ndarray:
        names = ("train", "validation", "test")
        train, validation, test = (read_part(experiment, store, name) for name in names)
        if index is None:
            build = network_builder(experiment, store, train, None)
        else:
            train, validation, test = (
                view_input(part, index) for part in (train, validation, test)
            )
            build = input_builder(experiment, store, train, index)
        network, history = train_networks(
            experiment.training, build, train, validation if len(validation) else None
        )
        if history.interrupted:
            raise KeyboardInterrupt
        logits = predict_logits(network, test, next(network.parameters()).device)
        return store.target.predict(logits)

    labels = [example_labels(read_part(*fold, "test")) for fold in folds]
    return measure(
        baseline,
        np.concatenate(labels),
        lambda: np.concatenate([predict(*fold) for fold in folds])[None],
    )


def _shuffled(experiment: Experiment, cell: str, trained: Sequence[Trained]) -> BaselineResult:
    """The models of one cell, all seeds and folds, on shuffled steps."""
    seed_models = [
        [model for model in trained if (model.cell, model.seed) == (cell, seed)]
        for seed in experiment.comparison.seeds
    ]

    def predict(model: Trained) -> np.ndarray:
        test = read_part(model.experiment, model.store, "test")
        return predict_shuffled(model.bundle.network, test, model.seed)

    labels = np.concatenate([example_labels(model.store.split("test")) for model in seed_models[0]])
    return measure(
        shuffled_order_baseline(cell),
        labels,
        lambda: np.stack(
            [np.concatenate([predict(model) for model in models]) for models in seed_models]
        ),
    )


def _report(result: BaselineResult) -> None:
    score = (
        f"not computed ({result.error})"
        if result.test_accuracy is None
        else f"test {percent(result.test_accuracy)}"
    )
    echo(f"control, {result.baseline.name}: {score}, {result.seconds:.1f} s")
