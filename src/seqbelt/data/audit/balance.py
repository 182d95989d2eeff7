"""Checks of classes and lengths."""

from collections.abc import Sequence

import numpy as np

from seqbelt.data.audit.findings import MAX_EXAMPLES, Finding
from seqbelt.data.audit.rows import PARTS, Rows
from seqbelt.words import percent

IMBALANCE = 4.0
"""Ratio of the largest to the smallest class from which accuracy alone is misleading."""
LENGTH_ROWS = 20_000
"""Training rows in the length check, drawn at random."""
NOTABLE_FRACTION = 0.01
"""Fraction of faulty rows from which a finding is a warning."""


def check_balance(rows: Rows) -> Finding:
    """Sizes of the classes among the training rows."""
    counts = np.bincount(rows.label[rows.part("train")], minlength=len(rows.store.classes))
    if np.ptp(counts) == 0:
        return Finding("balance", "ok", 0, f"{counts[0]:,} training rows of each class")
    largest, smallest = int(counts.argmax()), int(counts.argmin())
    fraction = counts[largest] / max(1, counts.sum())
    sentence = (
        f"in training '{rows.store.classes[largest]}' is most frequent ({counts[largest]:,} rows, "
        f"{percent(fraction)}: the accuracy of always predicting it), "
        f"'{rows.store.classes[smallest]}' least ({counts[smallest]:,})"
    )
    if counts[largest] < IMBALANCE * counts[smallest]:
        return Finding("balance", "ok", 0, sentence)
    rare, examples = _rare_classes(counts, rows.store.classes)
    return Finding("balance", "warning", len(rare), sentence + "; report macro-F1", examples)


def check_steps(rows: Rows) -> Finding:
    """Labelled steps of each class in the training recordings, and the fraction without a label."""
    train = rows.part("train")
    classes = rows.store.classes
    counts = np.zeros(len(classes), np.int64)
    for row in train:
        labels = rows.store.step_labels(int(row))
        counts += np.bincount(labels[labels >= 0], minlength=len(classes))
    total = int(rows.num_steps[train].sum())
    unlabelled = 1 - counts.sum() / max(1, total)
    fractions = ", ".join(
        f"'{name}' {percent(count / max(1, counts.sum()))}" for name, count in zip(classes, counts)
    )
    sentence = (
        f"{total:,} training steps, {percent(unlabelled)} without a label; "
        f"of the others {fractions}"
    )
    rare, examples = _rare_classes(counts, classes)
    if not len(rare):
        return Finding("steps", "ok", 0, sentence)
    remedy = "; try training.class_weights: balanced, and watch macro-F1"
    return Finding("steps", "warning", len(rare), sentence + remedy, examples)


def check_label_rows(rows: Rows) -> Finding:
    """Training rows of each of several labels, and labels that a part lacks."""
    store, train = rows.store, rows.part("train")
    counts = {name: store.label_sets(rows.part(name)).sum(axis=0) for name in PARTS}
    total = max(1, len(train))
    rates = ", ".join(
        f"'{name}' {percent(count / total)}" for name, count in zip(store.classes, counts["train"])
    )
    without = int((~store.label_sets(train).any(axis=1)).sum())
    sentence = f"training rows with each label: {rates}; {without:,} of {len(train):,} have none"
    missing = [
        f"{part} has no '{store.classes[index]}'"
        for part in PARTS
        if len(rows.part(part))
        for index in np.flatnonzero(counts[part] == 0)
    ]
    if not missing:
        return Finding("label rates", "ok", 0, sentence)
    remedy = "; labels that a part lacks are not learned or not tested"
    examples = tuple(missing[:MAX_EXAMPLES])
    return Finding("label rates", "warning", len(missing), sentence + remedy, examples)


def _rare_classes(counts: np.ndarray, classes: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Indices of classes that the largest exceeds by ``IMBALANCE``, and some with their counts."""
    rare = np.flatnonzero(IMBALANCE * counts <= counts.max())
    return rare, tuple(f"{classes[index]}: {counts[index]:,}" for index in rare[:MAX_EXAMPLES])


def check_classes(rows: Rows) -> Finding:
    """Parts in which some class has no row."""
    missing = [
        f"{name} has no '{rows.store.classes[label]}'"
        for name in PARTS
        if len(rows.part(name))
        for label in np.setdiff1d(range(len(rows.store.classes)), rows.label[rows.part(name)])
    ]
    if not missing:
        return Finding("classes", "ok", 0, "every part has every class")
    sentence = (
        f"{len(missing)} classes are missing in a part, so they are not learned or not tested"
    )
    return Finding("classes", "warning", len(missing), sentence, tuple(missing[:MAX_EXAMPLES]))


def check_short(rows: Rows) -> Finding:
    """Sequences of one step, or of less than a tenth of the median."""
    median = float(np.median(rows.num_steps))
    short = np.flatnonzero(rows.num_steps < max(2.0, 0.1 * median))
    notable = len(short) >= NOTABLE_FRACTION * len(rows.num_steps)
    sentence = (
        f"{len(short):,} sequences have fewer than {max(2, int(np.ceil(0.1 * median)))} steps; "
        f"the median is {median:g}, the range {rows.num_steps.min():,} to {rows.num_steps.max():,}"
    )
    examples = tuple(rows.name(row) for row in short[:MAX_EXAMPLES])
    return Finding("short", "warning" if notable else "ok", len(short), sentence, examples)


def check_quarantine(rows: Rows) -> Finding:
    """Items that could not be encoded: empty, silent, unreadable."""
    reasons: dict[str, int] = rows.store.about["quarantined"]
    count = sum(reasons.values())
    if not count:
        return Finding("quarantined", "ok", 0, "every item was encoded")
    notable = count >= NOTABLE_FRACTION * (count + len(rows.label))
    sentence = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items())
    return Finding("quarantined", "warning" if notable else "ok", count, sentence + ": left out")


def check_lengths(rows: Rows) -> Finding:
    """How well the number of steps alone predicts the class, which a model may exploit."""
    train = rows.part("train")
    if len(train) > LENGTH_ROWS:
        train = np.random.default_rng(0).choice(train, LENGTH_ROWS, replace=False)
    counts = np.bincount(rows.label[train], minlength=len(rows.store.classes))
    train = train[counts[rows.label[train]] >= 2]  # cross-validation needs two rows of a class
    classes = np.unique(rows.label[train])
    if len(classes) < 2 or np.ptp(rows.num_steps[train]) == 0:
        return Finding("lengths", "ok", 0, "all training sequences have the same number of steps"
                       if len(classes) > 1 else "too few rows")  # fmt: skip
    recall, count = _recall_from_lengths(rows.num_steps[train], rows.label[train])
    accuracy, chance = float(recall.mean()), 1 / len(classes)
    error = float(np.sqrt((recall * (1 - recall) / count).sum())) / len(classes)
    sentence = (
        f"a decision tree on the number of steps alone has a balanced accuracy "
        f"of {percent(accuracy)} (cross-validated on training rows; chance is {percent(chance)})"
    )
    is_informative = accuracy - chance > max(3 * error, 0.1 * (1 - chance))
    return (
        Finding("lengths", "warning", len(train), sentence)
        if is_informative
        else Finding("lengths", "ok", 0, sentence)
    )


def _recall_from_lengths(num_steps: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall of each class, and its rows, of a tree on the length alone, by cross-validation."""
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    classes, counts = np.unique(label, return_counts=True)
    folds = StratifiedKFold(min(5, int(counts.min())), shuffle=True, random_state=0)
    tree = DecisionTreeClassifier(
        min_samples_leaf=max(2, len(label) // 100), class_weight="balanced", random_state=0
    )
    predictions = cross_val_predict(tree, num_steps[:, None], label, cv=folds)
    hits = np.bincount(label[predictions == label], minlength=int(classes[-1]) + 1)[classes]
    return hits / counts, counts
