"""Figures of a search."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from seqbelt.plots.fonts import figure_fonts

if TYPE_CHECKING:
    import optuna


@figure_fonts()
def search_figures(
    study: "optuna.Study", trials: Sequence["optuna.trial.FrozenTrial"], monitor: str
) -> dict[str, Figure]:
    """The history of the trials, and the importance of each setting if it can be estimated."""
    figures = {"tuning_history": _history(trials, study.direction.name == "MINIMIZE", monitor)}
    importances = _importances(study)
    if importances:
        figures["tuning_importance"] = _bars(importances, monitor)
    return figures


def _history(trials: Sequence["optuna.trial.FrozenTrial"], is_loss: bool, monitor: str) -> Figure:
    """Each trial's score in the order of the trials, and the best so far."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    scored = [trial for trial in trials if _score(trial) is not None]
    numbers = np.array([trial.number for trial in scored])
    scores = np.array([_score(trial) for trial in scored], dtype=float)
    is_complete = np.array([trial.state.name == "COMPLETE" for trial in scored])
    axes.plot(numbers[is_complete], scores[is_complete], "o", label="trial")
    axes.plot(numbers[~is_complete], scores[~is_complete], "x", color="#999999", label="pruned")
    best = np.minimum if is_loss else np.maximum
    axes.plot(
        numbers[is_complete],
        best.accumulate(scores[is_complete]),
        color="#d62728",
        label="best so far",
    )
    axes.set(xlabel="trial", ylabel=f"best validation {monitor}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def _score(trial: "optuna.trial.FrozenTrial") -> float | None:
    if trial.state.name == "COMPLETE":
        return trial.value
    if trial.state.name == "PRUNED" and trial.intermediate_values:
        return trial.intermediate_values[max(trial.intermediate_values)]
    return None


def _importances(study: "optuna.Study") -> dict[str, float]:
    """Fraction of the score's variance explained by each setting (fANOVA, Hutter et al. 2014);
    empty with too few trials or equal scores."""
    import optuna

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return optuna.importance.get_param_importances(
                study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
            )
    except (RuntimeError, ValueError):
        return {}


def _bars(importances: dict[str, float], monitor: str) -> Figure:
    figure = Figure(figsize=(7, 0.9 + 0.45 * len(importances)), layout="constrained")
    axes = figure.subplots()
    names = list(importances)[::-1]
    bars = axes.barh(names, [importances[name] for name in names], color="#1f77b4")
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set(xlim=(0, 1.1), xlabel=f"fraction of the validation {monitor}'s variance")
    return figure
