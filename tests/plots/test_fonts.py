"""Class names that no font can write: boxes in the picture, one hint, no flood of warnings."""

import io
import warnings

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry

from seqbelt.plots import fonts
from seqbelt.plots.fonts import figure_fonts, hint, unwritable, writable

RARE = "\U0001f9ff"  # a font that draws it is not among those in use


def draw(title: str) -> Figure:
    figure = Figure()
    figure.suptitle(title)
    return figure


def test_what_no_font_has_becomes_a_box():
    assert unwritable(f"a b {RARE}") == {RARE}
    assert writable(f"a{RARE}") == "a□"


def test_the_hint_names_characters_and_remedy_once():
    assert hint("lstm") is None
    assert RARE in hint(f"{RARE} {RARE}") and "seqbelt[korean]" in hint(RARE)


def test_boxes_are_drawn_without_a_warning():
    with warnings.catch_warnings(record=True) as plain:
        warnings.simplefilter("always")
        draw(RARE).savefig(io.BytesIO(), format="png")
    assert any("missing from" in str(one.message) for one in plain)
    with figure_fonts():
        draw(RARE).savefig(io.BytesIO(), format="png")


def test_importing_and_drawing_leave_the_fonts_of_matplotlib_as_they_were():
    before = list(matplotlib.rcParams["font.family"])
    assert before == list(matplotlib.rcParamsDefault["font.family"])
    with figure_fonts():
        assert matplotlib.rcParams["font.family"] == fonts.font_families()
    assert list(matplotlib.rcParams["font.family"]) == before


def test_a_font_installed_after_matplotlib_listed_them_is_found(monkeypatch):
    listed = [font for font in fonts.fontManager.ttflist if font.name not in fonts.KOREAN_FONTS]
    monkeypatch.setattr(fonts.fontManager, "ttflist", listed)
    monkeypatch.setattr(fonts, "find_spec", lambda name: None)  # no font as a package
    monkeypatch.setattr(fonts, "findSystemFonts", lambda: ["broken.ttf", "late.ttf"])

    def add(path):
        if path == "broken.ttf":
            raise RuntimeError("no font")
        listed.append(FontEntry(fname=path, name="NanumGothic"))

    monkeypatch.setattr(fonts.fontManager, "addfont", add)
    assert fonts.find_korean_fonts() == ["NanumGothic"]
