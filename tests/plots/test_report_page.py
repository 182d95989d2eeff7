"""The page stands alone, shows its tables and pictures, and obeys nothing that it quotes."""

import re
from html.parser import HTMLParser
from string import Formatter

import numpy as np
from matplotlib.figure import Figure

from seqbelt.plots import report_page
from seqbelt.plots.report_page import Words, confusion_table, table, track
from seqbelt.texts import TEXTS


class Found(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def page(title, *blocks):
    return Found(report_page.page(title, "about", "en", blocks))


def test_tables_and_pictures_are_inside():
    text = report_page.markdown("| a | b |\n|---|---|\n| 1 | 2 |")
    found = page("cats > dogs", text, report_page.figure("a figure", Figure()))
    names = [name for name, _ in found.tags]
    assert names.count("td") == 2 and "cats > dogs" in found.text and "a figure" in found.text
    (image,) = (attributes for name, attributes in found.tags if name == "img")
    assert image["src"].startswith("data:image/png;base64,") and image["alt"] == "a figure"
    assert any(attributes.get("name") == "viewport" for _, attributes in found.tags)


def test_nothing_is_loaded_from_elsewhere_and_no_script_gets_through():
    wicked = "<script>alert(1)</script>"
    words = Words("en")
    found = page(
        wicked,
        report_page.markdown(f"| class |\n|---|\n| {wicked} |"),
        table([wicked, "b"], [[wicked, wicked]]),
        report_page.bullets([wicked]),
        report_page.command(wicked),
        confusion_table(np.eye(2, dtype=int), [wicked, "b"], words),
        report_page.figure(wicked, Figure()),
        wicked,
    )
    assert "script" not in [name for name, _ in found.tags]
    assert found.text.count("alert(1)") >= 9
    sources = [a[key] for _, a in found.tags for key in ("src", "href") if key in a]
    assert all(source.startswith("data:") for source in sources)


def test_both_languages_fill_in_the_same_values():
    def names(text):
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}

    for key, (english, korean) in TEXTS.items():
        assert names(english) == names(korean), key
        literal = "".join(part for part, *_ in Formatter().parse(english))
        is_said = any(character.isalpha() for character in literal) and not english.startswith("{")
        assert not is_said or any("가" <= c <= "힣" for c in korean), key


def test_a_confusion_has_per_cents_of_its_rows_and_counts():
    counts = np.array([[3, 1], [0, 0]])
    found = Found(confusion_table(counts, ["x", "y"], Words("en")))
    for text in ("75 %", "25 %", "3", "1"):
        assert text in found.text
    assert "nan" not in found.text


def test_an_interval_from_zero_is_drawn():
    found = track(0.0, 0.0, 0.4, Words("en"))
    assert "left:0.0%;width:40.0%" in found and "0.0 % – 40.0 %" in found


def test_all_but_a_few_is_not_all():
    assert Words("ko").percent(0.9999) == "99.9%" and Words("en").percent(1.0) == "100.0 %"


def test_a_number_stays_beside_its_per_cent_sign():
    assert "87.5&nbsp;%" in report_page.markdown("| a |\n|---|\n| 87.5 % |")


def test_sizes_follow_the_smaller_letters_of_a_printed_page():
    """Headings and tables are measured in rem: of the root, not of the body."""
    printed = report_page.page("t", "s", "en", []).partition("@media print")[2]
    assert re.match(r" \{ html, body \{ font-size: \d+px", printed)
