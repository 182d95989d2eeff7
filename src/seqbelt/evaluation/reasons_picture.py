"""Why the cells differ, as a picture: what their gradients reach, and what their answers need."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from seqbelt.evaluation.contestants import COLOURS, label
from seqbelt.evaluation.memory import HEARD_SHARES, PASTS, Memory, accuracy_by_length
from seqbelt.training.gradient_reach import NEGLIGIBLE

if TYPE_CHECKING:  # the reasons make the picture, not the other way round
    from seqbelt.evaluation.reasons import ModelReasons

Models = Sequence["ModelReasons"]
LINES = {"cut": "-", "shuffled": "--", "replaced": ":"}


def reasons_picture(models: Mapping[str, Models]) -> Figure:
    """One row on training, one on answers; a line is the mean over a cell's models."""
    figure = Figure(figsize=(13, 7.6), layout="constrained")
    (reach, half_life, clipped), (past, heads, lengths) = figure.subplots(2, 3)
    for draw, axes in (
        (_draw_reach, reach), (_draw_half_life, half_life), (_draw_clipped, clipped),
        (_draw_past, past), (_draw_heads, heads), (_draw_lengths, lengths),
    ):  # fmt: skip
        for cell, of in models.items():
            draw(axes, of, {"color": COLOURS.get(cell)}, label(cell))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    reach.axhline(NEGLIGIBLE, color="#999999", linewidth=0.8)
    reach.set(
        yscale="log", ylim=(1e-8, 30), xlabel="steps before the end", ylabel="relative to the end",
        title="Gradient of the loss",
    )  # fmt: skip
    half_life.set(xlabel="epoch", ylabel="steps", title="Half-life of the gradient in training")
    half_life.set_yscale("symlog", linthresh=1)
    half_life.set_xscale("symlog", linthresh=1)
    clipped.set(xlabel="epoch", ylabel="updates clipped (%)", ylim=(-3, 103),
                title="Clipped updates")  # fmt: skip
    clipped.xaxis.set_major_locator(MaxNLocator(integer=True))
    past.set(xscale="log", xlabel="steps kept at the end", title="How much of the past is needed")
    heads.set(xlabel="share of the sequence heard", title="How early it could decide")
    lengths.set(xlabel="steps of the sequence", title="Accuracy by length")
    for axes in (half_life, past):
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    half_life.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    for axes in (past, heads, lengths):
        axes.set_ylabel("test accuracy (%)")
    return figure


def _draw_reach(axes: Axes, of: Models, style: dict, name: str) -> None:
    for attribute, line, when in (("before", ":", "before training"), ("trained", "-", "trained")):
        curves = [getattr(one, attribute).curve for one in of]
        shortest = min(map(len, curves))  # folds differ in their median length
        logs = np.log(np.maximum([curve[:shortest] for curve in curves], 1e-30))
        axes.plot(np.exp(logs.mean(0)), line, label=f"{name}, {when}", **style)


def _draw_half_life(axes: Axes, of: Models, style: dict, name: str) -> None:
    for one in of:
        epochs, steps = zip(*one.half_lives, strict=True)
        axes.plot(epochs, steps, ".-", alpha=0.5, label=name if one is of[0] else None, **style)


def _draw_clipped(axes: Axes, of: Models, style: dict, name: str) -> None:
    shortest = min(len(one.clipped_by_epoch) for one in of)  # some stop early
    shares = np.mean([one.clipped_by_epoch[:shortest] for one in of], axis=0)
    axes.plot(np.arange(1, shortest + 1), 100 * shares, ".-", label=name, **style)


def _draw_past(axes: Axes, of: Models, style: dict, name: str) -> None:
    for how in PASTS:
        kept, accuracy = _mean_over_models(
            [one.memory for one in of], lambda memory, how=how: memory.by_last_steps[how]
        )
        axes.plot(kept, 100 * accuracy, LINES[how], label=f"{name}, earlier {how}", **style)


def _draw_heads(axes: Axes, of: Models, style: dict, name: str) -> None:
    for one in of:
        axes.plot(HEARD_SHARES, 100 * one.memory.by_heard_share, alpha=0.35, **style)
    shares = np.mean([one.memory.by_heard_share for one in of], axis=0)
    axes.plot(HEARD_SHARES, 100 * shares, linewidth=2, label=name, **style)


def _draw_lengths(axes: Axes, of: Models, style: dict, name: str) -> None:
    buckets = accuracy_by_length(
        np.concatenate([one.correct for one in of]), np.concatenate([one.lengths for one in of])
    )
    middles = [(low + high) / 2 for low, high, *_ in buckets]
    axes.plot(middles, [100 * accuracy for *_, accuracy in buckets], "o-", label=name, **style)


def _mean_over_models(
    memories: Sequence[Memory], curve: Callable[[Memory], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The mean curve; folds may differ in their longest sequence."""
    kept = max((memory.last_steps for memory in memories), key=len)
    curves = [np.interp(kept, memory.last_steps, curve(memory)) for memory in memories]
    return kept, np.mean(curves, axis=0)
