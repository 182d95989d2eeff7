"""Fit and score a comparison's baselines ("controls") on the same rows as its cells."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from seqbelt.comparison.baselines.baseline import (
    BaselineResult,
    input_baseline,
    no_recurrence_baseline,
)
from seqbelt.comparison.baselines.fitted import Fold, example_labels, fitted_baselines, measure
from seqbelt.comparison.baselines.signal_baselines import predict_shuffled, shuffled_order_baseline
from seqbelt.data.cropped_sequences import crop_sequences
from seqbelt.data.joined_views import view_input
from seqbelt.data.sequences import Sequences
from seqbelt.experiment import Experiment
from seqbelt.models.classifier import SequenceNetwork
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.loop import train_network
from seqbelt.training.scoring import predict_logits
from seqbelt.workflow.console import echo
from seqbelt.workflow.networks import input_builder, network_builder
from seqbelt.workflow.training_run import Trained, read_part


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
    for at in range(0 if store.layout is None else len(store.layout.inputs)):
        results.append(_one_input(experiment, fold_models, at))
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
    """The cells' network without its recurrent layer, trained like them with the first seed: on the
    same batches, scored on the same test rows."""
    entries = [
        replace(model, experiment=model.experiment.with_model(
            experiment.model.replace(cell="none")
        ).with_seed(experiment.comparison.seeds[0]))
        for model in fold_models
    ]  # fmt: skip

    def predict(model: Trained) -> np.ndarray:
        train, validation, test = _parts(model)
        build = network_builder(model.experiment, model.store, train, None)
        return _train_and_predict(model, build, train, validation, test)

    return measure(
        no_recurrence_baseline(uses_order=fold_models[0].bundle.network.stem is not None),
        _test_labels(fold_models),
        lambda: np.concatenate([predict(model) for model in entries])[None],
    )


def _one_input(experiment: Experiment, fold_models: Sequence[Trained], at: int) -> BaselineResult:
    """The cells' network on one of several inputs, trained like them with the first seed."""
    layout = fold_models[0].store.layout
    assert layout is not None
    name, seed = layout.inputs[at].name, experiment.comparison.seeds[0]
    entries = [replace(model, experiment=model.experiment.with_seed(seed)) for model in fold_models]

    def predict(model: Trained) -> np.ndarray:
        train, validation, test = (view_input(part, at) for part in _parts(model))
        build = input_builder(model.experiment, model.store, train, name)
        return _train_and_predict(model, build, train, validation, test)

    return measure(
        input_baseline(name),
        _test_labels(fold_models),
        lambda: np.concatenate([predict(model) for model in entries])[None],
    )


def _parts(trained: Trained) -> list[Sequences]:
    """The training, validation and test rows as a cell reads them."""
    names = ("train", "validation", "test")
    return [read_part(trained.experiment, trained.store, name) for name in names]


def _test_labels(fold_models: Sequence[Trained]) -> np.ndarray:
    return np.concatenate(
        [example_labels(read_part(model.experiment, model.store, "test")) for model in fold_models]
    )


def _train_and_predict(
    trained: Trained,
    build: Callable[[], SequenceNetwork],
    train: Sequences,
    validation: Sequences,
    test: Sequences,
) -> np.ndarray:
    """Predictions ``(test rows,)`` of a network that is trained as the cells are."""
    network, history = train_network(
        trained.experiment.training, build, train, validation if len(validation) else None
    )
    if history.interrupted:
        raise KeyboardInterrupt
    logits = predict_logits(network, test, next(network.parameters()).device)
    return test.store.target.predict(logits)


def _shuffled(experiment: Experiment, cell: str, trained: Sequence[Trained]) -> BaselineResult:
    """The models of one cell, all seeds and folds, on shuffled steps."""
    seed_models = [
        [model for model in trained if (model.cell, model.seed) == (cell, seed)]
        for seed in experiment.comparison.seeds
    ]

    def predict(model: Trained) -> np.ndarray:
        test = read_part(model.experiment, model.store, "test")
        network = model.bundle.network
        assert isinstance(network, SequenceNetwork)  # a run trains one network
        return predict_shuffled(network, test, model.seed)

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
        else f"test {100 * result.test_accuracy:.1f} %"
    )
    echo(f"control, {result.baseline.name}: {score}, {result.seconds:.1f} s")
