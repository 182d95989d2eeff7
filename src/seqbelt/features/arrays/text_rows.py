"""Lines of a text as rows of cells: comments, quotes, and the delimiter of the first rows."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from seqbelt.errors import EMPTY, TOO_LONG, UNREADABLE, WRONG_TYPE, BadInput, Place
from seqbelt.features.arrays.number_cells import ERROR_WORDS, Cell
from seqbelt.features.arrays.row_kinds import Row, is_number, is_word
from seqbelt.features.arrays.spelled_numbers import has_unit
from seqbelt.features.arrays.table_layout import MAX_COLUMNS, TableOptions

HEAD_CHARACTERS = 1 << 16
DELIMITERS = "\t;|,"
NO_DELIMITER = "\x1f"
"""What no table holds: a line is one cell."""
COMMENT = "#"
MARK = "\ufeff"
"""Of the order of bytes."""
_SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_TOO_NARROW = re.compile(r"##+[\t;|,]")


class UnclosedQuote(BadInput):
    """A quotation mark would swallow lines of numbers."""


class Head(NamedTuple):
    """The beginning of a table."""

    rows: list[Row]
    starts: dict[int, int]
    """Where each row's line begins, in characters, by the line's number."""
    delimiter: str
    """A space stands for any number of blanks."""
    comment: Row | None
    """The last comment above the rows, as a row of cells."""


def is_comment(line: str) -> bool:
    """Whether a line is a remark: it begins with # and neither with a spreadsheet's error word nor
    with a cell of ####, as of a column that was too narrow."""
    if not line.startswith(COMMENT) or _TOO_NARROW.match(line):
        return False
    first = re.split(r"[\t;|,\s]", line, maxsplit=1)[0].lower()
    return first not in ERROR_WORDS


def numbered_lines(text: str, skip_rows: int) -> Iterator[tuple[int, str]]:
    """Numbered lines with their ends, without those that are left out at the top."""
    for number, line in enumerate(io.StringIO(text, newline=""), start=1):
        if number > skip_rows:
            yield number, line


def split_rows(lines: Iterator[tuple[int, str]], delimiter: str) -> Iterator[Row]:
    """Rows of cells out of numbered lines; comments and empty lines are none.

    A quoted cell may hold delimiters and line ends; a row has the number of its first line.
    """
    started: list[int] = []

    def feed() -> Iterator[str]:
        for number, line in lines:
            line = line.lstrip(MARK)  # where files with one were joined
            if not started and (is_comment(line) or not line.strip()):
                continue
            started.append(number)
            yield line.strip().replace("\t", " ") + "\n" if delimiter == " " else line

    reader = csv.reader(feed(), delimiter=delimiter, skipinitialspace=True)
    try:
        for cells in reader:
            line, num_lines, started[:] = started[0], len(started), []
            _refuse_width(line, len(cells))
            row = [cell.strip() for cell in cells]
            if num_lines > 1 and any(map(is_number, row)):
                raise UnclosedQuote(
                    UNREADABLE,
                    Place(line),
                    ": a quotation mark that begins a value here is not closed in its "
                    "line, so the lines below it would be lost; remove it from the file",
                )
            yield line, row
    except csv.Error as error:
        raise BadInput(UNREADABLE, Place(started[0] if started else 1), f": {error}") from None


def _refuse_width(line: int, num_cells: int) -> None:
    if num_cells > MAX_COLUMNS:
        raise BadInput(
            TOO_LONG, Place(line), f" has {num_cells} columns; at most {MAX_COLUMNS} are read"
        )


def text_rows(text: str, delimiter: str, skip_rows: int) -> Iterator[Row]:
    """All rows of a text, without a line that names the delimiter."""
    for row in split_rows(numbered_lines(text, skip_rows), delimiter):
        if len(row[1]) == 1 and _SEPARATOR_LINE.fullmatch(str(row[1][0])):
            continue
        if row[1][:1] and str(row[1][0]).lower() == "sep=" and not any(row[1][1:]):
            continue
        yield row


def read_first_rows(text: str, options: TableOptions, max_rows: int) -> Head:
    """The first rows, and the delimiter that makes most of them rows of numbers."""
    size = HEAD_CHARACTERS
    while True:
        beginning = _first_lines(text, size, options.skip_rows, max_rows)
        if beginning.is_whole or len(beginning.lines) > 2:
            break
        size *= 4  # very wide
    lines, comment_line = beginning.lines, beginning.comment
    if not lines:
        why = f"line {comment_line[0]} is a comment, and no row follows" if comment_line else ""
        raise BadInput(EMPTY, why or "the table has no rows")
    for number, line in lines:
        _refuse_width(number, 1 + max(line.count(sign) for sign in f"{DELIMITERS} "))
    delimiter = beginning.separator or _find_delimiter(lines, options)
    rows = list(split_rows(iter(lines), delimiter))
    comment = None
    if comment_line is not None and delimiter != " ":
        number, line = comment_line
        cells = next(split_rows(iter([(number, line[1:])]), delimiter), (0, []))[1]
        comment = (number, cells)
        if line[1:2] == delimiter:  # a column is called #
            comment = (number, [COMMENT, *cells[1:]])
    if not beginning.is_whole and len(rows) > 1:
        rows.pop()  # a quoted cell of it may go on
    return Head(rows, beginning.starts, delimiter, comment)


class _Beginning(NamedTuple):
    """Whole lines at the beginning of a text."""

    lines: list[tuple[int, str]]
    starts: dict[int, int]
    """Where each line begins, in characters, by its number."""
    separator: str | None
    """The delimiter that a first line names."""
    comment: tuple[int, str] | None
    """The last comment above the lines."""
    is_whole: bool
    """Whether these are all lines."""


def _first_lines(text: str, size: int, skip_rows: int, max_rows: int) -> _Beginning:
    """The lines in the first ``size`` characters, at most ``max_rows``."""
    lines: list[tuple[int, str]] = []
    starts: dict[int, int] = {}
    separator = comment = None
    start, is_whole = 0, len(text) <= size
    for number, line in enumerate(io.StringIO(text[:size], newline=""), start=1):
        begins, start = start, start + len(line)
        if start == size and not is_whole:
            break  # it may be cut
        if number <= skip_rows or not line.strip():
            continue
        if not lines and (found := _SEPARATOR_LINE.fullmatch(line)):
            separator = found[1]
        elif is_comment(line):
            comment = comment if lines else (number, line)
        else:
            starts[number] = begins
            lines.append((number, line))
            if len(lines) == max_rows and start < len(text):
                return _Beginning(lines, starts, separator, comment, False)
    return _Beginning(lines, starts, separator, comment, is_whole)


def _find_delimiter(lines: Sequence[tuple[int, str]], options: TableOptions) -> str:
    """The delimiter by which most cells are numbers, and rows alike."""
    best, best_score, best_widths = " ", -1.0, [1]
    unclosed, tabbed, has_whole_cells = None, 1, False
    for delimiter in (*DELIMITERS, " "):
        try:
            rows = [cells for _, cells in split_rows(iter(lines), delimiter)]
        except UnclosedQuote as error:
            unclosed = unclosed or error
            continue
        except BadInput:
            continue
        tail = rows[-max(1, 2 * len(rows) // 3) :]
        widths = [len(cells) for cells in tail]
        usual = _most_frequent(widths)
        if usual < 2 and delimiter != " ":
            continue
        cells = [cell for row in tail for cell in row]
        if delimiter == "\t":
            tabbed = _most_frequent([len(cells) for cells in rows])
            has_whole_cells = _has_whole_cells(cells)
        elif (delimiter, best) == (" ", "\t") and (usual == tabbed or has_whole_cells):
            continue  # two tabs with nothing between them would be one blank
        useful = sum(not is_word(cell) or has_unit(cell) for cell in cells)
        score = useful / max(1, len(cells)) * widths.count(usual) / len(widths)
        # Tables without numbers: whatever parts their lines alike.
        score += 1e-3 * (usual > 1)
        if score > best_score + 1e-9:
            best, best_score, best_widths = delimiter, score, widths
    if best != " ":
        return best
    if unclosed is not None:
        raise unclosed
    if max(best_widths) == 1 and (found := _delimiter_of_names(lines)) is not None:
        return found
    return " " if _blanks_separate(lines, best_widths, options) else NO_DELIMITER


def _blanks_separate(
    lines: Sequence[tuple[int, str]], widths: Sequence[int], options: TableOptions
) -> bool:
    """Whether blanks are delimiters of the last lines, which then have these ``widths``; otherwise
    a line is one cell."""
    last = lines[-len(widths) :]
    blank = next(((n, line) for n, line in lines if " " in line.strip() and is_number(line)), None)
    if blank is None or not all(is_number(line) for _, line in last):
        return max(set(widths), key=widths.count) > 1
    # One number a line whose thousands are parted by blanks, or several numbers?
    if options.thousands is None and len(set(widths)) == 1:
        raise BadInput(
            WRONG_TYPE,
            Place(blank[0]),
            f": '{blank[1].strip()[:40]}' is one number or several; "
            "features.thousands: ' ' says that blanks separate thousands, '.' or ',' that "
            "they do not",
        )
    return options.thousands in (".", ",", "'")


def _has_whole_cells(cells: Sequence[Cell]) -> bool:
    """Whether blanks stand within cells and none of these is a list of numbers."""
    blank = [str(cell) for cell in cells if " " in str(cell)]
    return bool(blank) and not any(
        is_word(cell) and all(map(is_number, cell.split())) for cell in blank
    )


def _most_frequent(widths: Sequence[int]) -> int:
    return max(set(widths), key=lambda width: (widths.count(width), width))


def _delimiter_of_names(lines: Sequence[tuple[int, str]]) -> str | None:
    """The delimiter by which a line of names has as many cells as a line of values."""
    for delimiter in DELIMITERS:
        rows = [cells for _, cells in split_rows(iter(lines), delimiter)]
        named = {len(cells) for cells in rows if all(map(is_word, cells)) and len(cells) > 1}
        if any(len(cells) in named and any(map(is_number, cells)) for cells in rows):
            return delimiter
    return None
