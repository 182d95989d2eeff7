"""Where a table's names stand and where its numbers begin: titles, names, units, rows, a sum.

Rows of cells come in, from a text or a workbook; what was found is either evident, or said in
``notes``, or refused with the line and the setting that would decide.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from seqbelt.errors import EMPTY, WRONG_SHAPE, WRONG_TYPE, BadInput
from seqbelt.features.arrays.column_names import UNNAMED, distinct_names, joined_name, names_of
from seqbelt.features.arrays.number_cells import (
    Cell,
    as_text,
    is_missing,
    looks_like_number,
    resembles_value,
)
from seqbelt.features.arrays.time_columns import is_row_name, is_time_name, looks_like_time
from seqbelt.words import count_of

_SUMMARY_WORDS = """
sum sums total totals subtotal mean average avg median min max minimum maximum std stdev stddev sd
variance var count summe gesamt mittelwert mittel durchschnitt anzahl somme moyenne suma promedio
media somma 합계 총계 소계 총합 평균 최대 최소 최댓값 최솟값 표준편차 개수 합 계 合計 平均 最大
最小 总计 合计 平均值 итого сумма среднее
"""
_UNITS = """
g mg kg m mm cm km s ms us µs μs ns min h hz khz v mv µv uv a ma µa n kn nm n·m pa kpa mpa hpa bar
mbar c °c ℃ f °f k deg ° degree degrees rad grad % ppm db dba t mt ut µt μt gauss w kw j lx lux bpm
rpm l ml px count counts raw cal a.u. au arb - n/a -/- m/s m/s2 m/s^2 m/s² m/s*s rad/s deg/s °/s dps
km/h g/l mg/dl 1/s 1 ohm kohm ω
second seconds volt volts ampere amperes celsius kelvin pascal newton meter metre ts rn smp avg tot
"""
COMMENT_NAMES = frozenset(("comment", "comments", "remark", "remarks"))
SUMMARY_WORDS = frozenset(_SUMMARY_WORDS.split()) | {
    "grand total",
    "std dev",
    "std. dev.",
    "standard deviation",
}
"""What stands in the rows that a program adds below the values, in lower case."""
UNITS = frozenset(_UNITS.split()) | {"deg c", "deg f"}
_BRACKETED = re.compile(r"[\[({<].*[\])}>]")
_TIME_FORMAT = re.compile(r"(?=.*(?:yy|hh))[ymdhsft0/:. -]{4,30}")
RULE = re.compile(r":?(?:-{3,}|={3,}|_{3,}):?|:-+:?|-+:")
"""Drawn below names: ``---``, and in Markdown ``:--:``."""
_QUOTIENT = re.compile(r"[^\s\d]{1,6}[/·*^²³][^\s]{1,6}")
MAX_SUMMARY_ROWS = 12
MAX_HEAD_LINES = 3
"""Lines between which and the names of a second table values stand."""
MAX_NAME = 40
"""Letters of a column's name within a table."""
MAX_UNITS = 60
"""Letters of a row of units that are shown."""
EMPATICA_RATES = (1.0, 4.0, 32.0, 64.0)
"""In Hz: of heart rate, skin and temperature, acceleration, pulse."""
UNIX_TIME = 9e8
"""In seconds; larger values may be times since 1998."""
MAX_COLUMNS = 1 << 16
"""Columns of a table that is read; a step with more values is rather a file whose axes are
turned, or a bomb."""
Row = tuple[int, Sequence[Cell]]
"""A line's number, from 1, and its cells."""


class TableOptions(NamedTuple):
    """How a table of numbers is written, where the settings say so; None where it is found out."""

    header: bool | None = None
    decimal: str | None = None
    thousands: str | None = None
    skip_rows: int = 0
    sheet: str | None = None


NOTHING_TOLD = TableOptions()


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


def is_word(cell: Cell) -> bool:
    """Whether a cell is neither empty nor a number nor a time."""
    return not (is_missing(cell) or looks_like_number(cell) or looks_like_time(cell))


def is_number(cell: Cell) -> bool:
    """Whether a cell is a number and no missing value."""
    return not is_missing(cell) and looks_like_number(cell)


def is_summary(cells: Sequence[Cell], is_number_column: Sequence[bool]) -> bool:
    """Whether a row sums the others up: it says so where they have numbers, or in its first
    cell."""
    return any(
        isinstance(cell, str) and cell.strip().lower().rstrip(":") in SUMMARY_WORDS
        for column, cell in enumerate(cells)
        if column == 0 or (column < len(is_number_column) and is_number_column[column])
    )


def is_remark(cells: Sequence[Cell], width: int) -> bool:
    """Whether a row of a table of ``width`` columns is one remark, such as "100 rows" or "End"."""
    filled = [cell for cell in cells if cell != ""]
    if len(filled) != 1 or width < 2 or not is_word(cells[0]) or resembles_value(cells[0]):
        return False
    return len(cells) < width or bool(re.search(r"\w\W+\w|:$", str(cells[0])))


def without_end(rows: Sequence[Row]) -> Sequence[Row]:
    """Rows without those at the end that hold nothing or a remark, or that sum the others up."""
    stop = len(rows)
    width = max((len(cells) for _, cells in rows), default=0)
    while stop > 1 and (
        all(cell == "" for cell in rows[stop - 1][1])
        or is_summary(rows[stop - 1][1], ())
        or is_remark(rows[stop - 1][1], width)
    ):
        stop -= 1
    return rows[:stop]


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
        return _told(rows, options.header, width, kinds)
    first = next((n for n, (_, cells) in enumerate(body) if _is_values(cells, kinds)), None)
    if first is None:  # no number anywhere
        first = min(1, len(body) - 1)
        if len(body) < 2:
            raise BadInput(EMPTY, "the table has a line of names and no values")
    first = _first_with_gaps(body, first, width)
    preamble, notes = list(rows[:first]), list[str]()
    for line, cells in preamble:
        if not any(is_word(cell) for cell in cells) and any(is_number(cell) for cell in cells):
            if _is_count(cells) or _is_count(cells[1:]):
                continue
            if len(cells) == width:
                _refuse_time(line, cells, kinds)
            raise BadInput(
                WRONG_SHAPE,
                f"line {line} has {count_of(len(cells), 'value')}, the lines below it "
                f"have {width}; features.skip_rows leaves lines at the top out",
            )
    if not preamble:
        if _has_empatica_head(rows):
            notes.append(
                f"lines {rows[0][0]} and {rows[1][0]} are the start and the rate, as Empatica "
                "writes them: not steps"
            )
            return Layout(2, width, None, None, kinds, tuple(notes))
        first_line, cells = rows[0]
        if _is_pandas_header(cells, rows[1:], kinds, first_line):
            has_index = len(cells) > 1 and cells[0] == ""
            if cells[-1] == "" and not _fits(cells, width):
                _refuse_misfit(rows[1:], first_line, len(_trimmed(cells)), width)
            notes.append(f"line {first_line} is a header of numbers, as pandas writes: not a step")
            names = (f"{UNNAMED}0", *names_of(cells, width)[1:]) if has_index else None
            extent = _extent(cells)
            return Layout(1, width, names, first_line, kinds, tuple(notes), False, *extent)
        if [*map(as_text, _trimmed(cells))] == ["0"]:  # also before a trailing delimiter
            notes.append(f"line {first_line}, '0', is a value and no header (features.header)")
        elif _may_be_header(cells, rows[1:]):
            notes.append(
                f"line {first_line}, of whole numbers above others with a point, is read as values "
                "(features.header)"
            )
        if comment is not None and _could_name(comment[1], width):
            notes.append(f"column names are taken from line {comment[0]}, a comment")
            names = names_of(comment[1], width)
            return Layout(0, width, names, comment[0], kinds, tuple(notes), True)
        return Layout(0, width, None, None, kinds, tuple(notes))
    return _below_preamble(rows, first, width, kinds, options)


def refuse_second_table(rows: Sequence[Row], is_number_column: Sequence[bool]) -> None:
    """Raise for rows of values among which a line names other columns, as where a second table
    stands below the first."""
    heads = ((n, line, cells) for n, (line, cells) in enumerate(rows) if _are_names(cells))
    for place, line, cells in heads if any(is_number_column) else ():
        below = rows[place + 1 : place + 1 + MAX_HEAD_LINES]
        if place and any(len(one) == len(cells) and any(map(is_number, one)) for _, one in below):
            raise BadInput(
                WRONG_SHAPE,
                f"line {line}: '{', '.join(map(str, cells))[:60]}' names columns anew below "
                "values: a second table; save it as a file of its own, or leave out the lines "
                "above it by features.skip_rows",
            )


def _are_names(cells: Sequence[Cell]) -> bool:
    return len(cells) > 1 and all(
        is_word(cell)
        and not resembles_value(cell)
        and len(str(cell)) <= MAX_NAME
        and any(map(str.isalnum, str(cell)))
        for cell in cells
    )


def _below_preamble(
    rows: Sequence[Row], first: int, width: int, kinds: tuple[bool, ...], options: TableOptions
) -> Layout:
    """The layout where lines that hold no values stand above those that do."""
    notes: list[str] = []
    preamble = list(rows[:first])
    line, cells = preamble.pop()
    if str(cells[-1]).strip().lower() in COMMENT_NAMES and len(cells) == width + 1:
        cells = cells[:width]  # LabVIEW names a column of remarks that its rows do not have
    while all(cell == "" for cell in cells):
        notes.append("rows above the values that hold nothing are left out")
        if not preamble:
            return Layout(first, width, None, None, kinds, tuple(dict.fromkeys(notes)))
        line, cells = preamble.pop()
    units: Sequence[Cell] = ()
    while (
        preamble
        and _fits(cells, width)
        and _fits(preamble[-1][1], width)
        # One cell above several is a title, though it would do for names without the rows' own.
        and (len(preamble[-1][1]) >= len(cells) or len(preamble[-1][1]) > 1)
        and _are_units(cells)
    ):
        notes.append(_say_units(line, cells))
        units = cells
        line, cells = preamble.pop()
    filled = [cell for cell in cells if cell != ""]
    ends_a_name = 1 < len(cells) == width - 1 and cells[-1] == ""
    if len(filled) <= 1 < width and not _fits(cells, width) and not ends_a_name:  # a title
        notes.append("lines above the values are left out as titles")
        return Layout(first, width, None, None, kinds, tuple(notes))
    index_name = None
    is_index = 1 < len(cells) == width and cells[0] != "" and filled == [cells[0]]
    if preamble and is_index and _fits(preamble[-1][1], width):
        index_name = as_text(cells[0])  # pandas names its index below the columns' names
        line, cells = preamble.pop()
    _refuse_mixed(line, cells, kinds)
    if _fits(cells, width):
        _refuse_damaged(line, cells, any(_fits(above, width) for _, above in preamble))
    else:
        found = len(_trimmed(cells))
        if options.decimal == "," and width == 2 * found:  # commas part them and are in them
            if preamble and len(_trimmed(preamble[-1][1])) == found and _are_units(cells):
                notes.append(_say_units(line, cells))
                line, cells = preamble.pop()
            names = distinct_names(names_of(cells, found))
            return Layout(first, width, names, line, kinds, tuple(notes), False, width, width)
        _refuse_misfit(rows[first:], line, found, width)
    if len(cells) == width - 1 and _begins_with_row_numbers(cells[0], rows[first:]):
        notes.append(
            f"line {line} names one column fewer than there are: the first numbers the rows, as R "
            "writes them"
        )
        cells = ["", *cells]
    names = names_of(cells, width)
    while len(set(names)) < len(names) and preamble and _fits(preamble[-1][1], width):
        line, upper = preamble.pop()
        names = tuple(map(joined_name, names_of(upper, width, fill=True), names))
        notes.append("column names in several lines are joined")
    if index_name is not None:
        names = (index_name, *names[1:])
    if preamble:
        notes.append("lines above the column names are left out as titles")
    names, said = distinct_names(names), tuple(dict.fromkeys(notes))
    below = {name: str(unit) for name, unit in zip(names, units)}
    return Layout(first, width, names, line, kinds, said, False, *_extent(cells), below)


def _told(rows: Sequence[Row], header: bool, width: int, kinds: tuple[bool, ...]) -> Layout:
    """The layout where ``features.header`` states whether the first line names the columns."""
    if not header:
        return Layout(0, width, None, None, kinds, ())
    line, cells = rows[0]
    if not _fits(cells, width) and len(rows) > 1:
        _refuse_misfit(rows[1:], line, len(_trimmed(cells)), width)
    if len(rows) < 2:
        raise BadInput(EMPTY, "the table has a line of names and no values")
    first, notes = 1, list[str]()
    units: Sequence[Cell] = ()
    if len(rows) > 2 and _fits(rows[1][1], width) and _are_units(rows[1][1]):
        notes.append(_say_units(*rows[1]))
        first, units = 2, rows[1][1]
    names = distinct_names(names_of(cells, width))
    below = {name: str(unit) for name, unit in zip(names, units)}
    return Layout(first, width, names, line, kinds, tuple(notes), False, *_extent(cells), below)


def _refuse_misfit(rows: Sequence[Row], line: int, named: int, width: int) -> NoReturn:
    """Raise for the first row that has not as many cells as the line above has names."""
    wrong, cells = next((row for row in rows if len(row[1]) != named), rows[0])
    raise BadInput(
        WRONG_SHAPE,
        f"line {wrong} has {count_of(len(cells), 'value')}, line {line} names {named} columns; "
        f"{_comma_hint(named, width)}features.skip_rows leaves lines at the top out",
    )


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


def _is_values(cells: Sequence[Cell], kinds: Sequence[bool]) -> bool:
    """Whether a row has numbers where the others have them, and no words there."""
    numbers = [cell for cell, is_one in zip(cells, kinds) if is_one]
    return (
        len(cells) >= len(kinds) - 1
        and any(is_number(cell) for cell in numbers)
        and not any(is_word(cell) or looks_like_time(cell) for cell in numbers)
    )


def _first_with_gaps(rows: Sequence[Row], first: int, width: int) -> int:
    """The first row of values, where those above it hold nothing but words for missing ones."""
    while first and len(cells := rows[first - 1][1]) == width and all(map(is_missing, cells)):
        words = {str(cell).strip().lower() for cell in cells} - {""}
        below = (str(cell).strip().lower() for _, one in rows[first:] for cell in one)
        # A dash may be the unit of what has none, and dashes a line below the names.
        are_no_values = words <= UNITS or all(map(RULE.fullmatch, words))
        if not words or (are_no_values and words.isdisjoint(below)):
            break
        first -= 1
    return first


def _is_count(cells: Sequence[Cell]) -> bool:
    """Whether cells are 0, 1, 2, … or 1, 2, 3, …, as numbers of columns are."""
    return len(cells) > 1 and any(
        [*map(as_text, cells)] == [str(number) for number in range(start, start + len(cells))]
        for start in (0, 1)
    )


def _is_pandas_header(
    cells: Sequence[Cell], below: Sequence[Row], kinds: Sequence[bool], line: int
) -> bool:
    """Whether the first row is a header of numbers, as pandas writes for columns without names."""
    has_index = len(cells) > 1 and cells[0] == ""
    numbers = [*map(as_text, _trimmed(cells[1:] if has_index else cells))]
    if not below or not (_is_count(numbers) or numbers == ["0"]):
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
        f"line {line}: '{', '.join(numbers)[:40]}' may be pandas' header of numbers or the first "
        "values; features.header: true or false decides",
    )


def _may_be_header(cells: Sequence[Cell], below: Sequence[Row]) -> bool:
    """Whether the first row could name columns by years or frequencies: several whole numbers, each
    once, above others that all are written with a point."""
    values = [cell for _, row in below for cell in row if not is_missing(cell)]
    return (
        len(cells) > 1
        and len(set(cells)) == len(cells)
        and all(re.fullmatch(r"\d+", as_text(cell)) for cell in cells)
        and bool(values)
        and all(re.search("[.,eE]", as_text(cell)) for cell in values)
    )


def _has_empatica_head(rows: Sequence[Row]) -> bool:
    """Whether the first row is a Unix time and the second a rate, the same in each column."""
    heads = [{*map(as_text, cells)} for _, cells in rows[:2]]
    if len(rows) < 3 or any(len(one) != 1 or not is_number(*one) for one in heads):
        return False
    try:
        (start,), (rate,) = ([*map(float, one)] for one in heads)
        others = [float(cell) for _, cells in rows[2:] for cell in cells]
    except ValueError:
        return False
    return rate in EMPATICA_RATES and start > UNIX_TIME > 10 * max(map(abs, others), default=0)


def _have_one_format(cells: Sequence[Cell]) -> bool:
    """Whether cells are numbers with as many decimals each, so that a bare 0 is none of them."""
    decimals = [re.fullmatch(r"[+-]?\d+[.,](\d+)([eE].*)?", str(cell)) for cell in cells]
    return len({len(found[1]) if found else 0 for found in decimals}) == 1 and all(decimals)


def _could_name(cells: Sequence[Cell], width: int) -> bool:
    """Whether a comment above the values can only be their columns' names."""
    return (
        width > 1
        and len(cells) == width
        and len(set(cells)) == width
        and all(is_word(cell) and len(str(cell)) <= MAX_NAME for cell in cells)
    )


def _are_units(cells: Sequence[Cell]) -> bool:
    filled = [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()]
    if len(filled) < sum(cell != "" for cell in cells) or any(map(resembles_value, filled)):
        return False
    return bool(filled) and all(
        _BRACKETED.fullmatch(cell)
        or RULE.fullmatch(cell)
        or cell.lower() in UNITS
        or _QUOTIENT.fullmatch(cell)
        or _TIME_FORMAT.fullmatch(cell.lower())
        for cell in filled
    )


def _say_units(line: int, cells: Sequence[Cell]) -> str:
    units = ", ".join(str(cell) for cell in cells)[:MAX_UNITS]
    is_rule = any(RULE.fullmatch(str(cell)) for cell in cells)
    what = "drawn below the names" if is_rule else f"a row of units, '{units}'"
    return f"line {line} is {what}: not a step"


def _refuse_mixed(line: int, cells: Sequence[Cell], kinds: Sequence[bool]) -> None:
    """Raise for a line that is half names and half values; names that count are names."""
    numbers = [cell for cell, is_one in zip(cells, kinds) if is_one and is_number(cell)]
    if not numbers or _is_count(numbers):
        return
    column, word = next((n, cell) for n, cell in enumerate(cells) if is_word(cell))
    raise BadInput(
        WRONG_TYPE,
        f"line {line}, column {column}: '{str(word)[:40]}' is not a number, and '{numbers[0]}' "
        "beside it is not a name; features.header says whether this line names the columns, "
        "features.skip_rows leaves lines at the top out",
    )


def _refuse_time(line: int, cells: Sequence[Cell], kinds: Sequence[bool]) -> None:
    """Raise for a date or a time in a column of numbers."""
    for column, (cell, is_one) in enumerate(zip(cells, kinds, strict=True)):
        if is_one and looks_like_time(cell):
            raise BadInput(
                WRONG_TYPE,
                f"line {line}, column {column}: '{str(cell)[:40]}' is a date or a time, and the "
                "others of its column are numbers",
            )


def _refuse_damaged(line: int, cells: Sequence[Cell], is_named_above: bool) -> None:
    """Raise for a line that would do for names and rather holds values, such as (1.5) or Over."""
    filled = [cell for cell in cells if cell != ""]
    values = [*filter(resembles_value, filled)]
    numbers = ["".join(filter(str.isdigit, str(cell))) for cell in values]
    if not values or _is_count(numbers) or not (is_named_above or len(values) == len(filled)):
        return
    column = cells.index(values[0])
    raise BadInput(
        WRONG_TYPE,
        f"line {line}, column {column}: '{str(values[0])[:40]}' is not a number; where the line "
        "names the columns, features.skip_rows leaves the lines above it out and features.header: "
        "true takes it as names",
    )


def _trimmed(cells: Sequence[Cell]) -> Sequence[Cell]:
    """Cells without the empty ones at the end."""
    stop = len(cells)
    while stop and cells[stop - 1] == "":
        stop -= 1
    return cells[:stop]


def _extent(cells: Sequence[Cell]) -> tuple[int, int]:
    return len(_trimmed(cells)), len(cells)


def _fits(cells: Sequence[Cell], width: int) -> bool:
    """Whether a line can name ``width`` columns: as many cells, but for an empty one at the end."""
    return (
        len(cells) == width
        or (len(cells) > width and len(_trimmed(cells)) <= width)
        or (len(cells) == width - 1 and width > 1 and cells[-1] != "")
    )


def _begins_with_row_numbers(name: Cell, rows: Sequence[Row]) -> bool:
    """Whether the first cells are 0, 1, 2, … or 1, 2, 3, …, no comma can be a decimal sign, and the
    first ``name`` is not theirs: that of a time or of a number of the rows."""
    if is_time_name(as_text(name), weak=True) or is_row_name(as_text(name)):
        return False
    has_points = any("." in str(cell) for _, cells in rows for cell in cells)
    return has_points and _is_count([as_text(cells[0]) for _, cells in rows])


def _comma_hint(names: int, width: int) -> str:
    if width <= names:
        return ""
    return (
        "where commas are decimal signs, features.decimal: ',' says so; where they separate "
        "thousands, save the table with another delimiter; "
    )
