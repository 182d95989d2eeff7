"""Explained texts: a page in which every token is coloured by its attribution."""

import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.colors import to_hex

from seqbelt.plots.attributions import AGAINST, FOR, TINTS, UNREAD, AttributedSteps

NUM_STRONGEST = 12
"""Tokens listed under a text."""


class Span(NamedTuple):
    """A part of a text."""

    text: str
    attribution: float | None
    """In nats; NaN if it was not read; None for text without a token (white space)."""
    is_unknown: bool = False
    """Not in the vocabulary, so read as the unknown token."""


def spans(
    text: str, offsets: Sequence[tuple[int, int]], attributions: np.ndarray, is_unknown: np.ndarray
) -> list[Span]:
    """Cut a text at its tokens; tokens with the same offsets (bytes, jamo) become one span.

    ``attributions`` and ``is_unknown`` ``(tokens,)`` belong to the ``offsets``.
    """
    parts: list[Span] = []
    end = 0
    for (start, stop), attribution, unknown in zip(
        offsets, attributions.tolist(), is_unknown.tolist()
    ):
        if start > end:
            parts.append(Span(text[end:start], None))
        fresh = text[max(start, end) : stop]
        last = parts[-1] if parts else None
        if last is not None and last.attribution is not None and (start < end or not fresh):
            read = [part for part in (last.attribution, attribution) if not np.isnan(part)]
            total = sum(read) if read else np.nan
            parts[-1] = Span(last.text + fresh, total, last.is_unknown or unknown)
        else:
            parts.append(Span(fresh, attribution, unknown))
        end = max(end, stop)
    if end < len(text):
        parts.append(Span(text[end:], None))
    return [span for span in parts if span.text]


def text_page(steps: AttributedSteps, parts: Sequence[Span], notes: Sequence[str]) -> str:
    """A self-contained HTML page without scripts: coloured text and the strongest tokens."""
    strongest = strongest_of(parts)
    return PAGE.format(
        title=html.escape(steps.title),
        label=html.escape(steps.label),
        body="".join(_marked(span, strongest) for span in parts),
        rows="".join(_row(span, strongest) for span in _listed(parts)),
        notes="".join(f"<p>{html.escape(note)}</p>" for note in (steps.caption, *notes)),
        strongest=f"{strongest:.2f}",
        low=to_hex(TINTS(0.0)),
        high=to_hex(TINTS(1.0)),
        FOR=FOR,
        AGAINST=AGAINST,
        UNREAD=UNREAD,
    )


def strongest_of(parts: Sequence[Span]) -> float:
    """Largest absolute attribution; never 0, so that it can be a divisor."""
    attributions = [abs(span.attribution) for span in parts if span.attribution is not None]
    return float(np.nanmax([1e-9, *attributions]))


def tint(attribution: float, strongest: float) -> str:
    """The background of a token."""
    return UNREAD if np.isnan(attribution) else to_hex(TINTS(0.5 + 0.5 * attribution / strongest))


def _marked(span: Span, strongest: float) -> str:
    text = html.escape(span.text)
    if span.attribution is None:
        return text
    if np.isnan(span.attribution):
        return f'<span class="unread" title="not read">{text}</span>'
    kind = ' class="unknown"' if span.is_unknown else ""
    title = f"{span.attribution:+.3f}" + (", read as unknown" if span.is_unknown else "")
    style = f"background:{tint(span.attribution, strongest)}"
    return f'<span{kind} style="{style}" title="{title}">{text}</span>'


def _listed(parts: Sequence[Span]) -> list[Span]:
    """The strongest spans, in the order of their strength."""
    read = [
        span for span in parts if span.attribution is not None and not np.isnan(span.attribution)
    ]
    return sorted(read, key=lambda span: -abs(span.attribution or 0))[:NUM_STRONGEST]


def _row(span: Span, strongest: float) -> str:
    attribution = span.attribution or 0
    side, width = "for" if attribution >= 0 else "against", 50 * abs(attribution) / strongest
    bar = f'<div class="bar {side}" style="width:{width:.1f}%"></div>'
    return (
        f"<tr><td dir=auto>{html.escape(span.text)}<td class=number>{attribution:+.2f}<td>{bar}\n"
    )


PAGE = """<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light; }}
body {{ max-width: 44rem; margin: 1.5rem auto; padding: 0 1rem; color: #111; background: #fff;
  font: 1rem/1.5 system-ui, "Noto Sans KR", "Apple SD Gothic Neo", "Malgun Gothic", sans-serif; }}
h1 {{ font-size: 1.25rem; overflow-wrap: anywhere; }}
.text {{ font-size: 1.2rem; line-height: 2; white-space: pre-wrap; overflow-wrap: anywhere;
  word-break: keep-all; }}
.text span {{ border-radius: .2em; padding: .15em 0; }}
.unread {{ background: {UNREAD}; color: #666; }}
.unknown {{ text-decoration: underline dotted #555; text-underline-offset: .25em; }}
.legend {{ display: flex; flex-wrap: wrap; align-items: center; gap: .3rem .6rem; }}
.scale {{ flex: 1 0 8rem; height: .9rem; border-radius: .2rem;
  background: linear-gradient(to right, {low}, #fff, {high}); border: 1px solid #ddd; }}
table {{ width: 100%; border-collapse: collapse; margin: 1.5rem 0; }}
td {{ padding: .15rem .4rem; border-top: 1px solid #eee; overflow-wrap: anywhere; }}
td:first-child {{ white-space: pre-wrap; }}
td:last-child {{ width: 50%; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
.bar {{ height: .8rem; }}
.bar.for {{ background: {FOR}; margin-left: 50%; }}
.bar.against {{ background: {AGAINST}; margin-left: auto; margin-right: 50%; }}
footer {{ color: #555; font-size: .85rem; overflow-wrap: anywhere; }}
footer p {{ margin: .3rem 0; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="text" dir="auto">{body}</p>
<div class="legend"><span>against “{label}” −{strongest}</span><span class="scale"></span>
<span>+{strongest} for “{label}”</span></div>
<table><tbody>{rows}</tbody></table>
<footer>{notes}</footer>
</body>
</html>
"""
