"""Fonts for figures, since matplotlib's default has no Korean glyphs."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findSystemFonts, fontManager, get_font

from seqbelt.texts import ENGLISH, Language

KOREAN_FONTS = (
    "Noto Sans CJK KR", "Noto Sans KR", "Noto Sans CJK JP", "NanumGothic", "Apple SD Gothic Neo",
    "Malgun Gothic",
)  # fmt: skip


def find_korean_fonts() -> list[str]:
    """The installed Korean font families, best first."""
    if not _listed():
        _add_packaged_font()
    if not _listed():
        _add_late_fonts()
    return _listed()


def _listed() -> list[str]:
    installed = {font.name for font in fontManager.ttflist}
    return [name for name in KOREAN_FONTS if name in installed]


def _add_packaged_font() -> None:
    """Add the font file of the extra ``korean`` without importing its package."""
    package = find_spec("pylopdf_fonts_ko")
    if package is not None and package.origin is not None:
        font = Path(package.origin).with_name("NotoSansKR-Regular.otf")
        if font.is_file():
            fontManager.addfont(font)


def _add_late_fonts() -> None:
    """Add fonts that were installed after matplotlib cached its list of fonts."""
    known = {font.fname for font in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:
            with suppress(Exception):  # a damaged font file
                fontManager.addfont(path)


@cache
def font_families() -> list[str]:
    """The font families of figures, in the order in which they are tried."""
    return ["DejaVu Sans", *find_korean_fonts()]


@contextmanager
def figure_fonts() -> Iterator[None]:
    """Draw and save figures in ``font_families``; also a decorator.

    Warnings about missing glyphs are silenced; ``hint`` reports them once.
    """
    with matplotlib.rc_context({"font.family": font_families()}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def to_png(figure: Figure, dpi: float | None = None) -> bytes:
    """The figure as the content of a PNG file."""
    content = io.BytesIO()
    if dpi is not None:
        figure.set_dpi(dpi)
    with figure_fonts():  # savefig would draw everything twice, the first time for the layout alone
        FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()


def unwritable(text: str) -> set[str]:
    """Characters, except white space, that no font in use has."""
    missing = {character for character in text if not character.isspace()}
    for family in font_families():
        path = fontManager.findfont(FontProperties(family=[family]))
        known = get_font(path).get_charmap()
        missing = {character for character in missing if ord(character) not in known}
    return missing


def writable(text: str) -> str:
    """The text with a box for every missing glyph."""
    return text.translate({ord(character): "□" for character in unwritable(text)})


def figure_language(language: Language) -> Language:
    """The language of the texts in figures: English where no font has Korean glyphs."""
    return ENGLISH if language == "ko" and unwritable("한") else language


def hint(text: str) -> str | None:
    """A message on missing glyphs with the remedy; None if there are none."""
    missing = "".join(sorted(unwritable(text)))
    if not missing:
        return None
    return (
        f"figures show boxes for {missing[:12]}: no installed font has these glyphs; "
        "pip install 'seqbelt[korean]', or install Noto Sans CJK"
    )
