"""How well each class is recognised: recall, precision and confusions as sections of a report."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from seqbelt.evaluation.proportions import proportion_interval
from seqbelt.plots.report_page import (
    MAX_CONFUSION_CLASSES,
    Words,
    bullets,
    confusion_table,
    heading,
    join,
    paragraph,
    table,
    track,
)

MAX_CONFUSIONS = 8
"""Confusions that are put into words."""


class ClassResults:
    """What a model predicts for test examples, class by class."""

    def __init__(
        self,
        classes: Sequence[str],
        labels: np.ndarray,
        predictions: np.ndarray,
        units: np.ndarray | None,
    ) -> None:
        """``labels`` and ``predictions`` are int ``(examples,)``, or bool ``(examples, classes)``
        of several labels; ``units`` name the independent unit of each example
        (``proportion_interval``)."""
        num_classes = len(classes)
        self.classes = classes
        self.is_several = labels.ndim == 2
        if not self.is_several:
            self.confusion = np.zeros((num_classes, num_classes), np.int64)
            np.add.at(self.confusion, (labels, predictions), 1)
            labels, predictions = (np.eye(num_classes, dtype=bool)[values]
                                   for values in (labels, predictions))  # fmt: skip
        self.correct = (labels == predictions).all(axis=1)
        self.accuracy = float(self.correct.mean())
        self.num_tested, self.num_predicted = labels.sum(axis=0), predictions.sum(axis=0)
        self.num_hits = (labels & predictions).sum(axis=0)
        self.recalls: list[tuple[float, tuple[float, float]] | None] = []
        """Each class's recall and its interval; None where no test example has it."""
        for of_class, predicted in zip(labels.T, predictions.T, strict=True):
            if not of_class.any():
                self.recalls.append(None)
                continue
            hits = predicted[of_class]
            interval = proportion_interval(hits, None if units is None else units[of_class])
            self.recalls.append((float(hits.mean()), interval))


def confusions_section(results: ClassResults, words: Words, items: str) -> Markup:
    """Which classes are taken for which: the whole table, and the most frequent in words.

    For one label an example.
    """
    classes, totals = results.classes, results.num_tested
    wrong = results.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None)[:MAX_CONFUSIONS]
    pairs = [divmod(int(index), len(classes)) for index in order if wrong.flat[index]]
    texts = [
        words(
            "confused",
            true=classes[true],
            predicted=classes[predicted],
            share=words.percent(wrong[true, predicted] / totals[true]),
            count=int(totals[true]),
            items=items,
        )
        for true, predicted in pairs
    ]
    blocks = [heading(words("errors"))]
    if len(classes) <= MAX_CONFUSION_CLASSES:
        blocks += [paragraph(words("confusion"), "soft")]
        blocks += [confusion_table(results.confusion, classes, words)]
    else:
        blocks += [paragraph(words("confusion_large", count=len(classes)), "soft")]
    blocks.append(bullets(texts) or paragraph(words("no_errors", items=items)))
    return join(blocks)


def recall_section(results: ClassResults, words: Words, items: str) -> Markup:
    """Recall with its interval, and precision, of each class."""
    body = []
    for name, estimate, predicted, hits, tested in zip(
        results.classes, results.recalls, results.num_predicted, results.num_hits,
        results.num_tested, strict=True,
    ):  # fmt: skip
        precision = words.percent(hits / predicted) if predicted else "–"
        if estimate is None:
            body.append([name, "–", Markup("–"), precision, "0"])
            continue
        recall, (low, high) = estimate
        interval = track(recall, low, high, words)
        body.append([name, words.percent(recall), interval, precision, f"{tested:,}"])
    header = ["class", "recall_column", "interval_column", "precision_column", "test_count"]
    return join(
        [
            heading(words("recall")),
            paragraph(words("recall_about", items=items), "soft"),
            table([words(key) for key in header], body),
        ]
    )
