"""A self-contained HTML page with text and figures."""

import base64
import html
from collections.abc import Mapping

from markdown_it import MarkdownIt
from matplotlib.figure import Figure

from seqbelt.plots.fonts import to_png

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; } h2, h3 { font-size: 1.1rem; margin-top: 2rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #8886; padding: .3rem .6rem; text-align: left; }
figure { margin: 1.5rem 0; break-inside: avoid; }
img { max-width: 100%; background: white; }
figcaption { font-size: .9rem; opacity: .8; }
@media print { body { max-width: none; font-size: 11px; } }
"""


def html_page(title: str, markdown: str, figures: Mapping[str, Figure]) -> str:
    """Convert Markdown to HTML, followed by figures with captions.

    HTML in the text is escaped, since class names come from folder names.
    """
    # Without raw HTML; the library is installed, since rich depends on it.
    text = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    text = text.replace("<table>", '<div class="table"><table>')
    text = text.replace("</table>", "</table></div>")
    images = "\n".join(_figure(caption, figure) for caption, figure in figures.items())
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n"
        f"<h1>{html.escape(title)}</h1>\n{text}\n{images}\n</html>\n"
    )


def _figure(caption: str, figure: Figure) -> str:
    data = base64.b64encode(to_png(figure, dpi=150)).decode()
    caption = html.escape(caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
