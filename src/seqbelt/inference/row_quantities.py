"""The quantities that summarise a row: of the values of a signal, and of a manifest's columns."""

import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from seqbelt.features.manifest_columns import Column

MAX_BLOCKS = 16
"""Features are summarised in at most so many blocks of neighbours."""
_NAME = re.compile(
    r"(?:(.*?): )?(mean|std|num_steps|information|unknown|confidence|missing|value|share|other)"
    r"(?: (.*))?",
    re.DOTALL,
)
FRACTIONS = frozenset(("missing", "share", "other"))
"""Kinds of quantities that are 0 or 1 in a row, so that their mean is a fraction."""


class QuantityName(NamedTuple):
    """The parts of a quantity's name."""

    owner: str
    """The input or column; empty where an item has one input."""
    kind: str
    which: str

    @classmethod
    def of(cls, name: str) -> "QuantityName":
        """The parts of one of ``Reference.names``, or of ``confidence``."""
        match = _NAME.fullmatch(name)
        return cls(*(part or "" for part in match.groups())) if match else cls("", name, "")

    @property
    def is_fraction(self) -> bool:
        """Whether it is 0 or 1 in a row."""
        return self.kind in FRACTIONS


@cache
def _blocks(num_features: int) -> np.ndarray:
    """The first feature of each block, and the number of features ``(blocks + 1,)``."""
    count = min(num_features, MAX_BLOCKS)
    return np.linspace(0, num_features, count + 1).round().astype(int)


@cache
def _averaging(num_features: int) -> np.ndarray:
    """The matrix that averages features over their block, ``(features, blocks)``."""
    edges = _blocks(num_features)
    matrix = np.zeros((num_features, len(edges) - 1))
    for block, (start, end) in enumerate(pairwise(edges)):
        matrix[start:end, block] = 1 / (end - start)
    return matrix


def signal_names(num_features: int) -> tuple[str, ...]:
    """The names of the quantities of sequences with so many features."""
    edges = _blocks(num_features)
    ranges = [
        str(start + 1) if end == start + 1 else f"{start + 1}-{end}"
        for start, end in pairwise(edges)
    ]
    return (*(f"mean {span}" for span in ranges), *(f"std {span}" for span in ranges), "num_steps")


def summarize_signal(sequence: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over the steps, averaged over blocks of features, and the
    number of steps: float32 ``(2 * blocks + 1,)``."""
    steps = sequence.astype(np.float64)
    num_steps, num_features = steps.shape
    means = steps.sum(axis=0) / num_steps
    squares = np.einsum("sf,sf->f", steps, steps) / num_steps
    deviations = np.sqrt(np.maximum(squares - means * means, 0))
    averaging = _averaging(num_features)
    num_blocks = averaging.shape[1]
    summary = np.empty(2 * num_blocks + 1, np.float32)
    summary[:num_blocks] = means @ averaging
    summary[num_blocks:-1] = deviations @ averaging
    summary[-1] = num_steps
    return summary


def cell_names(column: Column) -> list[str]:
    """The quantities of a column, one for each of its cells."""
    if column.kind == "number":
        return ["value", "missing"]
    return [*(f"share {value}" for value in column.values), "other", "missing"]


def summarize_cells(columns: Sequence[Column], cells: np.ndarray) -> np.ndarray:
    """The quantities of columns, of encoded ``cells`` ``(rows, cells)`` and of that shape: numbers
    in their own unit, NaN where they are missing."""
    quantities = cells.astype(np.float64)
    start = 0
    for column in columns:
        if column.kind == "number":
            values = column.mean + column.std * quantities[:, start]
            quantities[:, start] = np.where(quantities[:, start + 1] > 0, np.nan, values)
        start += column.width
    return quantities
