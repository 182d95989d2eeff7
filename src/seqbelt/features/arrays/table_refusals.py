"""Lines of a table that are neither names nor values, refused with the setting that decides."""

import re
from collections.abc import Sequence
from typing import NoReturn

from seqbelt.errors import WRONG_SHAPE, WRONG_TYPE, BadInput, Place
from seqbelt.features.arrays.number_cells import Cell, resembles_value
from seqbelt.features.arrays.row_kinds import Row, are_names, is_count, is_number, is_word
from seqbelt.features.arrays.time_columns import looks_like_time
from seqbelt.words import count_of

_HEXADECIMAL = re.compile(r"\d[\dA-Fa-f]+")
"""Without a sign that says so, such as 1F."""
MAX_HEAD_LINES = 3
"""Lines between which and the names of a second table values stand."""


def refuse_values_above(preamble: Sequence[Row], width: int, kinds: Sequence[bool]) -> None:
    """Raise for numbers above the values, but for those of columns."""
    for line, cells in preamble:
        if any(map(is_word, cells)) or not any(map(is_number, cells)):
            continue
        if is_count(cells) or is_count(cells[1:]):
            continue
        if len(cells) == width:
            _refuse_time(line, cells, kinds)
        raise BadInput(
            WRONG_SHAPE,
            Place(line),
            f" has {count_of(len(cells), 'value')}, the lines below it "
            f"have {width}; features.skip_rows leaves lines at the top out",
        )


def refuse_second_table(rows: Sequence[Row], is_number_column: Sequence[bool]) -> None:
    """Raise for rows of values among which a line names other columns, as where a second table
    stands below the first."""
    heads = ((n, line, cells) for n, (line, cells) in enumerate(rows) if are_names(cells))
    for index, line, cells in heads if any(is_number_column) else ():
        below = rows[index + 1 : index + 1 + MAX_HEAD_LINES]
        if index and any(len(row) == len(cells) and any(map(is_number, row)) for _, row in below):
            raise BadInput(
                WRONG_SHAPE,
                Place(line),
                f": '{', '.join(map(str, cells))[:60]}' names columns anew below "
                "values: a second table; save it as a file of its own, or leave out the lines "
                "above it by features.skip_rows",
            )


def refuse_misfit(rows: Sequence[Row], line: int, named: int, width: int) -> NoReturn:
    """Raise for the first row that has not as many cells as the line above has names."""
    wrong, cells = next((row for row in rows if len(row[1]) != named), rows[0])
    raise BadInput(
        WRONG_SHAPE,
        Place(wrong),
        f" has {count_of(len(cells), 'value')}, line {line} names {named} columns; "
        f"{_comma_hint(named, width)}features.skip_rows leaves lines at the top out",
    )


def refuse_mixed(line: int, cells: Sequence[Cell], kinds: Sequence[bool]) -> None:
    """Raise for a line that is half names and half values; names that count are names."""
    numbers = [cell for cell, is_one in zip(cells, kinds) if is_one and is_number(cell)]
    if not numbers or is_count(numbers):
        return
    column, word = next((n, cell) for n, cell in enumerate(cells) if is_word(cell))
    raise BadInput(
        WRONG_TYPE,
        Place(line, column),
        f": '{str(word)[:40]}' is not a number, and '{numbers[0]}' "
        "beside it is not a name; features.header says whether this line names the columns, "
        "features.skip_rows leaves lines at the top out",
    )


def _refuse_time(line: int, cells: Sequence[Cell], kinds: Sequence[bool]) -> None:
    """Raise for a date or a time in a column of numbers."""
    for column, (cell, is_one) in enumerate(zip(cells, kinds, strict=True)):
        if is_one and looks_like_time(cell):
            raise BadInput(
                WRONG_TYPE,
                Place(line, column),
                f": '{str(cell)[:40]}' is a date or a time, and the "
                "others of its column are numbers",
            )


def refuse_damaged(line: int, cells: Sequence[Cell], is_named_above: bool) -> None:
    """Raise for a line that would do for names and rather holds values: (1.5), Over or, below
    other names, 1F."""
    filled = [cell for cell in cells if cell != ""]
    values = [*filter(resembles_value, filled)]
    numbers = ["".join(filter(str.isdigit, str(cell))) for cell in values]
    if is_named_above and all(_HEXADECIMAL.fullmatch(str(cell)) for cell in filled):
        values = filled
    elif not values or is_count(numbers) or not (is_named_above or len(values) == len(filled)):
        return
    column = cells.index(values[0])
    raise BadInput(
        WRONG_TYPE,
        Place(line, column),
        f": '{str(values[0])[:40]}' is not a number; where the line "
        "names the columns, features.skip_rows leaves the lines above it out and features.header: "
        "true takes it as names",
    )


def _comma_hint(names: int, width: int) -> str:
    if width <= names:
        return ""
    return (
        "where commas are decimal signs, features.decimal: ',' says so; where they separate "
        "thousands, save the table with another delimiter; "
    )
