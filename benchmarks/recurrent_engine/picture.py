"""The measurements as one picture."""

import statistics
import textwrap
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from recurrent_engine.report import MEASURES, RUNS, Result
from seqbelt.comparison.variants import COLOURS

OFFSETS = {"lstm": -0.22, "gru": 0.0, "rnn": 0.22}
TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500]


def draw(results: list[Result], about: str) -> Figure:
    """One panel a workload and run: speed relative to the reference, a dot and a line of rounds."""
    workloads = list(dict.fromkeys(result.workload for result in results))
    runs = [run for run in RUNS if any(result.run == run for result in results)]
    names = [name for result in results for name in result.timed if name not in MEASURES]
    names = list(dict.fromkeys(names))
    size = (2.8 + 3.2 * len(workloads), 1.4 + 0.33 * len(names) * len(runs))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(runs), len(workloads), squeeze=False, sharey=True)
    for row, run in enumerate(runs):
        for column, workload in enumerate(workloads):
            axes = panels[row, column]
            for result in results:
                if (result.workload, result.run) == (workload, run):
                    _dots(axes, result, names)
            _dress(axes, names)
            axes.set_title(f"{workload}, {run}", fontsize=10)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False)
    figure.suptitle("Times as fast as the tutorial's packed loop", fontsize=12)
    explained = "log scale; a dot is the median of the rounds, its line smallest to largest"
    about = textwrap.fill(about, int(15 * size[0]))
    figure.supxlabel(f"{explained}\n{about}", fontsize=8)
    return figure


def _dots(axes, result: Result, names: list[str]) -> None:
    label = result.cell.upper()
    for place, name in enumerate(names):
        if name not in result.timed:
            continue
        ratios = result.ratios(name)
        middle = statistics.median(ratios)
        around = [[middle - min(ratios)], [max(ratios) - middle]]
        place = place + OFFSETS[result.cell]
        colour = COLOURS[result.cell]
        axes.errorbar(middle, place, xerr=around, fmt="o", ms=4, color=colour, label=label)
        label = "_"  # one entry in the legend


def _dress(axes, names: list[str]) -> None:
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(FixedLocator([t for t in TICKS if low <= t <= high]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.axvline(1, color="#888888", lw=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    for place in range(1, len(names), 2):
        axes.axhspan(place - 0.5, place + 0.5, color="#000000", alpha=0.04, lw=0)


def save(figure: Figure, path: Path) -> None:
    """Write the picture, in the format that the file's ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
