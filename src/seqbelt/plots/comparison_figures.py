"""Figures of a comparison: accuracies by cell, and why the cells differ."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter, SymmetricalLogLocator

from seqbelt.comparison.diagnostics import ModelDiagnostics
from seqbelt.comparison.memory import EARLIER_STEPS, PREFIX_FRACTIONS, Memory, accuracy_by_length
from seqbelt.comparison.variants import COLOURS, label
from seqbelt.plots.fonts import figure_fonts
from seqbelt.texts import ENGLISH, Language, Text, in_language, text
from seqbelt.training.gradient_reach import NEGLIGIBLE
from seqbelt.words import percent


@figure_fonts()
def comparison_figure(
    cells: Mapping[str, Mapping],
    confidence: float,
    controls: Sequence[Mapping] = (),
    language: Language = ENGLISH,
) -> Figure:
    """Test accuracy of each cell: a dot per seed, the mean with its interval.

    Each control, as ``BaselineResult.to_dict`` returns it, is a diamond on a grey line below.
    """
    height = 0.9 + 0.7 * len(cells) + 0.3 * len(controls)
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.subplots()
    for row, (cell, result) in enumerate(cells.items()):
        colour = COLOURS.get(cell, "#555555")
        seeds = [100 * value for value in result["accuracies"]]
        interval = result["test_accuracy"]
        bounds = (interval[key] for key in ("mean", "low", "high"))
        mean, low, high = (np.nan if bound is None else 100 * bound for bound in bounds)
        jitter = np.linspace(-0.12, 0.12, len(seeds)) if len(seeds) > 1 else [0]
        axes.plot(seeds, row + 0.25 + np.asarray(jitter) / 3, ".", color=colour, alpha=0.6)
        axes.errorbar(
            mean, row, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, capsize=4
        )
        axes.annotate(f"{mean:.1f}", (mean, row), (0, 7), textcoords="offset points",
                      ha="center", color=colour)  # fmt: skip
    rows = len(cells) - 0.3 + 0.43 * np.arange(len(controls))
    for row, control in zip(rows, controls):
        _draw_control(axes, row, control, in_language(text("not_computed"), language))
    names = [*map(label, cells), *(control["name"] for control in controls)]
    axes.set_yticks([*range(len(cells)), *rows], [in_language(name, language) for name in names])
    axes.set_ylim(max([len(cells) - 1, *rows]) + (0.3 if controls else 0.6), -0.6)
    title = text("axis_cells", confidence=percent(confidence, 0))
    axes.set_xlabel(in_language(title, language))
    axes.grid(axis="x", alpha=0.3)
    return figure


def _draw_control(axes, row: float, control: Mapping, not_computed: str) -> None:
    axes.axhline(row, color="#dddddd", linewidth=0.8, zorder=0)
    if control["test_accuracy"] is None:
        axes.annotate(not_computed, (0.02, row), xycoords=("axes fraction", "data"),
                      va="center", fontsize=8, color="#777777")  # fmt: skip
        return
    accuracy = 100 * control["test_accuracy"]
    axes.plot(accuracy, row, "D", color="#555555", markersize=5)
    left = accuracy > sum(axes.get_xlim()) / 2
    axes.annotate(f"{accuracy:.1f}", (accuracy, row), (-8 if left else 8, 0),
                  textcoords="offset points", ha="right" if left else "left", va="center",
                  fontsize=8, color="#555555")  # fmt: skip


Models = Sequence[ModelDiagnostics]
LINES = {"cut": "-", "shuffled": "--", "replaced": ":"}


@figure_fonts()
def diagnostics_figure(models: Mapping[str, Models], language: Language = ENGLISH) -> Figure:
    """One row on training, one on predictions; a line is the mean over a cell's models."""

    def words(key: str) -> str:
        return in_language(text(key), language)

    figure = Figure(figsize=(13, 7.6), layout="constrained")
    (reach, half_life, clipped), (past, prefixes, lengths) = figure.subplots(2, 3)
    for draw, axes in (
        (_draw_reach, reach), (_draw_half_life, half_life), (_draw_clipped, clipped),
        (_draw_past, past), (_draw_prefixes, prefixes), (_draw_lengths, lengths),
    ):  # fmt: skip
        for cell, cell_models in models.items():
            draw(axes, cell_models, {"color": COLOURS.get(cell)}, label(cell), language)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    # Nine lines: a legend within would cover them.
    past.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    reach.axhline(NEGLIGIBLE, color="#999999", linewidth=0.8)
    reach.set(
        yscale="log", ylim=(1e-8, 30), xlabel=words("axis_before_end"),
        ylabel=words("axis_relative"), title=words("title_reach"),
    )  # fmt: skip
    half_life.set(xlabel=words("axis_epoch"), ylabel=words("steps_column"),
                  title=words("title_half_life"))  # fmt: skip
    half_life.set_yscale("symlog", linthresh=1)
    half_life.set_xscale("symlog", linthresh=1)
    clipped.set(xlabel=words("axis_epoch"), ylabel=words("axis_clipped"), ylim=(-3, 103),
                title=words("title_clipped"))  # fmt: skip
    clipped.xaxis.set_major_locator(MaxNLocator(integer=True))
    past.set(xscale="log", xlabel=words("axis_kept"), title=words("title_past"))
    prefixes.set(xlabel=words("axis_read"), title=words("title_read"))
    lengths.set(xlabel=words("axis_length"), title=words("title_length"))
    for axes in (half_life, past):
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    half_life.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    for axis in (half_life.xaxis, half_life.yaxis):  # a range may have no power of ten
        axis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=(1, 2, 3, 5, 7)))
    low, high = half_life.get_ylim()
    if 0 < low < high < 4 * low:  # such a range may have no mark
        half_life.set_ylim(low / 2, 2 * high)
    for axes in (past, prefixes, lengths):
        axes.set_ylabel(words("axis_test_accuracy"))
    return figure


def _draw_reach(axes: Axes, models: Models, style: dict, name: Text, language: Language) -> None:
    for attribute, line in (("before", ":"), ("trained", "-")):
        curves = [getattr(model, attribute).curve for model in models]
        shortest = min(map(len, curves))  # folds differ in their median length
        logs = np.log(np.maximum([curve[:shortest] for curve in curves], 1e-30))
        title = in_language(text(f"line_{attribute}", name=name), language)
        axes.plot(np.exp(logs.mean(0)), line, label=title, **style)


def _draw_half_life(
    axes: Axes, models: Models, style: dict, name: Text, language: Language
) -> None:
    for model in models:
        epochs, steps = zip(*model.half_lives, strict=True)
        title = in_language(name, language) if model is models[0] else None
        axes.plot(epochs, steps, ".-", alpha=0.5, label=title, **style)


def _draw_clipped(axes: Axes, models: Models, style: dict, name: Text, language: Language) -> None:
    shortest = min(len(model.clipped_by_epoch) for model in models)  # some stop early
    fractions = np.mean([model.clipped_by_epoch[:shortest] for model in models], axis=0)
    title = in_language(name, language)
    axes.plot(np.arange(1, shortest + 1), 100 * fractions, ".-", label=title, **style)


def _draw_past(axes: Axes, models: Models, style: dict, name: Text, language: Language) -> None:
    for how in EARLIER_STEPS:
        kept, accuracy = _mean_over_models(
            [model.memory for model in models],
            lambda memory, how=how: memory.accuracy_by_suffix[how],
        )
        title = in_language(text(f"line_{how}", name=name), language)
        axes.plot(kept, 100 * accuracy, LINES[how], label=title, **style)


def _draw_prefixes(axes: Axes, models: Models, style: dict, name: Text, language: Language) -> None:
    for model in models:
        axes.plot(PREFIX_FRACTIONS, 100 * model.memory.accuracy_by_prefix, alpha=0.35, **style)
    accuracies = np.mean([model.memory.accuracy_by_prefix for model in models], axis=0)
    title = in_language(name, language)
    axes.plot(PREFIX_FRACTIONS, 100 * accuracies, linewidth=2, label=title, **style)


def _draw_lengths(axes: Axes, models: Models, style: dict, name: Text, language: Language) -> None:
    buckets = accuracy_by_length(
        np.concatenate([model.correct for model in models]),
        np.concatenate([model.lengths for model in models]),
    )
    middles = [(low + high) / 2 for low, high, *_ in buckets]
    accuracies = [100 * accuracy for *_, accuracy in buckets]
    axes.plot(middles, accuracies, "o-", label=in_language(name, language), **style)


def _mean_over_models(
    memories: Sequence[Memory], curve: Callable[[Memory], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The mean curve; folds may differ in their longest sequence."""
    kept = max((memory.last_steps for memory in memories), key=len)
    curves = [np.interp(kept, memory.last_steps, curve(memory)) for memory in memories]
    return kept, np.mean(curves, axis=0)
