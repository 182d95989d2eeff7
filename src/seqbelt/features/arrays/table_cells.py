"""Rows of cells to columns of numbers and words; each cell as meant, or refused by its line."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from seqbelt.errors import UNREADABLE, WRONG_SHAPE, WRONG_TYPE, BadInput, Place
from seqbelt.features.arrays.column_names import UNNAMED
from seqbelt.features.arrays.number_cells import (
    TRUTH_WORDS,
    Cell,
    SignConflict,
    Signs,
    find_signs,
    is_missing,
    looks_like_number,
    plain_numbers,
    signed_numbers,
    truth_values,
)
from seqbelt.features.arrays.row_kinds import Row, is_remark, is_summary, is_word
from seqbelt.features.arrays.table_layout import (
    Layout,
    TableOptions,
    find_layout,
)
from seqbelt.features.arrays.table_refusals import refuse_second_table

HEAD_ROWS = 40
"""Rows that determine how a table is written."""
MAX_SUMMARY_ROWS = 12
T = TypeVar("T")
GAPS = "empty lines and comments between the values are left out"
DECIMAL_COMMAS = "decimal commas"
HALVES = "numbers between commas are values of their own (features.decimal)"


class Lines(Protocol):
    """The number of each row's line."""

    def __getitem__(self, row: int, /) -> int: ...


class Table(NamedTuple):
    """A table as it was meant."""

    names: tuple[str, ...] | None
    columns: list[np.ndarray | list[Cell]]
    """Float64 ``(rows,)`` with NaN for a missing value, or the cells where they are not numbers."""
    lines: Lines
    notes: tuple[str, ...] = ()
    """How it was read where that was not evident, in words that files have in common."""
    names_are_a_comment: bool = False
    """The names come from a comment, so they may be none."""
    units: Mapping[str, str] = {}
    """What stands below each name in a row of units."""
    signs: Signs = Signs()
    """How its numbers are written."""


def column_label(names: Sequence[str] | None, column: int) -> str:
    """A column as a message names it."""
    return f"'{names[column]}'" if names else str(column)


def read_rows(
    rows: Iterable[Row],
    options: TableOptions,
    delimiter: str,
    comment: Row | None,
    num_head: int = HEAD_ROWS,
    words: str | None = None,
    are_whole: bool = False,
) -> Table:
    """The table that rows make, of which the first ``num_head`` determine how it is written.

    ``delimiter`` is "" for a workbook's; the column ``words`` is left as it is. With ``are_whole``
    no two cells are a number that its decimal comma parts."""
    rows = list(rows)
    layout = find_layout(rows[:num_head], options, comment)
    body, notes = rows[layout.first :], list(layout.notes)
    if options.decimal == "," == delimiter and not are_whole:
        body, layout = _joined(body, layout)
        notes.append(DECIMAL_COMMAS)
    body = _without_end(body, layout, notes)
    if _have_gaps(body):
        notes.append(GAPS)
    body = _without_repeats(body, rows[: layout.first], notes)
    refuse_second_table(body, layout.is_number)
    if delimiter == "," and layout.names is None and options.decimal is None:
        _refuse_split_numbers(body)
    if may_be_halves(delimiter, layout, options) and (
        not any(isinstance(cell, str) and "." in cell for _, cells in body for cell in cells)
        or may_be_parts([cells for _, cells in body])
    ):
        notes.append(HALVES)
    body = [_fitted(row, layout) for row in body]
    cells = [list(column) for column in zip(*(cells for _, cells in body), strict=True)]
    lines = [line for line, _ in body]
    _refuse_beyond_names(cells, lines, layout)
    names, cells = without_empty_columns(layout.names, cells, notes)
    columns, signs = to_columns(cells, lines, names, options, delimiter, notes)
    if names is not None and words in names:
        columns[names.index(words)] = cells[names.index(words)]
    return Table(
        names, columns, lines, tuple(notes), layout.names_are_a_comment, layout.units, signs
    )


def without_empty_columns(
    names: tuple[str, ...] | None, columns: Sequence[T], notes: list[str]
) -> tuple[tuple[str, ...] | None, list[T]]:
    """Names and columns without those that have no name and hold nothing; said is what stands right
    of such a column."""
    kept = [
        index
        for index, column in enumerate(columns)
        if (names is not None and names[index] != f"{UNNAMED}{index}")
        or not isinstance(column, list)
        or any(cell != "" for cell in column)
    ]
    if kept and kept != [*range(kept[0], kept[0] + len(kept))]:
        gap = next(index for index in range(kept[0], kept[-1]) if index not in kept)
        left, right = (
            max(_last_filled(columns[index]) for index in kept if (index > gap) == is_right)
            for is_right in (False, True)
        )
        notes.append(
            f"column {gap + 1} is empty; those right of it are read with those left of it"
            + ("" if left == right else ", and end in another row: perhaps a second table")
        )
    if names is not None:
        names = tuple(names[index] for index in kept)
    return names, [columns[index] for index in kept]


def _last_filled(column: Any) -> int:
    """The last row with a value; -1 without one."""
    is_filled = [cell != "" for cell in column] if isinstance(column, list) else column == column
    return int(np.flatnonzero(is_filled).max(initial=-1))


def to_columns(
    cells: Sequence[Sequence[Cell]],
    lines: Lines,
    names: Sequence[str] | None,
    options: TableOptions,
    delimiter: str,
    notes: list[str],
) -> tuple[list[np.ndarray | list[Cell]], Signs]:
    """Columns of cells as numbers, or as they are where one of them is none; the signs of these.

    What was not evident is appended to ``notes``. Raises BadInput where the decimal sign is
    ambiguous.
    """
    signs = Signs(options.decimal, options.thousands)
    found = [plain_numbers(texts) for texts in cells]
    if not signs.are_plain or _need_signs(cells, found):
        signs = _find_signs(cells, lines, names, signs)
        found = [signed_numbers(texts, signs) for texts in cells]
        if signs.decimal == "," and DECIMAL_COMMAS not in notes:
            notes.append(DECIMAL_COMMAS)
        if signs.thousands:
            words = {" ": "blanks", "'": "apostrophes", ",": "commas", ".": "points"}
            notes.append(f"thousands separated by {words.get(signs.thousands, signs.thousands)}")
    elif options.decimal is None:
        _note_if_unsure(cells, delimiter, notes)
    columns: list[np.ndarray | list[Cell]] = []
    for column, (texts, (values, odd)) in enumerate(zip(cells, found, strict=True)):
        truths = truth_values(texts) if odd else None
        if truths is not None:
            notes.append(f"column {column_label(names, column)}: true and false are 1 and 0")
            columns.append(truths)
        else:
            columns.append(list(texts) if odd else values)
            cell = "" if odd else next(filter(is_bare_exponent, texts), "")
            if cell and not any("." in str(other) for other in texts):
                notes.append(f"'{cell}' is read as a number with an exponent (hexadecimal: 0x)")
    return columns, signs


def is_bare_exponent(cell: Cell) -> bool:
    """Whether a cell could be hexadecimal as well as a number with an exponent: ``1E2``."""
    return isinstance(cell, str) and _BARE_EXPONENT.fullmatch(cell.strip()) is not None


def _need_signs(
    cells: Sequence[Sequence[Cell]], found: Sequence[tuple[np.ndarray, list[int]]]
) -> bool:
    """Whether a cell that is no plain number is one in another way of writing."""
    return any(
        isinstance(column[row], str) and looks_like_number(column[row])
        for column, (_, odd) in zip(cells, found, strict=True)
        for row in odd
    )


def _find_signs(
    cells: Sequence[Sequence[Cell]], lines: Lines, names: Sequence[str] | None, given: Signs
) -> Signs:
    try:
        return find_signs(cells, given)
    except SignConflict as conflict:
        value = str(cells[conflict.column][conflict.row])[:40]
        raise BadInput(
            WRONG_TYPE,
            Place(lines[conflict.row], column_label(names, conflict.column)),
            f": '{value}' can be read in two ways: {conflict}; "
            "features.decimal and features.thousands say how numbers are written",
        ) from None


def first_word(cells: Sequence[Cell]) -> int:
    """The row of the first cell that is no number, of those where most are, and else of the first
    that is anything."""
    odd = [row for row, cell in enumerate(cells) if not is_missing(cell)]
    words = [row for row in odd if not looks_like_number(cells[row])]
    truths = [row for row in odd if str(cells[row]).strip().lower() in TRUTH_WORDS]
    return (words or truths or odd or [0])[0]


def _note_if_unsure(cells: Sequence[Sequence[Cell]], delimiter: str, notes: list[str]) -> None:
    """Note that 1.234 is a little over one, where no cell shows what a point is; between commas
    only where whole numbers such as 654 stand in the same column."""
    if delimiter == ",":
        cells = [column for column in cells if any(map(_is_short_whole, column))]
    pointed = [c.strip() for column in cells for c in column if isinstance(c, str) and "." in c]
    pointed = [cell for cell in pointed if looks_like_number(cell)]
    if pointed and all(re.fullmatch(r"[+-]?[1-9]\d{0,2}\.\d{3}", cell) for cell in pointed):
        notes.append("a point is read as a decimal sign (features.decimal)")


def _is_short_whole(cell: Cell) -> bool:
    return isinstance(cell, str) and re.fullmatch(r"[+-]?[1-9]\d{0,2}", cell.strip()) is not None


def _joined(body: list[Row], layout: Layout) -> tuple[list[Row], Layout]:
    """Rows in which decimal commas part the numbers as the delimiter does: two cells are one."""
    named = layout.width if layout.names is None else len(layout.names)
    if any(isinstance(cell, str) and "," in cell for _, cells in body for cell in cells):
        return body, layout  # quoted
    if layout.names is not None and len(layout.names) == layout.num_named == layout.width:
        return body, layout  # each cell has a name
    for line, cells in body:
        pairs = list(zip(cells[::2], cells[1::2]))
        if len(cells) % 2 or not all(
            re.fullmatch(r"[+-]?\d+", str(whole)) and re.fullmatch(r"\d+", str(part))
            for whole, part in pairs
        ):
            raise BadInput(
                WRONG_SHAPE,
                Place(line),
                ": with decimal commas and commas between the values, '"
                f"{','.join(map(str, cells))[:60]}' cannot be taken apart; save the table with "
                "semicolons",
            )
    joined: list[Row] = [
        (line, [f"{whole},{part}" for whole, part in zip(cells[::2], cells[1::2])])
        for line, cells in body
    ]
    width = len(joined[0][1]) if joined else named
    names = layout.names
    if names is not None and len(names) != width:
        names = names[:width]
    return joined, layout._replace(width=width, names=names, is_number=(True,) * width)


def may_be_halves(delimiter: str, layout: Layout, options: TableOptions) -> bool:
    """Whether two cells beside each other could be one number with a decimal comma: nothing tells
    how many there are in a row."""
    return (
        delimiter == "," and layout.names is None and layout.width > 1
    ) and options.decimal is None


_BARE_EXPONENT = re.compile(r"[0-9]+[eE][0-9]+")
_WHOLE = re.compile(r"[+-]?(?:\d+|[1-9]\d{0,2}(?:\.\d{3})+)")
_DIGITS = re.compile(r"\d+")
_LEADING = re.compile(r"[+-]?[1-9]\d{0,2}")
_FOLLOWING = re.compile(r"\d{3}(\.\d*)?")


def may_be_parts(rows: Sequence[Sequence[Cell]]) -> bool:
    """Whether two columns beside each other could be one of numbers like 1.234,5 or 1,234.5, of
    which the commas were taken for delimiters: every row allows it."""
    width = min(map(len, rows), default=0)
    for left in range(width - 1):
        pairs = [(str(row[left]).strip(), str(row[left + 1]).strip()) for row in rows]
        for before, after in ((_WHOLE, _DIGITS), (_LEADING, _FOLLOWING)):
            if all(before.fullmatch(a) and after.fullmatch(b) for a, b in pairs):
                return True
    return False


def _refuse_split_numbers(body: Sequence[Row]) -> None:
    """Raise where cells begin with a superfluous 0, as the second half of 0,05 does."""
    for line, cells in body:
        for column, cell in islice(enumerate(cells), 1, None):
            if isinstance(cell, str) and re.match(r"-?0\d", cell) and looks_like_number(cell):
                raise BadInput(
                    WRONG_TYPE,
                    Place(line, column),
                    f": '{cell[:40]}' may be the second half of "
                    "a number with a comma; features.decimal says whether ',' or '.' is the "
                    "decimal sign",
                )


def _without_end(body: list[Row], layout: Layout, notes: list[str]) -> list[Row]:
    """Rows without what follows the values: rows that hold nothing, or that sum the others up."""
    num_summaries = 0
    while len(body) > 1:
        cells = body[-1][1]
        if all(cell == "" for cell in cells):
            notes.append("rows at the end that hold nothing are left out")
        elif is_remark(cells, layout.width):
            notes.append(f"the last row '{str(cells[0])[:40]}' is a remark: not a step")
        elif num_summaries < MAX_SUMMARY_ROWS and is_summary(cells, layout.is_number):
            word = next(c for c in cells if is_summary([c], ()))
            notes.append(f"the last row '{str(word).strip()}' sums the others up: not a step")
            num_summaries += 1
        else:
            break
        body = body[:-1]
    notes[:] = dict.fromkeys(notes)
    return body


def _have_gaps(body: Sequence[Row]) -> bool:
    """Whether lines between the rows hold none. A cell of several lines is no gap."""
    if not body or body[-1][0] - body[0][0] == len(body) - 1:
        return False  # as in most tables: each line is a row
    return any(
        after > line + 1 and not any(isinstance(cell, str) and "\n" in cell for cell in cells)
        for (line, cells), (after, _) in pairwise(body)
    )


def _without_repeats(body: list[Row], above: Sequence[Row], notes: list[str]) -> list[Row]:
    """Rows without those that repeat a line above the values, as files that were joined do."""
    heads = {tuple(cells) for _, cells in above if any(map(is_word, cells))}
    if not heads or not any(tuple(cells) in heads for _, cells in body):
        return body
    notes.append("lines that repeat the column names are left out")
    return [row for row in body if tuple(row[1]) not in heads]


def _fitted(row: Row, layout: Layout) -> Row:
    """A row of as many cells as the others. Raises BadInput where it has more or fewer."""
    line, cells = row
    width = layout.width
    if len(cells) == width:
        return row
    if len(cells) == width + 1 and cells[-1] == "":
        return line, cells[:width]
    if any(isinstance(cell, str) and "\n" in cell for cell in cells):
        raise BadInput(
            UNREADABLE,
            Place(line),
            ": a quotation mark that begins a value here is not closed in its line; "
            "remove it from the file",
        )
    of = f"the columns named in line {layout.header_line}" if layout.names else "the other lines"
    names = f"{width}" if layout.names else f"{width} values"
    raise BadInput(
        WRONG_SHAPE,
        Place(line),
        f" has {len(cells)} values, {of} are {names}: '"
        f"{','.join(map(str, cells))[:60]}'; where commas are decimal signs, features.decimal says "
        "so, and features.skip_rows leaves lines at the top out"
        if len(cells) > width
        else f" has {len(cells)} values, {of} are {names}; a value is missing, or the "
        "line was cut off",
    )


def _refuse_beyond_names(
    cells: Sequence[Sequence[Cell]], lines: Sequence[int], layout: Layout
) -> None:
    """Raise where a column has values and the line of names ends before it."""
    if layout.num_named is None:
        return
    for column in range(layout.num_named, len(cells)):
        if column < layout.num_header_cells and "" not in cells[column]:
            continue  # a column without a name
        for row, cell in enumerate(cells[column]):
            if cell != "":
                raise BadInput(
                    WRONG_SHAPE,
                    Place(lines[row]),
                    f" has {layout.width} values, line {layout.header_line} names "
                    f"{layout.num_named} columns: '{str(cell)[:40]}' has no column; where commas "
                    "are decimal signs, features.decimal: ',' says so, features.skip_rows leaves "
                    "lines at the top out",
                )
