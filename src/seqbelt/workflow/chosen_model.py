"""Which model of a comparison is registered, and what its page says of it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seqbelt.comparison.baselines.baseline import BaselineResult
from seqbelt.comparison.conclusion_page import Conclusion
from seqbelt.comparison.metrics import ACCURACY
from seqbelt.comparison.statistics import accuracy_after_selection
from seqbelt.comparison.variants import label
from seqbelt.experiment import Experiment
from seqbelt.texts import Text, text
from seqbelt.words import percent
from seqbelt.workflow.comparison_run import CompareJournal, Job
from seqbelt.workflow.console import ModelCount
from seqbelt.workflow.prepared_data import prepare_data
from seqbelt.workflow.training_run import Trained


class Choice(NamedTuple):
    """The model to register; with folds, a model of the settings to refit."""

    model: Trained
    sentence: Text
    """Why, without a full stop."""
    reason: str
    """``validation``, ``mean_validation`` or ``mean_test``."""
    score: str
    """The score that decided: a field of ``Scores``."""


def choose(trained: Sequence[Trained]) -> Choice:
    """Choose by the deciding score (``Scores.deciding``).

    Validation rows choose the model. With folds they choose the cell, by its mean over all folds
    and seeds: the best single model would be the one with the easiest validation rows. Without
    validation rows the test rows choose the cell by its mean, but never the seed.
    """
    has_validation = all(model.validation is not None for model in trained)
    num_folds = len({model.experiment.data.fold for model in trained})
    values: dict[str, list[float]] = {}
    ranks, score = [], ""
    for model in trained:
        report = model.validation if has_validation else model.test
        assert report is not None  # a comparison has a test part
        score, value = report.scores.deciding
        ranks.append((value, -report.scores.loss))
        values.setdefault(model.cell, []).append(value)
    if has_validation and num_folds == 1:
        best = max(range(len(ranks)), key=ranks.__getitem__)
        return Choice(trained[best], text("chosen_validation"), "validation", score)
    cell = max(values, key=lambda name: np.mean(values[name]))
    first = next(model for model in trained if model.cell == cell)
    part = "validation" if has_validation else "test"
    key = "over_seeds_and_folds" if num_folds > 1 else "over_seeds"
    over = text(key, part=text(part), score=text(f"metric_{score}"))
    chosen = "chosen_without"  # with validation rows and one fold it was chosen above
    if num_folds > 1:
        chosen = "chosen_folds" if has_validation else "chosen_folds_without"
    sentence = text(chosen, over=over)
    return Choice(first, sentence, f"mean_{part}", score)


def refit(experiment: Experiment, cell: str, journal: CompareJournal) -> Trained:
    """One model of a cell's settings, trained on the rows of all folds; it has no test rows."""
    experiment = experiment.with_data(experiment.data.replace(fold=None))
    store = prepare_data(experiment).store
    tags = {"compare.id": journal.compare_id, "fold": "all"}
    jobs = [Job(cell, experiment)]
    (refitted,) = journal.train(jobs, store, tags, num_workers=1, count=ModelCount(1))
    return refitted


def lost_to(best: Trained, trained: Sequence[Trained], controls: Sequence[BaselineResult]) -> str:
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
    also = ", ".join(f"'{other}' ({percent(value)})" for value, other in more)
    return (
        f"A control is more accurate: '{name}' reaches {percent(best_accuracy)} on the same "
        f"{rows.sum():,} test rows, this model {percent(accuracy)}."
        + (f" Also more accurate: {also}." if also else "")
    )


def scores_text(chosen: Trained, trained: Sequence[Trained], conclusion: Conclusion) -> str:
    """Sentences for the model's page: what it and its cell score, how much of its validation score
    is the luck of being chosen, and how the controls do."""
    parts = list[str]()
    if chosen.test is not None:
        parts.append(f"Test accuracy of this model: {percent(chosen.test.scores.accuracy)}.")
    of_cell = conclusion.estimates[ACCURACY][chosen.cell]
    mean = f"Mean test accuracy of {label(chosen.cell)} over all models: {percent(of_cell.value)}"
    if not np.isnan(of_cell.low):
        mean += (
            f" ({percent(conclusion.confidence, 0)} interval for new seeds and new test examples "
            f"{100 * of_cell.low:.1f} to {percent(of_cell.high)})"
        )
    parts.append(f"{mean}.")
    candidates = [model.validation for model in trained if model.validation is not None]
    is_chosen_by_validation = (
        any(model is chosen for model in trained) and chosen.validation is not None
    )
    if is_chosen_by_validation and len(candidates) == len(trained) > 1:
        assert chosen.validation is not None
        expected = accuracy_after_selection(np.stack([report.correct for report in candidates]))
        accuracy = 100 * chosen.validation.scores.accuracy
        parts.append(
            f"Its validation accuracy, {accuracy:.1f} %, is the best of {len(candidates)} and "
            f"optimistic; corrected for the choice it is {percent(expected)}."
        )
    return " ".join(
        [*parts, *filter(None, [conclusion.remarks.warning, conclusion.remarks.caveat])]
    )
