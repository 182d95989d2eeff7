"""Blocks of a self-contained HTML page: headings, tables, bars, players; nothing is loaded."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import numpy as np
from markdown_it import MarkdownIt
from markupsafe import Markup
from matplotlib.figure import Figure

from seqbelt.plots.fonts import to_png
from seqbelt.texts import TEXTS, Language, in_language, text

_SENTENCE = re.compile(r"<td>(?=[^<]{40})")
"""A cell of a table that holds a sentence."""
MAX_CONFUSION_CLASSES = 16
"""Classes up to which a confusion is drawn as a table."""
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5b6570; --line: #8885; --paper: #fff;
  --panel: #f4f6f8; --blue: #2563a8; --red: #b3362b; --green: #2b7a4b; --warn: #fdf1d8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a3acb6; --paper: #15181b;
  --panel: #1f2429; --blue: #7cb3ee; --red: #f0897e; --green: #7fcf9f; --warn: #3a3118; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, "Apple SD Gothic Neo", "Malgun Gothic", "Noto Sans KR",
  sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 0 auto;
  padding: 1rem; overflow-wrap: anywhere; }
:lang(ko) { word-break: keep-all; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1rem 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid var(--line);
  padding-bottom: .25rem; break-after: avoid; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; break-after: avoid; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
.warn { background: var(--warn); border-left: .25rem solid #c88a12; padding: .6rem .9rem;
  margin: .8rem 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem;
  margin: 1rem 0; padding: 0; }
.tile { background: var(--panel); border-radius: .4rem; padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.2; }
.table { overflow-x: auto; margin: .8rem 0; }
table { overflow-wrap: normal; border-collapse: collapse; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left;
  vertical-align: top; }
th { font-weight: 600; }
td:first-child { min-width: 5.5rem; }
.confusion td:first-child { min-width: 2.6rem; }
td.number, th.number { text-align: right; white-space: nowrap; }
td small { display: block; color: var(--soft); white-space: nowrap; }
.confusion td { text-align: center; white-space: nowrap; padding: .3rem; min-width: 2.6rem;
  border: 1px solid var(--line); }
.confusion td small { color: inherit; opacity: .75; }
.confusion th { max-width: 9rem; padding: .3rem; }
.confusion th:first-child { position: sticky; left: 0; background: var(--paper);
  overflow-wrap: anywhere; min-width: 4rem; }
.track { position: relative; display: block; width: 12rem; max-width: 34vw; height: 1.1rem;
  background: var(--panel); border-radius: .2rem; }
.track i { position: absolute; top: 0; bottom: 0; background: var(--blue); opacity: .45;
  border-radius: .2rem; }
.track b { position: absolute; top: -.1rem; bottom: -.1rem; width: 3px; margin-left: -1px;
  background: var(--ink); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(17rem, 100%), 1fr));
  gap: .8rem; }
.card { background: var(--panel); border-radius: .4rem; padding: .7rem .9rem; break-inside: avoid;
  min-width: 0; }
.card audio { width: 100%; margin-top: .4rem; }
.card svg { width: 100%; height: auto; display: block; margin-top: .4rem; }
.card img { width: 100%; height: auto; display: block; margin-top: .4rem; }
.card blockquote { margin: .4rem 0 0; padding-left: .7rem; border-left: 3px solid var(--line);
  white-space: pre-wrap; max-height: 14rem; overflow: auto; }
.card .name { font-size: .8rem; color: var(--soft); }
figure { margin: 1.2rem 0; break-inside: avoid; overflow-x: auto; }
figure img { display: block; max-width: 100%; background: white; border-radius: .3rem; }
@media (max-width: 600px) { figure img { width: 34rem; max-width: none; }
  table { font-size: .82rem; }
  table:not(.confusion):has(th:nth-child(6)) { min-width: 34rem; }
  td.sentence { min-width: 16rem; }
  table:not(.confusion) :is(th, td):first-child { position: sticky; left: 0;
    background: var(--paper); }
  th, td { padding: .3rem .35rem; } td:first-child { min-width: 0; }
  th.number { white-space: normal; } .track { max-width: 20vw; } }
pre { background: var(--panel); padding: .6rem .9rem; white-space: pre-wrap; font-size: .85rem;
  border-radius: .3rem; }
.key { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
.key dt { color: var(--soft); } .key dd { margin: 0; }
.bad { color: var(--red); } .good { color: var(--green); }
li { margin: .2rem 0; }
@media print { html, body { font-size: 11px; } body { max-width: none; }
  .card audio { display: none; } .table, figure { overflow: visible; }
  pre { white-space: pre-wrap; } }
"""


class Words:
    """The texts of one language, filled in."""

    def __init__(self, language: Language) -> None:
        self.language: Language = language

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key with its values."""
        return in_language(text(key, **values), self.language)

    def write(self, value: str) -> str:
        """A text in this language; what is no ``Text`` stays."""
        return in_language(value, self.language)

    def has(self, key: str) -> bool:
        """Whether there is such a text."""
        return key in TEXTS

    def reason(self, why: str) -> str:
        """Why an input was left out, one of the reasons in ``errors.py``."""
        key = f"reason_{why}"
        return self(key) if self.has(key) else why

    def percent(self, fraction: float) -> str:
        """A fraction as per cent; "100 %" only where nothing is missing."""
        value = 100 * fraction
        if 99.95 <= value < 100:
            value = 99.9
        return self("percent", value=value)

    def interval(self, bounds: tuple[float, float]) -> str:
        """The bounds of fractions as an interval in words."""
        return self("interval", low=self.percent(bounds[0]), high=self.percent(bounds[1]))

    def today(self) -> str:
        """When the page is made."""
        return self("made", date=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"))


def page(title: str, subtitle: str, language: Language, blocks: Iterable[str]) -> str:
    """A whole page; ``blocks`` are ``Markup``, other strings are escaped."""
    html = Markup(
        '<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        '<h1>{title}</h1>\n<p class="soft">{subtitle}</p>\n{body}\n</body>\n</html>\n'
    ).format(
        language=language,
        title=title,
        subtitle=subtitle,
        style=Markup(_STYLE),
        body=join(blocks),
    )
    return str(html)


def join(blocks: Iterable[str], between: str = "\n") -> Markup:
    """Blocks one after the other; empty ones are left out."""
    return Markup(between).join(block for block in blocks if block)


def heading(text: str, level: int = 2) -> Markup:
    """A heading."""
    return Markup("<h{0}>{1}</h{0}>").format(level, text)


def paragraph(text: str, kind: str = "") -> Markup:
    """A paragraph; ``kind`` is ``soft`` or ``warn``. Empty for an empty text."""
    if not text:
        return Markup("")
    return Markup('<p class="{}">{}</p>').format(kind, text)


def bullets(texts: Iterable[str]) -> Markup:
    """A list; empty for none."""
    items = [Markup("<li>{}</li>").format(text) for text in texts]
    return Markup("<ul>{}</ul>").format(join(items)) if items else Markup("")


def command(text: str) -> Markup:
    """A command to copy."""
    return Markup("<pre>{}</pre>").format(text)


def facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Names beside values."""
    rows = [Markup("<dt>{}</dt><dd>{}</dd>").format(*pair) for pair in pairs if pair[1]]
    return Markup('<dl class="key">{}</dl>').format(join(rows))


def tiles(pairs: Iterable[tuple[str, str]]) -> Markup:
    """A few large values with their names."""
    shown = [Markup('<div class="tile"><b>{}</b>{}</div>').format(*pair) for pair in pairs]
    return Markup('<div class="tiles">{}</div>').format(join(shown))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> Markup:
    """A table; cells that are ``Markup`` are kept, columns after the first are numbers unless a
    cell is ``Markup``."""

    def cell(tag: str, value: str, number: bool) -> Markup:
        is_number = number and not isinstance(value, Markup)
        attribute = Markup(' class="number"') if is_number else Markup("")
        return Markup("<{0}{1}>{2}</{0}>").format(tag, attribute, value)

    rows = list(rows)
    is_number = [index > 0 and not any(isinstance(row[index], Markup) for row in rows)
                 for index in range(len(header))]  # fmt: skip
    head = join(cell("th", name, number) for name, number in zip(header, is_number, strict=True))
    body = join(
        Markup("<tr>{}</tr>").format(
            join(cell("td", value, number) for value, number in zip(row, is_number, strict=True))
        )
        for row in rows
    )
    return Markup(
        '<div class="table"><table class="{}"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>'
        "</div>"
    ).format(kind, head, body)


def track(value: float, low: float, high: float, words: Words) -> Markup:
    """A fraction as a mark on a line from 0 to 1, with its interval as a bar and in numbers."""
    return Markup(
        '<span class="track"><i style="left:{:.1f}%;width:{:.1f}%"></i>'
        '<b style="left:{:.1f}%"></b></span><small>{} – {}</small>'
    ).format(100 * low, 100 * (high - low), 100 * value, words.percent(low), words.percent(high))


def bar(fraction: float) -> Markup:
    """A fraction as a bar."""
    return Markup('<span class="track"><i style="left:0;width:{:.1f}%"></i></span>').format(
        100 * fraction
    )


def confusion_table(counts: np.ndarray, classes: Sequence[str], words: Words) -> Markup:
    """Counts ``(true class, predicted class)`` in per cent of their row, and as counts."""
    head = join(Markup("<th>{}</th>").format(name) for name in classes)
    rows = []
    for name, row in zip(classes, counts, strict=True):
        total = int(row.sum())
        cells = []
        for index, count in enumerate(row.tolist()):
            share = count / total if total else 0.0
            colour = "--green" if classes[index] == name else "--red"
            style = (
                f"background:color-mix(in srgb, var({colour}) {round(55 * share)}%, transparent)"
            )
            text = words.percent(share).replace(".0", "") if count else Markup("")
            small = Markup("<small>{:,}</small>").format(count) if count else Markup("")
            cells.append(Markup('<td style="{}">{}{}</td>').format(style, text, small))
        rows.append(
            Markup("<tr><th>{}</th>{}<td><small>{:,}</small></td></tr>").format(
                name, join(cells), total
            )
        )
    corner = Markup("<th>{} ↓ · {} →</th>").format(words("true"), words("predicted"))
    return Markup(
        '<div class="table"><table class="confusion"><tr>{}{}<th>{}</th></tr>{}</table></div>'
    ).format(corner, head, words("total"), join(rows))


def cards(items: Iterable[Markup]) -> Markup:
    """Cards side by side."""
    shown = [Markup('<div class="card">{}</div>').format(item) for item in items]
    return Markup('<div class="cards">{}</div>').format(join(shown)) if shown else Markup("")


def figure(caption: str, content: Figure) -> Markup:
    """A drawing as an embedded picture."""
    data = base64.b64encode(to_png(content, dpi=150)).decode()
    return Markup(
        '<figure><img alt="{0}" src="data:image/png;base64,{1}"><figcaption>{0}</figcaption>'
        "</figure>"
    ).format(caption, data)


def figures(captions: Mapping[str, Figure]) -> Markup:
    """Several drawings with their captions."""
    return join(figure(caption, content) for caption, content in captions.items())


def markdown(text: str) -> Markup:
    """Markdown as HTML; HTML in it is escaped, since class names come from folder names. No line
    ends between a number and its per cent sign."""
    # The library is installed, since rich depends on it.
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    html = _SENTENCE.sub('<td class="sentence">', html)
    html = html.replace(" %", "&nbsp;%").replace("<table>", '<div class="table"><table>')
    return Markup(html.replace("</table>", "</table></div>"))
