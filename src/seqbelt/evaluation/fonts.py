"""Fonts for pictures: texts and class names may be Korean, which matplotlib's own cannot write."""

import contextlib

import matplotlib
from matplotlib.font_manager import FontProperties, findSystemFonts, fontManager, get_font

KOREAN_FONTS = ("Noto Sans CJK KR", "Noto Sans CJK JP", "NanumGothic", "Apple SD Gothic Neo")


def find_korean_fonts() -> list[str]:
    """Those of our Korean families that this machine has, best first."""
    found = _listed()
    if not found:
        # matplotlib keeps a list of fonts on disk and does not notice one installed later.
        known = {font.fname for font in fontManager.ttflist}
        for path in findSystemFonts():
            if path not in known:
                with contextlib.suppress(Exception):  # a broken file is no font
                    fontManager.addfont(path)
        found = _listed()
    return found


def _listed() -> list[str]:
    installed = {font.name for font in fontManager.ttflist}
    return [name for name in KOREAN_FONTS if name in installed]


matplotlib.rcParams["font.family"] = ["DejaVu Sans", *find_korean_fonts()]


def unwritable(text: str) -> set[str]:
    """Characters, white space aside, that none of the fonts in use has."""
    missing = {character for character in text if not character.isspace()}
    for family in matplotlib.rcParams["font.family"]:
        path = fontManager.findfont(FontProperties(family=[family]))
        known = get_font(path).get_charmap()
        missing = {character for character in missing if ord(character) not in known}
    return missing


def writable(text: str) -> str:
    """The text with a box for every character that cannot be written."""
    return text.translate({ord(character): "□" for character in unwritable(text)})
