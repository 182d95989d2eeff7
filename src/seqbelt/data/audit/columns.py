"""Columns of the manifest, and channels, that predict the label by themselves."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from seqbelt.data.audit.findings import MAX_EXAMPLES, Finding
from seqbelt.data.audit.rows import Rows
from seqbelt.features.arrays.array_features import ArrayFeatures
from seqbelt.features.base import Features
from seqbelt.texts import Text, join, list_first, text
from seqbelt.words import percent

LEAK = 0.8
"""Part of the way from the majority class to certainty from which a column is called a leak, by the
lower end of its interval."""
CONFIDENCE = 0.95
MAX_ROWS = 20_000
"""Rows that are looked at, drawn at random."""
NUM_FOLDS = 5
MIN_LEAF = 5
"""Rows in a leaf at least, so that no number that one row has alone is learned by heart."""


def check_columns(rows: Rows) -> Finding:
    """Columns of the manifest that predict the class, or one of several labels, almost perfectly
    alone."""
    store, layout = rows.store, rows.store.layout
    assert layout is not None
    chosen = _draw_rows(rows)
    cells = np.stack([layout.cells(store.sequence(int(row))) for row in chosen])
    columns = {name: cells[:, part] for name, part in layout.column_slices().items()}
    leaks, nearest = _find_leaks(rows, chosen, columns, "leak_column")
    if leaks:
        return _leak("columns", leaks, text("leak_column_remedy"))
    sentence = f"no column alone predicts the label; nearest {nearest or 'no column'}"
    return Finding("columns", "ok", 0, sentence)


def check_channels(rows: Rows, features: Features | None) -> Finding:
    """Channels that do not change within a sequence and predict its label almost perfectly alone:
    a label or a setting that was recorded beside the signal.

    ``features`` made the store's sequences and name the channels; without them these are numbered.
    """
    chosen = _draw_rows(rows)
    sequences = [rows.store.sequence(int(row)) for row in chosen]
    if not any(len(sequence) > 1 for sequence in sequences):
        return Finding("channels", "ok", 0, "not checked: sequences of one step")
    first = np.stack([sequence[0] for sequence in sequences])
    still = np.all([(sequence == sequence[0]).all(axis=0) for sequence in sequences], axis=0)
    still &= first.min(axis=0) < first.max(axis=0)
    names = _channel_names(rows, features, first.shape[1])
    columns = {names[channel]: first[:, [channel]] for channel in np.flatnonzero(still).tolist()}
    leaks, _ = _find_leaks(rows, chosen, columns, "leak_channel")
    if leaks:
        return _leak("channels", leaks, text("leak_channel_remedy"))
    sentence = "no channel that stays the same in each sequence predicts the label"
    return Finding("channels", "ok", 0, sentence)


def _leak(check: str, leaks: Sequence[Text], remedy: Text) -> Finding:
    sentence = join([list_first(leaks, MAX_EXAMPLES), remedy], "; ")
    return Finding(check, "leak", len(leaks), sentence)


def _channel_names(rows: Rows, features: Features | None, num_channels: int) -> Sequence[str]:
    names = None
    if isinstance(features, ArrayFeatures):
        names = features.encoder(rows.store.learned).names
    numbers = [str(channel) for channel in range(num_channels)]
    return [*(names or ()), *numbers[len(names or ()) :]]  # the channels' own come first


def _draw_rows(rows: Rows) -> npt.NDArray[np.int64]:
    """Numbers of at most ``MAX_ROWS`` rows."""
    chosen = np.arange(len(rows.label))
    if len(chosen) > MAX_ROWS:
        chosen = np.sort(np.random.default_rng(0).choice(chosen, MAX_ROWS, replace=False))
    return chosen


def _find_leaks(
    rows: Rows,
    chosen: npt.NDArray[np.int64],
    columns: Mapping[str, npt.NDArray[np.float32]],
    sentence: str,
) -> tuple[list[Text], str]:
    """A ``sentence`` for each of the columns ``(rows, width)`` of the ``chosen`` rows that predicts
    a label; and which one comes nearest to that.

    A decision tree on the column alone, cross-validated over all rows (whole groups together where
    there are groups); the interval is that of one column among all that are tried.
    """
    store = rows.store
    labels: dict[str, np.ndarray] = {text("the_class"): rows.label[chosen]}
    if store.target.is_several:
        sets = store.label_sets(chosen)
        labels = {
            f"'{name}'": sets[:, index].astype(int) for index, name in enumerate(store.classes)
        }
    groups = rows.group[0][chosen] if any(rows.group[1]) else None
    leaks, best = [], (0.0, "")
    level = 1 - (1 - CONFIDENCE) / max(1, len(columns) * len(labels))
    for name, cells in columns.items():
        for what, label in labels.items():
            judgement = _judge(cells, label, groups, level)
            if judgement is None:
                continue
            accuracy, low, majority = judgement
            best = max(best, (accuracy - majority, f"'{name}' ({what}, {percent(accuracy)})"))
            if low - majority >= LEAK * (1 - majority):
                leaks.append(
                    text(
                        sentence,
                        name=name,
                        what=what,
                        accuracy=percent(accuracy),
                        count=len(label),
                        low=percent(low),
                        majority=percent(majority),
                    )
                )
    return leaks, best[1]


def _judge(
    cells: npt.NDArray[np.float32],
    label: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64] | None,
    level: float,
) -> tuple[float, float, float] | None:
    """Cross-validated accuracy of one column, the lower end of its interval, and the share of the
    most frequent label; None where there are too few rows of a label."""
    from scipy.stats import binomtest
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    counts = np.bincount(label)
    kept = counts[label] >= NUM_FOLDS
    cells, label = cells[kept], label[kept]
    if len(np.unique(label)) < 2:
        return None
    folds = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=0)
    if groups is not None:
        groups = groups[kept]
        if len(np.unique(groups)) < NUM_FOLDS:
            return None
        folds = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=0)
    tree = DecisionTreeClassifier(min_samples_leaf=MIN_LEAF, random_state=0)
    predicted = cross_val_predict(tree, cells, label, cv=folds, groups=groups)
    hits = int(np.count_nonzero(predicted == label))
    low = binomtest(hits, len(label)).proportion_ci(level, method="wilson").low
    return hits / len(label), float(low), float(np.bincount(label).max() / len(label))
