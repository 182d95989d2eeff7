"""Where a table's names stand and where its values begin, below titles and units.

Rows of cells come in, from a text or a workbook; what was found is either evident, or said in
``notes``, or refused with the line and the setting that would decide.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from seqbelt.errors import EMPTY, BadInput
from seqbelt.features.arrays.column_names import UNNAMED, distinct_names, joined_name, names_of
from seqbelt.features.arrays.number_cells import (
    Cell,
    as_text,
    is_missing,
    looks_like_number,
)
from seqbelt.features.arrays.number_headers import (
    has_empatica_head,
    is_pandas_header,
    may_be_header,
)
from seqbelt.features.arrays.row_kinds import (
    COMMENT_NAMES,
    RULE,
    UNITS,
    Row,
    are_units,
    could_name,
    extent,
    fits,
    is_count,
    is_values,
    is_word,
    trimmed,
    without_end,
)
from seqbelt.features.arrays.table_refusals import (
    refuse_damaged,
    refuse_misfit,
    refuse_mixed,
    refuse_values_above,
)
from seqbelt.features.arrays.time_columns import is_row_name, is_time_name

MAX_UNITS = 60
"""Letters of a row of units that are shown."""
MAX_COLUMNS = 1 << 16
"""Columns of a table that is read; a step with more values is rather a file whose axes are
turned, or a bomb."""


class TableOptions(NamedTuple):
    """How a table of numbers is written, where the settings say so; None where it is found out."""

    header: bool | None = None
    decimal: str | None = None
    thousands: str | None = None
    skip_rows: int = 0
    sheet: str | None = None


DEFAULT_OPTIONS = TableOptions()


class Layout(NamedTuple):
    """What stands where."""

    first: int
    """Place among the rows of the first with values."""
    width: int
    names: tuple[str, ...] | None
    header_line: int | None
    is_number: tuple[bool, ...]
    """For each column whether it contains numbers, judged by the rows that were inspected."""
    notes: tuple[str, ...]
    names_are_a_comment: bool = False
    num_named: int | None = None
    """Cells in the line of names up to the last name, where there is one."""
    num_header_cells: int = 0
    """The same with the empty ones at its end: what stands beyond them must be empty, and what
    stands below them empty or filled in every row."""
    units: Mapping[str, str] = {}
    """What stands below each name in a row of units."""


def find_layout(rows: Sequence[Row], options: TableOptions, comment: Row | None) -> Layout:
    """The layout of a table that begins with these ``rows``.

    ``comment`` is the row that the last comment above them would be. Raises BadInput where names
    and values cannot be distinguished.
    """
    if not rows:
        raise BadInput(EMPTY, "the table has no rows")
    body = without_end(rows)
    width = _usual_width(body)
    kinds = tuple(_is_number_column(body, column) for column in range(width))
    if options.header is not None:
        return _stated_layout(rows, options.header, width, kinds)
    first = next((n for n, (_, cells) in enumerate(body) if is_values(cells, kinds)), None)
    if first is None:  # no number anywhere
        first = min(1, len(body) - 1)
        if len(body) < 2:
            raise BadInput(EMPTY, "the table has a line of names and no values")
    first = _first_with_gaps(body, first, width)
    refuse_values_above(rows[:first], width, kinds)
    if first:
        return _layout_below_preamble(rows, first, width, kinds, options)
    return _layout_from_first_row(rows, width, kinds, comment)


def _layout_from_first_row(
    rows: Sequence[Row], width: int, kinds: tuple[bool, ...], comment: Row | None
) -> Layout:
    """The layout where the first row holds numbers: values, or a header of numbers."""
    if has_empatica_head(rows):
        note = (
            f"lines {rows[0][0]} and {rows[1][0]} are the start and the rate, as Empatica "
            "writes them: not steps"
        )
        return Layout(2, width, None, None, kinds, (note,))
    line, cells = rows[0]
    if is_pandas_header(cells, rows[1:], line):
        has_index = len(cells) > 1 and cells[0] == ""
        if cells[-1] == "" and not fits(cells, width):
            refuse_misfit(rows[1:], line, len(trimmed(cells)), width)
        note = f"line {line} is a header of numbers, as pandas writes: not a step"
        names = (f"{UNNAMED}0", *names_of(cells, width)[1:]) if has_index else None
        return Layout(1, width, names, line, kinds, (note,), False, *extent(cells))
    notes: tuple[str, ...] = ()
    if [*map(as_text, trimmed(cells))] == ["0"]:  # also before a trailing delimiter
        notes += (f"line {line}, '0', is a value and no header (features.header)",)
    elif may_be_header(cells, rows[1:]):
        notes += (
            f"line {line}, of whole numbers above others with a point, is read as values "
            "(features.header)",
        )
    if comment is not None and could_name(comment[1], width):
        notes += (f"column names are taken from line {comment[0]}, a comment",)
        names = names_of(comment[1], width)
        return Layout(0, width, names, comment[0], kinds, notes, True)
    return Layout(0, width, None, None, kinds, notes)


def _layout_below_preamble(
    rows: Sequence[Row], first: int, width: int, kinds: tuple[bool, ...], options: TableOptions
) -> Layout:
    """The layout where lines that hold no values stand above those that do."""
    above, notes = list(rows[:first]), list[str]()
    line, cells = above[-1]
    if str(cells[-1]).strip().lower() in COMMENT_NAMES and len(cells) == width + 1:
        above[-1] = line, cells[:width]  # LabVIEW names a column of remarks that its rows lack
    while above and all(cell == "" for cell in above[-1][1]):
        above.pop()
    if len(above) < first:
        notes.append("rows above the values that hold nothing are left out")
    if not above:
        return Layout(first, width, None, None, kinds, tuple(notes))
    units = _pop_units(above, width, notes)
    line, cells = above.pop()
    filled = [cell for cell in cells if cell != ""]
    ends_a_name = 1 < len(cells) == width - 1 and cells[-1] == ""
    if len(filled) <= 1 < width and not fits(cells, width) and not ends_a_name:  # a title
        notes.append("lines above the values are left out as titles")
        return Layout(first, width, None, None, kinds, tuple(notes))
    index_name = None
    is_index = 1 < len(cells) == width and cells[0] != "" and filled == [cells[0]]
    if above and is_index and fits(above[-1][1], width):
        index_name = as_text(cells[0])  # pandas names its index below the columns' names
        line, cells = above.pop()
    refuse_mixed(line, cells, kinds)
    if fits(cells, width):
        refuse_damaged(line, cells, any(fits(upper, width) for _, upper in above))
    elif options.decimal == "," and width == 2 * len(trimmed(cells)):
        return _layout_of_halves(above, (line, cells), first, width, kinds, notes)
    else:
        refuse_misfit(rows[first:], line, len(trimmed(cells)), width)
    if len(cells) == width - 1 and _begins_with_row_numbers(cells[0], rows[first:]):
        notes.append(
            f"line {line} names one column fewer than there are: the first numbers the rows, as R "
            "writes them"
        )
        cells = ["", *cells]
    names = names_of(cells, width)
    while len(set(names)) < len(names) and above and fits(above[-1][1], width):
        line, upper = above.pop()
        names = tuple(map(joined_name, names_of(upper, width, fill=True), names))
        notes.append("column names in several lines are joined")
    if index_name is not None:
        names = (index_name, *names[1:])
    if above:
        notes.append("lines above the column names are left out as titles")
    return _named_layout(first, names, (line, cells), units, kinds, notes)


def _pop_units(above: list[Row], width: int, notes: list[str]) -> Sequence[Cell]:
    """Remove rows of units from below the names; returns the cells of the upper one."""
    units: Sequence[Cell] = ()
    while len(above) > 1:
        (_, upper), (line, cells) = above[-2:]
        # One cell above several is a title, though it would do for names without the rows' own.
        is_title = len(upper) == 1 < len(cells)
        if is_title or not (fits(cells, width) and fits(upper, width) and are_units(cells)):
            break
        notes.append(_describe_units(line, cells))
        units = cells
        above.pop()
    return units


def _layout_of_halves(
    above: list[Row],
    head: Row,
    first: int,
    width: int,
    kinds: tuple[bool, ...],
    notes: list[str],
) -> Layout:
    """The layout where commas both separate the numbers and are in them: a name for two cells."""
    line, cells = head
    found = len(trimmed(cells))
    if above and len(trimmed(above[-1][1])) == found and are_units(cells):
        notes.append(_describe_units(line, cells))
        line, cells = above.pop()
    names = distinct_names(names_of(cells, found))
    return Layout(first, width, names, line, kinds, tuple(notes), False, width, width)


def _stated_layout(
    rows: Sequence[Row], header: bool, width: int, kinds: tuple[bool, ...]
) -> Layout:
    """The layout where ``features.header`` states whether the first line names the columns."""
    if not header:
        return Layout(0, width, None, None, kinds, ())
    line, cells = rows[0]
    if not fits(cells, width) and len(rows) > 1:
        refuse_misfit(rows[1:], line, len(trimmed(cells)), width)
    if len(rows) < 2:
        raise BadInput(EMPTY, "the table has a line of names and no values")
    first, notes = 1, list[str]()
    units: Sequence[Cell] = ()
    if len(rows) > 2 and fits(rows[1][1], width) and are_units(rows[1][1]):
        notes.append(_describe_units(*rows[1]))
        first, units = 2, rows[1][1]
    return _named_layout(first, names_of(cells, width), rows[0], units, kinds, notes)


def _named_layout(
    first: int,
    names: Sequence[str],
    head: Row,
    units: Sequence[Cell],
    kinds: tuple[bool, ...],
    notes: Sequence[str],
) -> Layout:
    """The layout with a name for each column, from the row ``head``, and perhaps its unit."""
    names, (line, cells) = distinct_names(names), head
    below = {name: str(unit) for name, unit in zip(names, units)}
    stated = tuple(dict.fromkeys(notes))
    return Layout(first, len(kinds), names, line, kinds, stated, False, *extent(cells), below)


def _usual_width(rows: Sequence[Row]) -> int:
    """The number of cells that most rows have, of those with numbers where there are some."""
    counted = [cells for _, cells in rows if not any(is_word(cell) for cell in cells)]
    if len(counted) * 3 < len(rows):
        counted = [cells for _, cells in rows[-max(1, len(rows) // 2) :]]
    most = Counter(map(len, counted)).most_common()
    tied = {width for width, number in most if number == most[0][1]}
    named = {len(cells) for _, cells in rows if all(is_word(cell) for cell in cells)}
    return max(tied & named or tied)


def _is_number_column(rows: Sequence[Row], column: int) -> bool:
    """Whether the last third of the rows, or the last that hold anything, have numbers there."""
    cells = [cells[column] for _, cells in rows if column < len(cells)]
    cells = [cell for cell in cells if not is_missing(cell)][-max(1, len(rows) // 3) :]
    return bool(cells) and 2 * sum(map(looks_like_number, cells)) >= len(cells)


def _first_with_gaps(rows: Sequence[Row], first: int, width: int) -> int:
    """The first row of values, where those above it hold nothing but words for missing ones."""
    while first and len(cells := rows[first - 1][1]) == width and all(map(is_missing, cells)):
        words = {str(cell).strip().lower() for cell in cells} - {""}
        below = (str(cell).strip().lower() for _, row in rows[first:] for cell in row)
        # A dash may be the unit of what has none, and dashes a line below the names.
        are_no_values = words <= UNITS or all(map(RULE.fullmatch, words))
        if not words or (are_no_values and words.isdisjoint(below)):
            break
        first -= 1
    return first


def _describe_units(line: int, cells: Sequence[Cell]) -> str:
    units = ", ".join(str(cell) for cell in cells)[:MAX_UNITS]
    is_rule = any(RULE.fullmatch(str(cell)) for cell in cells)
    what = "drawn below the names" if is_rule else f"a row of units, '{units}'"
    return f"line {line} is {what}: not a step"


def _begins_with_row_numbers(name: Cell, rows: Sequence[Row]) -> bool:
    """Whether the first cells are 0, 1, 2, … or 1, 2, 3, …, no comma can be a decimal sign, and the
    first ``name`` is not theirs: that of a time or of a number of the rows."""
    if is_time_name(as_text(name), weak=True) or is_row_name(as_text(name)):
        return False
    has_points = any("." in str(cell) for _, cells in rows for cell in cells)
    return has_points and is_count([as_text(cells[0]) for _, cells in rows])
