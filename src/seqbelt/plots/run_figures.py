"""Figures of one run: learning curves, confusion, reliability, segments, augmentation."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from seqbelt.comparison.variants import COLOURS, label
from seqbelt.data.batches import Batch, make_batch
from seqbelt.data.labels.segments import find_runs
from seqbelt.data.sequences import Sequences
from seqbelt.evaluation.calibration import Reliability
from seqbelt.evaluation.report import Report
from seqbelt.evaluation.several_report import SeveralReport
from seqbelt.evaluation.step_report import StepReport
from seqbelt.plots.fonts import figure_fonts, writable
from seqbelt.texts import ENGLISH, Language, in_language, text
from seqbelt.training.augmenter import Augmenter
from seqbelt.training.history import History
from seqbelt.words import percent


def report_figures(report: Report) -> dict[str, Figure]:
    """Every figure of a report, by name."""
    before, after = report.reliability(1.0), report.reliability(report.temperature)
    figures = {"reliability": reliability_figure(before, after, report.temperature)}
    if isinstance(report, SeveralReport):
        figures["labels"] = labels_figure(report)
    else:
        figures["confusion"] = confusion_figure(report)
    if isinstance(report, StepReport):
        ids = report.sequences.column("id")
        rows = list(zip(ids, *zip(*report.recordings(), strict=True), strict=True))
        step_s = report.sequences.store.step_s
        figures["segments"] = segment_figure(rows, report.classes, step_s)
    return figures


@figure_fonts()
def confusion_figure(report: Report) -> Figure:
    """Counts of true against predicted classes, shaded by the fraction of the true class, which is
    written below the count where there is room."""
    counts = report.confusion()
    size = min(14.0, 2.5 + 0.45 * len(counts))
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    fractions = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(counts))
    crowded = len(counts) * max(map(len, report.classes)) > 40
    axes.set_xticks(ticks, report.classes, rotation=90 if crowded else 0)
    axes.set_yticks(ticks, report.classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{report.correct.sum()} of {len(report.correct)} correct")
    if len(counts) <= 30:
        for row, column in zip(*np.nonzero(counts), strict=True):
            dark = fractions[row, column] > 0.6
            text = str(counts[row, column])
            if len(counts) <= MOST_WITH_PERCENTAGES:
                text += f"\n{percent(fractions[row, column], 0)}"
            axes.text(
                column, row, text, ha="center", va="center",
                color="white" if dark else "black", fontsize=8,
            )  # fmt: skip
    return figure


@figure_fonts()
def labels_figure(report: SeveralReport) -> Figure:
    """Recall of each label with its 95 % interval."""
    frame = report.per_class()
    figure = Figure(figsize=(7, 1.5 + 0.3 * len(frame)), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(frame))
    recall = 100 * frame["recall"].to_numpy()
    low, high = (100 * frame[name].to_numpy() for name in ("recall_low", "recall_high"))
    axes.errorbar(recall, rows, xerr=[recall - low, high - recall], fmt="o", capsize=3)
    names = [f"{writable(n)} ({k:,})" for n, k in zip(frame["class"], frame["support"])]
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.set(xlabel="recall (%)", xlim=(-2, 102))
    axes.set_title(f"{report.correct.sum()} of {len(report.correct)} rows with all labels right")
    axes.grid(alpha=0.3)
    return figure


@figure_fonts()
def learning_curves(histories: Mapping[str, History], language: Language = ENGLISH) -> Figure:
    """Loss and validation accuracy by epoch, one line per run; dots mark the weights kept."""

    def words(key: str, **values: object) -> str:
        return in_language(text(key, **values), language)

    has_validation = any(epoch.validation for of in histories.values() for epoch in of.epochs)
    figure = Figure(figsize=(10, 4), layout="constrained")
    losses, *scored = figure.subplots(1, 1 + has_validation, squeeze=False)[0]
    for name, history in histories.items():
        colour = COLOURS.get(name.partition("-")[0])
        numbers = [epoch.number for epoch in history.epochs]
        train = [epoch.train_loss for epoch in history.epochs]
        title = words("line_training", name=name)
        losses.plot(numbers, train, "--", color=colour, alpha=0.5, label=title)
        scores = [epoch.validation for epoch in history.epochs if epoch.validation]
        if len(scores) == len(numbers):
            best = history.best_epoch - 1
            drawn = [(losses, [s.loss for s in scores], words("line_validation", name=name))]
            drawn += [(axes, [100 * s.accuracy for s in scores], name) for axes in scored]
            for axes, values, title in drawn:
                axes.plot(numbers, values, color=colour, label=title)
                axes.plot(numbers[best], values[best], "o", color=colour)
    losses.set(ylabel=words("axis_loss"), yscale="log")
    losses.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    low, high = losses.get_ylim()
    if high < 20 * low:  # of a wide range the powers of ten are enough
        losses.yaxis.set_minor_formatter(StrMethodFormatter("{x:g}"))
    for axes in scored:
        axes.set(ylabel=words("axis_validation_accuracy"))
        _legend_by_cell(axes, histories, language)
    for axes in (losses, *scored):
        axes.set_xlabel(words("axis_epoch"))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(histories) <= 4:
        losses.legend(fontsize=8)
    else:
        train = words("train")
        kinds = [Line2D([], [], color="#555555", linestyle="--", alpha=0.5, label=train)]
        if scored:
            kinds.append(Line2D([], [], color="#555555", label=words("validation")))
        losses.legend(handles=kinds, fontsize=8)
    return figure


def _legend_by_cell(axes, names: Sequence[str] | Mapping, language: Language) -> None:
    seen: dict[str, object] = {}
    handles, labels = axes.get_legend_handles_labels()
    for handle, name in zip(handles, labels, strict=True):
        seen.setdefault(in_language(label(name.partition("-")[0]), language), handle)
    if seen:
        axes.legend(list(seen.values()), list(seen))


@figure_fonts()
def reliability_figure(before: Reliability, after: Reliability, temperature: float) -> Figure:
    """Reliability diagram before and after calibration."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100], color="#999999", linewidth=0.8)
    for bins, line, colour, when in (
        (before, ":", "#999999", "before"),
        (after, "-", "#1f77b4", f"at temperature {temperature:.2f}"),
    ):
        error = f"{when}: expected calibration error {percent(bins.expected_error)}"
        confidence, accuracy = 100 * bins.confidence, 100 * bins.accuracy
        axes.plot(confidence, accuracy, f"o{line}", color=colour, label=error)
    axes.set(xlabel="confidence (%)", ylabel="accuracy (%)", xlim=(0, 102), ylim=(0, 102))
    axes.set_title(f"{after.count.sum():,} examples in bins of about {after.count.max():,}")
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


MOST_WITH_PERCENTAGES = 12
"""Classes up to which a cell of the confusion matrix has room for a percentage."""
CHANNEL_SPACING = 5.0
"""Standard deviations from a channel's line to the next one's."""
MOST_RECORDINGS = 8
BAR = 0.4
"""Height of a bar; true and predicted segments of a recording are in a row of height 1."""


@figure_fonts()
def segment_figure(
    recordings: Sequence[tuple[str, np.ndarray, np.ndarray]],
    classes: Sequence[str],
    step_s: float | None,
) -> Figure:
    """The first ``recordings``: name, true and predicted class indices ``(steps,)`` each."""
    shown = recordings[:MOST_RECORDINGS]
    colours = colormaps["tab20" if len(classes) > 10 else "tab10"]
    figure = Figure(figsize=(11, 1.2 + 0.6 * len(shown)), layout="constrained")
    axes = figure.subplots()
    scale = step_s or 1
    for row, (_, true, predicted) in enumerate(shown):
        for labels, bottom in ((true, row - BAR), (predicted, row)):
            runs = find_runs(labels)
            starts, widths = runs.starts * scale, (runs.stops - runs.starts) * scale
            spans = [*zip(starts.tolist(), widths.tolist(), strict=True)]
            axes.broken_barh(spans, (bottom, BAR), color=[colours(k % 20) for k in runs.classes])
    axes.set_yticks(range(len(shown)), [writable(name)[-40:] for name, _, _ in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel("time (s)" if step_s else "step")
    axes.set_title("true above, predicted below; white is unlabelled", fontsize=10)
    patches = [Patch(color=colours(k % 20), label=writable(n)) for k, n in enumerate(classes)]
    figure.legend(handles=patches, loc="outside right upper", fontsize=8)
    return figure


@figure_fonts()
def augmentation_figure(train: Sequences, augment: Augmenter, num_rows: int = 4) -> Figure:
    """A row of each of the first classes, plain and augmented twice, in training standard
    deviations: a line above the other for up to twelve features, otherwise an image of all."""
    firsts = np.unique(train.labels, return_index=True)[1][:num_rows]
    plain = make_batch(train, firsts)
    batches = [plain, augment(plain, 0), augment(plain, 1)]
    figure = Figure(figsize=(11, 1.8 * len(firsts)), layout="constrained")
    grid = figure.subplots(len(firsts), len(batches), sharey="row", squeeze=False)
    for column, batch in enumerate(batches):
        for row, axes in enumerate(grid[:, column]):
            steps = batch.inputs[row, : int(batch.lengths[row])]
            steps = ((steps - augment.mean) / augment.std).numpy()
            if steps.shape[1] <= 12:
                offsets = CHANNEL_SPACING * np.arange(steps.shape[1])
                axes.plot(steps + offsets, linewidth=0.8)
                axes.set_yticks(offsets, [str(number) for number in range(steps.shape[1])])
            else:
                axes.imshow(steps.T, aspect="auto", origin="lower", vmin=-3, vmax=3, cmap="RdBu")
            axes.set_title(_label_text(batch, row, train.store.classes), fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("step")
    figure.suptitle("training rows, plain and augmented twice", fontsize=10)
    return figure


def _label_text(batch: Batch, row: int, classes: Sequence[str]) -> str:
    """The label, or the weights of a mixed one."""
    label = batch.labels[row]
    if not label.is_floating_point():
        return ", ".join(classes[int(index)] for index in label.unique() if index >= 0)
    mixed = [(float(weight), name) for weight, name in zip(label, classes) if weight > 0.005]
    return ", ".join(f"{name} {weight:.2f}" for weight, name in sorted(mixed, reverse=True))
