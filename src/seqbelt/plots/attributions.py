"""Figures of explanations: the signal, and below on the same axis the attribution of each step.

Blue is for the predicted class, red against it. Every function returns a panel, which is a figure
of its own or one of several below each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure, FigureBase
from matplotlib.patches import ConnectionPatch
from matplotlib.ticker import MaxNLocator

from seqbelt.plots.fonts import figure_fonts, writable

FOR, AGAINST = "#2166ac", "#b2182b"
"""Blue and red can be distinguished by nearly everyone."""
FOR_TINT, AGAINST_TINT = "#7fb3dc", "#f4957c"
"""The same, light enough for black text and lines on them."""
TINTS = LinearSegmentedColormap.from_list("attributions", [AGAINST_TINT, "white", FOR_TINT])
UNREAD = "#e4e4e4"
MOST_LINES = 8
"""Features that get a plot each; more are drawn as one image."""
MOST_COLUMNS = 4000
"""Largest number of steps of a spectrogram that are drawn."""
MOST_FRAMES = 9
WIDTH = 9.0
BARS_HEIGHT = 1.8
"""Inches, as all sizes of panels."""
CAPTION_WIDTH = 135
"""Characters of a line that fit."""


@dataclass(frozen=True)
class AttributedSteps:
    """The content of all figures: title, predicted label and attributions."""

    title: str
    label: str
    """The predicted class."""
    attributions: np.ndarray
    """float ``(steps,)``; NaN at steps that were not read."""
    step_s: float | None
    """Seconds from one step to the next; None counts steps."""
    caption: str = ""
    """The sums of the attributions, as text."""
    gap: float | None = None
    """Relative completeness gap of attributions that are rough; None where they are not."""

    @property
    def times(self) -> np.ndarray:
        """Time of each step, in seconds or steps."""
        return np.arange(len(self.attributions)) * (self.step_s or 1)

    @property
    def edges(self) -> np.ndarray:
        """Edges of the steps when drawn as bars, ``(steps + 1,)``."""
        return (np.arange(len(self.attributions) + 1) - 0.5) * (self.step_s or 1)

    @property
    def time_label(self) -> str:
        return "time (s)" if self.step_s else "step"

    @property
    def strongest(self) -> float:
        """Largest absolute attribution; never 0, so that it can be a divisor."""
        return float(np.nanmax(np.abs(self.attributions), initial=1e-9))


@dataclass(frozen=True)
class Panel:
    """A part of a figure, and its size in inches."""

    width: float
    height: float
    draw: Callable[[FigureBase], None]


@figure_fonts()
def draw_panels(panels: Sequence[Panel], title: str = "", caption: str = "") -> Figure:
    """A figure of panels below each other, under a ``title``; without it, of one panel alone."""
    width = max(panel.width for panel in panels)
    heights = [panel.height for panel in panels]
    if not title:
        figure = Figure(figsize=(width, heights[0]), layout="constrained")
        panels[0].draw(figure)
        return figure
    figure = Figure(figsize=(width, sum(heights) + 0.8), layout="constrained")
    _write_around(figure, title, caption)
    rows = figure.subfigures(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, row in zip(panels, rows, strict=True):
        panel.draw(row)
    return figure


def audio_panel(
    steps: AttributedSteps, decibels: np.ndarray, sample_rate: int, frequencies: tuple[float, float]
) -> Panel:
    """A mel spectrogram ``(steps, bands)`` in dB between two ``frequencies`` in Hz."""
    thinned = -(-len(decibels) // MOST_COLUMNS)
    assert steps.step_s is not None  # audio has a time axis

    def draw(axes: list[Axes]) -> None:
        import librosa.display

        librosa.display.specshow(
            decibels[::thinned].T,
            x_coords=steps.times[::thinned],
            sr=sample_rate,
            x_axis="time",
            y_axis="mel",
            fmin=frequencies[0],
            fmax=frequencies[1],
            cmap="magma",
            ax=axes[0],
        )
        axes[0].set(xlabel="", ylabel="frequency (Hz)")
        _draw_attributions(axes[-1], steps)
        axes[-1].xaxis.set_major_formatter("{x:g}")  # librosa's writes short times in ms

    return _stacked(steps, 1, 2.6, draw)


def signal_panel(steps: AttributedSteps, values: np.ndarray, names: Sequence[str]) -> Panel:
    """Features ``(steps, features)``: one line per feature, shaded by attribution, or an image of
    many."""
    num_features = values.shape[1]

    def draw_image(axes: list[Axes]) -> None:
        _draw_image(axes[0], steps, values)
        _draw_attributions(axes[-1], steps)

    def draw_lines(axes: list[Axes]) -> None:
        for feature, (axis, name) in enumerate(zip(axes[:-1], names, strict=True)):
            axis.plot(steps.times, values[:, feature], color="black", linewidth=1)
            _shade(axis, steps)
            axis.set_ylabel(writable(name), parse_math=False, rotation=0, ha="right", va="center")
        _draw_attributions(axes[-1], steps)

    if num_features > MOST_LINES:
        return _stacked(steps, 1, 3.2, draw_image)
    return _stacked(steps, num_features, max(0.8, 3.2 / num_features), draw_lines)


def choose_frames(attributions: np.ndarray) -> np.ndarray:
    """Steps whose frames are shown: the strongest of each ninth of the clip."""
    parts = np.array_split(np.arange(len(attributions)), min(MOST_FRAMES, len(attributions)))
    strength = np.abs(np.nan_to_num(attributions))
    return np.array([part[strength[part].argmax()] for part in parts])


def video_panel(steps: AttributedSteps, chosen: np.ndarray, frames: Sequence[np.ndarray]) -> Panel:
    """The chosen steps' frames ``(height, width, 3)``, each connected to its time."""
    height, width = frames[0].shape[:2]
    frame_height = min(3.0, 10.5 / len(frames) * height / width)

    def draw(figure: FigureBase) -> None:
        _write_around(figure, steps.title, steps.caption)
        grid = figure.add_gridspec(2, len(frames), height_ratios=[frame_height, 2.2])
        axes = figure.add_subplot(grid[1, :])
        _draw_attributions(axes, steps)
        for column, (step, frame) in enumerate(zip(chosen, frames, strict=True)):
            axis = figure.add_subplot(grid[0, column])
            axis.imshow(frame)
            axis.set(xticks=[], yticks=[])
            time = float(steps.times[step])
            axis.set_title(f"{time:.1f} s" if steps.step_s else f"step {step}", fontsize=9)
            colour = _colour(steps, step)
            for spine in axis.spines.values():
                spine.set(color=colour, linewidth=4)
            axes.axvline(time, color="0.8", linewidth=0.8, zorder=0)
            ends: dict[str, Any] = {
                "coordsA": axis.transAxes,
                "coordsB": axes.get_xaxis_transform(),
            }
            line = ConnectionPatch((0.5, 0), (time, 1), **ends, color="0.8", linewidth=0.8)
            figure.add_artist(line)

    return Panel(11, frame_height + 3, draw)


def _stacked(
    steps: AttributedSteps, num_plots: int, height: float, draw: Callable[[list[Axes]], None]
) -> Panel:
    """Plots of this height above a plot for the attributions, all on one time axis."""
    heights = [height] * num_plots + [BARS_HEIGHT]

    def draw_all(figure: FigureBase) -> None:
        _write_around(figure, steps.title, steps.caption)
        axes = figure.subplots(num_plots + 1, 1, sharex=True, height_ratios=heights)
        draw(list(axes))

    return Panel(WIDTH, sum(heights) + 0.8, draw_all)


def _write_around(figure: FigureBase, title: str, caption: str) -> None:
    figure.suptitle(writable(title), parse_math=False)
    if caption:
        lines = [fill(line, CAPTION_WIDTH) for line in writable(caption).split("\n")]
        figure.supxlabel("\n".join(lines), parse_math=False, fontsize=8.5, color="0.35")


def _draw_attributions(axes: Axes, steps: AttributedSteps) -> None:
    attributions = np.nan_to_num(steps.attributions)
    axes.stairs(attributions.clip(min=0), steps.edges, fill=True, color=FOR)
    axes.stairs(attributions.clip(max=0), steps.edges, fill=True, color=AGAINST)
    axes.axhline(0, color="black", linewidth=0.6)
    _shade_unread(axes, steps)
    axes.set_xlim(steps.edges[0], steps.edges[-1])
    axes.set_xlabel(steps.time_label)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=not steps.step_s))
    axes.set_ylabel("attribution (nats)" if steps.gap is None else "rough attribution (nats)")
    label = writable(steps.label)
    for position, direction, colour in ((0.97, "for", FOR), (0.03, "against", AGAINST)):
        axes.text(
            0.995, position, f"{direction} “{label}”", color=colour, transform=axes.transAxes,
            ha="right", va="top" if position > 0.5 else "bottom", fontsize=9, parse_math=False,
        )  # fmt: skip
    axes.margins(y=0.3)  # space for the text


def _draw_image(axes: Axes, steps: AttributedSteps, values: np.ndarray) -> None:
    spread = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    axes.pcolormesh(
        steps.edges, np.arange(values.shape[1] + 1) - 0.5, scaled.T, cmap="Greys", rasterized=True
    )
    axes.set_ylabel("feature (scaled)")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.invert_yaxis()


def _shade(axes: Axes, steps: AttributedSteps) -> None:
    """Colour the background by attribution."""
    low, high = axes.get_ylim()
    axes.imshow(
        np.nan_to_num(steps.attributions)[None],
        cmap=TINTS, vmin=-steps.strongest, vmax=steps.strongest,
        extent=(steps.edges[0], steps.edges[-1], low, high), aspect="auto", zorder=-1,
        interpolation="nearest",
    )  # fmt: skip
    _shade_unread(axes, steps)


def _shade_unread(axes: Axes, steps: AttributedSteps) -> None:
    """Shade the steps that were not read."""
    changes = np.flatnonzero(np.diff(np.isnan(steps.attributions), prepend=False, append=False))
    for span in changes.reshape(-1, 2):
        start, end = steps.edges[span].tolist()
        axes.axvspan(start, end, color=UNREAD, zorder=-0.5)
        axes.text((start + end) / 2, 0.5, "not read", transform=axes.get_xaxis_transform(),
                  color="0.4", ha="center", va="center", fontsize=9)  # fmt: skip


def _colour(steps: AttributedSteps, step: int) -> Any:
    attribution = steps.attributions[step]
    return UNREAD if np.isnan(attribution) else TINTS(0.5 + 0.5 * attribution / steps.strongest)
