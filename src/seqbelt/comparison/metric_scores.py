"""Scores of test examples by which cells are compared: accuracy and other metrics.

A metric that is a mean over examples has one score an example. One that is not (macro-F1, say) has
jackknife pseudo-values: what an example, a group or a recording adds to the metric. They take the
place of an example's score in the analysis of variance (Dorfman, Berbaum & Metz 1992,
doi:10.1097/00004424-199209000-00015), normalised so that their mean is the metric itself (Hillis,
Obuchowski, Schartz & Berbaum 2005, doi:10.1002/sim.2024).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from seqbelt.comparison.metrics import (
    ACCURACY,
    AVERAGE_PRECISION,
    ERROR,
    KAPPA,
    MACRO_F1,
    MICRO_F1,
    RECALL,
    Metric,
    RunPredictions,
    Scored,
    Unit,
)
from seqbelt.errors import SettingsError

SKEWED = 0.9
"""Classes are skewed where fewer of them than this fraction would, equally frequent, have the
entropy of the labels."""


def score_cells(
    metric: Metric,
    cells: Mapping[str, Sequence[RunPredictions]],
    classes: Sequence[str],
    groups: np.ndarray | None = None,
    unit: Unit = "row",
) -> Scored:
    """Score the models of each cell, one a seed; ``groups`` ``(examples,)`` are the units of the
    examples, and ``unit`` says what they are.

    ``classes`` are the labels of the class indices. Raises SettingsError where the metric does not
    fit the data.
    """

    def stack(score: Callable[[RunPredictions], np.ndarray]) -> dict[str, np.ndarray]:
        return {cell: np.stack([score(model) for model in of]) for cell, of in cells.items()}

    first = next(iter(cells.values()))[0]
    if metric == ACCURACY:
        return Scored(metric, stack(lambda model: model.correct), groups, unit)
    if metric.name == "log_loss":
        return Scored(metric, stack(lambda model: _needed(model.losses, metric)), groups, unit)
    if first.labels.ndim == 2:
        return _score_several(metric, cells, classes, groups, unit)
    if metric == ERROR:
        return Scored(
            metric, stack(lambda model: np.abs(model.labels - model.predicted)), groups, unit
        )
    if metric.name.startswith(RECALL):
        rows = first.labels == class_index(metric, classes)
        row_groups = None if groups is None else groups[rows]
        return Scored(metric, stack(lambda model: model.correct[rows]), row_groups, unit)
    if metric.name == "segmental_f1":
        members = groups_of_recordings(first, groups)
        values = stack(
            lambda model: _segment_pseudo_values(_needed(model.segments, metric), members)
        )
        return Scored(metric, values, None, unit, len(first.labels))
    of_counts = {MACRO_F1: macro_f1, KAPPA: quadratic_kappa}.get(metric, balanced_accuracy)
    values = stack(lambda model: _pseudo_values(model, groups, len(classes), of_counts))
    return Scored(metric, values, None, unit, len(first.labels))


def _score_several(
    metric: Metric,
    cells: Mapping[str, Sequence[RunPredictions]],
    classes: Sequence[str],
    groups: np.ndarray | None,
    unit: Unit,
) -> Scored:
    """As ``score_cells`` where examples have several labels."""
    first = next(iter(cells.values()))[0]
    if metric == AVERAGE_PRECISION:
        values = {cell: np.stack([average_precision_values(model, groups) for model in of])
                 for cell, of in cells.items()}  # fmt: skip
        return Scored(metric, values, None, unit, len(first.labels))
    if metric in (MACRO_F1, MICRO_F1):
        values = {cell: np.stack([_f1_values(model, groups, metric == MICRO_F1) for model in of])
                 for cell, of in cells.items()}  # fmt: skip
        return Scored(metric, values, None, unit, len(first.labels))
    if metric.name.startswith(RECALL):
        index = class_index(metric, classes)
        rows = first.labels[:, index]
        row_groups = None if groups is None else groups[rows]
        values = {cell: np.stack([model.predicted[rows, index] for model in of])
                 for cell, of in cells.items()}  # fmt: skip
        return Scored(metric, values, row_groups, unit)
    raise SettingsError(f"comparison.metric: {metric.name!r} is not for data.labels: several")


def _f1_values(
    predictions: RunPredictions, groups: np.ndarray | None, is_micro: bool
) -> np.ndarray:
    """Pseudo-values ``(units,)`` of micro- or macro-F1 of several labels."""
    true, predicted = predictions.labels.astype(np.int64), predictions.predicted.astype(np.int64)
    unit_counts = np.stack([true * predicted, true + predicted], axis=2)  # (examples, classes, 2)
    if groups is not None:
        members = np.unique(groups, return_inverse=True)[1]
        summed = np.zeros((members.max() + 1, *unit_counts.shape[1:]), np.int64)
        np.add.at(summed, members, unit_counts)
        unit_counts = summed

    def of(counts: np.ndarray) -> np.ndarray:
        if is_micro:
            hits, both = np.moveaxis(counts.sum(axis=-2), -1, 0)
            return 2 * hits / np.maximum(both, 1)
        hits, both = counts[..., 0], counts[..., 1]
        f1 = 2 * hits / np.maximum(both, 1)
        return f1.sum(axis=-1) / np.maximum((both > 0).sum(axis=-1), 1)

    total = unit_counts.sum(axis=0)
    return _normalised(float(of(total)), of(total - unit_counts))


def average_precision_values(predictions: RunPredictions, groups: np.ndarray | None) -> np.ndarray:
    """Pseudo-values ``(units,)`` of mean average precision, units left out whole."""
    scores = _needed(predictions.scores, AVERAGE_PRECISION)
    labels = predictions.labels
    num_classes = labels.shape[1]
    if groups is None:
        columns = [left_out_precision(scores[:, k], labels[:, k]) for k in range(num_classes)]
        without = _mean_known(np.stack([without for _, without in columns], axis=1))
        total = _mean_known(np.array([[whole for whole, _ in columns]]))[0]
        return _normalised(float(total), without)
    members = np.unique(groups, return_inverse=True)[1]

    def of(rows: np.ndarray) -> float:
        precisions = [left_out_precision(scores[rows, k], labels[rows, k])[0]
                 for k in range(num_classes)]  # fmt: skip
        return float(_mean_known(np.array([precisions]))[0])

    every = np.ones(len(labels), dtype=bool)
    without = np.array([of(members != unit) for unit in range(members.max() + 1)])
    return _normalised(of(every), without)


def _mean_known(values: np.ndarray) -> np.ndarray:
    """Mean of each row over the labels that occur (others are NaN); 0 where none does."""
    known = ~np.isnan(values)
    return np.where(known, values, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)


def left_out_precision(scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Average precision of one label, and that without each row, ``(rows,)``; NaN without a row
    that has the label.

    All rows are left out in one pass: without a row each later precision has one row less, and
    one hit less if it had the label. Rows of equal scores share a rank, as in scikit-learn.
    """
    labels = labels.astype(bool)
    order = np.argsort(-scores, kind="stable")
    is_end = np.append(np.diff(scores[order]) != 0, True)
    rank = np.empty(len(scores), np.int64)
    rank[order] = np.cumsum(np.concatenate([[0], is_end[:-1]]))
    num_ranks = int(is_end.sum())
    positives = np.bincount(rank, labels, num_ranks)
    hits, count = positives.cumsum(), np.bincount(rank, minlength=num_ranks).cumsum()
    total = hits[-1]
    if total == 0:
        return np.nan, np.full(len(scores), np.nan)
    whole = positives * hits / count
    fewer = np.maximum(count - 1, 1)
    later_negative, later_positive = positives * hits / fewer, positives * (hits - 1) / fewer
    before = np.concatenate([[0], whole.cumsum()])[:-1]
    after = {
        True: np.append(later_positive[::-1].cumsum()[::-1], 0),
        False: np.append(later_negative[::-1].cumsum()[::-1], 0),
    }
    of_positive = before + (positives - 1) * (hits - 1) / fewer + after[True][1:]
    of_negative = before + after[False][:-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        without = np.where(labels, of_positive[rank] / (total - 1), of_negative[rank] / total)
    without[labels & (total == 1)] = np.nan
    return float(whole.sum() / total), without


def class_index(metric: Metric, classes: Sequence[str]) -> int:
    """Index of the class whose recall the metric is. Raises SettingsError for an unknown class."""
    name = metric.name.removeprefix(RECALL)
    if name not in classes:
        raise SettingsError(
            f"comparison.metric: {metric.name!r}: there is no class {name!r}; classes: "
            f"{', '.join(classes)}"
        )
    return list(classes).index(name)


def are_skewed(labels: np.ndarray, num_classes: int) -> bool:
    """Whether accuracy may hide the rarer classes: the effective number of classes, the exponential
    of the labels' entropy, is below that of equal frequencies by a tenth or more."""
    shares = np.bincount(labels, minlength=num_classes) / len(labels)
    shares = shares[shares > 0]
    return bool(np.exp(-np.sum(shares * np.log(shares))) < SKEWED * num_classes)


def macro_f1(counts: np.ndarray) -> float:
    """Mean F1 over the classes that occur, of counts ``(true class, predicted class)``."""
    hits, occurring = np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1)
    occurs = occurring > 0
    return float(np.mean(2 * hits[occurs] / occurring[occurs]))


def balanced_accuracy(counts: np.ndarray) -> float:
    """Mean recall over the classes that have examples, of counts ``(true, predicted class)``."""
    sizes = counts.sum(axis=1)
    has_examples = sizes > 0
    return float(np.mean(np.diag(counts)[has_examples] / sizes[has_examples]))


def quadratic_kappa(counts: np.ndarray) -> float:
    """Cohen's kappa with squared distances as weights, of counts ``(true, predicted class)`` of
    ordered classes; 0 where chance alone would agree."""
    classes = np.arange(len(counts))
    weights = (classes[:, None] - classes) ** 2
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    by_chance = float((weights * expected).sum())
    return 1 - float((weights * counts).sum()) / by_chance if by_chance else 0.0


def groups_of_recordings(predictions: RunPredictions, groups: np.ndarray | None) -> np.ndarray:
    """The unit of each recording, as that of its steps; recordings without labelled steps, and all
    where no groups are given, stand for themselves."""
    segments = _needed(predictions.segments, Metric("segmental_f1"))
    members = np.array([f"recording {number}" for number in range(len(segments))], dtype=object)
    if groups is not None and predictions.recordings is not None:
        members[predictions.recordings] = groups
    return members


def _needed(values: np.ndarray | None, metric: Metric) -> np.ndarray:
    if values is None:
        raise SettingsError(
            f"comparison.metric: {metric.name!r} cannot be computed from these predictions; "
            + ("it is for labelled steps" if metric.name == "segmental_f1" else "they have no loss")
        )
    return values


def _pseudo_values(
    predictions: RunPredictions,
    groups: np.ndarray | None,
    num_classes: int,
    metric: Callable[[np.ndarray], float],
) -> np.ndarray:
    """Pseudo-values ``(units,)`` of a metric of counts ``(true class, predicted class)``."""
    codes = predictions.labels * num_classes + predictions.predicted
    num_codes = num_classes**2
    total = np.bincount(codes, minlength=num_codes)
    # Examples with the same true and predicted class leave the same counts behind.
    members = np.unique(codes if groups is None else groups, return_inverse=True)[1]

    def left_out() -> Iterator[np.ndarray]:
        if groups is None:
            for code in np.unique(codes):
                yield np.bincount([code], minlength=num_codes)
        else:
            for unit_codes in np.split(codes[np.argsort(members, kind="stable")],
                                np.cumsum(np.bincount(members))[:-1]):  # fmt: skip
                yield np.bincount(unit_codes, minlength=num_codes)

    def of(counts: np.ndarray) -> float:
        return metric(counts.reshape(num_classes, num_classes))

    without = np.array([of(total - row) for row in left_out()])
    return _normalised(of(total), without[members] if groups is None else without)


def _segment_pseudo_values(segments: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Pseudo-values ``(units,)`` of segmental F1, whole recordings or groups left out."""
    unit = np.unique(members, return_inverse=True)[1]
    unit_counts = np.stack([np.bincount(unit, column) for column in segments.T], axis=1)

    def of(counts: np.ndarray) -> np.ndarray:
        return 2 * counts[..., 0] / np.maximum(counts[..., 1] + counts[..., 2], 1)

    total = unit_counts.sum(axis=0)
    return _normalised(float(of(total)), of(total - unit_counts))


def _normalised(value: float, without: np.ndarray) -> np.ndarray:
    """Pseudo-values of ``without``, the metric without each unit, whose mean is ``value``."""
    return value - (len(without) - 1) * (without - without.mean())
