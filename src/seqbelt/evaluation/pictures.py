"""Pictures of training, errors and comparisons. Every function returns a matplotlib figure."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import seqbelt.evaluation.fonts  # noqa: F401  # class names may be Korean
from seqbelt.evaluation.contestants import COLOURS, label
from seqbelt.evaluation.report import Report
from seqbelt.training.history import History


def confusion_picture(report: Report) -> Figure:
    """Counts of true against predicted classes, rows normalised for the shade."""
    counts = report.confusion()
    size = min(14.0, 2.5 + 0.45 * len(counts))
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(counts))
    crowded = len(counts) * max(map(len, report.classes)) > 40
    axes.set_xticks(ticks, report.classes, rotation=90 if crowded else 0)
    axes.set_yticks(ticks, report.classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{report.correct.sum()} of {len(report.correct)} right")
    if len(counts) <= 30:
        for row, column in zip(*np.nonzero(counts), strict=True):
            dark = shares[row, column] > 0.6
            axes.text(
                column, row, str(counts[row, column]), ha="center", va="center",
                color="white" if dark else "black", fontsize=8,
            )  # fmt: skip
    return figure


def learning_picture(histories: Mapping[str, History]) -> Figure:
    """Loss and validation accuracy by epoch, one line per run; dots mark the weights kept."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    for name, history in histories.items():
        colour = COLOURS.get(name.partition("-")[0])
        numbers = [epoch.number for epoch in history.epochs]
        train = [epoch.train_loss for epoch in history.epochs]
        losses.plot(numbers, train, "--", color=colour, alpha=0.5, label=f"{name} training")
        scores = [epoch.validation for epoch in history.epochs if epoch.validation]
        if len(scores) == len(numbers):
            best = history.best_epoch - 1
            for axes, values, text in (
                (losses, [s.loss for s in scores], f"{name} validation"),
                (accuracies, [100 * s.accuracy for s in scores], name),
            ):
                axes.plot(numbers, values, color=colour, label=text)
                axes.plot(numbers[best], values[best], "o", color=colour)
    losses.set(ylabel="cross-entropy (nats)", yscale="log")
    accuracies.set(ylabel="validation accuracy (%)")
    for axes in (losses, accuracies):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(histories) <= 4:
        losses.legend(fontsize=8)
    _legend_by_cell(accuracies, histories)
    return figure


def comparison_picture(
    cells: Mapping[str, Mapping], confidence: float, controls: Sequence[Mapping] = ()
) -> Figure:
    """Test accuracy of each cell: a dot per seed, the mean with its interval.

    Each control, as ``ControlResult.plain`` describes it, is a diamond on a grey line below.
    """
    height = 0.9 + 0.7 * len(cells) + 0.3 * len(controls)
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.subplots()
    for row, (cell, result) in enumerate(cells.items()):
        colour = COLOURS.get(cell, "#555555")
        seeds = [100 * value for value in result["accuracies"]]
        interval = result["test_accuracy"]
        mean, low, high = (100 * (interval[key] or np.nan) for key in ("mean", "low", "high"))
        jitter = np.linspace(-0.12, 0.12, len(seeds)) if len(seeds) > 1 else [0]
        axes.plot(seeds, row + 0.25 + np.asarray(jitter) / 3, ".", color=colour, alpha=0.6)
        axes.errorbar(
            mean, row, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, capsize=4
        )
        axes.annotate(f"{mean:.1f}", (mean, row), (0, -14), textcoords="offset points",
                      ha="center", color=colour)  # fmt: skip
    rows = len(cells) - 0.3 + 0.43 * np.arange(len(controls))
    for row, control in zip(rows, controls):
        _draw_control(axes, row, control)
    names = [label(cell) for cell in cells] + [control["name"] for control in controls]
    axes.set_yticks([*range(len(cells)), *rows], names)
    axes.set_ylim(max([len(cells) - 1, *rows]) + (0.3 if controls else 0.6), -0.6)
    axes.set_xlabel(f"test accuracy (%): seeds, mean, {100 * confidence:.0f} % interval over seeds")
    axes.grid(axis="x", alpha=0.3)
    return figure


def _draw_control(axes, row: float, control: Mapping) -> None:
    axes.axhline(row, color="#dddddd", linewidth=0.8, zorder=0)
    if control["test_accuracy"] is None:
        axes.annotate("not computed", (0.02, row), xycoords=("axes fraction", "data"),
                      va="center", fontsize=8, color="#777777")  # fmt: skip
        return
    accuracy = 100 * control["test_accuracy"]
    axes.plot(accuracy, row, "D", color="#555555", markersize=5)
    left = accuracy > sum(axes.get_xlim()) / 2
    axes.annotate(f"{accuracy:.1f}", (accuracy, row), (-8 if left else 8, 0),
                  textcoords="offset points", ha="right" if left else "left", va="center",
                  fontsize=8, color="#555555")  # fmt: skip


def _legend_by_cell(axes, names: Sequence[str] | Mapping) -> None:
    seen: dict[str, object] = {}
    handles, labels = axes.get_legend_handles_labels()
    for handle, name in zip(handles, labels, strict=True):
        seen.setdefault(label(name.partition("-")[0]), handle)
    if seen:
        axes.legend(list(seen.values()), list(seen))
