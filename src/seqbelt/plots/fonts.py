"""Fonts for pictures: texts and class names may be Korean, which matplotlib's own cannot write."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findSystemFonts, fontManager, get_font

KOREAN_FONTS = (
    "Noto Sans CJK KR", "Noto Sans CJK JP", "NanumGothic", "Apple SD Gothic Neo", "Malgun Gothic",
)  # fmt: skip


def find_korean_fonts() -> list[str]:
    """Those of our Korean families that matplotlib can use here, best first."""
    if not _listed():
        _add_packaged_font()
    if not _listed():
        _add_late_fonts()
    return _listed()


def _listed() -> list[str]:
    installed = {font.name for font in fontManager.ttflist}
    return [name for name in KOREAN_FONTS if name in installed]


def _add_packaged_font() -> None:
    """The extra ``korean`` brings a font as a file; its package need not be imported for it."""
    package = find_spec("koreanize_matplotlib")
    if package is not None and package.origin is not None:
        font = Path(package.origin).with_name("fonts") / "NanumGothic.ttf"
        if font.is_file():
            fontManager.addfont(font)


def _add_late_fonts() -> None:
    """matplotlib keeps a list of fonts on disk and does not notice one installed later."""
    known = {font.fname for font in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:
            with suppress(Exception):  # a broken file is no font
                fontManager.addfont(path)


@cache
def font_families() -> list[str]:
    """The families that figures are written in, in the order in which they are tried."""
    return ["DejaVu Sans", *find_korean_fonts()]


@contextmanager
def figure_fonts() -> Iterator[None]:
    """Draw and save figures in ``font_families``; also a decorator.

    A character that no font has warns once for each time it is drawn; ``hint`` says it once.
    """
    with matplotlib.rc_context({"font.family": font_families()}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def to_png(figure: Figure, dpi: float | None = None) -> bytes:
    """The figure as the content of a PNG file."""
    content = io.BytesIO()
    with figure_fonts():
        figure.savefig(content, format="png", dpi=figure.dpi if dpi is None else dpi)
    return content.getvalue()


def unwritable(text: str) -> set[str]:
    """Characters, white space aside, that none of the fonts in use has."""
    missing = {character for character in text if not character.isspace()}
    for family in font_families():
        path = fontManager.findfont(FontProperties(family=[family]))
        known = get_font(path).get_charmap()
        missing = {character for character in missing if ord(character) not in known}
    return missing


def writable(text: str) -> str:
    """The text with a box for every character that cannot be written."""
    return text.translate({ord(character): "□" for character in unwritable(text)})


def hint(text: str) -> str | None:
    """What to install for a text that these fonts cannot write; None where they can."""
    missing = "".join(sorted(unwritable(text)))
    if not missing:
        return None
    return (
        f"pictures show boxes for {missing[:12]}: no installed font has them; "
        "pip install 'seqbelt[korean]', or install Noto Sans CJK"
    )
