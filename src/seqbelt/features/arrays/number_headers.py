"""First rows of a table that hold numbers and are headers, as pandas and Empatica write them."""

import re
from collections.abc import Sequence

from seqbelt.errors import WRONG_SHAPE, BadInput, Place
from seqbelt.features.arrays.number_cells import Cell, as_text, is_missing
from seqbelt.features.arrays.row_kinds import Row, is_count, is_number, trimmed

EMPATICA_RATES = (1.0, 4.0, 32.0, 64.0)
"""In Hz: of heart rate, skin and temperature, acceleration, pulse."""
UNIX_TIME = 9e8
"""In seconds; larger values may be times since 1998."""


def is_pandas_header(cells: Sequence[Cell], below: Sequence[Row], line: int) -> bool:
    """Whether the first row is a header of numbers, as pandas writes for columns without names."""
    has_index = len(cells) > 1 and cells[0] == ""
    numbers = [*map(as_text, trimmed(cells[1:] if has_index else cells))]
    if not below or not (is_count(numbers) or numbers == ["0"]):
        return False
    if has_index:
        return numbers[0] == "0"
    if len(numbers) == 1:
        return _have_one_format([row[0] for _, row in below if row])
    # Whoever writes floats writes them all with a point; whole numbers may as well be values.
    values = [cell for _, row in below for cell in row if not is_missing(cell)]
    texts = [cell for cell in values if isinstance(cell, str)]
    is_float = all(re.search("[.,eE]", cell) for cell in texts)
    if is_float and (texts or any(not float(cell).is_integer() for cell in values)):
        return numbers[0] == "0" or len(numbers) > 2
    if numbers[0] == "1":
        return False
    raise BadInput(
        WRONG_SHAPE,
        Place(line),
        f": '{', '.join(numbers)[:40]}' may be pandas' header of numbers or the first "
        "values; features.header: true or false decides",
    )


def may_be_header(cells: Sequence[Cell], below: Sequence[Row]) -> bool:
    """Whether the first row could name columns by years or frequencies: several whole numbers, each
    once, or 0.0, 1.0, 2.0, above others that all are written with a point."""
    values = [cell for _, row in below for cell in row if not is_missing(cell)]
    return (
        len(cells) > 1
        and len(set(cells)) == len(cells)
        and (
            all(re.fullmatch(r"\d+", as_text(cell)) for cell in cells)
            or is_count([as_text(cell).removesuffix(".0") for cell in cells])
        )
        and bool(values)
        and all(re.search("[.,eE]", as_text(cell)) for cell in values)
    )


def has_empatica_head(rows: Sequence[Row]) -> bool:
    """Whether the first row is a Unix time and the second a rate, the same in each column."""
    heads = [{*map(as_text, cells)} for _, cells in rows[:2]]
    if len(rows) < 3 or any(len(head) != 1 or not is_number(*head) for head in heads):
        return False
    try:
        (start,), (rate,) = ([*map(float, head)] for head in heads)
        others = [float(cell) for _, cells in rows[2:] for cell in cells]
    except ValueError:
        return False
    return rate in EMPATICA_RATES and start > UNIX_TIME > 10 * max(map(abs, others), default=0)


def _have_one_format(cells: Sequence[Cell]) -> bool:
    """Whether cells are numbers with as many decimals each, so that a bare 0 is none of them."""
    decimals = [re.fullmatch(r"[+-]?\d+[.,](\d+)([eE].*)?", str(cell)) for cell in cells]
    return len({len(found[1]) if found else 0 for found in decimals}) == 1 and all(decimals)
