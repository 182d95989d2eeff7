"""Names of a table's columns, as they stand in one line or in several."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

from seqbelt.features.arrays.number_cells import INVISIBLE, Cell, as_text

UNNAMED = "Unnamed: "
"""Begins the name of a column without one, as in pandas."""


def names_of(cells: Sequence[Cell], width: int, fill: bool = False) -> tuple[str, ...]:
    """Names without blanks at their ends, composed (NFC); ``fill`` repeats one over empty cells."""
    names: list[str] = []
    for column in range(width):
        name = (
            unicodedata.normalize("NFC", as_text(cells[column]).strip().strip(INVISIBLE).strip())
            if column < len(cells)
            else ""
        )
        if not name:
            name = names[-1] if fill and names else f"{UNNAMED}{column}"
        names.append(name)
    return tuple(names)


def joined_name(above: str, name: str) -> str:
    """A column's name in two lines as one."""
    if above == name or above.startswith(UNNAMED):
        return name
    return above if name.startswith(UNNAMED) else f"{above} {name}"


def distinct_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of which none is there twice: x, x becomes x, x.1."""
    taken: Counter[str] = Counter()
    found = []
    for name in names:
        found.append(f"{name}.{taken[name]}" if taken[name] else name)
        taken[name] += 1
    return tuple(found)
