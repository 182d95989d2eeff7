"""Columns of the manifest as inputs of the network: numbers, categories, missing values."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from seqbelt.errors import WRONG_TYPE, BadInput, SettingsError
from seqbelt.features.arrays.number_cells import is_missing

ColumnKind = Literal["auto", "number", "category"]
MAX_CATEGORIES = 50
"""Most frequent categories with a cell of their own."""
MIN_ROWS = 2
"""Training rows that a category with a cell of its own has at least."""
MANY_NUMBERS = 0.5
"""Share of numbers among the cells from which a column with other cells too is refused."""
MAX_SHOWN = 8


@dataclass(frozen=True)
class Column:
    """How one column is encoded, learned from training rows.

    A number has two cells: standardised, and 1 where it is missing (the first is then 0, the mean).
    A category has a cell for each of its ``values``, one for all others, and one where it is
    missing.
    """

    name: str
    kind: Literal["number", "category"]
    mean: float = 0.0
    std: float = 1.0
    values: tuple[str, ...] = ()
    num_rows: int = 0
    """Training rows."""
    num_missing: int = 0

    @property
    def width(self) -> int:
        """Number of cells."""
        return 2 if self.kind == "number" else len(self.values) + 2

    def encode(self, cell: str) -> np.ndarray:
        """Float32 ``(cells,)``. Raises BadInput for a cell of a number that is none."""
        encoded = np.zeros(self.width, np.float32)
        if cell.strip() in self.values:  # of older models also words that stand for no value
            encoded[self.values.index(cell.strip())] = 1
        elif is_missing(cell):
            encoded[-1] = 1
        elif self.kind == "category":
            encoded[len(self.values)] = 1
        else:
            number = parse_number(cell)
            if number is None:
                raise BadInput(
                    WRONG_TYPE,
                    f"column '{self.name}': '{cell[:80]}' is not a number; correct it, or leave "
                    "the cell empty",
                )
            encoded[0] = (number - self.mean) / self.std
        return encoded

    def read_as(self, cell: str) -> Literal["value", "missing", "other"]:
        """How ``encode`` reads a cell."""
        if cell.strip() in self.values:
            return "value"
        if is_missing(cell):
            return "missing"
        return "value" if self.kind == "number" else "other"

    def remark(self, cell: str) -> str | None:
        """A sentence where the cell is a category that training did not have."""
        if self.read_as(cell) != "other":
            return None
        return f"column '{self.name}': a category without a cell of its own is read as 'other'"

    @property
    def sentence(self) -> str:
        """A note for the user on how the column is read."""
        missing = f"; missing in {self.num_missing:,} of {self.num_rows:,} training rows"
        missing = missing if self.num_missing else ""
        if self.kind == "number":
            return (
                f"column '{self.name}' is a number (mean {self.mean:.4g}, standard deviation "
                f"{self.std:.4g}){missing}"
            )
        shown = ", ".join(f"'{value[:40]}'" for value in self.values[:MAX_SHOWN])
        more = len(self.values) - MAX_SHOWN
        named = f"{shown or 'none'}{f' and {more} more' if more > 0 else ''}"
        return f"column '{self.name}' is a category ({named}, others together){missing}"


def parse_number(cell: str) -> float | None:
    """The finite number that a cell is; None for any other cell."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def learn_columns(
    kinds: Mapping[str, ColumnKind], rows: Iterable[Sequence[str]]
) -> tuple[Column, ...]:
    """Learn each column from the cells of the training rows.

    Raises SettingsError for a column whose cells are numbers and others too, unless its kind is
    given.
    """
    cells = [*zip(*rows, strict=True)] or [()] * len(kinds)
    return tuple(
        _learn(name, kind, of) for (name, kind), of in zip(kinds.items(), cells, strict=True)
    )


def _learn(name: str, kind: ColumnKind, cells: Sequence[str]) -> Column:
    present = [cell.strip() for cell in cells if not is_missing(cell)]
    num_rows, num_missing = len(cells), len(cells) - len(present)
    if not present:
        raise SettingsError(
            f"features.columns: '{name}' is empty in every training row; remove it from the list"
        )
    numbers = [number for cell in present if (number := parse_number(cell)) is not None]
    if kind == "auto":
        if len(numbers) < len(present) and len(numbers) > MANY_NUMBERS * len(present):
            odd = next(cell for cell in present if parse_number(cell) is None)
            raise _in_doubt(name, len(present) - len(numbers), len(present), odd)
        commas = [cell for cell in present if parse_number(cell.replace(",", ".")) is not None]
        if not numbers and len(commas) == len(present):
            raise _in_doubt(name, len(present), len(present), present[0])
        kind = "number" if len(numbers) == len(present) else "category"
    if kind == "category":
        frequent = Counter(present).most_common(MAX_CATEGORIES)
        values = sorted(value for value, count in frequent if count >= MIN_ROWS)
        return Column(
            name, "category", values=tuple(values), num_rows=num_rows, num_missing=num_missing
        )
    if not numbers:
        raise SettingsError(
            f"features.columns.{name}: number, but no cell of the training rows is a number, such "
            f"as '{present[0][:80]}'"
        )
    std = float(np.std(numbers))
    mean, scale = float(np.mean(numbers)), std if std > 0 else 1.0
    return Column(name, "number", mean, scale, num_rows=num_rows, num_missing=num_missing)


def _in_doubt(name: str, num_odd: int, num_cells: int, odd: str) -> SettingsError:
    return SettingsError(
        f"features.columns: {num_odd:,} of {num_cells:,} cells of '{name}' in training rows are "
        f"not numbers, such as '{odd[:80]}'; correct or empty them (numbers have a decimal point), "
        f"or write columns: {{{name}: category}}, or {{{name}: number}} to quarantine such rows"
    )


def encode_cells(columns: Sequence[Column], cells: Sequence[str]) -> np.ndarray:
    """The cells of one row, float32 ``(cells,)``. Raises BadInput."""
    if not columns:
        return np.zeros(0, np.float32)
    return np.concatenate(
        [column.encode(cell) for column, cell in zip(columns, cells, strict=True)]
    )


def columns_to_bytes(columns: Sequence[Column]) -> bytes:
    """The columns as a file of a bundle."""
    return json.dumps([asdict(column) for column in columns], ensure_ascii=False).encode()


def columns_from_bytes(content: bytes) -> tuple[Column, ...]:
    """The columns that ``columns_to_bytes`` wrote."""
    return tuple(
        Column(**{**column, "values": tuple(column["values"])}) for column in json.loads(content)
    )
