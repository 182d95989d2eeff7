"""The page stands alone, shows its tables and pictures, and obeys nothing that it quotes."""

from html.parser import HTMLParser

from matplotlib.figure import Figure

from seqbelt.plots.html import html_page


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


def test_tables_and_pictures_are_inside():
    found = Found(
        html_page("cats > dogs", "| a | b |\n|---|---|\n| 1 | 2 |", {"a figure": Figure()})
    )
    names = [name for name, _ in found.tags]
    assert names.count("td") == 2 and "cats > dogs" in found.text and "a figure" in found.text
    (image,) = (attributes for name, attributes in found.tags if name == "img")
    assert image["src"].startswith("data:image/png;base64,") and image["alt"] == "a figure"
    assert any(attributes.get("name") == "viewport" for _, attributes in found.tags)


def test_nothing_is_loaded_from_elsewhere_and_no_script_gets_through():
    wicked = "<script>alert(1)</script>"
    found = Found(html_page(wicked, f"| class |\n|---|\n| {wicked} |", {wicked: Figure()}))
    assert "script" not in [name for name, _ in found.tags]
    assert found.text.count("alert(1)") >= 3
    sources = [a[key] for _, a in found.tags for key in ("src", "href") if key in a]
    assert all(source.startswith("data:") for source in sources)
