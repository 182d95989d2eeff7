"""Why the cells differ, as a picture: how far the gradient reaches, and what the answers need."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from seqbelt.evaluation.contestants import COLOURS, label
from seqbelt.evaluation.memory import HEARD_SHARES, Memory
from seqbelt.training.gradient_reach import NEGLIGIBLE, GradientReach


def memory_picture(
    reaches: Mapping[str, Sequence[tuple[GradientReach, GradientReach]]],
    memories: Mapping[str, Sequence[Memory]],
) -> Figure:
    """For each cell the gradient's reach before and after training, the accuracy on the last k
    steps, and the accuracy by the share heard; one entry for each model."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    reach, ends, heads = figure.subplots(1, 3)
    for cell in memories:
        colour = COLOURS.get(cell)
        _draw_reach(reach, cell, reaches[cell])
        for memory in memories[cell]:
            ends.plot(memory.last_steps, 100 * memory.by_last_steps, color=colour, alpha=0.35)
            heads.plot(HEARD_SHARES, 100 * memory.by_heard_share, color=colour, alpha=0.35)
        shares = np.mean([memory.by_heard_share for memory in memories[cell]], axis=0)
        heads.plot(HEARD_SHARES, 100 * shares, color=colour, linewidth=2, label=label(cell))
        kept, accuracy = _mean_over_models(memories[cell])
        ends.plot(kept, 100 * accuracy, color=colour, linewidth=2, label=label(cell))
    reach.axhline(NEGLIGIBLE, color="#999999", linewidth=0.8)
    reach.set(
        yscale="log", ylim=(1e-8, 30), xlabel="steps before the end", ylabel="relative to the end",
        title="Gradient of the loss",
    )  # fmt: skip
    ends.set(xscale="log", xlabel="steps kept at the end", title="How much of the past is needed")
    ends.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    heads.set(xlabel="share of the sequence heard", title="How early it could decide")
    for axes in (ends, heads):
        axes.set_ylabel("test accuracy (%)")
    for axes in (reach, ends, heads):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def _draw_reach(
    axes: Axes, cell: str, pairs: Sequence[tuple[GradientReach, GradientReach]]
) -> None:
    for index, style, when in ((0, ":", "before training"), (1, "-", "trained")):
        curves = [pair[index].curve for pair in pairs]
        shortest = min(map(len, curves))  # folds differ in their median length
        logs = np.log(np.maximum([curve[:shortest] for curve in curves], 1e-30))
        text = f"{label(cell)}, {when}"
        axes.plot(np.exp(logs.mean(0)), style, color=COLOURS.get(cell), label=text)


def _mean_over_models(memories: Sequence[Memory]) -> tuple[np.ndarray, np.ndarray]:
    """The mean curve; folds may differ in their longest sequence."""
    kept = max((memory.last_steps for memory in memories), key=len)
    curves = [np.interp(kept, memory.last_steps, memory.by_last_steps) for memory in memories]
    return kept, np.mean(curves, axis=0)
