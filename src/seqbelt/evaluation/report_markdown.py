"""A model's report as Markdown, for the descriptions of runs and registered versions."""

import numpy as np

from seqbelt.evaluation.proportions import proportion_interval
from seqbelt.evaluation.report import Report
from seqbelt.markdown import markdown_table
from seqbelt.words import percent

NAMES = {
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "mean_average_precision": "mean average precision",
}
"""Scores beside accuracy, with their names in a sentence."""
MAX_CLASSES = 20
"""Classes up to which tables are written."""


def report_markdown(report: Report, part: str) -> str:
    """Scores with the interval of accuracy, a table of the classes, and the confusion where every
    example has one class."""
    parts = [scores_sentence(report, part)]
    if len(report.classes) <= MAX_CLASSES:
        header = ["class", "rows", "precision", "recall"]
        parts.append(markdown_table(header, _class_rows(report)))
        if not report.target.is_several:
            header = ["true class", *(f"predicted {name}" for name in report.classes)]
            counts = report.confusion().tolist()
            rows = [[name, *map(str, row)] for name, row in zip(report.classes, counts)]
            parts.append(markdown_table(header, rows))
    return "\n\n".join(parts)


def scores_sentence(report: Report, part: str) -> str:
    """E.g. ``Test accuracy 91.2 % (95 % interval 88.1 to 93.6 %, 300 examples), macro-F1 90.8 %``,
    with a full stop."""
    units = None if report.units is None else np.array(report.units)
    low, high = proportion_interval(report.correct, units)
    others = [
        f"{NAMES[name]} {percent(value)}"
        for name, value in report.to_dict().items()
        if name in NAMES
    ]
    return (
        f"{part.capitalize()} accuracy {percent(report.correct.mean())} (95 % interval "
        f"{100 * low:.1f} to {percent(high)}, {len(report.correct):,} examples), "
        f"{', '.join(others)}."
    )


def _class_rows(report: Report) -> list[list[str]]:
    names = ("class", "support", "precision", "recall")
    columns = [report.per_class()[name].tolist() for name in names]
    return [
        [str(name), f"{support:,}", percent(precision), percent(recall)]
        for name, support, precision, recall in zip(*columns, strict=True)
    ]
