"""Fonts for pictures: texts and class names may be Korean, which matplotlib's own cannot write."""

import matplotlib
from matplotlib.font_manager import FontProperties, fontManager, get_font

_KOREAN_FONTS = ("Noto Sans CJK KR", "Noto Sans CJK JP", "NanumGothic", "Apple SD Gothic Neo")
_installed = {font.name for font in fontManager.ttflist}
matplotlib.rcParams["font.family"] = [
    "DejaVu Sans",
    *(name for name in _KOREAN_FONTS if name in _installed),
]


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
