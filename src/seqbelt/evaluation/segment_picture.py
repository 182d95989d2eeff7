"""A picture of labelled steps: what is true above what was predicted."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from seqbelt.data.segments import find_runs
from seqbelt.evaluation.fonts import writable

MOST_RECORDINGS = 8
BAR = 0.4
"""Height of a bar; truth and answer of a recording share a row of height 1."""


def segment_picture(
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
    for row, (_, true, found) in enumerate(shown):
        for labels, place in ((true, row - BAR), (found, row)):
            runs = find_runs(labels)
            starts, widths = runs.starts * scale, (runs.stops - runs.starts) * scale
            spans = [*zip(starts.tolist(), widths.tolist(), strict=True)]
            axes.broken_barh(spans, (place, BAR), color=[colours(k % 20) for k in runs.classes])
    axes.set_yticks(range(len(shown)), [writable(name)[-40:] for name, _, _ in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel("time (s)" if step_s else "step")
    axes.set_title("true above, predicted below; white is unlabelled", fontsize=10)
    patches = [Patch(color=colours(k % 20), label=writable(n)) for k, n in enumerate(classes)]
    figure.legend(handles=patches, loc="outside right upper", fontsize=8)
    return figure
