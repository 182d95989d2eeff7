"""The controls of a comparison: what needs no recurrence, on the same rows as the cells."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seqbelt.comparison.baselines.baseline import ControlResult, no_recurrence
from seqbelt.comparison.baselines.fitted import Fold, example_labels, fitted_controls, measure
from seqbelt.comparison.baselines.signal_baselines import answer_shuffled, shuffled_order
from seqbelt.data.cropping import crop_sequences
from seqbelt.data.sequences import Sequences
from seqbelt.experiment import Experiment
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.loop import train_network
from seqbelt.training.scoring import predict_logits
from seqbelt.workflow.console import echo
from seqbelt.workflow.networks import network_builder
from seqbelt.workflow.training_run import Trained, read_part


def run_controls(experiment: Experiment, trained: Sequence[Trained]) -> list[ControlResult]:
    """Fit and score the controls beside the trained models; none where they are switched off.

    Their test rows stand in the order in which those of each cell and seed are joined.
    """
    if not experiment.comparison.controls:
        return []
    results = []
    # One model of each fold, in the order of the folds.
    of_folds = list({one.experiment.data.fold: one for one in trained}.values())
    folds = [_fold(one) for one in of_folds]
    store = trained[0].store
    results.append(_without_recurrence(experiment, of_folds))
    _report(results[-1])
    for control in fitted_controls(store, experiment.model, experiment.training):
        results.append(control.run(folds))
        _report(results[-1])
    # A labelled step that is moved elsewhere has lost its surroundings, not its order alone.
    cells = experiment.comparison.cells if store.target.name == "per_sequence" else ()
    for cell in cells:
        results.append(_shuffled(experiment, cell, trained))
        _report(results[-1])
    return results


def log_controls(experiment: Experiment, results: Sequence[ControlResult], compare_id: str) -> None:
    """One run for each control, beside those of the cells."""
    for result in results:
        control = result.control
        run = TrackedRun.start(
            experiment.name,
            control.run_name,
            {"compare.id": compare_id, "control": control.name, "mlflow.runColor": "#999999"},
        )
        run.describe(control.about)
        run.log_metrics({"training/control_s": result.seconds})
        if result.test_accuracy is None or result.macro_f1 is None:
            run.describe(f"{control.about}\n\nNo answers: {result.error}")
            run.finish("FAILED")
            continue
        run.log_metrics({"test/accuracy": result.test_accuracy, "test/macro_f1": result.macro_f1})
        run.finish()


def _fold(one: Trained) -> Fold:
    train, validation, test = (_read(one, part) for part in ("train", "validation", "test"))
    return Fold(
        train,
        validation,
        test,
        lambda: network_builder(one.experiment, one.store, train, one.run)(),
    )


def _read(one: Trained, part: str) -> Sequences:
    """What the cells read of a part: of windows, all of them."""
    model = one.experiment.model
    whole = model.crop == "windows" or model.pooling == "none"
    max_steps = None if whole else model.max_steps
    return crop_sequences(one.store.split(part), max_steps, model.crop)


def _without_recurrence(experiment: Experiment, of_folds: Sequence[Trained]) -> ControlResult:
    """The cells' network without its recurrent layer, trained as they are with the first seed:
    on the same batches, and scored on the same test rows, fold after fold."""
    entries = [
        replace(one, experiment=one.experiment.with_model(
            experiment.model.replace(cell="none")
        ).with_seed(experiment.comparison.seeds[0]))
        for one in of_folds
    ]  # fmt: skip
    labels = np.concatenate([example_labels(read_part(one.experiment, one.store, "test"))
                             for one in of_folds])  # fmt: skip

    def answer(one: Trained) -> np.ndarray:
        parts = ("train", "validation", "test")
        train, validation, test = (read_part(one.experiment, one.store, name) for name in parts)
        network, history = train_network(
            one.experiment.training,
            network_builder(one.experiment, one.store, train, None),
            train,
            validation if len(validation) else None,
        )
        if history.interrupted:
            raise KeyboardInterrupt
        return predict_logits(network, test, next(network.parameters()).device).argmax(1)

    return measure(
        no_recurrence(knows_order=of_folds[0].bundle.network.stem is not None),
        labels,
        lambda: np.concatenate([answer(one) for one in entries])[None],
    )


def _shuffled(experiment: Experiment, cell: str, trained: Sequence[Trained]) -> ControlResult:
    """The models of one cell, all seeds and folds, on shuffled steps."""
    of_seeds = [
        [one for one in trained if (one.cell, one.seed) == (cell, seed)]
        for seed in experiment.comparison.seeds
    ]

    def answer(one: Trained) -> np.ndarray:
        test = read_part(one.experiment, one.store, "test")
        return answer_shuffled(one.bundle.network, test, one.seed)

    labels = np.concatenate([one.store.split("test").labels for one in of_seeds[0]])
    return measure(
        shuffled_order(cell),
        labels,
        lambda: np.stack([np.concatenate([answer(one) for one in of]) for of in of_seeds]),
    )


def _report(result: ControlResult) -> None:
    found = (
        f"not computed ({result.error})"
        if result.test_accuracy is None
        else f"test {100 * result.test_accuracy:.1f} %"
    )
    echo(f"control, {result.control.name}: {found}, {result.seconds:.1f} s")
