"""Panels of explained items of several inputs: a text as text, and a bar for each part."""

import re
from collections.abc import Sequence
from textwrap import shorten
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase
from matplotlib.font_manager import FontProperties

from seqbelt.plots.attributed_text import Span, strongest_of, tint
from seqbelt.plots.attributions import AGAINST, FOR, WIDTH, AttributedSteps, Panel
from seqbelt.plots.fonts import figure_fonts, font_families, writable

POINTS = 72
"""Points in an inch."""
FONT_SIZE, LINE_HEIGHT = 11.0, 22.0
"""Points."""
MOST_LINES = 30
"""Lines of a text that are drawn; the page has all."""
MOST_CHARACTERS = 60
"""Longest piece of a text without a place to break the line."""
BAR_HEIGHT = 0.36
MOST_NAMED = 40
"""Characters of a bar's name and cell."""


class Bar(NamedTuple):
    """What one input or column adds to the log-odds."""

    name: str
    attribution: float | None
    """In nats; None where the input is missing."""


def bars_panel(bars: Sequence[Bar], label: str, is_rough: bool) -> Panel:
    """A bar for each input and column, the first on top."""

    def draw(figure: FigureBase) -> None:
        axes: Axes = figure.subplots()
        values = [bar.attribution or 0.0 for bar in bars]
        axes.barh(range(len(bars)), values, color=[FOR if v >= 0 else AGAINST for v in values])
        axes.axvline(0, color="black", linewidth=0.6)
        names = [shorten(writable(bar.name), MOST_NAMED, placeholder="…") for bar in bars]
        axes.set_yticks(range(len(bars)), names, parse_math=False)
        axes.invert_yaxis()
        for row, (bar, value) in enumerate(zip(bars, values, strict=True)):
            shown = "missing" if bar.attribution is None else f"{value:+.2f}"
            axes.annotate(
                shown, (value, row), xytext=(4 if value >= 0 else -4, 0),
                textcoords="offset points", va="center", ha="left" if value >= 0 else "right",
                fontsize=9,
            )  # fmt: skip
        axes.margins(x=0.15)
        unit = "rough attribution (nats)" if is_rough else "attribution (nats)"
        axes.set_xlabel(f"{unit}: for “{writable(label)}” above 0, against it below")

    return Panel(WIDTH, BAR_HEIGHT * len(bars) + 1.2, draw)


def text_panel(steps: AttributedSteps, spans: Sequence[Span]) -> Panel:
    """The text, coloured by attribution; the first ``MOST_LINES`` lines of a long one."""
    placed, num_lines = _place(spans, (WIDTH - 0.4) * POINTS)
    shown, strongest = min(num_lines, MOST_LINES), strongest_of(spans)
    title = steps.title
    if num_lines > shown:
        title += f"  ·  the first {shown} of {num_lines} lines; the page has all"

    def draw(figure: FigureBase) -> None:
        figure.suptitle(writable(title), parse_math=False, fontsize=10)
        axes: Axes = figure.subplots()
        axes.set_axis_off()
        kept = [of for of in placed if of[1] < shown]
        for has_background in (True, False):  # no background covers a letter beside it
            for span, line, x in kept:
                colour = "white" if span.attribution is None else tint(span.attribution, strongest)
                is_grey = span.attribution is None or np.isnan(span.attribution)
                axes.annotate(
                    writable(span.text), (0, 1), xycoords="axes fraction",
                    xytext=(x, -(line + 0.7) * LINE_HEIGHT), textcoords="offset points",
                    fontsize=FONT_SIZE, va="baseline", parse_math=False,
                    color=colour if has_background else "0.45" if is_grey else "black",
                    bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5}
                    if has_background else None,
                ).set_in_layout(False)  # fmt: skip

    return Panel(WIDTH, shown * LINE_HEIGHT / POINTS + 0.5, draw)


@figure_fonts()
def _place(spans: Sequence[Span], width: float) -> tuple[list[tuple[Span, int, float]], int]:
    """Each span with its line and its place in it, in points, and the number of lines."""
    renderer = FigureCanvasAgg(Figure(dpi=POINTS)).get_renderer()
    font = FontProperties(family=font_families(), size=FONT_SIZE)

    def measure(text: str) -> float:
        """Its width with the white space at its ends, which has no extent of its own."""
        ends = [
            renderer.get_text_width_height_descent(whole, font, ismath=False)[0]
            for whole in (f"|{writable(text)}|", "||")
        ]
        return ends[0] - ends[1]

    placed: list[tuple[Span, int, float]] = []
    line, x = 0, 0.0
    for span in spans:
        text = re.sub(r"\s+", " ", span.text)
        for start in range(0, len(text), MOST_CHARACTERS):
            piece = span._replace(text=text[start : start + MOST_CHARACTERS])
            advance = measure(piece.text)
            if x > 0 and x + advance > width:
                line, x = line + 1, 0.0
            if piece.text != " ":
                placed.append((piece, line, x))
            elif x == 0:
                continue
            x += advance
    return placed, line + 1
