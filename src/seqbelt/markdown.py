"""Tables in Markdown."""

from collections.abc import Iterable, Sequence

from seqbelt.texts import Language, Text, in_language


def cell_text(text: str) -> str:
    """A text on one line and escaped, as a cell of a table holds it."""
    return " ".join(text.replace("|", "\\|").split())


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Text:
    """A table of ``rows``, each as long as ``header``; what a cell holds is escaped."""
    lines = [header, ["---"] * len(header), *rows]

    def write(language: Language) -> str:
        return "\n".join(
            f"| {' | '.join(cell_text(in_language(cell, language)) for cell in line)} |"
            for line in lines
        )

    return Text(write("en"), write("ko"))
