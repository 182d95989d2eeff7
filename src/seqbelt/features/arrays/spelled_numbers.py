"""Columns whose every cell spells a number in words or signs that all of its cells have."""

import re
from collections.abc import Sequence

import numpy as np

from seqbelt.features.arrays.number_cells import Cell, is_missing
from seqbelt.features.arrays.row_kinds import UNITS

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_WITH_UNIT = re.compile(rf"{_NUMBER}\s*([^\s\d.,;:+-]\S{{0,7}})")
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]+")
_SWITCHED = {"on": 1.0, "off": 0.0}


def has_unit(cell: Cell) -> bool:
    """Whether a cell is a number with a known unit behind it, such as ``12.3 mV``."""
    return _unit_of(cell) is not None


def spelled_numbers(name: str, cells: Sequence[Cell]) -> tuple[np.ndarray, str] | None:
    """Float64 ``(rows,)``, NaN where a cell is missing, and how they are spelled: all with one
    unit, in hexadecimal, or as on and off.

    None where a cell is something else, and where the ``name`` above them is spelled so too: it
    may be a value.
    """
    values: dict[Cell, float] = {}
    kinds = set[str]()
    for cell in cells:
        if cell in values or is_missing(cell):
            continue
        if (spelled := _read(cell)) is None:
            return None
        kind, values[cell] = spelled
        kinds.add(kind)
    of_name = _read(name)
    if len(kinds) != 1 or (of_name and of_name[0] in kinds):
        return None
    return np.array([values.get(cell, np.nan) for cell in cells], np.float64), kinds.pop()


def _read(cell: Cell) -> tuple[str, float] | None:
    """How a cell spells a number, in words, and the number; None where it does not."""
    word = cell.strip() if isinstance(cell, str) else ""
    if word.lower() in _SWITCHED:
        return "on and off are 1 and 0", _SWITCHED[word.lower()]
    if _HEXADECIMAL.fullmatch(word):
        return "numbers are hexadecimal", float(int(word, 16))
    if (unit := _unit_of(word)) is None:
        return None
    number = word.removesuffix(unit)
    return f"every cell has the unit '{unit}', which is left out", float(number)


def _unit_of(cell: Cell) -> str | None:
    found = _WITH_UNIT.fullmatch(cell.strip()) if isinstance(cell, str) else None
    is_known = found and found[1].lower() in UNITS and found[1] != "k"  # kilo rather than kelvin
    return found[1] if found and is_known else None
