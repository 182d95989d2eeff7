"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def cell_text(text: str) -> str:
    """A text on one line and escaped, as a cell of a table holds it."""
    return " ".join(text.replace("|", "\\|").split())


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of ``rows``, each as long as ``header``; what a cell holds is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell_text(str(cell)) for cell in line)} |" for line in lines)
