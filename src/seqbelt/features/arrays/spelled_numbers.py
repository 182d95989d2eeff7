"""Columns whose every cell spells a number in words or signs that all of its cells have."""

import re
from collections.abc import Sequence

import numpy as np

from seqbelt.features.arrays.number_cells import Cell, is_missing
from seqbelt.features.arrays.table_layout import UNITS

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_WITH_UNIT = re.compile(rf"({_NUMBER})\s*([^\s\d.,;:+-]\S{{0,7}})")
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
    filled = {cell for cell in cells if not is_missing(cell)}
    if not filled or not all(isinstance(cell, str) for cell in filled):
        return None
    words = {cell: str(cell).strip() for cell in filled}
    said = _kind(next(iter(words.values())))
    if said is None or said == _kind(name) or any(_kind(word) != said for word in words.values()):
        return None
    values = {cell: _value(word) for cell, word in words.items()}
    return np.array([values.get(cell, np.nan) for cell in cells], np.float64), said


def _kind(word: str) -> str | None:
    """How a word spells a number, in words; None where it does not."""
    if word.lower() in _SWITCHED:
        return "on and off are 1 and 0"
    if _HEXADECIMAL.fullmatch(word):
        return "numbers are hexadecimal"
    unit = _unit_of(word)
    return None if unit is None else f"every cell has the unit '{unit}', which is left out"


def _unit_of(cell: Cell) -> str | None:
    found = _WITH_UNIT.fullmatch(cell.strip()) if isinstance(cell, str) else None
    is_known = found and found[2].lower() in UNITS and found[2] != "k"  # kilo rather than kelvin
    return found[2] if found and is_known else None


def _value(word: str) -> float:
    if word.lower() in _SWITCHED:
        return _SWITCHED[word.lower()]
    if _HEXADECIMAL.fullmatch(word):
        return float(int(word, 16))
    found = _WITH_UNIT.fullmatch(word)
    assert found is not None
    return float(found[1])
